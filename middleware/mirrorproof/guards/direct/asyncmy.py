"""The asyncmy guard: `asyncmy.connect` and its pool.

Its cursors are C types that nothing can be wrapped on. Every command goes through one method of the
connection, so that is where one from outside the request is refused. What a live request writes there is
seen without its parameters, and so not recorded: that request's effects are not compared.

Knows where asyncmy connects, sends commands and pools. Must not know leases.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from mirrorproof.guards import Guard
from mirrorproof.guards.direct.lending import borrower, connect_really_async, is_shield, lend_async
from mirrorproof.guards.direct.observing import Observed
from mirrorproof.guards.direct.own import connects_to_own, noted
from mirrorproof.guards.direct.pymysql import refuse_command

__all__ = ["AsyncmyGuard"]

_DIALECT: Final = "mysql.asyncmy"
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

        self.wrap(connection, "_connect", _connect)  # which every `connect` calls, however it was imported
        self.wrap(connection.Connection, "_execute_command", _command)
        self.wrap(pool.Pool, "_acquire", _acquire)
        self.wrap(pool.Pool, "release", _release)
        self.wrap(pool.Pool, "fill_free_pool", connect_really_async)


_observed = Observed(
    in_transaction=lambda connection: bool(connection.server_status & 1),
    aborted=lambda connection: False,
    closed=lambda connection: not connection.connected,
)


async def _connect(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    context = borrower()
    if context is None:
        return noted(await wrapped(*args, **kwargs), _DIALECT, args, kwargs)
    return await lend_async(context, _DIALECT, wrapped, args, kwargs)


async def _acquire(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    from asyncmy import connection

    context = borrower()
    if context is None or connects_to_own(context, _DIALECT, (), instance._conn_kwargs):
        return await wrapped(*args, **kwargs)
    return await lend_async(context, _DIALECT, connection.connect, (), instance._conn_kwargs)


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
