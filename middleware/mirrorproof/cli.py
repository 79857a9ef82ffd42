"""The console script `mirrorproof`: finds the commands that the installed packages offer.

Knows names of commands. Must not need what a command needs: a command's module imports click and nothing
heavier until it is called, so that `--help` stays quick and works with any set of extras.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points, version

import click

from mirrorproof.errors import SettingsError

__all__ = ["main"]

ENTRY_POINT_GROUP = "mirrorproof.commands"


class _Commands(click.Group):
    """Subcommands by entry point. An error in settings is one line, not a traceback."""

    def _points(self) -> dict[str, EntryPoint]:
        return {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(self._points())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        point = self._points().get(cmd_name)
        command: click.Command | None = point.load() if point else None
        return command

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except SettingsError as error:
            raise click.UsageError(str(error)) from error


@click.command(
    cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(version("mirrorproof"), prog_name="mirrorproof")
def main() -> None:
    """Release behind Istio with proof: mirrored requests do no harm, and every difference is seen."""
