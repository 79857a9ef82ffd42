"""Which of a driver's connections belong to leases.

Knows identities. Must not know drivers.
"""

from __future__ import annotations

from typing import Any, Final
from weakref import WeakSet

__all__ = ["is_leased", "mark_leased"]

_leased: Final[WeakSet[Any]] = WeakSet()


def mark_leased(connection: Any) -> None:
    """`connection` (the driver's own) is a lease's from now on."""
    _leased.add(connection)


def is_leased(connection: Any) -> bool:
    """Whether it is."""
    return connection in _leased
