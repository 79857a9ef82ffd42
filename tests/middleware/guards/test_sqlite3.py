"""sqlite3 and aiosqlite used directly: connections from before the request, and backups."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import aiosqlite
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from mirrorproof import Settings, install_guards, uninstall_guards
from mirrorproof.context import MirrorContext, entered
from mirrorproof.decision import Decision, Mode
from mirrorproof.errors import EffectRefusedError, LateEffectError
from mirrorproof.guards import unguarded
from mirrorproof.guards.sqlite_strays import only_reads

INSERT = "INSERT INTO orders VALUES ('v2')"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A database in a folder that does not count as temporary."""
    with closing(sqlite3.connect(tmp_path / "shop.db")) as made:
        made.execute("CREATE TABLE orders (note text)")
    install_guards()
    monkeypatch.setattr(unguarded._state, "temporary", ("/nowhere",))
    yield tmp_path / "shop.db"
    uninstall_guards()


def context(mode: Mode = Mode.DRY_RUN, **settings: Any) -> MirrorContext:
    return MirrorContext(Decision(mode), settings=Settings.load({}, **settings))


def rows(file: Path) -> int:
    with closing(sqlite3.connect(file)) as look:
        return int(look.execute("SELECT count(*) FROM orders").fetchone()[0])


class Own(sqlite3.Connection):
    """An application's own class."""


WRITES: list[Callable[[Any], Any]] = [
    lambda its: its.execute(INSERT), lambda its: its.executemany("INSERT INTO orders VALUES (?)", [("a",)]),
    lambda its: its.executescript(INSERT), lambda its: its.cursor().execute(INSERT),
    lambda its: its.cursor().executemany("INSERT INTO orders VALUES (?)", [("a",)]),
    lambda its: its.cursor().executescript(INSERT), lambda its: its.cursor(sqlite3.Cursor).execute(INSERT),
    lambda its: its.execute("WITH a AS (SELECT 1) INSERT INTO orders SELECT * FROM a"),
    lambda its: its.execute("PRAGMA user_version = 7"), lambda its: its.execute("PRAGMA user_version(7)"),
    lambda its: its.execute("VACUUM"), lambda its: its.execute("ANALYZE"),
    lambda its: its.execute("BEGIN IMMEDIATE"), lambda its: its.execute("CREATE TABLE more (a)"),
]  # fmt: skip


@pytest.mark.parametrize("factory", [sqlite3.Connection, Own])
def test_a_connection_from_before_the_request_reads_but_does_not_write(file: Path, factory: Any) -> None:
    with closing(sqlite3.connect(file, factory=factory, isolation_level=None)) as connection:
        assert isinstance(connection, factory)
        with entered(context()) as mirror:
            for write in WRITES:
                with pytest.raises(EffectRefusedError):
                    write(connection)
            assert connection.execute("SELECT count(*) FROM orders").fetchone() == (0,)
            assert connection.execute("PRAGMA user_version").fetchone() == (0,)
            assert [effect.outcome for effect in mirror.ledger] == ["blocked"] * len(WRITES)
            mirror.end()
            with pytest.raises(LateEffectError):
                connection.execute(INSERT)
        assert rows(file) == 0
        for write in WRITES[:8]:
            write(connection)
    assert rows(file) == 8


def test_a_live_transaction_is_not_committed_by_a_mirrored_request(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(INSERT)
        with entered(context()):
            for commit in (
                connection.commit,
                lambda: connection.execute("COMMIT"),
                lambda: block(connection),
            ):
                with pytest.raises(EffectRefusedError):
                    commit()
        assert rows(file) == 0
        connection.commit()
    assert rows(file) == 1


def block(connection: Any) -> None:
    with connection:
        connection.execute("SELECT 1")


def test_a_database_in_memory_from_before_the_request_is_the_process_s_own(file: Path) -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE orders (note text)")
        with entered(context()):
            connection.execute(INSERT)
            connection.commit()
        connection.execute("ATTACH ? AS shop", (str(file),))
        with entered(context()), pytest.raises(EffectRefusedError):
            connection.execute("INSERT INTO shop.orders VALUES ('v2')")
    assert rows(file) == 0


def test_a_backup_into_a_file_is_refused_and_one_into_memory_is_not(file: Path) -> None:
    memory = sqlite3.connect(":memory:")
    memory.execute("CREATE TABLE orders AS SELECT 1 AS note UNION SELECT 2")
    memory.commit()
    with closing(sqlite3.connect(file)) as target, closing(sqlite3.connect(":memory:")) as other:
        with entered(context()):
            memory.backup(other)
            inside = sqlite3.connect(":memory:")
            memory.backup(inside)
            for source in (memory, inside):
                with pytest.raises(EffectRefusedError):
                    source.backup(target)
        assert rows(file) == 0
        memory.backup(target)
    assert rows(file) == 2


def test_a_lease_is_not_backed_up_into_a_file(file: Path) -> None:
    engine = sa.create_engine("sqlite://")
    with closing(sqlite3.connect(file)) as target, entered(context()) as mirror:
        with engine.connect() as connection:
            connection.exec_driver_sql("CREATE TABLE orders AS SELECT 1 AS note")
            connection.commit()
            with pytest.raises(EffectRefusedError):
                connection.connection.driver_connection.backup(target)  # type: ignore[union-attr]
        mirror.end()
    engine.dispose()
    assert rows(file) == 0


def test_aiosqlite_connections_from_before_the_request_read_but_do_not_write(file: Path) -> None:
    ways: list[Callable[[Any], Any]] = [
        lambda its: its.execute(INSERT), lambda its: its.execute_insert(INSERT),
        lambda its: its.execute_fetchall(INSERT + " RETURNING note"), lambda its: its.executescript(INSERT),
        lambda its: its.executemany("INSERT INTO orders VALUES (?)", [("a",)]),
    ]  # fmt: skip

    async def main() -> None:
        async with aiosqlite.connect(file, isolation_level=None) as connection:
            cursor = await connection.cursor()
            with entered(context()):
                for way in ways:
                    with pytest.raises(EffectRefusedError):
                        await way(connection)
                await connection.commit()  # nothing
                with pytest.raises(EffectRefusedError):
                    await cursor.execute(INSERT)
                async with connection.execute("SELECT count(*) FROM orders") as read:
                    assert await read.fetchone() == (0,)
            for way in ways:
                await way(connection)
            await connection.execute("BEGIN")
            await connection.execute(INSERT)
            with entered(context()):
                with pytest.raises(EffectRefusedError):
                    await connection.commit()
                await connection.rollback()

    asyncio.run(main())
    assert rows(file) == 5


def test_an_aiosqlite_backup_into_a_file_is_refused(file: Path) -> None:
    async def main() -> None:
        engine = create_async_engine("sqlite+aiosqlite://")
        async with aiosqlite.connect(":memory:") as memory, aiosqlite.connect(file) as target:
            await memory.execute("CREATE TABLE orders (note text)")
            await memory.execute(INSERT)
            await memory.commit()
            with entered(context()) as mirror:
                for to in (target, target._conn):
                    with pytest.raises(EffectRefusedError):
                        await memory.backup(to)
                async with engine.connect() as leased:
                    raw = (await leased.get_raw_connection()).driver_connection
                    with pytest.raises(EffectRefusedError):
                        await raw.backup(target)
                mirror.end()
            assert rows(file) == 0
            await memory.backup(target)
        await engine.dispose()

    asyncio.run(main())
    assert rows(file) == 1


def test_a_lease_on_a_file_is_no_target_of_a_backup(file: Path) -> None:
    async def main() -> None:
        engine = create_async_engine(f"sqlite+aiosqlite:///{file}")
        async with aiosqlite.connect(":memory:") as memory:
            await memory.execute("CREATE TABLE orders (note text)")
            await memory.execute(INSERT)
            await memory.commit()
            with entered(context()) as mirror:
                async with engine.connect() as leased:
                    raw = (await leased.get_raw_connection()).driver_connection
                    with pytest.raises(EffectRefusedError):
                        await memory.backup(raw)
                mirror.end()
        await engine.dispose()

    asyncio.run(main())
    assert rows(file) == 0


def test_a_database_of_v2_s_own_is_written_by_connections_of_every_kind(file: Path) -> None:
    async def by_aiosqlite() -> None:
        async with aiosqlite.connect(file, isolation_level=None) as connection:
            with entered(context(databases={f"sqlite:///{file}": "off"}, unguarded="off")):
                await connection.execute(INSERT)

    engine = sa.create_engine(f"sqlite:///{file}")
    own = context(databases={f"sqlite:///{file}": "off"})
    with closing(sqlite3.connect(file, isolation_level=None)) as kept, entered(own):
        kept.execute(INSERT)
        with engine.begin() as connection:
            connection.exec_driver_sql(INSERT)
    engine.dispose()
    asyncio.run(by_aiosqlite())
    assert rows(file) == 3


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1",
        "PRAGMA table_info(orders)",
        "ROLLBACK",
        "EXPLAIN SELECT 1",
        "WITH a AS (SELECT 1) SELECT 1",
    ],
)
def test_what_only_reads_is_known(text: str) -> None:
    assert only_reads(text)


@pytest.mark.parametrize(
    "text",
    ["PRAGMA wal_checkpoint", "PRAGMA incremental_vacuum", "PRAGMA optimize", "PRAGMA journal_mode=wal",
     "SAVEPOINT a", "PRAGMA journal_mode(wal)", "ATTACH 'a' AS b", "VACUUM INTO 'a'", "REINDEX", "COMMIT",
     "END", "BEGIN", "PRAGMA main . user_version(3)", "REPLACE INTO a VALUES (1)"],
)  # fmt: skip
def test_what_may_write_is_known(text: str) -> None:
    assert not only_reads(text)
