"""Connections to the shop's database, each of which says whose it is.

SQLite (aiosqlite) and PostgreSQL (asyncpg, psycopg). On PostgreSQL everything lives in a schema of the
demo's own; on SQLite in a file of its own.

Knows drivers and their connection arguments. Must not know what is stored.
"""

from __future__ import annotations

import time
from typing import Any, Final

from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

__all__ = [
    "SCHEMA",
    "app_url",
    "open_app_engine",
    "open_plain_engine",
    "plain_url",
    "use_write_ahead_log",
]

SCHEMA: Final = "mirrorproof_demo"

_ASYNC_DRIVERS: Final = {"sqlite": "aiosqlite", "postgresql": "asyncpg"}
_PLAIN_DRIVERS: Final = {"sqlite": "pysqlite", "postgresql": "psycopg"}
_ASYNC_READY: Final = ("aiosqlite", "asyncpg", "psycopg")
_BUSY_TIMEOUT_S: Final = 10.0
"""How long a writer waits for SQLite's one writer lock, which v2's dry run holds for a request's length."""


def app_url(url: str) -> URL:
    """`url` with a driver that works asynchronously. Raises `ValueError` for another database."""
    return _with_driver(url, _ASYNC_DRIVERS, _ASYNC_READY)


def plain_url(url: str) -> URL:
    """`url` with a driver for blocking use."""
    return _with_driver(url, _PLAIN_DRIVERS, ())


def open_app_engine(url: str, version: str) -> AsyncEngine:
    """The engine that a release of the shop works with."""
    parsed = app_url(url)
    engine = create_async_engine(parsed, connect_args=_connect_args(parsed, version))
    _prepare_connections(engine.sync_engine, version)
    return engine


def open_plain_engine(url: str, who: str) -> Engine:
    """A blocking engine, for setting up and for counting."""
    parsed = plain_url(url)
    engine = create_engine(parsed, connect_args=_connect_args(parsed, who))
    _prepare_connections(engine, who)
    return engine


def _with_driver(url: str, drivers: dict[str, str], kept: tuple[str, ...]) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ValueError(f"{error}; give a sqlite:/// or postgresql:// URL") from error
    backend, _, driver = parsed.drivername.replace("postgres", "postgresql").partition("+")
    backend = "postgresql" if backend.startswith("postgresql") else backend
    if backend not in drivers:
        raise ValueError(f"database {backend!r} is not for this shop; give a sqlite:/// or postgresql:// URL")
    return parsed.set(drivername=f"{backend}+{driver if driver in kept else drivers[backend]}")


def _connect_args(url: URL, who: str) -> dict[str, Any]:
    driver = url.get_driver_name()
    if driver == "asyncpg":
        return {"server_settings": {"application_name": who, "search_path": SCHEMA}}
    if driver == "psycopg":
        return {"application_name": who, "options": f"-csearch_path={SCHEMA}"}
    return {"timeout": _BUSY_TIMEOUT_S}


def _prepare_connections(engine: Engine, who: str) -> None:
    if engine.dialect.name != "sqlite":
        return

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, record: Any) -> None:
        connection.create_function("shop_version", 0, lambda: who)
        connection.create_function("pg_sleep", 1, time.sleep)  # PostgreSQL has one; here it is a thread's
        cursor = connection.cursor()
        cursor.execute("PRAGMA synchronous = NORMAL")
        cursor.close()


def use_write_ahead_log(engine: Engine) -> None:
    """Let SQLite's readers and its one writer not wait for each other. The file remembers it."""
    if engine.dialect.name == "sqlite":
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode = WAL")
