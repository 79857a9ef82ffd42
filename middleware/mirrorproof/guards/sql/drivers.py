"""What differs between the drivers: autocommit, the state of a connection, ending it.

Knows each driver's DBAPI connection as SQLAlchemy's pool holds it. Must not know leases, savepoints or
what an application does with a connection.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any, Final, cast

from sqlalchemy.util import concurrency

from mirrorproof.guards.sql import statement
from mirrorproof.guards.sql.statement import Statement

__all__ = [
    "Aiosqlite",
    "Asyncpg",
    "Driver",
    "Psycopg",
    "Psycopg2",
    "PsycopgAsync",
    "Pysqlite",
    "await_here",
    "hang_up",
]

# SQLAlchemy 2.1 calls it `await_`, 2.0 `await_only`.
await_here = cast(Any, getattr(concurrency, "await_", None) or concurrency.await_only)
_NOTHING: Final = "SET LOCAL mirrorproof.nothing = ''"


class Driver(ABC):
    """One driver. Connections are those that the pool holds, adapters where the driver is async."""

    postgres = True
    mariadb = False
    is_async = False
    nothing = ""
    """A statement that does nothing and returns no rows."""
    rolls_back_on_setting = False
    """Whether setting an isolation level also ends the transaction."""
    with_closes = False
    """Whether the end of a connection's `with` also closes it."""

    def autocommits(self, connection: Any) -> bool:
        """Whether the connection commits each statement by itself."""
        return bool(connection.autocommit)

    def hold_open(self, connection: Any) -> None:
        """Let the driver open a transaction at the first statement and leave the end to us."""
        if self.autocommits(connection):
            connection.autocommit = False

    def only_read(self, connection: Any) -> None:  # noqa: B027 - SQLite has its authorizer
        """Have the driver begin read-only transactions, before the application's listeners come.

        By its own BEGIN, not by a setting of the session, which a pooler might hand on to v1.
        """

    def only_reads(self, connection: Any) -> bool:
        """Whether it does."""
        return False

    def settle(self, connection: Any) -> None:  # noqa: B027
        """End what the listeners left open. What they set for the session stays, as on a live one."""

    def autocommit_meant(self, name: str, value: Any) -> bool | None:
        """What setting the attribute or calling the setter `name` says about autocommit, if anything."""
        return bool(value) if name in ("autocommit", "set_autocommit") else None

    def read(self, text: str) -> Statement:
        """One statement."""
        return statement.read(text)

    def statements_in(self, text: str, *, alone: bool) -> tuple[Statement, ...]:
        """A text's statements, where it takes several and they steer. `alone`: it has no parameters."""
        return statement.statements_in(text, alone=alone)

    def streams(self, cursor: Any) -> bool:
        """Whether the next statement on the connection would lose what the cursor has not yet read."""
        return False

    def plain_rows(self, connection: Any) -> AbstractContextManager[Any]:
        """In here rows are tuples, or mappings, whatever the application has its connections make."""
        return nullcontext()

    def own(self, connection: Any) -> Any:
        """The client library's own connection."""
        return connection._connection if self.is_async else connection

    @abstractmethod
    def in_transaction(self, connection: Any) -> bool:
        """Whether the real transaction still stands. Asks the client library only."""

    @abstractmethod
    def closed(self, connection: Any) -> bool:
        """Whether the connection is gone."""

    def interrupt(self, connection: Any) -> None:
        """Stop the statement that another thread or task is waiting for."""
        connection.cancel()

    def cut(self, connection: Any) -> None:
        """End the connection at once, without awaiting: the server then rolls back."""
        connection.close()


def hang_up(transport: Any) -> None:
    """Shut a transport's socket down, which also helps where its event loop is closed and cannot close it."""
    wire = transport.get_extra_info("socket") if transport is not None else None
    if wire is None:
        return
    with suppress(OSError, ValueError), socket.socket(fileno=os.dup(wire.fileno())) as same:
        same.shutdown(socket.SHUT_RDWR)


class Psycopg(Driver):
    """psycopg 3."""

    nothing = _NOTHING
    with_closes = True

    def only_read(self, connection: Any) -> None:
        connection.read_only = True

    def only_reads(self, connection: Any) -> bool:
        return bool(connection.read_only)

    def settle(self, connection: Any) -> None:
        connection.commit()

    @contextmanager
    def plain_rows(self, connection: Any) -> Iterator[None]:
        from psycopg.rows import tuple_row

        own = self.own(connection)
        before, own.row_factory = own.row_factory, tuple_row
        try:
            yield
        finally:
            own.row_factory = before

    def in_transaction(self, connection: Any) -> bool:
        return int(connection.info.transaction_status) in (1, 2, 3)  # active, in transaction, in error

    def closed(self, connection: Any) -> bool:
        return bool(connection.closed or connection.broken)


class PsycopgAsync(Psycopg):
    """psycopg 3 behind SQLAlchemy's asyncio adapter."""

    is_async = True

    def only_read(self, connection: Any) -> None:
        connection.set_read_only(True)

    def interrupt(self, connection: Any) -> None:
        connection._connection.cancel()

    def cut(self, connection: Any) -> None:
        connection._connection.pgconn.finish()


class Psycopg2(Driver):
    """psycopg2."""

    nothing = _NOTHING
    rolls_back_on_setting = True

    def only_reads(self, connection: Any) -> bool:
        return connection.readonly is True

    def settle(self, connection: Any) -> None:
        # Not before: with autocommit, which listeners often use, it would be a setting of the session.
        connection.rollback()
        connection.readonly = True

    def autocommit_meant(self, name: str, value: Any) -> bool | None:
        return bool(value == 0) if name == "set_isolation_level" else super().autocommit_meant(name, value)

    def in_transaction(self, connection: Any) -> bool:
        return connection.get_transaction_status() in (1, 2, 3)

    def closed(self, connection: Any) -> bool:
        return bool(connection.closed)


class Asyncpg(Driver):
    """asyncpg behind SQLAlchemy's asyncio adapter."""

    nothing = _NOTHING
    is_async = True
    rolls_back_on_setting = True

    def only_read(self, connection: Any) -> None:
        connection.readonly = True

    def only_reads(self, connection: Any) -> bool:
        return bool(connection.readonly)

    def settle(self, connection: Any) -> None:
        connection.commit()

    def autocommit_meant(self, name: str, value: Any) -> bool | None:
        if name in ("set_isolation_level", "isolation_level"):
            return bool(value == "autocommit")
        return super().autocommit_meant(name, value)

    def hold_open(self, connection: Any) -> None:
        if connection.isolation_level == "autocommit":
            connection.isolation_level = None

    def in_transaction(self, connection: Any) -> bool:
        return bool(connection._connection.is_in_transaction())

    def closed(self, connection: Any) -> bool:
        return bool(connection._connection.is_closed())

    def interrupt(self, connection: Any) -> None:
        self.cut(connection)

    def cut(self, connection: Any) -> None:
        hang_up(connection._connection._transport)
        with suppress(RuntimeError):  # its loop is closed
            connection._connection.terminate()


class Pysqlite(Driver):
    """The standard library's sqlite3."""

    postgres = False

    def autocommits(self, connection: Any) -> bool:
        raw = self.raw(connection)
        return raw.isolation_level is None or getattr(raw, "autocommit", None) is True

    def begins_late(self, connection: Any) -> bool:
        """Whether only INSERT, UPDATE, DELETE and REPLACE open a transaction (the driver's old way)."""
        return getattr(self.raw(connection), "autocommit", -1) not in (True, False)

    def hold_open(self, connection: Any) -> None:
        connection.isolation_level = "DEFERRED"
        if getattr(connection, "autocommit", None) is True:
            connection.autocommit = -1  # sqlite3.LEGACY_TRANSACTION_CONTROL, Python 3.12

    def autocommit_meant(self, name: str, value: Any) -> bool | None:
        return value is None if name == "isolation_level" else super().autocommit_meant(name, value)

    def raw(self, connection: Any) -> Any:
        """The `sqlite3.Connection`."""
        return connection

    def in_own_thread(self, connection: Any, call: Any, *args: Any) -> Any:
        """Call it where the connection may be used."""
        return call(*args)

    def usable_here(self, connection: Any) -> bool:
        """Whether this thread may use it: not another than its own, where `check_same_thread` says so."""
        try:
            self.raw(connection).cursor().close()
        except sqlite3.ProgrammingError:
            return False
        return True

    def in_transaction(self, connection: Any) -> bool:
        return bool(self.raw(connection).in_transaction)

    def closed(self, connection: Any) -> bool:
        try:
            return bool(self.raw(connection).total_changes < 0)
        except sqlite3.ProgrammingError as error:  # the same class says that this is another's thread
            return "closed" in str(error)

    def interrupt(self, connection: Any) -> None:
        self.raw(connection).interrupt()


class Aiosqlite(Pysqlite):
    """aiosqlite, which keeps its connection in a thread."""

    is_async = True

    def raw(self, connection: Any) -> Any:
        return connection._connection._conn

    def in_own_thread(self, connection: Any, call: Any, *args: Any) -> Any:
        return await_here(connection._connection._execute(call, *args))

    def in_transaction(self, connection: Any) -> bool:
        return not self.closed(connection) and super().in_transaction(connection)

    def closed(self, connection: Any) -> bool:
        return connection._connection._connection is None

    def cut(self, connection: Any) -> None:
        # A statement that is not finished keeps a closed connection's transaction alive, so roll back first.
        driver, raw = connection._connection, self.raw(connection)
        self.send(connection, raw.rollback)
        if hasattr(driver, "stop"):
            driver.stop()
        else:  # before 0.22.1
            self.send(connection, raw.close)

    def send(self, connection: Any, call: Any) -> None:
        """Have the connection's thread call it, without awaiting. From any thread."""

        def quietly() -> None:
            with suppress(Exception):
                call()

        try:
            future = asyncio.get_running_loop().create_future()
        except RuntimeError:
            future = None
        connection._connection._tx.put_nowait((future, quietly))
