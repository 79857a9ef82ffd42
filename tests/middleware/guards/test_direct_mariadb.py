"""MariaDB's drivers used directly: what the matrix does not say."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import aiomysql
import asyncmy
import pymysql
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from mirrorproof import Settings, install_guards, uninstall_guards
from mirrorproof.context import MirrorContext, detached, entered, set_process_context
from mirrorproof.decision import Decision, Mode
from mirrorproof.errors import EffectRefusedError, LateEffectError
from mirrorproof.guards.direct.own import connects_to_own

INSERT = "INSERT INTO strays VALUES ('x')"


@pytest.fixture
def peer(mariadb: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr("mirrorproof.guards.sql.mariadb_fuse.IDLE_LIMIT_S", 60)  # this machine may be busy
    mariadb.ask("USE shop")
    mariadb.ask("CREATE TABLE strays (note varchar(50))")
    install_guards()
    yield mariadb
    uninstall_guards()
    mariadb.ask("DROP TABLE strays")


def where(peer: Any, **more: Any) -> dict[str, Any]:
    return {"host": "127.0.0.1", "port": peer.port, "user": "root", "database": "shop"} | more


def aio(peer: Any) -> dict[str, Any]:
    return {"host": "127.0.0.1", "port": peer.port, "user": "root", "db": "shop", "autocommit": True}


def rows(peer: Any) -> int:
    return int(peer.ask("SELECT count(*) FROM strays")[0][0])


@contextmanager
def mirrored(mode: Mode = Mode.DRY_RUN, **settings: Any) -> Iterator[MirrorContext]:
    """A request, from its beginning to its end."""
    context = MirrorContext(Decision(mode), settings=Settings.load({}, **settings), pair_id="pair-1")
    with entered(context):
        yield context
        context.end()


outside = pytest.raises(EffectRefusedError, match="opened outside")


def test_a_pymysql_connection_or_cursor_from_before_the_request_is_refused(peer: Any) -> None:
    connection = pymysql.connect(**where(peer, autocommit=True))
    kept, unbuffered = connection.cursor(), connection.cursor(pymysql.cursors.SSCursor)
    ways: list[Callable[[], Any]] = [
        lambda: kept.execute(INSERT), lambda: kept.executemany("INSERT INTO strays VALUES (%s)", ["a", "b"]),
        lambda: unbuffered.execute(INSERT), lambda: kept.callproc("place_order"),
        lambda: connection.query(INSERT), lambda: connection.query(INSERT.encode()),
        lambda: connection.cursor().execute(INSERT), lambda: kept.execute("/* rollback */ " + INSERT),
        connection.begin, connection.commit, lambda: connection.autocommit(False),
        lambda: connection.select_db("mysql"), lambda: connection.kill(connection.thread_id()),
        lambda: kept.execute("SELECT 1"),
    ]  # fmt: skip
    with mirrored() as context:
        for way in ways:
            with outside:
                way()
        connection.ping()
        connection.rollback()
        assert [effect.outcome for effect in context.ledger] == ["blocked"] * len(ways)
    assert rows(peer) == 0
    for way in ways[:7]:
        way()
    assert rows(peer) == 8 - 1  # the procedure writes elsewhere
    connection.close()


def test_a_live_transaction_that_a_mirrored_request_could_commit_stays_open(peer: Any) -> None:
    connection = pymysql.connect(**where(peer))
    connection.cursor().execute(INSERT)
    with mirrored(), outside:
        connection.commit()
    with mirrored(), outside:
        connection.autocommit(True)
    with mirrored(), outside:
        connection.cursor().execute("BEGIN")
    assert rows(peer) == 0
    connection.commit()
    assert rows(peer) == 1
    connection.close()


def test_a_pymysql_connection_made_past_connect_is_refused(peer: Any) -> None:
    with mirrored(), outside:
        pymysql.connections.Connection(**where(peer, init_command=INSERT))
    assert rows(peer) == 0


def test_an_asyncmy_connection_or_prepared_statement_from_before_the_request_is_refused(peer: Any) -> None:
    async def main() -> None:
        connection = await asyncmy.connect(**where(peer, autocommit=True, stmt_cache_size=8))
        prepared = await connection.prepare("INSERT INTO strays VALUES (?)")
        cursor = connection.cursor()
        await cursor.execute("INSERT INTO strays VALUES (%s)", ("cached",))
        ways: list[Callable[[], Any]] = [
            lambda: cursor.execute(INSERT), lambda: cursor.execute("INSERT INTO strays VALUES (%s)", ("a",)),
            lambda: cursor.executemany("INSERT INTO strays VALUES (%s)", [("a",), ("b",)]),
            lambda: connection.query(INSERT), lambda: prepared.execute(("p",)),
            lambda: prepared.execute_bulk([("p",), ("q",)]),
            connection.commit, connection.begin, lambda: connection.prepare(INSERT),
        ]  # fmt: skip
        with mirrored() as context:
            for way in ways:
                with outside:
                    await way()
            await connection.ping()
            await connection.rollback()
            assert [effect.outcome for effect in context.ledger] == ["blocked"] * len(ways)
        assert rows(peer) == 1
        for way in ways[:6]:
            await way()
        await connection.ensure_closed()

    asyncio.run(main())
    assert rows(peer) == 1 + 8


def test_an_aiomysql_connection_from_before_the_request_is_refused(peer: Any) -> None:
    async def main() -> None:
        pool = await aiomysql.create_pool(**aio(peer), minsize=2)
        connection = await pool.acquire()
        cursor = await connection.cursor()
        ways: list[Callable[[], Any]] = [
            lambda: cursor.execute(INSERT), lambda: connection.query(INSERT),
            lambda: cursor.executemany("INSERT INTO strays VALUES (%s)", [("a",), ("b",)]),
            connection.commit, connection.begin, lambda: connection.autocommit(False),
        ]  # fmt: skip
        with mirrored():
            for way in ways:
                with outside:
                    await way()
            await connection.rollback()
            pool.release(connection)
        assert rows(peer) == 0
        async with pool.acquire() as connection:
            await (await connection.cursor()).execute(INSERT)
        pool.close()
        await pool.wait_closed()

    asyncio.run(main())
    assert rows(peer) == 1


def test_aiomysql_through_sqlalchemy_gets_a_lease_too(peer: Any) -> None:
    async def main() -> None:
        engine = create_async_engine(peer.url("aiomysql"))
        async with engine.begin() as connection:
            await connection.exec_driver_sql(INSERT)
            assert (await connection.exec_driver_sql("SELECT count(*) FROM strays")).scalar() == 1
        await engine.dispose()

    with mirrored() as context:
        asyncio.run(main())
        assert [effect.kind for effect in context.ledger] == ["sql.insert"]
    assert rows(peer) == 0
    asyncio.run(main())
    assert rows(peer) == 1


def test_mysqlclient_gets_no_connection_and_one_from_before_the_request_is_refused(peer: Any) -> None:
    client = pytest.importorskip("MySQLdb._mysql")
    import MySQLdb

    address = {"host": "127.0.0.1", "port": peer.port, "user": "root", "database": "shop"}
    connection = MySQLdb.connect(**address, autocommit=True)
    cursor = connection.cursor()
    ways: list[Callable[[], Any]] = [
        lambda: cursor.execute(INSERT), lambda: cursor.execute(INSERT.encode()),
        lambda: cursor.executemany("INSERT INTO strays VALUES (%s)", [("a",), ("b",)]),
        lambda: cursor.callproc("place_order"), lambda: connection.query(INSERT),
        lambda: connection.send_query(INSERT.encode()), connection.commit, connection.begin,
        lambda: connection.autocommit(False), lambda: connection.kill(connection.thread_id()),
        lambda: connection.select_db("mysql"), lambda: cursor.execute("SELECT 1"),
    ]  # fmt: skip
    with mirrored() as context:
        for way in ways:
            with outside:
                way()
        for connect in (MySQLdb.connect, MySQLdb.connections.Connection, client.connect):
            with pytest.raises(EffectRefusedError, match="by mysqlclient harmless"):
                connect(**address, init_command=INSERT)
        connection.rollback()
        connection.ping()
        assert {effect.outcome for effect in context.ledger} == {"blocked"}
        assert len(context.ledger) == len(ways) + 3
    assert rows(peer) == 0
    with mirrored(Mode.LIVE) as context:
        cursor.execute(INSERT)
        assert context.unobserved
    with mirrored(databases={f"mysql://127.0.0.1:{peer.port}/shop": "off"}):
        cursor.execute(INSERT)
        MySQLdb.connect("127.0.0.1", "root", "", "shop", peer.port, autocommit=True).query(INSERT)
    connection.close()
    assert rows(peer) == 3


def test_after_the_response_a_connection_from_before_is_refused_as_late(peer: Any) -> None:
    connection = pymysql.connect(**where(peer))
    with mirrored() as context:
        context.end()
        with pytest.raises(LateEffectError):
            connection.cursor().execute(INSERT)
        assert context.late
    connection.close()


def test_an_engine_s_connection_from_before_the_request_is_refused_past_sqlalchemy_too(peer: Any) -> None:
    engine = sa.create_engine(peer.url())
    with engine.connect() as connection:
        raw = connection.connection.driver_connection
        with mirrored(), outside:
            raw.cursor().execute(INSERT)  # type: ignore[union-attr]
        with mirrored(), outside:
            raw.commit()  # type: ignore[union-attr]
    engine.dispose()
    assert rows(peer) == 0


def test_an_engine_s_pool_serves_live_requests_after_mirrored_ones(peer: Any) -> None:
    engine = sa.create_engine(peer.url(), pool_size=1, max_overflow=0, pool_pre_ping=True)
    for mode in (Mode.LIVE, Mode.DRY_RUN, Mode.LIVE):
        with mirrored(mode), engine.begin() as connection:
            connection.exec_driver_sql(INSERT)
    engine.dispose()
    assert rows(peer) == 2


def test_a_database_of_v2_s_own_is_written_to_by_connections_of_every_kind(peer: Any) -> None:
    own = {f"mysql://127.0.0.1:{peer.port}/shop": "off"}
    before = pymysql.connect(**where(peer, autocommit=True))
    engine = sa.create_engine(peer.url())

    async def by_asyncmy() -> None:
        async with asyncmy.connect(**where(peer, autocommit=True)) as connection:
            await connection.cursor().execute(INSERT)
        async with asyncmy.create_pool(**where(peer, autocommit=True)) as pool, pool.acquire() as connection:
            await connection.cursor().execute(INSERT)

    with mirrored(databases=own):
        before.cursor().execute(INSERT)
        with pymysql.connect(**where(peer, autocommit=True)) as inside:
            inside.cursor().execute(INSERT)
        with engine.begin() as connection:
            connection.exec_driver_sql(INSERT)
        asyncio.run(by_asyncmy())
    assert rows(peer) == 5
    before.close()
    engine.dispose()


@pytest.mark.parametrize("hidden", ["unix_socket", "read_default_file", "read_default_group"])
def test_where_the_server_is_not_told_a_database_is_nobody_s_own(hidden: str) -> None:
    with mirrored(databases={"mysql://*": "off"}) as context:
        given = {"host": "db", "db": "shop"}
        assert connects_to_own(context, "mysql.pymysql", (), given | {hidden: None})
        assert not connects_to_own(context, "mysql.pymysql", (), given | {hidden: "/etc/x"})


def test_a_shadow_process_s_pool_opens_at_start_up_and_nothing_is_written(peer: Any) -> None:
    async def main() -> None:
        async with asyncmy.create_pool(**where(peer, autocommit=True)) as pool, pool.acquire() as connection:
            await connection.cursor().execute(INSERT)

    set_process_context(Settings.load(env={}, role="shadow"))
    try:
        asyncio.run(main())
    finally:
        set_process_context(None)
    assert rows(peer) == 0


def test_an_asyncmy_connection_may_be_entered_itself(peer: Any) -> None:
    async def main() -> None:
        async with await asyncmy.connect(**where(peer)) as connection:
            await connection.cursor().execute(INSERT)
            await connection.commit()

    with mirrored() as context:
        asyncio.run(main())
        assert [effect.kind for effect in context.ledger] == ["sql.insert"]
    assert rows(peer) == 0


def writes(connection: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("INSERT INTO strays VALUES (%s)", args=("a",))
    cursor.execute("UPDATE strays SET note = %(note)s", {"note": "b"})
    cursor.executemany("INSERT INTO strays VALUES (%s)", [("c",), ("d",)])
    connection.commit()
    cursor.execute("INSERT INTO strays VALUES ('gone')")
    connection.rollback()
    cursor.execute("SELECT * FROM strays")
    cursor.execute("INSERT INTO strays VALUES ('kept')")
    connection.begin()  # which commits
    cursor.execute("INSERT INTO strays VALUES ('kept too')")
    connection.autocommit(True)
    with suppress(pymysql.Error):
        cursor.execute("INSERT INTO nowhere VALUES (1)")
    cursor.execute("DELETE FROM strays WHERE note = 'kept'")


def test_live_and_mirrored_effects_through_pymysql_have_equal_digests(peer: Any) -> None:
    digests = {}
    for mode in (Mode.DRY_RUN, Mode.LIVE):
        with mirrored(mode) as context:
            with pymysql.connect(**where(peer)) as connection:
                writes(connection)
            digests[mode] = [(effect.kind, effect.digest) for effect in context.ledger]
    assert len(digests[Mode.LIVE]) == 7
    assert digests[Mode.LIVE] == digests[Mode.DRY_RUN]


def test_a_live_request_that_writes_by_asyncmy_says_that_its_effects_are_not_known(peer: Any) -> None:
    async def run(sql: str) -> bool:
        with mirrored(Mode.LIVE) as context:
            async with asyncmy.connect(**where(peer)) as connection:
                await connection.cursor().execute(sql)
            return context.unobserved

    assert asyncio.run(run(INSERT))
    assert not asyncio.run(run("SELECT 1"))


def test_pymysql_connect_is_still_the_class_to_those_who_ask(peer: Any) -> None:
    with pymysql.connect(**where(peer)) as connection:
        assert isinstance(connection, pymysql.connections.Connection)
        assert isinstance(connection, pymysql.Connection)
    with mirrored(), pymysql.connect(**where(peer)) as connection:
        assert isinstance(connection, pymysql.connections.Connection)


@pytest.mark.parametrize("connect", [asyncmy.connect, aiomysql.connect])
def test_what_an_event_loop_that_is_closed_left_open_ends_with_the_request(
    peer: Any, connect: Any, wait_until: Any
) -> None:
    async def main() -> None:
        kept.append(await connect(**aio(peer)))

    def connections() -> int:
        with detached():
            return int(
                peer.ask("SELECT count(*) FROM information_schema.processlist WHERE db = 'shop'")[0][0]
            )

    kept: list[Any] = []
    before = connections()
    with mirrored(yield_poll_ms=0):
        asyncio.run(main())
        assert connections() > before
    wait_until(lambda: connections() == before)
