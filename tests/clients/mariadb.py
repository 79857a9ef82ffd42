"""MariaDB through SQLAlchemy."""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pymysql
import sqlalchemy as sa
from pymysql.cursors import SSCursor
from sqlalchemy import orm
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from clients.servers import Process, free_port, program, wait_for
from clients.table import Case, Client

INSERT = "INSERT INTO orders (note) VALUES ('by text')"
SETUP = """
CREATE DATABASE shop;
USE shop;
CREATE TABLE orders (id int AUTO_INCREMENT PRIMARY KEY, note varchar(50));
CREATE TABLE log (id int AUTO_INCREMENT PRIMARY KEY, note varchar(50)) ENGINE = MyISAM;
CREATE PROCEDURE place_order() INSERT INTO orders (note) VALUES ('by call');
INSERT INTO orders (note) VALUES ('there');
"""


class MariadbPeer:
    """A real MariaDB with one table; looked at over a connection that no guard sees."""

    about = "MariaDB 10.11 (Debian's mariadb-server)"

    def __init__(self) -> None:
        install, server = (program(name, "mariadb-server") for name in ("mariadb-install-db", "mariadbd"))
        directory = Path(mkdtemp(prefix="mirrorproof-mariadb-"))
        data, self.port = directory / "data", free_port()
        user = ["--user=root"] if os.geteuid() == 0 else []
        subprocess.run(
            [install, "--no-defaults", *user, f"--datadir={data}", "--skip-test-db",
             "--auth-root-authentication-method=normal"],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self._process = Process(
            [server, "--no-defaults", *user, f"--datadir={data}", f"--socket={directory / 'socket'}",
             f"--port={self.port}", "--bind-address=127.0.0.1", "--innodb-buffer-pool-size=32M",
             "--innodb-flush-log-at-trx-commit=0", "--skip-log-bin"],
            directory,
        )  # fmt: skip
        wait_for(lambda: self.connect(database=None), "MariaDB")
        self.watch = self.connect(database=None)
        for statement in SETUP.strip().split(";\n"):
            self.ask(statement.rstrip("; "))

    def connect(self, **options: Any) -> Any:
        """A connection of PyMySQL's."""
        defaults = {"database": "shop", "autocommit": True}
        return pymysql.connect(host="127.0.0.1", port=self.port, user="root", **defaults | options)

    def url(self, driver: str = "pymysql") -> str:
        """The database's URL for SQLAlchemy."""
        return f"mysql+{driver}://root@127.0.0.1:{self.port}/shop"

    def ask(self, statement: str) -> Any:
        """The rows, by the connection that no guard sees."""
        with self.watch.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall()

    def look(self) -> Any:
        """The tables and their rows, prepared transactions, and a setting of the server's."""
        tables = sorted(row[0] for row in self.ask("SHOW FULL TABLES WHERE table_type = 'BASE TABLE'"))
        return (
            [(table, self.ask(f"SELECT * FROM {table} ORDER BY 1")) for table in tables],
            self.ask("XA RECOVER"), self.ask("SELECT @@global.max_connections"),
        )  # fmt: skip

    def stop(self) -> None:
        self.watch.close()
        self._process.stop()


@contextmanager
def _engine(peer: MariadbPeer) -> Iterator[sa.Engine]:
    engine = sa.create_engine(peer.url())
    try:
        yield engine
    finally:
        engine.dispose()


class Base(orm.DeclarativeBase):
    """The application's tables."""


class Order(Base):
    __tablename__ = "orders"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    note: orm.Mapped[str] = orm.mapped_column(sa.String(50))


def _by_session(engine: Any, peer: MariadbPeer) -> None:
    with orm.Session(engine) as session:
        order = Order(note="orm")
        session.add(order)
        session.commit()
        order.note = "changed"
        session.commit()
        session.delete(order)
        session.add(Order(note="kept"))
        session.commit()
    assert {"there", "kept"} <= _notes(engine)


def _by_core(engine: Any, peer: MariadbPeer) -> None:
    with engine.begin() as connection:
        result = connection.execute(sa.insert(Order).values(note="core"))
        assert result.inserted_primary_key[0] > 1
    assert {"there", "core"} <= _notes(engine)


def _with_autocommit(engine: Any, peer: MariadbPeer) -> None:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.insert(Order), [{"note": "a"}, {"note": "b"}])
        connection.rollback()
    assert {"a", "b"} <= _notes(engine)


def _by_text(engine: Any, peer: MariadbPeer) -> None:
    with engine.connect() as connection:
        connection.exec_driver_sql("BEGIN")
        connection.exec_driver_sql(INSERT)
        connection.exec_driver_sql("COMMIT")
        connection.rollback()
    assert "by text" in _notes(engine)


def _by_cursor(engine: Any, peer: MariadbPeer) -> None:
    connection = engine.raw_connection()
    connection.dbapi_connection.begin()
    with connection.cursor() as cursor:
        assert cursor.executemany("INSERT INTO orders (note) VALUES (%s)", [("x",), ("y",)]) == 2
    connection.commit()
    with connection.cursor(SSCursor) as cursor:
        cursor.execute("SELECT note FROM orders")
        assert {("x",), ("y",)} <= set(cursor.fetchall())
    connection.close()


def _by_procedure(engine: Any, peer: MariadbPeer) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("CALL place_order()")
    assert "by call" in _notes(engine)


def _after_savepoint(engine: Any, peer: MariadbPeer) -> None:
    with orm.Session(engine) as session:
        session.add(Order(note="outer"))
        with session.begin_nested() as inner:
            session.add(Order(note="inner"))
            inner.rollback()
        session.commit()
    assert {"outer", "inner"} & _notes(engine) == {"outer"}


def _read(engine: Any, peer: MariadbPeer) -> None:
    assert "there" in _notes(engine)


def _notes(engine: Any) -> set[str]:
    with engine.connect() as connection:
        return set(connection.scalars(sa.select(Order.note)))


@asynccontextmanager
async def _async_engine(peer: MariadbPeer) -> AsyncIterator[Any]:
    engine = create_async_engine(peer.url("asyncmy"))
    try:
        yield engine
    finally:
        await engine.dispose()


async def _by_async_session(engine: Any, peer: MariadbPeer) -> None:
    async with AsyncSession(engine) as session:
        session.add_all([Order(note="a"), Order(note="b")])
        await session.commit()
    await _read_async(engine, peer)


async def _by_async_core(engine: Any, peer: MariadbPeer) -> None:
    async with engine.begin() as connection:
        result = await connection.execute(sa.insert(Order).values(note="core"))
        assert result.inserted_primary_key[0] > 1


async def _by_driver(engine: Any, peer: MariadbPeer) -> None:
    async with engine.connect() as connection:
        driver = (await connection.get_raw_connection()).driver_connection
        async with driver.cursor() as cursor:
            assert await cursor.execute(INSERT) == 1
        await driver.commit()


async def _read_async(engine: Any, peer: MariadbPeer) -> None:
    async with engine.connect() as connection:
        assert "there" in {row.note async for row in await connection.stream(sa.select(Order.note))}


def _case(name: str, write: Any, *kinds: str, **more: Any) -> Case:
    return Case(name=name, write=write, kinds=kinds or ("sql.insert",), **{"client": _engine} | more)


NOT_COVERED = (
    "MariaDB only (MySQL's own server is refused). Schema changes, `XA`, `LOAD DATA`, `LOCK TABLES`, "
    "`GET_LOCK`, `PREPARE` and several statements in one text are refused, as are writes to tables of other "
    "engines than InnoDB, and procedures that mention such. Where there are such tables, a user "
    "without the privilege TRIGGER may not write at all. What a function in a library (UDF) does is not "
    "known; sequences and AUTO_INCREMENT advance"
)
CLIENTS = [
    Client(name="pymysql", guard="sqlalchemy", peer="mariadb", cases=(
        _case("orm.Session", _by_session, "sql.insert", "sql.update", "sql.insert", "sql.delete", read=_read),
        _case("Engine.begin", _by_core),
        _case("AUTOCOMMIT and executemany", _with_autocommit, *["sql.insert"] * 2),
        _case("BEGIN and COMMIT as text", _by_text),
        _case("raw_connection and SSCursor", _by_cursor, *["sql.insert"] * 2, observed=False),
        _case("CALL", _by_procedure, "sql.call"),
        _case("begin_nested", _after_savepoint),
    ), not_covered=NOT_COVERED),
    Client(name="asyncmy", guard="sqlalchemy", peer="mariadb", cases=(
        _case("AsyncSession", _by_async_session, *["sql.insert"] * 2, client=_async_engine, read=_read_async),
        _case("AsyncEngine.begin", _by_async_core, client=_async_engine),
        _case("driver_connection", _by_driver, client=_async_engine, observed=False),
    ), not_covered="as pymysql"),
]  # fmt: skip
PEERS = {"mariadb": MariadbPeer}
