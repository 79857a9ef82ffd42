"""Looking for live work that waits for a mirrored request in MariaDB, and letting it through.

Theory of operation. How many wait for a row is cheap to ask, and always true. Who waits for whom InnoDB
tells from a copy that it makes anew only if nobody has read the last one for 0.1 s; so it is asked only when
somebody waits, and not twice within that time. Waits for a table's definition (an ALTER TABLE) do not say
for whom: every lease that has used a table since its transaction began counts as in the way.
All this takes the privilege PROCESS. Without it waits for rows cannot be told apart, and leases have only
their time limits; the log says so once.

Knows MariaDB's catalogue. Must not know threads or pools.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic
from typing import Any, Final

from mirrorproof.guards.sql.lease import Lease

__all__ = ["MariadbLooks"]

_log = logging.getLogger("mirrorproof")

FRESH_AFTER_S: Final = 0.105
"""Seconds from one look at who waits for whom to the next: sooner, InnoDB would tell the same again."""
DEFINITIONS_EVERY_S: Final = 0.02
"""Seconds from one look at waits for tables' definitions to the next: it reads all connections' states."""

_HOW_MANY: Final = "SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_current_waits'"
_WHO: Final = """SELECT blocking.trx_mysql_thread_id, waiting.trx_mysql_thread_id
  FROM information_schema.innodb_lock_waits w
  JOIN information_schema.innodb_trx blocking ON blocking.trx_id = w.blocking_trx_id
  JOIN information_schema.innodb_trx waiting ON waiting.trx_id = w.requesting_trx_id"""
_DEFINITIONS: Final = """SELECT id FROM information_schema.processlist
 WHERE state = 'Waiting for table metadata lock'"""
_NO_PRIVILEGE: Final = 1227
_GONE: Final = 1094


class MariadbLooks:
    """One engine's looks, over a connection that commits by itself."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._asked_who_at = self._asked_definitions_at = -1.0
        self._blind = False

    def __call__(self, connection: Any, leases: Callable[[], frozenset[Lease]]) -> list[Lease]:
        """End the backends that others wait for, or that nobody waits for; the leases that they were.

        A lease is told before.
        """
        if not leases():
            return []
        cursor = connection.cursor()
        try:
            found = self._rows_wanted(cursor, leases) | self._tables_wanted(cursor, leases)
            for lease in found:
                lease.let_go()
            found |= {lease for lease in leases() if lease.cut_off}
            for lease in found:
                _end(cursor, lease)
            return list(found)
        finally:
            cursor.close()

    def _rows_wanted(self, cursor: Any, leases: Callable[[], frozenset[Lease]]) -> set[Lease]:
        ((_, waits),) = _rows(cursor, _HOW_MANY)
        if not int(waits) or self._blind or self._clock() - self._asked_who_at < FRESH_AFTER_S:
            return set()
        try:
            pairs = _rows(cursor, _WHO)
        except Exception as error:
            if next(iter(error.args), None) != _NO_PRIVILEGE:
                raise
            self._say_blind()
            return set()
        self._asked_who_at = self._clock()
        ours = {
            lease.backend[0]: lease for lease in leases()
        }  # some may have come while the server was asked
        return {ours[blocking] for blocking, waiting in pairs if blocking in ours and waiting not in ours}

    def _tables_wanted(self, cursor: Any, leases: Callable[[], frozenset[Lease]]) -> set[Lease]:
        if self._clock() - self._asked_definitions_at < DEFINITIONS_EVERY_S:
            return set()
        self._asked_definitions_at = self._clock()
        waiting = {backend for (backend,) in _rows(cursor, _DEFINITIONS)}
        ours = {lease.backend[0] for lease in leases()}
        return {lease for lease in leases() if lease.used} if waiting - ours else set()

    def _say_blind(self) -> None:
        self._blind = True
        _log.warning(
            "mirrorproof cannot see who waits for whom in MariaDB, so v1 may wait for a mirrored request's "
            "locks until its time limits (1 s idle): GRANT PROCESS ON *.* to v2's user lets it"
        )


def _rows(cursor: Any, question: str) -> list[tuple[Any, ...]]:
    cursor.execute(question)
    rows = cursor.fetchall()
    return [tuple(row.values()) if isinstance(row, dict) else tuple(row) for row in rows]


def _end(cursor: Any, lease: Lease) -> None:
    try:
        cursor.execute(f"KILL CONNECTION {lease.backend[0]}")
    except Exception as error:
        if next(iter(error.args), None) != _GONE:
            raise
