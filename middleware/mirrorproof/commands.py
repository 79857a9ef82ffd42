"""The console commands `run` and `guards`.

Knows click. Must not know any guard.
"""

from __future__ import annotations

import json
import os

import click

from mirrorproof.errors import SettingsError
from mirrorproof.injection import environment
from mirrorproof.inventory import inventory, render
from mirrorproof.settings import Settings

__all__ = ["guards", "run"]


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- CMD...")
def run(command: tuple[str, ...]) -> None:
    """Run a Python service with the guards installed, and no change of its code.

    Workers, reloaders and whatever Python it starts are guarded as well. In role shadow or control all of it
    is dry. Settings are MIRRORPROOF_* variables and the file that MIRRORPROOF_CONFIG names. CMD takes the
    place of this process, so that signals reach it and its exit code is passed on.
    """
    try:
        Settings.load()
    except SettingsError as error:
        raise click.ClickException(str(error)) from error
    _refuse_deaf(command)
    try:
        os.execvpe(command[0], command, environment(os.environ))  # noqa: S606 - what the user asks for
    except OSError as error:
        click.echo(f"Error: {command[0]} cannot be started: {error.strerror}", err=True)
        raise SystemExit(127 if isinstance(error, FileNotFoundError) else 126) from error


def _refuse_deaf(command: tuple[str, ...]) -> None:
    """Refuse a Python that is told to ignore the environment or `site`: it would run without guards."""
    if not os.path.basename(command[0]).startswith("python"):
        return
    for option in command[1:]:
        if not option.startswith("-") or option in ("-c", "-m", "-"):
            return
        if not option.startswith("--") and set(option) & set("EIS"):
            raise click.UsageError(
                f"{command[0]} {option} ignores what installs the guards, so it would run without them; "
                "leave out -E, -I and -S"
            )


@click.command()
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def guards(form: str) -> None:
    """List the guards: what each covers, with which versions, and what is installed here and not covered."""
    found = inventory()
    click.echo(json.dumps(found, indent=2) if form == "json" else render(found), nl=form == "json")
