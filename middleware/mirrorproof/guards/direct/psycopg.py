"""The psycopg guard: psycopg 3 itself, and psycopg_pool.

Knows where psycopg 3 connects, runs statements and pools. Must not know leases.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from mirrorproof.guards import Guard
from mirrorproof.guards.direct.lending import (
    borrower,
    connect_really,
    connect_really_async,
    is_shield,
    lend,
    lend_async,
    refuse_stray,
)
from mirrorproof.guards.direct.observing import Observed, kept_rows
from mirrorproof.guards.direct.own import connects_to_own, noted
from mirrorproof.guards.housekeeping import unmarked
from mirrorproof.guards.sql.effects import first_parameters

__all__ = ["PsycopgGuard", "PsycopgPoolGuard"]

_DIALECT = "postgresql.psycopg"
_RUNS = ("execute", "executemany", "copy", "stream")


class PsycopgGuard(Guard):
    """Guards psycopg 3, sync and async."""

    name = "psycopg"
    module = "psycopg"
    distribution = "psycopg"
    tested = ("3.3", "3.3")
    covers = "psycopg.connect, Connection.connect and AsyncConnection.connect: a request lease"

    def install(self) -> None:
        import psycopg

        self.wrap(psycopg.Connection, "connect", _connect)
        self.wrap(psycopg.AsyncConnection, "connect", _connect_async)
        self.replace(psycopg, "connect", psycopg.Connection.connect)
        for connection in (psycopg.Connection, psycopg.AsyncConnection):
            self.wrap(connection, "commit", _commit)
        self.wrap(psycopg.Connection.__mro__[1], "_exec_command", _steer)  # the base of both
        for kind in (psycopg.Cursor, psycopg.ServerCursor, psycopg.AsyncCursor, psycopg.AsyncServerCursor):
            asynchronous = kind in (psycopg.AsyncCursor, psycopg.AsyncServerCursor)
            ways = _ASYNC if asynchronous else _SYNC
            for name in _RUNS:
                if name in vars(kind):
                    self.wrap(kind, name, ways[name])

    def uninstall(self) -> None:
        super().uninstall()
        _observed.clear()


_observed = Observed(
    in_transaction=lambda connection: int(connection.pgconn.transaction_status) in (1, 2, 3),
    aborted=lambda connection: int(connection.pgconn.transaction_status) == 3,
    closed=lambda connection: bool(connection.closed),
)


class PsycopgPoolGuard(Guard):
    """Guards psycopg_pool."""

    name = "psycopg_pool"
    module = "psycopg_pool"
    distribution = "psycopg-pool"
    tested = ("3.3", "3.3")
    covers = "ConnectionPool and AsyncConnectionPool, NullConnectionPool and its twin: a request lease"

    def install(self) -> None:
        from psycopg_pool import AsyncConnectionPool, ConnectionPool

        self.wrap(ConnectionPool, "getconn", _pool_getconn)
        self.wrap(ConnectionPool, "putconn", _pool_putconn)
        self.wrap(ConnectionPool, "_connect", connect_really)
        self.wrap(AsyncConnectionPool, "getconn", _pool_getconn_async)
        self.wrap(AsyncConnectionPool, "putconn", _pool_putconn_async)
        self.wrap(AsyncConnectionPool, "_connect", connect_really_async)
        for pool in (ConnectionPool, AsyncConnectionPool):
            self.wrap(pool, "_start_workers", unmarked)


def _connect(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    context = borrower()
    if context is None:
        return noted(wrapped(*args, **kwargs), _DIALECT, args, kwargs)
    return lend(context, _DIALECT, wrapped, args, kwargs)


async def _connect_async(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    context = borrower()
    if context is None:
        return noted(await wrapped(*args, **kwargs), _DIALECT, args, kwargs)
    return await lend_async(context, f"{_DIALECT}_async", wrapped, args, kwargs)


def _commit(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    refuse_stray(instance, "COMMIT")
    return wrapped(*args, **kwargs)


# -- statements: a mirrored request's on a stray connection are refused, a live one's are noted


def _begin(cursor: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
    """The request whose write this may be, and the text."""
    operation = args[0] if args else kwargs.get("query", kwargs.get("statement", ""))
    refuse_stray(cursor.connection, str(operation))
    context = _observed.begin(cursor.connection)
    if cursor.connection._pipeline is not None:
        _observed.unknown(context, operation, cursor.connection)
        context = None
    return context, operation


def _execute(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if _observed.idle:
        return wrapped(*args, **kwargs)
    context, operation = _begin(instance, args, kwargs)
    args, parameters = _with_rows(wrapped, args, kwargs)
    with _failing(instance.connection):
        result = wrapped(*args, **kwargs)
    _observed.done(context, instance.connection, operation, parameters, lambda: instance.statusmessage)
    return result


async def _execute_async(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    context, operation = _begin(instance, args, kwargs)
    args, parameters = _with_rows(wrapped, args, kwargs)
    with _failing(instance.connection):
        result = await wrapped(*args, **kwargs)
    _observed.done(context, instance.connection, operation, parameters, lambda: instance.statusmessage)
    return result


@contextmanager
def _copy(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[Any]:
    context, operation = _begin(instance, args, kwargs)
    with _failing(instance.connection), wrapped(*args, **kwargs) as copy:
        yield copy
    _observed.done(context, instance.connection, operation)


@asynccontextmanager
async def _copy_async(
    wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> AsyncIterator[Any]:
    context, operation = _begin(instance, args, kwargs)
    with _failing(instance.connection):
        async with wrapped(*args, **kwargs) as copy:
            yield copy
    _observed.done(context, instance.connection, operation)


def _stream(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[Any]:
    context, operation = _begin(instance, args, kwargs)
    with _failing(instance.connection):
        yield from wrapped(*args, **kwargs)
    _observed.done(context, instance.connection, operation)


def _stream_async(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    _observed.unknown(*_begin(instance, args, kwargs), instance.connection)
    return wrapped(*args, **kwargs)


@contextmanager
def _failing(connection: Any) -> Iterator[None]:
    try:
        yield
    except BaseException:
        _observed.failed(connection)
        raise


def _with_rows(wrapped: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], Any]:
    """The arguments, and the parameters that effects are made of."""
    if wrapped.__name__ != "executemany" or len(args) < 2:
        return args, first_parameters(args[1:], kwargs)
    rows, kept = kept_rows(args[1])
    return (args[0], rows, *args[2:]), kept


def _steer(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The driver's own commands: COMMIT, savepoints. Generators of what has to be waited for."""
    aborted = _observed.aborted(instance)
    with _failing(instance):
        result = yield from wrapped(*args, **kwargs)
    _observed.steered(instance, args[0], aborted=aborted)
    return result


_SYNC = {"execute": _execute, "executemany": _execute, "copy": _copy, "stream": _stream}
_ASYNC = {
    "execute": _execute_async, "executemany": _execute_async, "copy": _copy_async, "stream": _stream_async,
}  # fmt: skip


# -- psycopg_pool: what the pool itself opens is real, what a mirrored request takes is a lease


def _pool_getconn(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    context = borrower()
    if context is None or connects_to_own(context, _DIALECT, *_arguments(instance)):
        return wrapped(*args, **kwargs)
    shield = lend(context, _DIALECT, sys.modules["psycopg"].Connection.connect, *_arguments(instance))
    if instance._configure is not None and is_shield(shield):
        instance._configure(shield)
        shield.rollback()
    return shield


async def _pool_getconn_async(
    wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    context = borrower()
    if context is None or connects_to_own(context, _DIALECT, *_arguments(instance)):
        return await wrapped(*args, **kwargs)
    connect = sys.modules["psycopg"].AsyncConnection.connect
    shield = await lend_async(context, f"{_DIALECT}_async", connect, *_arguments(instance))
    if instance._configure is not None and is_shield(shield):
        await instance._configure(shield)
        await shield.rollback()
    return shield


def _pool_putconn(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    connection = args[0] if args else kwargs["conn"]
    return connection.close() if is_shield(connection) else wrapped(*args, **kwargs)


async def _pool_putconn_async(
    wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    connection = args[0] if args else kwargs["conn"]
    return await (connection.close() if is_shield(connection) else wrapped(*args, **kwargs))


def _arguments(pool: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    conninfo = pool.conninfo() if callable(pool.conninfo) else pool.conninfo
    kwargs = pool.kwargs() if callable(pool.kwargs) else pool.kwargs
    return (conninfo or "",), dict(kwargs or {})
