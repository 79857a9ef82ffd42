"""What a Python program under `mirrorproof run` does before its own first line: see `mirrorproof.injection`.

Knows the settings and the guards. Must not know which program it is.
"""

from __future__ import annotations

import os
import sys

from mirrorproof.context import set_process_context
from mirrorproof.decision import Role
from mirrorproof.errors import SettingsError
from mirrorproof.guards import install_guards
from mirrorproof.serving import watch
from mirrorproof.settings import Settings

__all__ = ["start"]


def start() -> None:
    """Install the guards as the settings say; in a process that serves mirrors only, make all of it dry.

    Ends the process, with a line, where that cannot be done.
    """
    try:
        settings = Settings.load()
    except SettingsError as error:
        _end(f"mirrorproof: {error}")
    try:
        set_process_context(settings)
        if settings.role is Role.MIXED:
            watch()
        if settings.guards:
            install_guards(strict=settings.role is not Role.PRIMARY)
    except Exception as error:
        if settings.role is not Role.PRIMARY:
            _end(f"mirrorproof: a guard cannot be installed, so this program is not started: {error!r}")
        _say(f"mirrorproof: no guards are installed: {error!r}")


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _end(line: str) -> None:
    _say(line)
    os._exit(2)  # Python swallows what is raised while it starts, and would run the program unguarded
