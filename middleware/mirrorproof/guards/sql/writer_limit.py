"""The writer's limit: how long a lease on an SQLite file may keep the file's only writer lock.

Theory of operation. A write takes the lock, and the lease has it until it rolls back. Who waits for it asks
again and again, and leaves no trace of that anywhere; so there is nothing to look for, only time. It counts
from where the lease surely has the lock: a write has come back, or SQLite says that it is at work on one (its
progress handler, which an application may put another in the place of: then a write counts when it has come
back). Not from the write's start: it may have to wait for somebody else's lock itself. One thread calls what
is due; it belongs to no request, and ends when nothing was due for a while.

Waits for SQLite's locks grow: 1, 2, 5, 10 and 15 ms, then 20. So who comes right after the lease asks again
33 ms later, and after that at 53: a limit has to be well below the former (`sqlite_writer_limit_ms`).

Knows time. Must not know connections or leases.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from heapq import heappop, heappush
from itertools import count
from threading import Condition, Thread
from time import monotonic
from typing import Final

from mirrorproof.context import detached
from mirrorproof.counters import Counters
from mirrorproof.failsafe import failsafe

__all__ = ["STEPS", "WriterLimit"]

STEPS: Final = 10_000
"""Of SQLite's machine between two calls of `at_work`: well below a millisecond."""
IDLE_S: Final = 5.0
"""Seconds that the thread stays when nothing is due."""


class WriterLimit:
    """The limit of one lease. `let_go` is called from another thread, once the time is over."""

    def __init__(self, limit_s: float, let_go: Callable[[], None], counters: Counters) -> None:
        self._limit_s = limit_s
        self._let_go = let_go
        self._counters = counters
        self._writes = False
        self._over = False
        self._term: object = None
        """What stands for the time that runs, if any does."""

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Around a write. One that fails has the lock as well, unless it was the lock that it failed for."""
        self._writes = True
        try:
            yield
        except BaseException as error:
            if "database is locked" not in str(error):
                self._start()
            raise
        else:
            self._start()
        finally:
            self._writes = False

    def at_work(self) -> int:
        """SQLite's progress handler. What it returns stops the statement, once the time is over.

        An interrupt alone may be forgotten: between two rows of `executemany` nothing runs.
        """
        if self._writes:
            self._start()
        return int(self._over)

    def stop(self) -> None:
        """The lock is free."""
        self._term = None

    def _start(self) -> None:
        if self._term is None:
            self._term = object()
            _clock.call(monotonic() + self._limit_s, self, self._term)

    def due(self, term: object) -> None:
        """The time that `term` stands for is over. Never raises."""
        if self._term is term:
            self._over = True
            failsafe("let SQLite's writer lock go", self._counters, self._let_go)


class _Clock:
    """Tells limits that their time is over."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._due: list[tuple[float, int, WriterLimit, object]] = []
        self._number = count()
        self._thread: Thread | None = None

    def call(self, when_s: float, limit: WriterLimit, term: object) -> None:
        with self._changed:
            heappush(self._due, (when_s, next(self._number), limit, term))
            self._changed.notify()
            if self._thread is None:
                with detached():
                    self._thread = Thread(target=self._run, name="mirrorproof-writer-limit", daemon=True)
                    self._thread.start()

    def _run(self) -> None:
        while due := self._next():
            limit, term = due
            limit.due(term)
            del due, limit, term

    def _next(self) -> tuple[WriterLimit, object] | None:
        """What is due, waiting for it; `None` when the thread is to end."""
        with self._changed:
            while self._due or self._changed.wait(IDLE_S):
                wait_s = self._due[0][0] - monotonic() if self._due else IDLE_S
                if wait_s <= 0:
                    return heappop(self._due)[2:]
                self._changed.wait(wait_s)
            self._thread = None
            return None


_clock = _Clock()


def _start_afresh() -> None:
    """In a forked process, which has no such thread."""
    global _clock  # noqa: PLW0603 - its lock may have been held when the process forked
    _clock = _Clock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_afresh)
