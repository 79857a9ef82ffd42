"""What reaches a connection past the guard: by a client's method, or a `json()`, `ts()` or `ft()` of it, kept
from before the guards were installed, or on a connection that the application took from the pool.

Reads pass, and what Kombu takes from its queues, which its guard judges. A mirrored request's write is
refused, since nobody here can answer in the client's place.

Knows redis-py's connections and Redis's wire format. Must not know what a command means.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from types import FrameType
from typing import Any, Final

from mirrorproof.context import in_admitted_call, is_admitted, is_mirrored
from mirrorproof.errors import EffectRefusedError
from mirrorproof.guards.acting import CONSUME, refuse_unanswered
from mirrorproof.guards.redis.calls import written
from mirrorproof.guards.redis.commands import parse

__all__ = ["judge"]

_BETWEEN: Final = frozenset({"mirrorproof", "redis", "wrapt"})


def judge(wrapped: Any, connection: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A wrapper of a connection's `send_packed_command`, sync or asyncio."""
    if is_mirrored() and not (is_admitted() or in_admitted_call()):
        packed = args[0] if args else kwargs["command"]
        for words in _unpacked([packed] if isinstance(packed, bytes | str) else packed):
            write = written(parse(words, bytes), getattr(connection, "host", None))
            if write is not None and not (write.kind == CONSUME and _caller() == "kombu"):
                refuse_unanswered(write)
    return wrapped(*args, **kwargs)


def _caller() -> str:
    """The package that uses the client."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        package: str = frame.f_globals.get("__name__", "?").partition(".")[0]
        if package not in _BETWEEN:
            return package
        frame = frame.f_back
    return "?"


def _unpacked(pieces: Iterable[Any]) -> Iterator[tuple[bytes, ...]]:
    """The commands in what is to be sent. Raises `EffectRefusedError` for what is none."""
    raw, at = b"".join(each.encode() if isinstance(each, str) else bytes(each) for each in pieces), 0
    try:
        while at < len(raw):
            count, at = _number(raw, at, b"*")
            words = []
            for _ in range(count):
                size, at = _number(raw, at, b"$")
                words.append(raw[at : at + size])
                at += size + 2
            yield tuple(words)
    except ValueError as error:
        raise EffectRefusedError(
            f"mirrorproof does not understand what is sent to Redis, so a mirrored request may not: {error}"
        ) from error


def _number(raw: bytes, at: int, mark: bytes) -> tuple[int, int]:
    end = raw.index(b"\r\n", at)
    if raw[at : at + 1] != mark:
        raise ValueError(f"{raw[at:end][:20]!r} is no {mark.decode()}")
    return int(raw[at + 1 : end]), end + 2
