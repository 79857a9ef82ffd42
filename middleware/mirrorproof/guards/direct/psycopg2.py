"""The psycopg2 guard: `psycopg2.connect` and psycopg2.pool.

Its connections and cursors are C types that nothing can be wrapped on, so live ones are made of subclasses,
which refuse a mirrored request that got hold of one.

Knows where psycopg2 connects and pools. Must not know leases.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from mirrorproof.context import admitted
from mirrorproof.guards import Guard
from mirrorproof.guards.direct.lending import borrower, is_shield, lend, refuse_stray

__all__ = ["Psycopg2Guard"]

_RUNS = ("execute", "executemany", "callproc", "copy_expert", "copy_from", "copy_to")


class Psycopg2Guard(Guard):
    """Guards psycopg2."""

    name = "psycopg2"
    module = "psycopg2"
    distribution = "psycopg2-binary"
    tested = ("2.9", "2.9")
    covers = "psycopg2.connect, and the pools of psycopg2.pool: a request lease"

    def install(self) -> None:
        import psycopg2
        from psycopg2.pool import AbstractConnectionPool

        self.wrap(psycopg2, "_connect", _connect)  # which every `connect` calls, however it was imported
        self.wrap(AbstractConnectionPool, "_connect", _pool_connect)
        self.wrap(AbstractConnectionPool, "_getconn", _pool_getconn)
        self.wrap(AbstractConnectionPool, "_putconn", _pool_putconn)


def _connect(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    from psycopg2.extensions import connection

    def connect(*args: Any, **kwargs: Any) -> Any:
        factory = kwargs.pop("connection_factory", None) or (args[1] if len(args) > 1 else None) or connection
        watched = _watched_connection(factory) if isinstance(factory, type) else factory
        return wrapped(*args[:1], connection_factory=watched, **_cursor_factory(args), **kwargs)

    context = borrower()
    return (
        connect(*args, **kwargs)
        if context is None
        else lend(context, "postgresql.psycopg2", connect, args, kwargs)
    )


def _cursor_factory(args: tuple[Any, ...]) -> dict[str, Any]:
    return {"cursor_factory": args[2]} if len(args) > 2 else {}


@lru_cache(64)
def _watched_connection(kind: Any) -> Any:
    """`kind`, with a look at who uses it."""

    class Watched(kind):  # type: ignore[misc]
        def cursor(self, *args: Any, **kwargs: Any) -> Any:
            from psycopg2.extensions import cursor

            if len(args) < 2:
                factory = kwargs.pop("cursor_factory", None) or self.cursor_factory or cursor
                kwargs["cursor_factory"] = _watched_cursor(factory) if isinstance(factory, type) else factory
            return super().cursor(*args, **kwargs)

        def commit(self) -> None:
            refuse_stray(self, "COMMIT")
            super().commit()

    return _named_as(Watched, kind)


@lru_cache(64)
def _watched_cursor(kind: Any) -> Any:
    def watch(name: str) -> Any:
        def run(self: Any, *args: Any, **kwargs: Any) -> Any:
            refuse_stray(self.connection, str(args[0]) if args else name)
            return getattr(super(watched, self), name)(*args, **kwargs)

        return run

    watched: Any = type(kind.__name__, (kind,), {name: watch(name) for name in _RUNS})
    return _named_as(watched, kind)


def _named_as(made: Any, kind: Any) -> Any:
    made.__name__, made.__qualname__, made.__module__ = kind.__name__, kind.__qualname__, kind.__module__
    return made


def _pool_connect(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    with admitted():
        return wrapped(*args, **kwargs)


def _pool_getconn(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    import psycopg2

    context = borrower()
    if context is None:
        return wrapped(*args, **kwargs)
    return lend(context, "postgresql.psycopg2", psycopg2.connect, instance._args, instance._kwargs)


def _pool_putconn(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    connection = args[0] if args else kwargs["conn"]
    return connection.close() if is_shield(connection) else wrapped(*args, **kwargs)
