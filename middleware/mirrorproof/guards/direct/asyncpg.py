"""The asyncpg guard: `asyncpg.connect` and its pool.

Knows where asyncpg connects, runs statements and pools. Must not know leases or notes.
"""

from __future__ import annotations

from typing import Any

from mirrorproof.guards import Guard
from mirrorproof.guards.direct.lending import (
    borrower,
    connect_really_async,
    is_shield,
    lend_async,
    refuse_stray,
)
from mirrorproof.guards.direct.observing import Observed
from mirrorproof.guards.direct.own import connects_to_own, noted
from mirrorproof.guards.sql.effects import spread_parameters

__all__ = ["AsyncpgGuard"]

_DIALECT = "postgresql.asyncpg"
_PUBLIC = (
    "execute", "executemany", "fetch", "fetchmany", "fetchrow", "fetchval",
    "copy_records_to_table", "copy_to_table",
)  # fmt: skip
_PREPARED = ("executemany", "fetch", "fetchmany", "fetchrow", "fetchval")
_RUNS = ("_do_execute", "_executemany", "_copy_in", "_copy_out", "_prepare")


class AsyncpgGuard(Guard):
    """Guards asyncpg."""

    name = "asyncpg"
    module = "asyncpg"
    distribution = "asyncpg"
    tested = ("0.32", "0.32")
    covers = "asyncpg.connect and Pool.acquire, with the pool's own execute and fetch: a request lease"

    def install(self) -> None:
        import asyncpg
        from asyncpg import connection, pool, prepared_stmt

        self.wrap(connection, "connect", _connect)
        self.replace(asyncpg, "connect", connection.connect)
        self.wrap(pool.Pool, "_acquire", _acquire)
        self.wrap(pool.Pool, "release", _release)
        self.wrap(pool.Pool, "_get_new_connection", connect_really_async)
        for name in _RUNS:
            self.wrap(connection.Connection, name, _run)
        for name in _PUBLIC:
            self.wrap(connection.Connection, name, _observing(name))
        for name in _PREPARED:
            self.wrap(prepared_stmt.PreparedStatement, name, _observing_prepared(name))
        self.wrap(connection.Connection, "cursor", _cursor)
        self.wrap(prepared_stmt.PreparedStatement, "cursor", _cursor_of_prepared)
        self.wrap(prepared_stmt.PreparedStatement, "_PreparedStatement__do_execute", _run_prepared)

    def uninstall(self) -> None:
        super().uninstall()
        _observed.clear()


_observed = Observed(
    in_transaction=lambda connection: bool(connection.is_in_transaction()),
    aborted=lambda connection: False,  # the server's answer to COMMIT says so
    closed=lambda connection: bool(connection.is_closed()),
)


async def _connect(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    context = borrower()
    if context is None:
        return noted(await wrapped(*args, **kwargs), _DIALECT, args, kwargs)
    return await lend_async(context, _DIALECT, wrapped, args, kwargs)


async def _acquire(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    from asyncpg import connection

    context, target = borrower(), (tuple(instance._connect_args), instance._connect_kwargs)
    if context is None or connects_to_own(context, _DIALECT, *target):
        return await wrapped(*args, **kwargs)
    shield = await lend_async(context, _DIALECT, connection.connect, *target)
    if instance._init is not None:
        await instance._init(shield)
    if instance._setup is not None:
        await instance._setup(shield)
    return shield


async def _release(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    connection = args[0] if args else kwargs["connection"]
    return await (connection.close() if is_shield(connection) else wrapped(*args, **kwargs))


def _run(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    refuse_stray(instance, str(args[0]) if args else "a statement")
    return wrapped(*args, **kwargs)


def _run_prepared(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    refuse_stray(instance._connection, "a prepared statement")
    return wrapped(*args, **kwargs)


# -- what live requests write


def _observing(name: str) -> Any:
    async def run(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if _observed.idle:
            return await wrapped(*args, **kwargs)
        operation = str(args[0]) if args else str(next(iter(kwargs.values()), ""))
        refuse_stray(instance, operation)
        context = _observed.begin(instance)
        result = await _awaited(wrapped(*args, **kwargs), instance)
        if name.startswith("copy"):
            _observed.done(context, instance, f"COPY {operation} FROM STDIN")
        else:
            parameters = spread_parameters(name, args[1:])
            _observed.done(context, instance, operation, parameters, lambda: str(result))
        return result

    return run


def _observing_prepared(name: str) -> Any:
    async def run(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if _observed.idle:
            return await wrapped(*args, **kwargs)
        context = _observed.begin(instance._connection)
        result = await _awaited(wrapped(*args, **kwargs), instance._connection)
        parameters = spread_parameters(name, args)
        _observed.done(context, instance._connection, instance._query, parameters)
        return result

    return run


def _cursor(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Rows one by one, of which it is not seen whether and when they are taken."""
    if not _observed.idle:
        operation = str(args[0]) if args else str(kwargs.get("query", ""))
        refuse_stray(instance, operation)
        _observed.unknown(_observed.begin(instance), operation, instance)
    return wrapped(*args, **kwargs)


def _cursor_of_prepared(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if not _observed.idle:
        connection = instance._connection
        refuse_stray(connection, "a prepared statement")
        _observed.unknown(_observed.begin(connection), instance._query, connection)
    return wrapped(*args, **kwargs)


async def _awaited(call: Any, connection: Any) -> Any:
    try:
        return await call
    except BaseException:
        _observed.failed(connection)
        raise
