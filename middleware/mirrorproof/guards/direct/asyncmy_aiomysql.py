"""The guards of asyncmy and aiomysql, which is its model: `connect` and their pools.

asyncmy's cursors are C types that nothing can be wrapped on. Every command of both goes through one method
of the connection, so that is where one from outside the request is refused. What a live request writes there
is seen without its parameters, and so not recorded: that request's effects are not compared.

Knows where the two connect, send commands and pool. Must not know leases.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from mirrorproof.guards import Guard
from mirrorproof.guards.direct.lending import borrower, connect_really_async, is_shield, lend_async
from mirrorproof.guards.direct.observing import Observed
from mirrorproof.guards.direct.own import connects_to_own, noted
from mirrorproof.guards.direct.pymysql import refuse_command

__all__ = ["AiomysqlGuard", "AsyncmyGuard"]

_CLOSE_PREPARED: Final = 25  # COM_STMT_CLOSE
_QUERY: Final = 3
_PREPARED: Final = frozenset({23, 0xFA})  # COM_STMT_EXECUTE, COM_STMT_BULK_EXECUTE


class AsyncmyGuard(Guard):
    """Guards asyncmy."""

    name = "asyncmy"
    module = "asyncmy"
    distribution = "asyncmy"
    tested = ("0.2.18", "0.2")
    covers = "asyncmy.connect and Pool.acquire: a request lease (MariaDB)"

    def install(self) -> None:
        from asyncmy import connection, pool

        _install(self, "mysql.asyncmy", connection, pool.Pool, "fill_free_pool")


class AiomysqlGuard(Guard):
    """Guards aiomysql."""

    name = "aiomysql"
    module = "aiomysql"
    distribution = "aiomysql"
    tested = ("0.3", "0.3")
    covers = "aiomysql.connect and Pool.acquire: a request lease (MariaDB)"

    def install(self) -> None:
        from aiomysql import connection, pool

        _install(self, "mysql.aiomysql", connection, pool.Pool, "_fill_free_pool")


_observed = Observed(
    in_transaction=lambda connection: bool(connection.get_transaction_status()),
    aborted=lambda connection: False,
    closed=lambda connection: False,
)


def _install(guard: Guard, dialect: str, connection: Any, pool: Any, fill: str) -> None:
    async def connect(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        context = borrower()
        if context is None:
            return noted(await wrapped(*args, **kwargs), dialect, args, kwargs)
        return await lend_async(context, dialect, wrapped, args, kwargs)

    async def acquire(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        context = borrower()
        if context is None or connects_to_own(context, dialect, (), instance._conn_kwargs):
            return await wrapped(*args, **kwargs)
        return await lend_async(context, dialect, connection.connect, (), instance._conn_kwargs)

    guard.wrap(connection, "_connect", connect)  # which every `connect` calls, however it was imported
    guard.wrap(connection.Connection, "_execute_command", _command)
    guard.wrap(pool, "_acquire", acquire)
    guard.wrap(pool, "release", _release)
    guard.wrap(pool, fill, connect_really_async)


def _release(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    connection = args[0] if args else kwargs["conn"]
    if not is_shield(connection):
        return wrapped(*args, **kwargs)
    connection.close()
    done = asyncio.get_running_loop().create_future()  # to be awaited, or not
    done.set_result(None)
    return done


def _command(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    command, sql = (*args, *kwargs.values())
    refuse_command(instance, command, sql, ending=(_CLOSE_PREPARED,))
    if command == _QUERY:
        _observed.unknown(_observed.begin(instance), sql, instance)
    elif command in _PREPARED and (context := _observed.begin(instance)) is not None:
        context.unobserved = True
    return wrapped(*args, **kwargs)
