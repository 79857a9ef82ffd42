"""The mysqlclient guard: `MySQLdb.connect`. A mirrored request gets no connection by it.

The library in C tells neither where it connects nor whether a transaction is open, which a lease has to
know. So connecting is refused, and whatever a connection from before the request would be told, but ROLLBACK.
What live requests write is seen without its parameters: their effects are not compared.

Knows MySQLdb's connection. Must not know leases.
"""

from __future__ import annotations

from typing import Any, Final

from mirrorproof.context import admitted
from mirrorproof.guards import Guard
from mirrorproof.guards.direct.lending import borrower, refuse_connecting, refuse_stray
from mirrorproof.guards.direct.observing import Observed
from mirrorproof.guards.direct.own import connects_to_own, noted
from mirrorproof.guards.direct.pymysql import sql_text

__all__ = ["MysqlclientGuard"]

_DIALECT: Final = "mysql.mysqldb"
_POSITIONS: Final = ("host", "user", "password", "database", "port", "unix_socket")
_RUNS: Final = ("query", "send_query")
_COMMANDS: Final = (
    "commit", "autocommit", "change_user", "kill", "select_db", "set_character_set", "set_server_option",
    "shutdown",
)  # fmt: skip


class MysqlclientGuard(Guard):
    """Guards mysqlclient."""

    name = "mysqlclient"
    module = "MySQLdb"
    distribution = "mysqlclient"
    tested = ("2.3", "2.3")
    covers = "MySQLdb.connect: refused in mirrored requests, as are connections from before"

    def install(self) -> None:
        import MySQLdb

        if not hasattr(MySQLdb, "_mysql"):  # PyMySQL in its place, which has a guard of its own
            return
        from MySQLdb.connections import Connection

        self.wrap(Connection, "__init__", _connect)
        self.wrap(MySQLdb._mysql, "connect", _connect_barely)
        for name in _RUNS:
            self.wrap(Connection, name, _run)
        for name in _COMMANDS:
            self.wrap(Connection, name, _command(name))


_observed = Observed(
    in_transaction=lambda connection: False,
    aborted=lambda connection: False,
    closed=lambda connection: False,
)


def _connect(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    named = dict(zip(_POSITIONS, args, strict=False)) | kwargs
    context = borrower()
    if context is None:
        wrapped(*args, **kwargs)
    elif connects_to_own(context, _DIALECT, (), named):
        with admitted():
            wrapped(*args, **kwargs)
    else:
        refuse_connecting(context, "mysql", "mysqlclient", "PyMySQL, asyncmy or aiomysql")
    noted(instance, _DIALECT, (), named)


def _connect_barely(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    context = borrower()
    if context is not None:
        refuse_connecting(context, "mysql", "mysqlclient", "PyMySQL, asyncmy or aiomysql")
    return wrapped(*args, **kwargs)


def _run(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    text = sql_text(next(iter((*args, *kwargs.values())), b""))
    if text != "ROLLBACK":
        refuse_stray(instance, text, "mysql")
    _observed.unknown(_observed.begin(instance), text, instance)
    return wrapped(*args, **kwargs)


def _command(name: str) -> Any:
    def command(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        refuse_stray(instance, name, "mysql")
        return wrapped(*args, **kwargs)

    return command
