"""Which temporary files are a mirrored request's own: what it had `tempfile` make, and what lies in that.

Theory of operation. A folder for temporary files is shared with everybody on the machine, v1 perhaps among
them, so what lies there is a file like any other. Only a name that `tempfile` has just drawn, and that is
not there yet, can be nobody else's: that file or folder is remembered for the request that had it made (in a
shadow process outside requests: for the process), and whatever the request does to it or below it passes.

Knows `tempfile` and who calls it. Must not know what is done about files that are not a request's own.
"""

from __future__ import annotations

import os
import sys
import tempfile
from types import FrameType
from typing import Final

from mirrorproof.context import MirrorContext

__all__ = ["MOST", "is_own", "roots"]

MOST: Final = 1000
"""How many made files and folders are remembered for one request."""

# What may stand between `tempfile` and what Python audits.
_BETWEEN: Final = frozenset({"mirrorproof", "wrapt", "os", "io", "shutil", "_io"})
# Of `tempfile`'s objects: what runs when they are forgotten, in whichever request that happens.
_FORGETTING: Final = frozenset({"__del__", "_cleanup"})

_outside: Final[dict[str, None]] = {}


def roots() -> tuple[str, ...]:
    """The folders for temporary files."""
    return (*{os.path.realpath(tempfile.gettempdir()), "/tmp"},)  # noqa: S108


def is_own(context: MirrorContext, name: str, *, makes: bool = False) -> bool:
    """Whether `name`, resolved and below a folder for temporary files, is the request's, or a process's, own.

    `makes`: it is about to be made, and that fails if it is there already.
    """
    made = context.temporary if context.in_request else _outside
    if _lies_in(name, made) or _lies_in(name, _outside):
        return True
    if _called_by_tempfile() and makes:
        if not os.path.lexists(name):
            _remember(made, name)
        return True
    return _is_of_multiprocessing(name) or _is_forgotten()


def _lies_in(name: str, made: dict[str, None]) -> bool:
    if not made:
        return False
    while name not in made:
        parent = os.path.dirname(name)
        if parent == name:
            return False
        name = parent
    return True


def _remember(made: dict[str, None], name: str) -> None:
    if len(made) >= MOST:
        for each in [each for each in list(made) if not os.path.lexists(each)] or list(made)[: MOST // 2]:
            made.pop(each, None)
    made[name] = None


def _called_by_tempfile() -> bool:
    frame = _innermost()
    return frame is not None and frame.f_globals.get("__name__") == "tempfile"


def _innermost() -> FrameType | None:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _package_of(frame) in _BETWEEN:
        frame = frame.f_back
    return frame


def _package_of(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "?")).partition(".")[0]


def _is_forgotten() -> bool:
    """Whether `tempfile` clears up behind an object that nobody has any more: no request asked for that."""
    frame = _innermost()
    while frame is not None and (_package_of(frame) == "tempfile" or _package_of(frame) in _BETWEEN):
        if frame.f_code.co_name in _FORGETTING and _package_of(frame) == "tempfile":
            return True
        frame = frame.f_back
    return False


def _is_of_multiprocessing(name: str) -> bool:
    """Whether it lies in the folder that `multiprocessing` makes once a process, for its own sockets."""
    module = sys.modules.get("multiprocessing.process")
    folder = getattr(module.current_process(), "_config", {}).get("tempdir") if module is not None else None
    return isinstance(folder, str) and name.startswith(os.path.realpath(folder) + os.sep)
