"""The drivers that leases were tried with, by the names that SQLAlchemy's dialects give them.

Knows dialects. Must not know connections.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy.engine import Dialect

from mirrorproof.errors import EffectRefusedError
from mirrorproof.guards.sql.drivers import (
    Aiosqlite,
    Asyncpg,
    Driver,
    Psycopg,
    Psycopg2,
    PsycopgAsync,
    Pysqlite,
)
from mirrorproof.guards.sql.mariadb_drivers import Aiomysql, Asyncmy, Pymysql

__all__ = ["DRIVERS", "driver_for"]

DRIVERS: Final[dict[tuple[str, str], Driver]] = {
    ("postgresql", "psycopg"): Psycopg(),
    ("postgresql", "psycopg_async"): PsycopgAsync(),
    ("postgresql", "psycopg2"): Psycopg2(),
    ("postgresql", "asyncpg"): Asyncpg(),
    ("sqlite", "pysqlite"): Pysqlite(),
    ("sqlite", "aiosqlite"): Aiosqlite(),
    ("mysql", "pymysql"): Pymysql(),
    ("mariadb", "pymysql"): Pymysql(),
    ("mysql", "asyncmy"): Asyncmy(),
    ("mariadb", "asyncmy"): Asyncmy(),
    ("mysql", "aiomysql"): Aiomysql(),
    ("mariadb", "aiomysql"): Aiomysql(),
}


def driver_for(dialect: Dialect) -> Driver:
    """The driver of this dialect. Raises `EffectRefusedError` where leases were never tried."""
    # A pool without an engine has a stub in the dialect's place.
    database, name = (getattr(dialect, each, "unknown") for each in ("name", "driver"))
    if name == "psycopg" and dialect.is_async:
        name = "psycopg_async"
    driver = DRIVERS.get((database, name))
    if driver is None:
        known = ", ".join(sorted("+".join(key) for key in DRIVERS))
        raise EffectRefusedError(
            f"mirrorproof cannot make {database}+{name} harmless, so a mirrored request gets no "
            f"connection to it; it can for {known}"
        )
    return driver
