"""A program under `mirrorproof run` that serves with no middleware to tell mirrored requests: said once.

Theory of operation. The guards hold back what a mirrored request does, and a middleware knows which one is
mirrored. A process serves when it accepts a TCP connection, which a script does not, nor a server's master;
if no middleware has been built a while later (some frameworks build theirs with the first request), there is
none. uvloop accepts in C, so there it serves when it starts to listen. Servers in C (uWSGI, gRPC) are not
heard.

Knows sockets and uvloop's loop. Must not know requests.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from threading import Timer
from typing import Any, Final

import wrapt

__all__ = ["told", "watch"]

PATIENCE_S: Final = 3.0

_log = logging.getLogger("mirrorproof")
_TCP: Final = (socket.AF_INET, socket.AF_INET6)


class _State:
    told = False
    """Whether this process has a middleware."""
    patience_s = PATIENCE_S
    undo: list[Callable[[], None]]


_state: Final = _State()
_state.undo = []


def watch(patience_s: float = PATIENCE_S) -> None:
    """Have this process say so if it serves and `told` was not called within `patience_s`."""
    if _state.told:
        return
    _state.patience_s = patience_s
    accept = socket.socket.accept

    def accepting(self: socket.socket) -> Any:
        accepted = accept(self)
        if self.family in _TCP:
            _serves()
        return accepted

    def stop() -> None:
        if socket.socket.accept is accepting:
            socket.socket.accept = accept  # type: ignore[method-assign]

    socket.socket.accept = accepting  # type: ignore[method-assign]
    _state.undo.append(stop)
    wrapt.register_post_import_hook(_watch_uvloop, "uvloop")


def _watch_uvloop(uvloop: Any) -> None:
    if not _state.undo:
        return
    create = uvloop.Loop.create_server

    def creating(*args: Any, **kwargs: Any) -> Any:
        _serves()
        return create(*args, **kwargs)

    def stop() -> None:
        if uvloop.Loop.create_server is creating:
            uvloop.Loop.create_server = create

    uvloop.Loop.create_server = creating
    _state.undo.append(stop)


def told() -> None:
    """A middleware is built: mirrored requests are told apart here."""
    _state.told = True
    _stop()


def _stop() -> bool:
    """Watch no longer. `False` if that was so already."""
    watched = False
    while _state.undo:
        watched = True
        _state.undo.pop()()
    return watched


def _serves() -> None:
    if not _stop():
        return
    try:
        timer = Timer(_state.patience_s, _say)
        timer.daemon = True
        timer.start()
    except RuntimeError:  # no thread can be started: then it stays unsaid
        pass


def _say() -> None:
    if not _state.told:
        _log.warning(
            "mirrorproof: this program serves, and no middleware in it tells which requests are mirrored, so "
            "role mixed takes all for live ones: a mirrored request's writes happen. Wrap the application in "
            "MirrorMiddleware or MirrorWSGIMiddleware (docs/frameworks.md), or set MIRRORPROOF_ROLE to what "
            "this process is: primary, or shadow, which is dry whatever arrives"
        )
