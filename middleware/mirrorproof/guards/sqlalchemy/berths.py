"""How many leases on one engine stand at once: as many as its pool would open connections.

Theory of operation. A lease is a connection beside the pool, held until the response's end. Without a bound
a v2 that falls behind would open one for every request that waits, and use up the server's connections,
which v1 needs as well. Whoever finds no berth waits for one, for a bounded time; but not a synchronous
engine on an event loop's own thread, since those who hold the berths could not go on meanwhile.

Knows pools' sizes and waiting. Must not know leases.
"""

from __future__ import annotations

import asyncio
from threading import BoundedSemaphore, Lock
from time import monotonic
from typing import Any, Final
from weakref import WeakKeyDictionary

from sqlalchemy.pool import Pool, QueuePool

from mirrorproof.guards.sql.drivers import await_here

__all__ = ["Berths", "berths_of"]

WAIT_S: Final = 1.0
"""Seconds that a mirrored request waits for a berth: a thread that waits is one that live requests miss."""
_USUAL_SIZE: Final = 15  # SQLAlchemy's own default for a QueuePool: 5, and 10 more when they are taken
_POLL_S: Final = 0.005


class Berths:
    """`size` places, safe from any thread and task."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._free = BoundedSemaphore(size)

    def take(self, *, is_async: bool, wait_s: float = WAIT_S) -> bool:
        """Take a place, waiting for `wait_s` at most; `False` where there is none."""
        if not is_async:
            return self._free.acquire(timeout=0 if _on_event_loop() else wait_s)
        deadline_s = monotonic() + wait_s
        while not self._free.acquire(blocking=False):
            if monotonic() >= deadline_s:
                return False
            await_here(asyncio.sleep(_POLL_S))
        return True

    def leave(self) -> None:
        """Give the place back."""
        self._free.release()


_berths: WeakKeyDictionary[Any, Berths] = WeakKeyDictionary()
_lock: Final = Lock()


def berths_of(pool: Pool) -> Berths:
    """The berths of the pool's engine; its dialect stands for it, as it outlives `engine.dispose()`."""
    with _lock:
        found = _berths.get(pool._dialect)
        if found is None:
            found = _berths[pool._dialect] = Berths(_size(pool))
        return found


def _size(pool: Pool) -> int:
    if not isinstance(pool, QueuePool):
        return _USUAL_SIZE
    if pool._max_overflow < 0:  # as many as it likes
        return max(pool.size(), _USUAL_SIZE)
    return max(1, pool.size() + pool._max_overflow)


def _on_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
