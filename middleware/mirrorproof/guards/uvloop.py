"""What uvloop connects and starts by itself, in C, said to the audit hook of `unguarded` as Python would.

Knows uvloop's loop. Must not know what is judged how.
"""

from __future__ import annotations

import sys
from typing import Any

from mirrorproof.context import is_mirrored
from mirrorproof.guards import Guard
from mirrorproof.guards.unheard import CONNECTED, STARTED

__all__ = ["UvloopGuard"]


class UvloopGuard(Guard):
    """Guards nothing by itself: has the guard `unguarded` hear of what uvloop does."""

    name = "unguarded-uvloop"
    module = "uvloop"
    distribution = "uvloop"
    tested = ("0.21", "0.23")
    covers = "sockets that uvloop connects, and processes that it starts, for clients without a guard"

    def install(self) -> None:
        from uvloop import Loop

        self.wrap(Loop, "create_connection", _connect)
        self.wrap(Loop, "create_unix_connection", _connect_unix)
        self.wrap(Loop, "create_datagram_endpoint", _send_datagrams)
        self.wrap(Loop, "subprocess_exec", _start)
        self.wrap(Loop, "subprocess_shell", _start_shell)


# These judge when they are called, not when they are awaited: then it shows who called them.


def _given(args: tuple[Any, ...], kwargs: dict[str, Any], at: int, name: str) -> Any:
    return args[at] if len(args) > at else kwargs.get(name)


def _connect(wrapped: Any, loop: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if kwargs.get("sock") is None and is_mirrored():
        sys.audit(CONNECTED, None, (_given(args, kwargs, 1, "host"), _given(args, kwargs, 2, "port")))
    return wrapped(*args, **kwargs)


def _connect_unix(wrapped: Any, loop: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if kwargs.get("sock") is None and is_mirrored():
        sys.audit(CONNECTED, None, _given(args, kwargs, 1, "path"))
    return wrapped(*args, **kwargs)


def _send_datagrams(wrapped: Any, loop: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if is_mirrored():  # what is not connected sends to anywhere, and nobody hears of it
        sys.audit(CONNECTED, None, _given(args, kwargs, 2, "remote_addr") or ("*", "*"))
    return wrapped(*args, **kwargs)


def _start(wrapped: Any, loop: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if is_mirrored():
        sys.audit(STARTED, _given(args, kwargs, 1, "program"), args[1:])
    return wrapped(*args, **kwargs)


def _start_shell(wrapped: Any, loop: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if is_mirrored():
        sys.audit(STARTED, "/bin/sh", args[1:])
    return wrapped(*args, **kwargs)
