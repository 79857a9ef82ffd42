"""MariaDB's drivers without SQLAlchemy, and their pools."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import aiomysql
import asyncmy
import asyncmy.cursors
import pymysql
import pymysql.cursors

from clients.mariadb import INSERT, MariadbPeer
from clients.table import Case, Client

NOTES = "SELECT note FROM orders"


def _where(peer: MariadbPeer) -> dict[str, Any]:
    return {"host": "127.0.0.1", "port": peer.port, "user": "root", "database": "shop"}


# -- PyMySQL


@contextmanager
def _connect(peer: MariadbPeer) -> Iterator[Any]:
    connection = pymysql.connect(**_where(peer))
    try:
        yield connection
    finally:
        connection.close()


def _connect_autocommit(peer: MariadbPeer) -> Any:
    return pymysql.connect(**_where(peer), autocommit=True)


def _execute(connection: Any, peer: MariadbPeer) -> None:
    with connection.cursor() as cursor:
        assert cursor.execute("INSERT INTO orders (note) VALUES (%s)", ("one",)) == 1
        assert cursor.lastrowid > 1
    connection.commit()
    assert "one" in _notes(connection)


def _executemany(connection: Any, peer: MariadbPeer) -> None:
    connection.begin()
    with connection.cursor() as cursor:
        assert cursor.executemany("INSERT INTO orders (note) VALUES (%s)", [("a",), ("b",)]) == 2
    connection.commit()
    connection.begin()
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM orders")
    connection.rollback()
    assert _notes(connection) >= {"there", "a", "b"}


def _by_itself(connection: Any, peer: MariadbPeer) -> None:
    with connection.cursor(pymysql.cursors.DictCursor) as cursor:
        cursor.execute(INSERT)
        cursor.execute("UPDATE orders SET note = %(new)s WHERE note = 'by text'", {"new": "changed"})
    connection.rollback()
    assert "changed" in _notes(connection)


def _text_commit(connection: Any, peer: MariadbPeer) -> None:
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute(INSERT)
        cursor.execute("COMMIT")


def _read(connection: Any, peer: MariadbPeer) -> None:
    assert "there" in _notes(connection)


def _notes(connection: Any) -> set[str]:
    with connection.cursor(pymysql.cursors.SSCursor) as cursor:
        cursor.execute(NOTES)
        return {note for (note,) in cursor.fetchall()}


# -- asyncmy


@asynccontextmanager
async def _connect_async(peer: MariadbPeer) -> AsyncIterator[Any]:
    async with asyncmy.connect(**_where(peer)) as connection:
        yield connection


def _pool(peer: MariadbPeer) -> Any:
    return asyncmy.create_pool(**_where(peer), minsize=1, maxsize=2)


async def _execute_async(connection: Any, peer: MariadbPeer) -> None:
    async with connection.cursor() as cursor:
        assert await cursor.execute("INSERT INTO orders (note) VALUES (%s)", ("async",)) == 1
    await connection.commit()
    await connection.begin()
    async with connection.cursor(asyncmy.cursors.DictCursor) as cursor:
        await cursor.execute("DELETE FROM orders")
        await connection.rollback()
        await cursor.execute(NOTES)
        assert {"there", "async"} <= {row["note"] for row in await cursor.fetchall()}


async def _executemany_async(connection: Any, peer: MariadbPeer) -> None:
    await connection.autocommit(True)
    async with connection.cursor() as cursor:
        await cursor.executemany("INSERT INTO orders (note) VALUES (%s)", [("a",), ("b",)])


async def _read_async(connection: Any, peer: MariadbPeer) -> None:
    async with connection.cursor() as cursor:
        await cursor.execute(NOTES)
        assert ("there",) in await cursor.fetchall()


async def _in_pool(pool: Any, peer: MariadbPeer) -> None:
    async with pool.acquire() as connection:
        await _execute_async(connection, peer)


async def _in_pool_by_hand(pool: Any, peer: MariadbPeer) -> None:
    connection = await pool.acquire()
    try:
        await _execute_async(connection, peer)
    finally:
        pool.release(connection)


async def _read_in_pool(pool: Any, peer: MariadbPeer) -> None:
    async with pool.acquire() as connection:
        await _read_async(connection, peer)


# -- aiomysql


@asynccontextmanager
async def _connect_aio(peer: MariadbPeer) -> AsyncIterator[Any]:
    async with aiomysql.connect(host="127.0.0.1", port=peer.port, user="root", db="shop") as connection:
        yield connection


def _pool_aio(peer: MariadbPeer) -> Any:
    where = {"host": "127.0.0.1", "port": peer.port, "user": "root", "db": "shop"}
    return aiomysql.create_pool(**where, minsize=1, maxsize=2)


async def _execute_aio(connection: Any, peer: MariadbPeer) -> None:
    cursor = await connection.cursor()
    assert await cursor.execute("INSERT INTO orders (note) VALUES (%s)", ("async",)) == 1
    await connection.commit()
    await cursor.execute("DELETE FROM orders")
    await connection.rollback()
    async with connection.cursor(aiomysql.DictCursor) as cursor:
        await cursor.execute(NOTES)
        assert {"there", "async"} <= {row["note"] for row in await cursor.fetchall()}


async def _in_pool_aio(pool: Any, peer: MariadbPeer) -> None:
    async with pool.acquire() as connection:
        await _execute_aio(connection, peer)


def _case(name: str, client: Any, write: Any, *kinds: str, **more: Any) -> Case:
    return Case(name=name, client=client, write=write, kinds=kinds or ("sql.insert",), **more)


STRAY = "A connection from before the request is refused, reads too. "
CLIENTS = [
    Client(name="pymysql", guard="pymysql", peer="mariadb", cases=(
        _case("cursor.execute", _connect, _execute, read=_read, kept=False),
        _case("begin and executemany", _connect, _executemany, *["sql.insert"] * 2, kept=False),
        _case("autocommit", _connect_autocommit, _by_itself, "sql.insert", "sql.update", kept=False),
        _case("COMMIT as text", _connect, _text_commit, kept=False),
    ), not_covered=STRAY + "What a live request sends by `Connection.query` is not recorded"),
    Client(name="asyncmy", guard="asyncmy", peer="mariadb", cases=(
        _case("Connection.cursor", _connect_async, _execute_async, read=_read_async, kept=False,
              observed=False),
        _case("autocommit and executemany", _connect_async, _executemany_async, *["sql.insert"] * 2,
              kept=False, observed=False),
        _case("Pool.acquire", _pool, _in_pool, read=_read_in_pool, observed=False),
        _case("acquire and release", _pool, _in_pool_by_hand, observed=False),
    ), not_covered=STRAY + "What live requests write is not recorded, so their effects are not compared"),
    Client(name="aiomysql", guard="aiomysql", peer="mariadb", cases=(
        _case("Connection.cursor", _connect_aio, _execute_aio, read=_read_async, kept=False, observed=False),
        _case("autocommit and executemany", _connect_aio, _executemany_async, *["sql.insert"] * 2,
              kept=False, observed=False),
        _case("Pool.acquire", _pool_aio, _in_pool_aio, read=_read_in_pool, observed=False),
    ), not_covered="as asyncmy; by mysqlclient a mirrored request gets no connection at all"),
]  # fmt: skip
