"""What Python's audit hooks do not hear of, said to them: pipes and devices that are made, signals by pidfd,
programs that are started below `subprocess`, and in which folder a file is opened.

Knows functions of `os` and of the modules around it. Must not know what is judged how.
"""

from __future__ import annotations

import os
import signal
import sys
from threading import local
from typing import Any, Final

from mirrorproof.context import is_mirrored
from mirrorproof.guards import Guard

__all__ = ["CONNECTED", "FORKED", "MADE", "SIGNALLED", "STARTED", "UNKNOWN", "folder_of_open", "wrap_unheard"]

MADE: Final = "mirrorproof.os.mknod"  # path, folder or None
SIGNALLED: Final = "mirrorproof.signal.pidfd_send_signal"  # process, signal
FORKED: Final = "mirrorproof.fork_exec"  # program, arguments
CONNECTED: Final = "mirrorproof.socket.connect"  # None, address; of a loop that connects in C
STARTED: Final = "mirrorproof.process.start"  # program, arguments; of a loop that starts in C
UNKNOWN: Final = object()

_here: Final = local()


def wrap_unheard(guard: Guard) -> None:
    """Have `guard` wrap what is there of it on this system."""
    guard.wrap(os, "open", _open)
    for name in ("mkfifo", "mknod"):
        if hasattr(os, name):
            guard.wrap(os, name, _make)
    if hasattr(signal, "pidfd_send_signal"):
        guard.wrap(signal, "pidfd_send_signal", _signal)
    if sys.platform != "win32":
        import _posixsubprocess

        guard.wrap(_posixsubprocess, "fork_exec", _fork)


def folder_of_open() -> Any:
    """The folder, a descriptor or `None`, of the `os.open` that is under way here; `UNKNOWN` past it."""
    return getattr(_here, "folder", UNKNOWN)


def _open(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if not is_mirrored():
        return wrapped(*args, **kwargs)
    outer = folder_of_open()
    _here.folder = kwargs.get("dir_fd")
    try:
        return wrapped(*args, **kwargs)
    finally:
        _here.folder = outer


def _make(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if is_mirrored():
        sys.audit(MADE, args[0] if args else kwargs.get("path"), kwargs.get("dir_fd"))
    return wrapped(*args, **kwargs)


def _signal(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if is_mirrored() and len(args) > 1:
        sys.audit(SIGNALLED, _process_of(args[0]), args[1])
    return wrapped(*args, **kwargs)


def _process_of(descriptor: int) -> int:
    """The process behind a pidfd; 0 for one that has ended or cannot be told."""
    try:
        with open(f"/proc/self/fdinfo/{descriptor}", encoding="ascii") as lines:
            return next((int(line.split()[1]) for line in lines if line.startswith("Pid:")), 0)
    except OSError:
        return 0


def _fork(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if is_mirrored():
        programs = args[1] if len(args) > 1 else None
        sys.audit(FORKED, programs[0] if programs else None, args[0] if args else ())
    return wrapped(*args, **kwargs)
