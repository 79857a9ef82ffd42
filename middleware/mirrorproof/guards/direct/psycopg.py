"""The psycopg guard: psycopg 3 itself, and psycopg_pool.

Knows where psycopg 3 connects, runs statements and pools. Must not know leases.
"""

from __future__ import annotations

import sys
from typing import Any

from mirrorproof.context import admitted
from mirrorproof.guards import Guard
from mirrorproof.guards.direct.lending import borrower, is_shield, lend, lend_async, refuse_stray

__all__ = ["PsycopgGuard", "PsycopgPoolGuard"]

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
        for kind in (psycopg.Cursor, psycopg.ServerCursor, psycopg.AsyncCursor, psycopg.AsyncServerCursor):
            for name in _RUNS:
                if name in vars(kind):
                    self.wrap(kind, name, _run)


class PsycopgPoolGuard(Guard):
    """Guards psycopg_pool."""

    name = "psycopg_pool"
    module = "psycopg_pool"
    distribution = "psycopg-pool"
    tested = ("3.3", "3.3")
    covers = "ConnectionPool and AsyncConnectionPool, NullConnectionPool and its twin: a request lease"

    def install(self) -> None:
        from psycopg_pool import AsyncConnectionPool, ConnectionPool

        for name in ("getconn", "putconn", "_connect"):
            self.wrap(ConnectionPool, name, globals()[f"_pool_{name.strip('_')}"])
            self.wrap(AsyncConnectionPool, name, globals()[f"_pool_{name.strip('_')}_async"])


def _connect(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    context = borrower()
    if context is None:
        return wrapped(*args, **kwargs)
    return lend(context, "postgresql.psycopg", wrapped, args, kwargs)


async def _connect_async(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    context = borrower()
    if context is None:
        return await wrapped(*args, **kwargs)
    return await lend_async(context, "postgresql.psycopg_async", wrapped, args, kwargs)


def _commit(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    refuse_stray(instance, "COMMIT")
    return wrapped(*args, **kwargs)


def _run(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    refuse_stray(instance.connection, str(args[0]) if args else "a statement")
    return wrapped(*args, **kwargs)


# -- psycopg_pool: what the pool itself opens is real, what a mirrored request takes is a lease


def _pool_connect(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    with admitted():
        return wrapped(*args, **kwargs)


async def _pool_connect_async(
    wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    with admitted():
        return await wrapped(*args, **kwargs)


def _pool_getconn(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    context = borrower()
    if context is None:
        return wrapped(*args, **kwargs)
    return lend(
        context, "postgresql.psycopg", sys.modules["psycopg"].Connection.connect, *_arguments(instance)
    )


async def _pool_getconn_async(
    wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    context = borrower()
    if context is None:
        return await wrapped(*args, **kwargs)
    connect = sys.modules["psycopg"].AsyncConnection.connect
    return await lend_async(context, "postgresql.psycopg_async", connect, *_arguments(instance))


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
