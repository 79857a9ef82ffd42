"""The console commands `run` and `guards`.

Knows click. Must not know any guard.
"""

from __future__ import annotations

import json
import os
import shlex

import click

from mirrorproof.decision import Role
from mirrorproof.errors import SettingsError
from mirrorproof.injection import environment
from mirrorproof.injection.programs import Hearing, hearing
from mirrorproof.inventory import inventory, render
from mirrorproof.settings import Settings

__all__ = ["guards", "run"]


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- CMD...")
def run(command: tuple[str, ...]) -> None:
    """Run a Python service with the guards installed, and no change of its code.

    Workers, reloaders and whatever Python it starts are guarded as well. In role shadow or control all of it
    is dry, so a CMD that is no Python, and no script or shell that may start one, is refused; otherwise there
    is a warning. Settings are MIRRORPROOF_* variables and the file that MIRRORPROOF_CONFIG names. CMD takes
    the place of this process, so that signals reach it and its exit code is passed on.

    Requests are told apart by the middleware, not by this. A service without it takes marked requests for
    live ones in role mixed; in role shadow it is dry, but each transaction is rolled back at its commit, and
    nothing is captured.
    """
    try:
        settings = Settings.load()
    except SettingsError as error:
        raise click.ClickException(str(error)) from error
    _require_guards(command, settings.role)
    try:
        os.execvpe(command[0], command, environment(os.environ))  # noqa: S606 - what the user asks for
    except OSError as error:
        click.echo(f"Error: {command[0]} cannot be started: {error.strerror}", err=True)
        raise SystemExit(127 if isinstance(error, FileNotFoundError) else 126) from error


def _require_guards(command: tuple[str, ...], role: Role) -> None:
    """Refuse a Python that would run without guards; say so of a program that is none, or refuse it where
    all has to be dry."""
    found = hearing(command, os.environ)
    if found is Hearing.DEAF:
        raise click.UsageError(
            f"{command[0]} is told to ignore the environment, which installs the guards, so it would run "
            "without them; leave out -E, -I and -S (and -i of env)"
        )
    if found is not Hearing.NO_PYTHON:
        return
    what = f"{command[0]} is no Python program, so no guard is at work in it"
    if role.always_mirrored:
        raise click.UsageError(
            f"{what}, and in role {role} nothing may run without; if it starts Python in the end, have a "
            f"shell start it: mirrorproof run -- sh -c '{shlex.join(command)}'"
        )
    click.echo(
        f"Warning: {what}; Python that it starts is guarded, if it passes its environment on", err=True
    )


@click.command()
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def guards(form: str) -> None:
    """List the guards: what each covers, with which versions, and what is installed here and not covered."""
    found = inventory()
    click.echo(json.dumps(found, indent=2) if form == "json" else render(found), nl=form == "json")
