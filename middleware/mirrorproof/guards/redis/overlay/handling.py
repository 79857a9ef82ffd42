"""Handlers: which function answers which command, and what they have in common.

Pure. Must not know any one command.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from mirrorproof.guards.redis.overlay.space import ServerError, View

__all__ = [
    "HANDLERS",
    "INVALID_EXPIRE",
    "MAX_INT",
    "MIN_INT",
    "NOT_AN_INTEGER",
    "OVERFLOW",
    "SYNTAX",
    "Args",
    "Handler",
    "deadline",
    "handles",
    "integer",
    "is_unit",
    "wrong_number",
]

Args = tuple[bytes, ...]

MAX_INT: Final = 2**63 - 1
MIN_INT: Final = -(2**63)
NOT_AN_INTEGER: Final = "ERR value is not an integer or out of range"
OVERFLOW: Final = "ERR increment or decrement would overflow"
SYNTAX: Final = "ERR syntax error"
INVALID_EXPIRE: Final = "ERR invalid expire time in '{}' command"
_INTEGER: Final = re.compile(rb"0|-?[1-9][0-9]*")
_UNITS: Final = {b"EX": (1000, True), b"PX": (1, True), b"EXAT": (1000, False), b"PXAT": (1, False)}


@dataclass(frozen=True, slots=True)
class Handler:
    """A function that answers a command, and how many arguments that takes (`None`: any number)."""

    run: Callable[[View, Args], Any]
    at_least: int
    at_most: int | None

    def admits(self, count: int) -> bool:
        """Whether the server takes that many arguments."""
        return self.at_least <= count and (self.at_most is None or count <= self.at_most)


HANDLERS: Final[dict[str, Handler]] = {}
H = TypeVar("H", bound=Callable[..., Any])


def handles(name: str, count: int, *, more: bool = False) -> Callable[[H], H]:
    """Marks the handler of the command `name`, which takes `count` arguments, or `more`."""

    def marked(function: H) -> H:
        HANDLERS[name] = Handler(function, count, None if more else count)
        return function

    return marked


def integer(text: bytes, error: str = NOT_AN_INTEGER) -> int:
    """A number of 64 bits as the server reads it. Raises `ServerError`."""
    if _INTEGER.fullmatch(text) is None or not MIN_INT <= (number := int(text)) <= MAX_INT:
        raise ServerError(error)
    return number


def deadline(text: bytes, unit: bytes, now_ms: int, command: str) -> int:
    """When a key expires that is given `EX`, `PX`, `EXAT` or `PXAT`. Raises `ServerError`."""
    scale, relative = _UNITS[unit]
    number = integer(text)
    at_ms = number * scale + (now_ms if relative else 0)
    if number <= 0 or at_ms > MAX_INT:
        raise ServerError(INVALID_EXPIRE.format(command))
    return at_ms


def is_unit(word: bytes) -> bool:
    """Whether a number follows that says when a key expires."""
    return word in _UNITS


def wrong_number(command: str) -> ServerError:
    """The error for too few or too many arguments."""
    return ServerError(f"ERR wrong number of arguments for '{command.lower()}' command")
