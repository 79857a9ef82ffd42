"""Whose a driver's connection is: a lease's, or that of a library which records what is written on it.

Knows identities. Must not know drivers.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final
from weakref import WeakSet

__all__ = ["is_leased", "is_observed", "mark_leased", "mark_observed"]

_leased: Final[WeakSet[Any]] = WeakSet()
_observed: Final[WeakSet[Any]] = WeakSet()


def mark_leased(connection: Any) -> None:
    """`connection` (the driver's own) is a lease's from now on."""
    _leased.add(connection)


def is_leased(connection: Any) -> bool:
    """Whether it is."""
    return connection in _leased


def mark_observed(connection: Any) -> None:
    """What live requests write on `connection` is recorded elsewhere: by SQLAlchemy's events, by Django's."""
    with suppress(TypeError):  # sqlite3's cannot be referred to weakly, and have no guard that asks
        _observed.add(connection)


def is_observed(connection: Any) -> bool:
    """Whether it is."""
    return connection in _observed
