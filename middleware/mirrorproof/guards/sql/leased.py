"""Whose a driver's connection is: a lease's, or that of a library which records what is written on it.

Knows identities. Must not know drivers.
"""

from __future__ import annotations

from contextlib import suppress
from contextvars import ContextVar
from typing import Any, Final
from weakref import WeakSet

__all__ = ["announce", "is_leased", "is_observed", "mark_announced", "mark_leased", "mark_observed"]

_leased: Final[WeakSet[Any]] = WeakSet()
_observed: Final[WeakSet[Any]] = WeakSet()
_announced_on: Final[WeakSet[Any]] = WeakSet()
_announced: Final[ContextVar[bool]] = ContextVar("mirrorproof_announced", default=False)


def mark_leased(connection: Any) -> None:
    """`connection` (the driver's own) is a lease's from now on."""
    _leased.add(connection)


def is_leased(connection: Any) -> bool:
    """Whether it is."""
    return connection in _leased


def mark_observed(connection: Any) -> None:
    """What live requests write on `connection` is recorded elsewhere: by Django's cursors."""
    with suppress(TypeError):  # sqlite3's cannot be referred to weakly, and have no guard that asks
        _observed.add(connection)


def mark_announced(connection: Any) -> None:
    """The same for what is announced only: SQLAlchemy tells of what it runs, not of its raw cursors."""
    with suppress(TypeError):
        _announced_on.add(connection)


def announce(on: bool) -> None:
    """What this task or thread runs now is recorded elsewhere, or no longer."""
    _announced.set(on)


def is_observed(connection: Any) -> bool:
    """Whether it is."""
    return connection in _observed or (_announced.get() and connection in _announced_on)
