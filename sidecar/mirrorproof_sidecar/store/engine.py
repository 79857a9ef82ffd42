"""The database behind the recorder: connections, transactions and the lock for migrations.

Knows SQLite and PostgreSQL through SQLAlchemy. Must not know what is stored. Calls block: an event loop
runs them in a thread.

Durability. SQLite runs with WAL and `synchronous=FULL`: a transaction that has returned survives `kill -9`
and a power cut, for one fsync each; since a post is one transaction, the fsync is shared by its exchanges.
PostgreSQL keeps what it acknowledges unless its own `synchronous_commit` says otherwise.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from threading import Lock
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError

from mirrorproof.errors import SettingsError

__all__ = ["Store"]

P = ParamSpec("P")
T = TypeVar("T")

_BUSY_TIMEOUT_S: Final = 30.0
_MIGRATION_LOCK: Final = 7_306_291_100_923  # any constant: PostgreSQL's advisory locks are numbers
_WRITE: Final = "mirrorproof_write"


class Store:
    """A database whose tables are as the newest migration wants them.

    `read` and `write` run a function of a connection inside one transaction.
    """

    def __init__(self, url: str) -> None:
        self.url = _parse(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self._engine = _sqlite_engine(self.url) if self.is_sqlite else _postgresql_engine(self.url)
        # SQLite has one writer: waiting in line here beats polling for its file lock.
        self._write_lock: AbstractContextManager[Any] = Lock() if self.is_sqlite else nullcontext()
        try:
            self._migrate()
        except DBAPIError as error:
            self._engine.dispose()
            raise SettingsError(f"MIRRORPROOF_STORE: the database cannot be used: {error.orig}") from error

    def read(self, call: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`call(connection, …)` in a transaction that sees one state of the store."""
        with self._engine.connect() as connection, connection.begin():
            return call(connection, *args, **kwargs)

    def write(self, call: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`call(connection, …)` in a transaction that is durable when this returns."""
        with self._write_lock, self._engine.connect() as raw:
            connection = raw.execution_options(**{_WRITE: True})
            with connection.begin():
                return call(connection, *args, **kwargs)

    def ping(self) -> None:
        """Raises what the database raises if it cannot be reached."""
        self.read(lambda connection: connection.execute(text("SELECT 1")).scalar_one())

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def _migrate(self) -> None:
        from mirrorproof_sidecar.store.migrations import upgrade

        def locked(connection: Connection) -> None:
            # SQLite: the write transaction is the lock. Both databases roll DDL back.
            if not self.is_sqlite:
                connection.execute(text("SELECT pg_advisory_xact_lock(:n)"), {"n": _MIGRATION_LOCK})
            upgrade(connection)

        self.write(locked)


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise SettingsError(
            "MIRRORPROOF_STORE is no database URL, such as sqlite:///mirrorproof.db"
        ) from error
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise SettingsError("MIRRORPROOF_STORE: SQLite needs a file here, such as sqlite:///mirrorproof.db")
    return parsed


def _sqlite_engine(url: URL) -> Engine:
    parent = Path(str(url.database)).parent
    if not parent.is_dir():
        raise SettingsError(f"MIRRORPROOF_STORE: the folder {parent} does not exist")
    engine = create_engine(url, connect_args={"timeout": _BUSY_TIMEOUT_S, "check_same_thread": False})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _postgresql_engine(url: URL) -> Engine:
    engine = create_engine(url, pool_pre_ping=True, pool_size=6, max_overflow=2, pool_timeout=_BUSY_TIMEOUT_S)
    event.listen(engine, "connect", _prepare_postgresql)
    return engine


def _prepare_sqlite(raw: Any, _record: Any) -> None:
    raw.isolation_level = None  # the driver's own BEGIN would come too late for reads and DDL
    deadline = time.monotonic() + _BUSY_TIMEOUT_S
    while True:  # turning WAL on does not honour the busy timeout
        try:
            raw.execute("PRAGMA journal_mode=WAL")
            break
        except Exception as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
    raw.execute("PRAGMA synchronous=FULL")


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that begins by reading and then writes fails at once if another has written meanwhile.
    writing = connection.get_execution_options().get(_WRITE)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


def _prepare_postgresql(raw: Any, _record: Any) -> None:
    with raw.cursor() as cursor:
        cursor.execute("SET statement_timeout = '60s'")
    raw.commit()
