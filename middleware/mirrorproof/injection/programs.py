"""Whether a program that `mirrorproof run` is to start will install the guards.

A Python does, and a program that embeds one (uWSGI). A script, a shell or a program that starts what it is
told to (`env`, `timeout`) may start one, which inherits the environment. Any other runs without guards.

Knows programs' names and first bytes. Must not know settings.
"""

from __future__ import annotations

import mmap
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Final

__all__ = ["Hearing", "hearing"]

_PYTHONS: Final = re.compile(r"(?:python|pypy)[0-9.]*(?:d|w|t)?(?:\.exe)?$")
_STARTERS: Final = frozenset({
    "ash", "bash", "busybox", "catatonit", "chroot", "chrt", "conda", "dash", "dumb-init", "env", "fish",
    "gdb", "gosu", "hatch", "ionice", "ksh", "make", "nice", "nohup", "numactl", "parallel", "pdm",
    "pipenv", "poetry", "rye", "setpriv", "setsid", "sh", "stdbuf", "strace", "su-exec", "taskset", "time",
    "timeout", "tini", "uv", "uvx", "xargs", "zsh",
})  # fmt: skip
_EMBEDS: Final = (b"libpython", b"Py_InitializeEx", b"Py_BytesMain", b"Py_InitializeFromConfig")


class Hearing(Enum):
    """What becomes of the guards in a program."""

    INSTALLS = "installs"  # a Python, or one inside
    MAY_START = "may start"  # a script or a program that starts others, a Python perhaps
    DEAF = "deaf"  # a Python, or a start of one, that is told to ignore the environment
    NO_PYTHON = "no Python"
    MISSING = "missing"


def hearing(command: Sequence[str], env: Mapping[str, str]) -> Hearing:
    """What becomes of the guards in `command`."""
    name = os.path.basename(command[0])
    if _PYTHONS.match(name):
        return Hearing.DEAF if _ignores(command[1:]) else Hearing.INSTALLS
    if name == "env" and _empties(command[1:]):
        return Hearing.DEAF
    path = shutil.which(command[0], path=env.get("PATH"))
    if path is None:
        return Hearing.MISSING
    if name in _STARTERS or os.path.basename(os.path.realpath(path)) in _STARTERS:
        return Hearing.MAY_START
    try:
        return _of_file(path, env)
    except (OSError, ValueError):
        return Hearing.MAY_START  # it cannot be read, so it cannot be told


def _ignores(options: Sequence[str]) -> bool:
    """Whether a Python is told to ignore the environment or `site`."""
    for option in options:
        if not option.startswith("-") or option in ("-c", "-m", "-"):
            return False
        if not option.startswith("--") and set(option) & set("EIS"):
            return True
    return False


def _empties(options: Sequence[str]) -> bool:
    for option in options:
        if not option.startswith("-") or option == "--":
            return False
        if option in ("-", "--ignore-environment") or (not option.startswith("--") and "i" in option):
            return True
    return False


def _of_file(path: str, env: Mapping[str, str]) -> Hearing:
    with open(path, "rb") as file:
        head = file.read(256)
        if head.startswith(b"#!"):
            words = os.fsdecode(head[2:].partition(b"\n")[0]).split()
            if words and os.path.basename(words[0]) == "env":
                words = [each for each in words[1:] if each != "-S" and "=" not in each]
            return hearing(words, env) if words else Hearing.MAY_START
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            embeds = any(content.find(each) >= 0 for each in _EMBEDS)
            return Hearing.INSTALLS if embeds else Hearing.NO_PYTHON
