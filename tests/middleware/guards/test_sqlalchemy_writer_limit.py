"""A mirrored request lets an SQLite file go in time: v1's write gets through while the request goes on."""

from __future__ import annotations

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from time import sleep

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from mirrorproof.context import MirrorContext, entered
from mirrorproof.decision import Decision, Mode
from mirrorproof.errors import EffectRefusedError
from mirrorproof.guards import install_guards
from mirrorproof.settings import Role, Settings

INSERT = sa.text("INSERT INTO items (note) VALUES ('v2')")
BEHIND_WITH = "WITH one (note) AS (SELECT 'v2') INSERT INTO items (note) SELECT note FROM one"
LONG = """WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000)
  INSERT INTO items (note) SELECT 'long' FROM n WHERE i < 2"""
COUNT = sa.text("SELECT count(*) FROM items")
NEVER_MS = 60_000
PATIENCE_S = 60.0
"""v1 waits as long as it takes, so that a slow machine only makes it slow: without the limit, for ever."""


@pytest.fixture(autouse=True)
def writer_limit_is_off():
    """Not here."""


@pytest.fixture(params=["delete", "wal"])
def file(request, tmp_path):
    install_guards("sqlalchemy")
    made = tmp_path / "shop.db"
    with sqlite3.connect(made) as setup:
        setup.execute(f"PRAGMA journal_mode = {request.param}")
        setup.execute("CREATE TABLE items (id INTEGER PRIMARY KEY, note TEXT UNIQUE)")
        setup.execute("INSERT INTO items (note) VALUES ('there')")
    setup.close()
    return made


@pytest.fixture
def engine(file):
    made = sa.create_engine(f"sqlite:///{file}")
    yield made
    made.dispose()


@pytest.fixture
def v1(file):
    connection = sqlite3.connect(file, timeout=PATIENCE_S, isolation_level=None, check_same_thread=False)
    yield connection
    connection.close()


def mirrored(**settings):
    return MirrorContext(Decision(Mode.DRY_RUN), settings=Settings(**settings))


def lease_of(connection):
    return connection.connection.dbapi_connection._checkout.lease


def write(v1):
    v1.execute("INSERT INTO items (note) VALUES ('v1')")


def notes(file):
    connection = sqlite3.connect(file, timeout=0)
    found = [row[0] for row in connection.execute("SELECT note FROM items ORDER BY id")]
    connection.close()
    return found


def outcomes(context):
    return [effect.outcome.value for effect in context.ledger]


def test_v1_writes_while_the_mirrored_request_is_in_its_transaction(file, engine, v1):
    context = mirrored()
    with entered(context), engine.connect() as connection:
        connection.execute(INSERT)
        write(v1)
        assert context.yielded
        with pytest.raises(EffectRefusedError, match="so that others need not wait"):
            connection.execute(COUNT)
        with pytest.raises(EffectRefusedError, match="so that others need not wait"):
            connection.commit()
    context.end()
    assert notes(file) == ["there", "v1"]


def test_it_writes_once_the_mirrored_request_has_committed(file, engine, v1):
    context = mirrored(sqlite_writer_limit_ms=NEVER_MS)
    with entered(context):
        with engine.begin() as connection:
            connection.execute(INSERT)
            lease = lease_of(connection)
        lease.cut_short()
        write(v1)
        assert not context.yielded  # nothing was given up
    context.end()
    assert outcomes(context) == ["suppressed"]
    assert notes(file) == ["there", "v1"]


def test_the_pair_is_yielded_if_a_request_that_had_committed_comes_back(file, engine, v1):
    context = mirrored(sqlite_writer_limit_ms=NEVER_MS)
    with entered(context):
        with engine.begin() as connection:
            connection.execute(INSERT)
            lease = lease_of(connection)
        lease.cut_short()
        write(v1)
        with engine.connect() as connection, pytest.raises(EffectRefusedError, match="need not wait"):
            connection.scalar(COUNT)
    context.end()
    assert context.yielded
    assert outcomes(context) == ["yielded"]
    assert notes(file) == ["there", "v1"]


def test_it_writes_while_the_mirrored_request_runs_a_long_write(file, engine, v1, caplog):
    context, at_work = mirrored(), Event()
    with entered(context), engine.connect() as connection, ThreadPoolExecutor() as pool:
        real = connection.connection.dbapi_connection._real
        real.create_function("at_work", 0, lambda: at_work.set() or 1)
        long = pool.submit(connection.execute, sa.text(LONG.replace("i + 1", "i + at_work()")))
        at_work.wait()
        write(v1)
        with pytest.raises(EffectRefusedError, match="need not wait"):
            long.result()
    context.end()
    assert context.yielded
    assert notes(file) == ["there", "v1"]
    assert not caplog.records


def test_it_writes_while_the_mirrored_request_writes_row_after_row(file, engine, v1):
    context = mirrored()
    rows = [(f"v2 {number}",) for number in range(100_000)]
    with entered(context), engine.connect() as connection, ThreadPoolExecutor() as pool:
        raw, at_work = connection.connection.dbapi_connection, Event()
        raw._real.create_function("slow", 0, lambda: at_work.set() or sleep(0.0001))
        long = pool.submit(raw.executemany, "INSERT INTO items (note) VALUES (coalesce(slow(), ?))", rows)
        at_work.wait()
        write(v1)
        with pytest.raises(EffectRefusedError, match="need not wait") as refused:
            long.result()
        assert "interrupted" in str(refused.value.__cause__)
    context.end()
    assert context.yielded
    assert notes(file) == ["there", "v1"]


def test_a_write_that_fails_holds_the_lock_too(file, engine, v1):
    context = mirrored()
    with entered(context), engine.connect() as connection:
        connection.begin()
        with pytest.raises(sa.exc.IntegrityError):
            connection.execute(sa.text("INSERT INTO items (note) VALUES ('there')"))
        write(v1)
    context.end()
    assert context.yielded
    assert notes(file) == ["there", "v1"]


def test_waiting_for_v1s_own_lock_is_not_holding_it(file, v1):
    engine = sa.create_engine(f"sqlite:///{file}")
    context = mirrored(sqlite_writer_limit_ms=1)
    v1.execute("BEGIN IMMEDIATE")
    with entered(context), engine.connect() as connection:
        with pytest.raises(sa.exc.OperationalError, match="locked"):
            connection.execute(INSERT)
        assert connection.scalar(COUNT) == 1
    context.end()
    v1.execute("ROLLBACK")
    engine.dispose()


def test_a_request_that_only_reads_is_left_alone(file, engine, v1):
    context = mirrored(sqlite_writer_limit_ms=1)
    with entered(context), engine.connect() as connection:
        connection.execute(sa.text("PRAGMA foreign_keys = ON"))
        assert connection.scalar(COUNT) == 1
        connection.rollback()
        write(v1)
        assert connection.scalar(COUNT) == 2
        assert lease_of(connection).writer_limit._term is None
    context.end()
    assert not context.yielded


@pytest.mark.parametrize(
    ("treatment", "url"), [("snapshot", "sqlite:///{file}"), ("dry_run", "sqlite://"), ("off", "sqlite:///{file}")]
)  # fmt: skip
def test_where_v1_does_not_wait_there_is_no_limit(file, treatment, url):
    engine = sa.create_engine(url.format(file=file))
    context = MirrorContext(Decision(Mode.DRY_RUN), settings=Settings.load({}, databases={"*": treatment}))
    with entered(context), engine.connect() as connection:
        found = getattr(connection.connection.dbapi_connection, "_checkout", None)
        assert found is None or found.lease.writer_limit is None
    context.end()
    engine.dispose()


def test_with_0_it_is_off(file, engine):
    context = mirrored(sqlite_writer_limit_ms=0)
    with entered(context), engine.connect() as connection:
        assert lease_of(connection).writer_limit is None
    context.end()


def test_outside_requests_there_is_no_limit(file, engine):
    from mirrorproof.context import set_process_context

    set_process_context(Settings(role=Role.SHADOW))
    try:
        with engine.connect() as connection:
            assert lease_of(connection).writer_limit is None
    finally:
        set_process_context(None)


def test_each_commit_ends_the_time_where_it_ends_the_lock(file, engine):
    context = MirrorContext(
        Decision(Mode.DRY_RUN),
        settings=Settings.load({}, databases={"*": "rollback_at_commit"}, sqlite_writer_limit_ms=NEVER_MS),
    )
    with entered(context), engine.connect() as connection:
        connection.execute(INSERT)
        limit = lease_of(connection).writer_limit
        assert limit._term is not None
        connection.commit()
        assert limit._term is None
    context.end()


def test_what_was_compiled_before_cannot_write_afterwards_by_a_way_around_the_shield(file, engine, v1):
    context = mirrored()
    with entered(context), engine.connect() as connection:
        real = connection.connection.dbapi_connection._real
        cursor = real.cursor()
        cursor.execute(BEHIND_WITH)
        cursor.execute("DELETE FROM items WHERE note = 'v2'")
        connection.execute(INSERT)
        write(v1)
        with pytest.raises(sqlite3.Error):
            cursor.execute(BEHIND_WITH)
    context.end()
    assert notes(file) == ["there", "v1"]


def test_a_connection_that_only_its_own_thread_may_use_is_let_go_when_that_comes_back(file, v1):
    engine = sa.create_engine(f"sqlite:///{file}", connect_args={"check_same_thread": True})
    context = mirrored()
    with entered(context), engine.connect() as connection:
        connection.execute(INSERT)
        while not context.yielded:
            sleep(0.001)
        with pytest.raises(EffectRefusedError, match="need not wait"):
            connection.execute(COUNT)
        write(v1)
    context.end()
    assert context.yielded
    assert notes(file) == ["there", "v1"]
    engine.dispose()


# -- aiosqlite


async def test_beside_aiosqlite_v1_writes_though_the_event_loop_is_busy(file, v1):
    engine, context = create_async_engine(f"sqlite+aiosqlite:///{file}"), mirrored()
    with entered(context):
        async with engine.connect() as connection:
            await connection.execute(INSERT)
            write(v1)  # blocks the loop
            with pytest.raises(EffectRefusedError, match="need not wait"):
                await connection.execute(COUNT)
    context.end()
    assert context.yielded
    assert notes(file) == ["there", "v1"]
    await engine.dispose()


async def test_beside_aiosqlite_v1_writes_while_a_long_write_runs(file, v1):
    engine, context = create_async_engine(f"sqlite+aiosqlite:///{file}"), mirrored()
    with entered(context):
        async with engine.connect() as connection:
            await connection.execute(INSERT)
            long = asyncio.create_task(connection.execute(sa.text(LONG)))
            await asyncio.to_thread(write, v1)
            with pytest.raises(EffectRefusedError, match="need not wait"):
                await long
    context.end()
    assert context.yielded
    assert notes(file) == ["there", "v1"]
    await engine.dispose()


async def test_beside_aiosqlite_what_was_compiled_before_cannot_write_afterwards(file, v1):
    engine, context = create_async_engine(f"sqlite+aiosqlite:///{file}"), mirrored()
    with entered(context):
        async with engine.connect() as connection:
            lease = (await connection.get_raw_connection()).dbapi_connection._checkout.lease
            own = lease.connection._connection
            await own.execute(BEHIND_WITH)
            await own.execute("DELETE FROM items WHERE note = 'v2'")
            await connection.execute(INSERT)
            late = own.execute(BEHIND_WITH)  # it was asked for before, and comes after
            write(v1)
            with pytest.raises((sqlite3.Error, ValueError)):
                await late
    context.end()
    assert notes(file) == ["there", "v1"]
    await engine.dispose()
