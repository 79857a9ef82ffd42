"""MariaDB's drivers, which know of a transaction what the server's last answer said.

Knows PyMySQL's, asyncmy's and aiomysql's connections as SQLAlchemy's pool holds them. Must not know leases.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

from mirrorproof.guards.sql import mariadb_text
from mirrorproof.guards.sql.drivers import Driver, hang_up
from mirrorproof.guards.sql.mariadb_fuse import ONLY_READ
from mirrorproof.guards.sql.statement import Statement

__all__ = ["Aiomysql", "Asyncmy", "Pymysql"]

_IN_TRANSACTION: Final = 1  # of the status that comes with each answer


class Pymysql(Driver):
    """PyMySQL."""

    postgres = False
    mariadb = True
    nothing = "DO 0"

    def autocommits(self, connection: Any) -> bool:
        return bool(connection.get_autocommit())

    def hold_open(self, connection: Any) -> None:
        """The fuse does."""

    def only_read(self, connection: Any) -> None:
        cursor = connection.cursor()
        try:
            cursor.execute(ONLY_READ)
        finally:
            cursor.close()

    def settle(self, connection: Any) -> None:
        connection.rollback()

    def read(self, text: str) -> Statement:
        return mariadb_text.read(text)

    def statements_in(self, text: str, *, alone: bool) -> tuple[Statement, ...]:
        return (mariadb_text.read(text),)

    def streams(self, cursor: Any) -> bool:
        return hasattr(cursor, "fetchall_unbuffered")

    def in_transaction(self, connection: Any) -> bool:
        return not self.closed(connection) and bool(self.own(connection).server_status & _IN_TRANSACTION)

    def closed(self, connection: Any) -> bool:
        return not connection.open

    def interrupt(self, connection: Any) -> None:
        """It ends by itself: by its time limit, or by the watchdog."""


class Asyncmy(Pymysql):
    """asyncmy behind SQLAlchemy's asyncio adapter."""

    is_async = True

    def streams(self, cursor: Any) -> bool:
        return bool(getattr(cursor, "server_side", False))

    def closed(self, connection: Any) -> bool:
        return not connection._connection.connected

    def cut(self, connection: Any) -> None:
        own = connection._connection
        writer = getattr(own, "_writer", None)  # aiomysql's, and asyncmy's before 0.2.18
        hang_up(getattr(writer, "transport", None) or getattr(own, "_transport", None))
        with suppress(RuntimeError):  # its loop is closed
            own.close()


class Aiomysql(Asyncmy):
    """aiomysql behind SQLAlchemy's asyncio adapter."""

    def closed(self, connection: Any) -> bool:
        return bool(connection._connection.closed)
