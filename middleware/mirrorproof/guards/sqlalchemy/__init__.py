"""The SQLAlchemy guard: a mirrored request's writes happen on a lease and are rolled back at its end.

    granting      which connection a checkout gets; makes leases
    berths        how many leases stand at once
    observing     SQLAlchemy's events as effects

The lease itself, its fuse and its shield are `guards.sql`'s.

Knows where SQLAlchemy takes connections from its pools. Must not know anything that these modules know.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mirrorproof.context import connecting, current
from mirrorproof.guards import Guard

if TYPE_CHECKING:
    from mirrorproof.guards.sqlalchemy.observing import Observer

__all__ = ["SQLAlchemyGuard"]


class SQLAlchemyGuard(Guard):
    """Guards every engine, made before or after; other databases than it covers are refused when mirrored."""

    name = "sqlalchemy"
    module = "sqlalchemy"
    distribution = "sqlalchemy"
    tested = ("2.0.36", "2.1")
    covers = (
        "Engine and AsyncEngine, Core and ORM, raw connections: SQLite (sqlite3, aiosqlite), "
        "PostgreSQL (psycopg, psycopg2, asyncpg), MariaDB (pymysql, asyncmy, aiomysql)"
    )

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now
        self._observer: Observer | None = None

    def install(self) -> None:
        from sqlalchemy.engine import Connection, Engine
        from sqlalchemy.pool import Pool, SingletonThreadPool

        from mirrorproof.guards.sqlalchemy.observing import Observer

        self._lend(Engine, "raw_connection", lambda engine: engine.pool)
        # The way around the engine, `engine.pool.connect()`; this subclass has a method of its own.
        self._lend(Pool, "connect", lambda pool: pool)
        self._lend(SingletonThreadPool, "connect", lambda pool: pool)
        self._observer = Observer(self._now)
        self._observer.listen()
        for name in ("_commit_impl", "_commit_twophase_impl"):
            self.wrap(Connection, name, self._observer.commit)

    def uninstall(self) -> None:
        super().uninstall()
        if self._observer is not None:
            self._observer.stop()

    def _lend(self, owner: type, name: str, pool_of: Callable[[Any], Any]) -> None:
        from mirrorproof.guards.sqlalchemy.granting import grant, hand_out, is_off, is_ours
        from mirrorproof.guards.sqlalchemy.urls import note_engine

        def connect(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            context = current()
            if context is None:
                return wrapped(*args, **kwargs)
            pool = pool_of(instance)
            if pool is not instance:
                note_engine(instance)
            if is_off(context, pool):
                return hand_out(pool, lambda: wrapped(*args, **kwargs))
            granted = None if is_ours(pool) else grant(context, pool, self._now)
            if granted is not None:
                return granted
            with connecting():
                return wrapped(*args, **kwargs)

        self.wrap(owner, name, connect)
