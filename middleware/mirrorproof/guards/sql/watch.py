"""The yield watchdog: what a mirrored request holds in a server is let go as soon as others wait for it.

Theory of operation. A lease's transaction takes locks, and a live request that meets one waits until the
lease ends: time limits on the lease do not help it. So while leases stand, one thread for each engine asks
the server every few milliseconds who waits, over one connection of its own, and ends the backends of those
leases that are in the way; their requests count as yielded (PostgreSQL here; MariaDB: `watch_mariadb`).
Only `pg_locks` shows the waits of other roles.
A lease is known by its backend and its transaction's start: behind a pooler the same backend may serve a
live request a moment later, and is left alone then.

The thread belongs to no request. It ends when there was no lease for a while, and where it fails leases
are left with their time limits (`guards.sql.fuse`). It is ended before the interpreter is: a thread of
greenlets that an exit finds in the middle of its work brings the process down.

Knows PostgreSQL's locks. Must not know pools: `connect` makes a connection that commits by itself.
"""

from __future__ import annotations

import asyncio
import atexit
import os
from collections.abc import Callable, Iterable
from threading import Condition, Lock, Thread
from time import monotonic
from typing import Any, Final
from weakref import WeakKeyDictionary, WeakSet

from sqlalchemy.util.concurrency import greenlet_spawn

from mirrorproof.context import detached, own_traffic
from mirrorproof.failsafe import failsafe
from mirrorproof.guards.sql.lease import Lease
from mirrorproof.guards.sql.watch_mariadb import MariadbLooks

__all__ = ["Watchdog", "let_go", "watchdog_of"]

Connect = Callable[[], Any]

IDLE_S: Final = 5.0
"""Seconds that the thread and its connection stay when there is no lease."""
RETRY_S: Final = 5.0
"""Seconds after a failure in which nothing is watched."""
EXIT_S: Final = 1.0
"""Seconds that an exit waits for the threads: once for what they are at, once more when that is cut off."""

# Waits of leases for each other are none of v1's: the lock timeout ends them.
_IN_THE_WAY: Final = """WITH
  ours(pid, began) AS (VALUES {ours}),
  waiting AS MATERIALIZED (
    SELECT DISTINCT l.pid FROM pg_catalog.pg_locks l
     WHERE NOT l.granted AND l.pid NOT IN (SELECT pid FROM ours)),
  blocking AS (
    SELECT DISTINCT b.pid
      FROM waiting w, LATERAL pg_catalog.unnest(pg_catalog.pg_blocking_pids(w.pid)) b(pid))
SELECT o.pid FROM ours o JOIN blocking USING (pid)
 WHERE {still_there}"""
_END: Final = """SELECT pg_catalog.pg_terminate_backend(o.pid)
  FROM (VALUES {ours}) o(pid, began) WHERE {still_there}"""
_STILL_THERE: Final = """o.began =
  (SELECT (extract(epoch FROM xact_start) * 1000000)::bigint FROM pg_catalog.pg_stat_get_activity(o.pid))"""


class Watchdog:
    """Watches the leases of one engine. Holds no pool, only the thread does while it runs."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._leases: set[Lease] = set()
        self._thread: Thread | None = None
        self._cut_off: Callable[[], Any] = lambda: None
        self._look: Callable[[Any, Callable[[], frozenset[Lease]]], list[Lease]] | None = None
        _watchdogs_made.add(self)

    def watch(self, lease: Lease, connect: Connect) -> None:
        """Watch over a lease until `leave`. Never raises: a lease without a watchdog has its time limits."""
        failsafe("watch over mirrored requests' locks", lease.context.counters, self._watch, lease, connect)

    def _watch(self, lease: Lease, connect: Connect) -> None:
        with self._changed:
            self._leases.add(lease)
            if self._look is None:
                self._look = MariadbLooks() if lease.driver.mariadb else let_go
            self._changed.notify()
            if self._thread is None and not _exiting:
                with detached():
                    self._thread = Thread(
                        target=self._run, args=(connect, lease.driver.is_async), name="mirrorproof-watchdog",
                        daemon=True,
                    )  # fmt: skip
                    self._thread.start()
                    _threads.add(self._thread)

    def leave(self, lease: Lease) -> None:
        """The lease has ended. MariaDB goes on with a statement that nobody waits for: it is ended there."""
        with self._changed:
            if lease.driver.mariadb and lease.cut_off:
                self._changed.notify()
            else:
                self._leases.discard(lease)

    def wake(self) -> None:
        """Have the thread see that the process exits."""
        with self._changed:
            self._changed.notify_all()

    def cut_off(self) -> None:
        """End what an async thread awaits. One that is not async waits without greenlets: no harm at exit."""
        self._cut_off()

    # -- in the thread

    def _run(self, connect: Connect, is_async: bool) -> None:
        with own_traffic():
            if not is_async:
                self._rounds(connect)
                return
            try:  # a loop of its own, which nothing else runs on: blocking it is no harm
                asyncio.run(self._rounds_in_loop(connect))
            except (asyncio.CancelledError, RuntimeError):  # at exit the loop starts no thread to end with
                if not _exiting:
                    raise

    async def _rounds_in_loop(self, connect: Connect) -> None:
        loop = asyncio.get_running_loop()
        rounds = asyncio.ensure_future(greenlet_spawn(self._rounds, connect))
        self._cut_off = lambda: loop.is_closed() or loop.call_soon_threadsafe(rounds.cancel)
        await rounds

    def _rounds(self, connect: Connect) -> None:
        connection: Any = None
        while leases := self._standing():
            settings, counters = leases[0].context.settings, leases[0].context.counters
            if connection is None:
                connection = failsafe("connect to watch over locks", counters, connect)
            found = connection and failsafe("watch over locks", counters, self._let_go, connection)
            if found is None:
                _close(connection)
                connection = None
            self._pause(settings.yield_poll_ms / 1000 if connection else RETRY_S)
        _close(connection)

    def _pause(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: _exiting, seconds)

    def _standing(self) -> list[Lease]:
        """The leases, waiting for one; empty when the thread is to end."""
        with self._changed:
            self._changed.wait_for(lambda: self._leases or _exiting, IDLE_S)
            if not self._leases or _exiting:
                self._thread = None
                return []
            return list(self._leases)

    def _let_go(self, connection: Any) -> list[Lease]:
        found = self._look(connection, self._now) if self._look is not None else []
        with self._changed:
            self._leases -= {lease for lease in found if lease.cut_off}
        return found

    def _now(self) -> frozenset[Lease]:
        with self._changed:
            return frozenset(self._leases)


def let_go(connection: Any, leases: Callable[[], frozenset[Lease]]) -> list[Lease]:
    """End the backends that others wait for; the leases that they were.

    A lease is told before: its request may be over in the moment in which v1 goes on.
    """
    ours = leases()
    if not ours:
        return []
    cursor = connection.cursor()
    try:
        found = _in_the_way(cursor, ours)
        if found and leases() - ours:  # who waits may be a lease that came while the server was asked
            found = _in_the_way(cursor, leases())
        for lease in found:
            lease.let_go()
        if found:
            cursor.execute(_END.format(ours=_values(found), still_there=_STILL_THERE))
        return found
    finally:
        cursor.close()


def _in_the_way(cursor: Any, leases: Iterable[Lease]) -> list[Lease]:
    by_backend = {lease.backend[0]: lease for lease in leases}
    cursor.execute(_IN_THE_WAY.format(ours=_values(by_backend.values()), still_there=_STILL_THERE))
    return [by_backend[pid] for (pid,) in cursor.fetchall()]


def _values(leases: Iterable[Lease]) -> str:
    return ", ".join("({}, {}::bigint)".format(*lease.backend) for lease in leases)


def _close(connection: Any) -> None:
    if connection is not None:
        try:
            connection.close()
        except Exception:
            return


_watchdogs: WeakKeyDictionary[Any, Watchdog] = WeakKeyDictionary()
_watchdogs_made: WeakSet[Watchdog] = WeakSet()
"""Some outlive their engines, until their threads end."""
_threads: WeakSet[Thread] = WeakSet()
_lock = Lock()
_exiting = False


def watchdog_of(engine: Any) -> Watchdog:
    """The watchdog of an engine, or of whatever stands for one; made when it is first asked for."""
    with _lock:
        found = _watchdogs.get(engine)
        if found is None:
            found = _watchdogs[engine] = Watchdog()
        return found


def _start_afresh() -> None:
    """In a forked process, which has neither the threads nor the right to their connections."""
    global _lock  # noqa: PLW0603 - it may have been held when the process forked
    _lock = Lock()
    _watchdogs.clear()
    _watchdogs_made.clear()
    _threads.clear()


@atexit.register
def _end_threads() -> None:
    global _exiting  # noqa: PLW0603 - the threads look at it
    _exiting = True
    made = list(_watchdogs_made)
    for each in made:
        each.wake()
    if not _joined():
        for each in made:
            each.cut_off()
        _joined()


def _joined() -> bool:
    """Whether the threads have ended, waiting for them a while."""
    deadline = monotonic() + EXIT_S
    for thread in list(_threads):
        thread.join(max(0.0, deadline - monotonic()))
    return not any(thread.is_alive() for thread in _threads)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_afresh)
