"""The fuse: why a lease cannot commit, whatever the application sends.

Theory of operation, PostgreSQL. The lease's transaction starts with a temporary table that holds two equal
keys under a unique constraint which is checked at the commit. COMMIT and PREPARE TRANSACTION then fail,
by whatever way they come, and the server undoes everything; the table can neither be dropped nor emptied
while the check is pending. The set-up proves this before anything else runs. Settings are all local to
the transaction: behind a pooler that shares server connections, a session's settings would reach v1.
A server in recovery cannot write at all and needs no fuse.

Theory of operation, SQLite. The authorizer is asked while each statement is compiled. COMMIT and BEGIN
compile to nothing, ROLLBACK is denied, and whatever writes is denied unless the lease's transaction is
open; so neither a lost transaction nor a savepoint outside of it can write. Python keeps what was compiled:
setting the authorizer again has it compiled again. Settings that reach beyond the transaction (journal_mode)
compile to nothing, and no new file is attached.

Knows the two databases. Must not know drivers, checkouts or requests.
"""

from __future__ import annotations

import sqlite3
from enum import Enum
from pathlib import Path
from typing import Any, Final

__all__ = [
    "CHECK_CONSTRAINTS",
    "IDLE_LIMIT_S",
    "LIFT",
    "LOCK_LIMIT_S",
    "SQLITE_BUSY_LIMIT_S",
    "Phase",
    "SqliteFuse",
    "postgres_setup",
]

LOCK_LIMIT_S: Final = 0.1
"""Seconds that a statement waits for a lock: below `deadlock_timeout`, so that v2 is the victim."""
IDLE_LIMIT_S: Final = 1.0
"""Seconds that the lease may stand idle while the application thinks; then the server ends it."""
SQLITE_BUSY_LIMIT_S: Final = 0.25
"""Seconds that a statement waits for another's lock on the file."""

BACKEND: Final = "pg_catalog.pg_backend_pid(), (extract(epoch FROM now()) * 1000000)::bigint"
"""What the watchdog knows the lease's transaction by: its backend, its start in microseconds."""
LIFT: Final = "SET TRANSACTION READ WRITE"
"""Comes first of all: PostgreSQL takes it before any query only."""

_FUSE: Final = """DO $mirrorproof$ BEGIN
  IF pg_is_in_recovery() THEN RETURN; END IF;
  CREATE TEMPORARY TABLE mirrorproof_fuse
    (id int CONSTRAINT mirrorproof_never_commits UNIQUE DEFERRABLE INITIALLY DEFERRED);
  INSERT INTO pg_temp.mirrorproof_fuse VALUES (1), (1);
  BEGIN
    SET CONSTRAINTS pg_temp.mirrorproof_never_commits IMMEDIATE;
    RAISE EXCEPTION 'mirrorproof: the fuse does not hold';
  EXCEPTION WHEN unique_violation THEN NULL;
  END;
END $mirrorproof$"""

# Checks what a commit would check, and sets each constraint back to how a transaction starts.
CHECK_CONSTRAINTS: Final = """DO $mirrorproof$ DECLARE own text; late text; BEGIN
  SELECT string_agg(format('%I.%I', n.nspname, c.conname), ', '),
         string_agg(format('%I.%I', n.nspname, c.conname), ', ') FILTER (WHERE c.condeferred)
    INTO own, late
    FROM pg_catalog.pg_constraint c JOIN pg_catalog.pg_namespace n ON n.oid = c.connamespace
   WHERE c.condeferrable AND c.conname <> 'mirrorproof_never_commits'
     AND NOT pg_catalog.pg_is_other_temp_schema(n.oid);
  IF own IS NOT NULL THEN EXECUTE 'SET CONSTRAINTS ' || own || ' IMMEDIATE'; END IF;
  IF late IS NOT NULL THEN EXECUTE 'SET CONSTRAINTS ' || late || ' DEFERRED'; END IF;
END $mirrorproof$"""


def postgres_setup(read_only: bool) -> list[str]:
    """What the lease's transaction starts with. The first answers `BACKEND`."""
    limits = (
        f"SELECT {BACKEND}, set_config('lock_timeout', '{LOCK_LIMIT_S * 1000:.0f}ms', true), "
        f"set_config('idle_in_transaction_session_timeout', '{IDLE_LIMIT_S * 1000:.0f}ms', true)"
    )
    return [limits, _FUSE] + (["SET TRANSACTION READ ONLY"] if read_only else [])


class Phase(Enum):
    """What the SQLite fuse lets through."""

    SETTING_UP = "setting up"  # listeners of the application prepare the connection: no writes
    BEGINNING = "beginning"  # our own BEGIN
    LIT = "lit"
    ENDING = "ending"  # our own ROLLBACK


_HARMLESS: Final = frozenset({
    sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE,
})  # fmt: skip
_BEYOND_TRANSACTION: Final = frozenset({
    "journal_mode", "locking_mode", "wal_checkpoint", "wal_autocheckpoint", "incremental_vacuum",
    "writable_schema", "temp_store_directory", "data_store_directory", "query_only", "journal_size_limit",
})  # fmt: skip
_ACTS_WITHOUT_VALUE: Final = frozenset({"wal_checkpoint", "incremental_vacuum"})
_IN_FILE: Final = frozenset({"user_version", "application_id", "auto_vacuum", "schema_version", "encoding"})


class SqliteFuse:
    """An authorizer for one `sqlite3.Connection`."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.phase = Phase.SETTING_UP
        connection.set_authorizer(self)

    def undo(self) -> None:
        """Roll back, in the connection's own thread. What was compiled before is judged anew afterwards."""
        self.phase = Phase.ENDING
        try:
            self._connection.rollback()
        finally:
            self.phase = Phase.LIT
            self._connection.set_authorizer(self)

    def __call__(self, action: int, first: str | None, second: str | None, *_: Any) -> int:
        if action in _HARMLESS:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_TRANSACTION:
            return self._transaction(first)
        if action == sqlite3.SQLITE_PRAGMA:
            return self._pragma((first or "").lower(), second)
        if action == sqlite3.SQLITE_ATTACH:
            return self._attach(first)
        return sqlite3.SQLITE_OK if self._connection.in_transaction else sqlite3.SQLITE_DENY

    def _transaction(self, what: str | None) -> int:
        if self.phase is Phase.ENDING or (self.phase is Phase.BEGINNING and what == "BEGIN"):
            return sqlite3.SQLITE_OK
        if what == "ROLLBACK" or not self._connection.in_transaction:
            return sqlite3.SQLITE_DENY
        return sqlite3.SQLITE_IGNORE

    def _pragma(self, name: str, value: str | None) -> int:
        if self.phase is Phase.BEGINNING:
            return sqlite3.SQLITE_OK
        if name in _BEYOND_TRANSACTION and (value or name in _ACTS_WITHOUT_VALUE):
            return sqlite3.SQLITE_IGNORE
        if value and name in _IN_FILE and not self._connection.in_transaction:
            return sqlite3.SQLITE_DENY
        return sqlite3.SQLITE_OK

    def _attach(self, file: str | None) -> int:
        # A bound parameter shows as None here, and a file that is not there would be made.
        if file is None:
            return sqlite3.SQLITE_DENY
        there = file in ("", ":memory:") or (not file.startswith("file:") and Path(file).is_file())
        return sqlite3.SQLITE_OK if there else sqlite3.SQLITE_DENY
