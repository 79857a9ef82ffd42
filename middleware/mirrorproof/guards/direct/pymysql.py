"""The PyMySQL guard: `pymysql.connect`.

Every command that PyMySQL sends goes through one method of its connection, so that is where one from outside
the request is refused; only what ends its work without a trace (ROLLBACK, a ping) passes.

Knows where PyMySQL connects and sends commands. Must not know leases.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from mirrorproof.context import inside_effect
from mirrorproof.guards import Guard
from mirrorproof.guards.direct.lending import borrower, lend, refuse_stray
from mirrorproof.guards.direct.observing import Observed, kept_rows
from mirrorproof.guards.direct.own import noted
from mirrorproof.guards.sql.effects import first_parameters, operation_first
from mirrorproof.guards.sql.statement import Statement

__all__ = ["PymysqlGuard", "refuse_command", "sql_text"]

_DIALECT: Final = "mysql.pymysql"
_PING: Final = 14  # COM_PING
_QUERY: Final = 3  # COM_QUERY
_ROLLBACK: Final = ("ROLLBACK", b"ROLLBACK")


class PymysqlGuard(Guard):
    """Guards PyMySQL."""

    name = "pymysql"
    module = "pymysql"
    distribution = "pymysql"
    tested = ("1.2", "1.2")
    covers = "pymysql.connect: a request lease (MariaDB)"

    def install(self) -> None:
        import pymysql
        from pymysql.connections import Connection
        from pymysql.cursors import Cursor

        for name in ("connect", "Connect"):  # the class by other names: connections that it makes are strays
            self.wrap(pymysql, name, _connect)
        self.wrap(Connection, "_execute_command", _command)
        for name in ("commit", "rollback", "begin"):
            self.wrap(Connection, name, _ending(name))
        self.wrap(Connection, "autocommit", _set_autocommit)
        for name in ("execute", "executemany", "callproc"):
            self.wrap(Cursor, name, _observing(name))

    def uninstall(self) -> None:
        super().uninstall()
        _observed.clear()


_observed = Observed(
    in_transaction=lambda connection: bool(connection.server_status & 1),
    aborted=lambda connection: False,  # MariaDB goes on after an error
    closed=lambda connection: not connection.open,
)


def _connect(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    context = borrower()
    if context is None:
        return noted(wrapped(*args, **kwargs), _DIALECT, args, kwargs)
    return lend(context, _DIALECT, wrapped, args, kwargs)


def refuse_command(connection: Any, command: int, sql: Any, ending: Iterable[int] = ()) -> None:
    """Raise where a mirrored request sends a command of the protocol on a connection that is no lease's.

    `ending`: commands that only put something away.
    """
    if command == _PING or command in ending or (command == _QUERY and sql in _ROLLBACK):
        return
    refuse_stray(connection, sql_text(sql) if command == _QUERY else f"command {command}", "mysql")


def sql_text(sql: Any) -> str:
    """SQL as text, from what is sent to MariaDB."""
    return bytes(sql).decode("utf-8", "replace") if isinstance(sql, bytes | bytearray) else str(sql)


def _command(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    refuse_command(instance, *args[:2], *kwargs.values())
    return wrapped(*args, **kwargs)


# -- what live requests write


def _ending(name: str) -> Any:
    """BEGIN commits what is open as well."""

    def end(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return _observed.end(instance, lambda: wrapped(*args, **kwargs), commit=name != "rollback")

    return end


def _set_autocommit(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    result = wrapped(*args, **kwargs)
    _observed.done(None, instance, "SET autocommit")  # it may have committed
    return result


def _observing(name: str) -> Any:
    def run(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if _observed.idle or instance.connection is None:
            return wrapped(*args, **kwargs)
        operation, args, kwargs = operation_first(args, kwargs)
        parameters = first_parameters(args, kwargs)
        if name == "executemany" and parameters:
            rows, parameters = kept_rows(parameters)
            args, kwargs = (rows,), {}
        if name == "callproc":
            operation_noted: Any = Statement(f"CALL {operation}()", "CALL", "sql.call", operation)
        else:
            operation_noted = operation

        def call() -> Any:
            with inside_effect():  # an `executemany` executes
                return wrapped(operation, *args, **kwargs)

        return _observed.run(instance.connection, operation_noted, parameters, call)

    return run
