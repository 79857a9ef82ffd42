"""PostgreSQL's drivers used directly: what the matrix does not say."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import asyncpg
import psycopg
import psycopg2
import psycopg2.extensions
import psycopg2.extras
import psycopg2.pool
import psycopg2.sql
import psycopg_pool
import pytest
import sqlalchemy as sa
from psycopg.rows import class_row, dict_row
from sqlalchemy.ext.asyncio import create_async_engine

from mirrorproof import Settings, current, install_guards, uninstall_guards
from mirrorproof.context import MirrorContext, detached, entered, set_process_context
from mirrorproof.decision import Decision, Mode
from mirrorproof.errors import EffectRefusedError, ReadOnlyError
from mirrorproof.guards.direct.own import connects_to_own
from mirrorproof.guards.direct.urls import url_for
from mirrorproof.guards.sql import outside

INSERT = "INSERT INTO strays VALUES ('x')"


@pytest.fixture
def url(postgres_url: str) -> Iterator[str]:
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute("CREATE TABLE strays (note text)")
        install_guards()
        yield postgres_url
        uninstall_guards()
        admin.execute("DROP TABLE strays")


def rows(url: str) -> int:
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT count(*) FROM strays").fetchone()[0]  # type: ignore[index]


@contextmanager
def mirrored() -> Iterator[MirrorContext]:
    """A mirrored request, from its beginning to its end."""
    with entered(MirrorContext(Decision(Mode.DRY_RUN))) as context:
        yield context
        context.end()


def test_a_psycopg_connection_from_before_the_request_is_refused(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection, connection.cursor() as kept:
        with mirrored() as context:
            for run in (connection.execute, kept.execute, lambda sql: kept.executemany(sql, [(), ()])):
                with pytest.raises(EffectRefusedError, match="opened outside"):
                    run(INSERT)
            with pytest.raises(EffectRefusedError, match="opened outside"):
                connection.commit()
            assert {effect.outcome for effect in context.ledger} == {"blocked"}
        assert rows(url) == 0
        connection.execute(INSERT)
    assert rows(url) == 1


def test_a_psycopg2_connection_or_cursor_from_before_the_request_is_refused(url: str) -> None:
    connection = psycopg2.connect(url)
    kept = connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor)
    kept.execute(INSERT)  # a live request's, not committed yet
    with mirrored():
        with pytest.raises(EffectRefusedError, match="opened outside"):
            kept.execute(INSERT)
        with pytest.raises(EffectRefusedError, match="opened outside"):
            connection.cursor().execute(INSERT)
        with pytest.raises(EffectRefusedError, match="opened outside"):
            connection.commit()
    connection.commit()
    connection.close()
    assert rows(url) == 1


def test_live_psycopg2_connections_and_cursors_are_of_the_classes_that_were_asked_for(url: str) -> None:
    class Own(psycopg2.extensions.connection):
        pass

    connection = psycopg2.connect(url, connection_factory=Own, cursor_factory=psycopg2.extras.DictCursor)
    assert isinstance(connection, Own)
    assert isinstance(connection.cursor(), psycopg2.extras.DictCursor)
    assert isinstance(connection.cursor("named"), psycopg2.extras.DictCursor)
    assert isinstance(connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor),
                      psycopg2.extras.RealDictCursor)  # fmt: skip
    connection.close()


def test_an_asyncpg_connection_or_prepared_statement_from_before_the_request_is_refused(url: str) -> None:
    async def main() -> None:
        connection = await asyncpg.connect(url)
        prepared = await connection.prepare(INSERT)
        with mirrored():
            for run in (
                lambda: connection.execute(INSERT),
                lambda: connection.fetch(INSERT),
                lambda: connection.executemany("INSERT INTO strays VALUES ($1)", [("a",)]),
                lambda: connection.copy_records_to_table("strays", records=[("a",)]),
                prepared.fetch,
            ):
                with pytest.raises(EffectRefusedError, match="opened outside"):
                    await run()
        await connection.execute(INSERT)
        await connection.close()

    asyncio.run(main())
    assert rows(url) == 1


BEYOND = [
    "SELECT setval('strays_seq', 7)",
    "SELECT pg_stat_reset()",
    "SELECT pg_stat_reset_shared('bgwriter')",
    "SELECT pg_switch_wal()",
    "SELECT pg_create_restore_point('here')",
    "SELECT pg_reload_conf()",
    "SELECT pg_rotate_logfile()",
    "SELECT pg_log_backend_memory_contexts(pg_backend_pid())",
    "SELECT pg_logical_emit_message(false, 'a', 'b')",
    "SELECT pg_cancel_backend(0)",
    "SELECT pg_terminate_backend(0)",
    "SELECT pg_create_physical_replication_slot('stray')",
    "SELECT pg_drop_replication_slot('stray')",
    "SELECT pg_replication_origin_create('stray')",
    "SELECT pg_replication_origin_advance('stray', '0/1')",
    "SELECT pg_replication_origin_drop('stray')",
    "SELECT brin_summarize_new_values('strays_brin')",
    "SELECT lo_export(4711, '/dev/null')",
    "SELECT query_to_xml('SELECT setval(''strays_seq'', 7)', true, false, '')",
    "SELECT query_to_xml('SELECT set' || 'val(''strays_seq'', 7)', true, false, '')",
    "COPY strays TO PROGRAM 'cat > /dev/null'",
]


def test_what_no_rollback_takes_back_runs_live_and_is_refused_when_mirrored(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as live:
        live.execute(
            "CREATE SEQUENCE IF NOT EXISTS strays_seq; CREATE INDEX strays_brin ON strays USING brin (note)"
        )
        live.execute("SELECT lo_create(4711)")
        ran = [sql for sql in BEYOND if runs(live, sql)]
        live.execute("SELECT lo_unlink(4711)")
        live.execute("DROP SEQUENCE strays_seq")
    assert len(ran) >= len(BEYOND) - 2, set(BEYOND) - set(ran)  # a server may lack XML
    with mirrored() as context:
        for number, sql in enumerate(BEYOND):
            with psycopg.connect(url) as connection, pytest.raises(EffectRefusedError, match="may not run"):
                connection.execute(sql)  # type: ignore[call-overload]
            assert context.ledger.effects[number].outcome == "blocked"


def runs(connection: psycopg.Connection, sql: str) -> bool:
    try:
        connection.execute(sql)  # type: ignore[call-overload]
    except psycopg.errors.FeatureNotSupported:
        return False
    return True


def test_a_text_to_be_executed_that_is_a_parameter_is_refused(url: str) -> None:
    unread = pytest.raises(EffectRefusedError, match="cannot be read")
    with mirrored(), psycopg.connect(url) as connection, unread:
        connection.execute("SELECT query_to_xml(%s, true, false, '')", ("SELECT setval('a', 1)",))


def test_connections_with_equal_arguments_share_a_request_s_writes(url: str) -> None:
    with mirrored() as context:
        with psycopg.connect(url) as first:
            first.execute(INSERT)
        with psycopg.connect(url) as second:
            assert second.execute("SELECT count(*) FROM strays").fetchone() == (1,)
        context.end()
    assert rows(url) == 0


def test_a_shadow_process_s_pools_open_at_start_up_and_nothing_is_written(url: str) -> None:
    from psycopg_pool import ConnectionPool

    set_process_context(Settings.load(env={}, role="shadow"))
    with ConnectionPool(url, min_size=1, max_size=1) as pool:
        pool.wait(20)
        with pool.connection() as connection:
            connection.execute(INSERT)
    set_process_context(None)
    assert rows(url) == 0


def test_the_workers_of_a_pool_that_a_mirrored_request_opens_are_nobodys_and_serve_live_ones(
    url: str,
) -> None:
    from psycopg_pool import AsyncConnectionPool, ConnectionPool

    def configure(connection: Any) -> None:
        whose.append(current())
        connection.execute("SELECT 1")
        connection.commit()

    async def configure_async(connection: Any) -> None:
        whose.append(current())

    async def main() -> None:
        pool: Any = AsyncConnectionPool(url, min_size=0, max_size=2, open=False, configure=configure_async)
        with mirrored():
            await pool.open()
        async with pool, pool.connection(timeout=20) as connection:
            await connection.execute(INSERT)

    whose: list[Any] = []
    with mirrored():
        pool = ConnectionPool(url, min_size=0, max_size=2, open=True, configure=configure)
    with pool, pool.connection(timeout=20) as connection:
        connection.execute(INSERT)
    asyncio.run(main())
    assert whose == [None, None]
    assert rows(url) == 2


def test_an_asyncpg_pool_of_a_shadow_process_opens_at_start_up_and_nothing_is_written(url: str) -> None:
    async def main() -> None:
        async with asyncpg.create_pool(url, min_size=1, max_size=1) as pool:
            await pool.execute(INSERT)

    set_process_context(Settings.load(env={}, role="shadow"))
    asyncio.run(main())
    set_process_context(None)
    assert rows(url) == 0


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_a_live_write_through_sqlalchemy_stays_known(url: str, driver: str) -> None:
    engine = sa.create_engine(url.replace("postgresql:", f"postgresql+{driver}:"))
    with entered(MirrorContext(Decision(Mode.LIVE))) as live, engine.begin() as connection:
        connection.execute(sa.text(INSERT))
    assert not live.unobserved
    assert [effect.kind for effect in live.ledger] == ["sql.insert"]
    engine.dispose()


def test_a_live_write_through_sqlalchemy_and_asyncpg_stays_known(url: str) -> None:
    async def main() -> MirrorContext:
        engine = create_async_engine(url.replace("postgresql:", "postgresql+asyncpg:"))
        with entered(MirrorContext(Decision(Mode.LIVE))) as live:
            async with engine.begin() as connection:
                await connection.execute(sa.text(INSERT))
        await engine.dispose()
        return live

    assert not asyncio.run(main()).unobserved


def test_psycopg2_is_guarded_however_its_connect_was_imported(url: str) -> None:
    uninstall_guards()
    from psycopg2 import connect

    install_guards()
    with mirrored():
        connection = connect(url)
        connection.cursor().execute(INSERT)
        connection.commit()
    assert rows(url) == 0


@pytest.mark.parametrize(
    ("args", "kwargs", "url"),
    [
        (("postgresql://joe:secret@db:5432/shop?sslmode=require",), {}, "postgresql://db:5432/shop"),
        (("host=db port=5432 dbname='shop' password=x",), {}, "postgresql://db:5432/shop"),
        ((), {"host": "db", "dbname": "shop"}, "postgresql://db/shop"),
        ((), {"dsn": "postgres://db/shop", "database": "other"}, "postgresql://db/other"),
        (("postgresql:///shop?host=/run/pg",), {"port": 5433}, "postgresql:///run/pg:5433/shop"),
    ],
)
def test_a_driver_s_database_is_named_by_its_url(args: tuple[str], kwargs: dict[str, str], url: str) -> None:
    assert url_for("postgresql.psycopg", args, kwargs) == url


def test_a_django_file_is_named_by_its_url() -> None:
    assert url_for("sqlite.pysqlite", ({"database": "/data/shop.db"},), {}) == "sqlite:////data/shop.db"


@pytest.mark.parametrize("driver", [psycopg, psycopg2])
def test_a_database_that_may_only_be_read_refuses_a_driver_s_writes(url: str, driver: Any) -> None:
    settings = Settings.load({}, databases={"postgresql://*": "read_only"})
    with entered(MirrorContext(Decision(Mode.DRY_RUN), settings=settings)) as context:
        cursor = driver.connect(url).cursor()
        cursor.execute("SELECT 1")
        with pytest.raises(ReadOnlyError, match="may only read this database"):
            cursor.execute(INSERT)
        context.end()
    assert [effect.outcome for effect in context.ledger] == ["blocked"]


def test_rolled_back_at_commit_a_driver_s_writes_are_gone_after_it(url: str) -> None:
    settings = Settings.load({}, databases={"postgresql://*": "rollback_at_commit"})
    with entered(MirrorContext(Decision(Mode.DRY_RUN), settings=settings)) as context:
        with psycopg.connect(url) as connection:
            connection.execute(INSERT)
            connection.commit()
            assert connection.execute("SELECT count(*) FROM strays").fetchone() == (0,)
        context.end()
    assert [effect.outcome for effect in context.ledger] == ["suppressed"]


def test_a_shadow_process_that_writes_at_start_up_says_once_that_it_did_not(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("WARNING", "mirrorproof")
    outside._announced.clear()
    set_process_context(Settings.load(env={}, role="shadow"))
    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:") + "&application_name=once")
    table = sa.Table("made_at_start_up", sa.MetaData(), sa.Column("id", sa.Integer))
    for _ in range(2):
        table.metadata.create_all(engine)
    set_process_context(None)
    engine.dispose()
    said = [record.getMessage() for record in caplog.records if "outside requests" in record.getMessage()]
    assert len(said) == 1
    assert "CREATE TABLE made_at_start_up" in said[0]
    assert "MIRRORPROOF_OUTSIDE_REQUESTS" in said[0]
    assert "where no middleware tells requests" in said[0]
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT to_regclass('made_at_start_up')").fetchone() == (None,)


SETVAL = "SELECT setval('counted', 99)"


@pytest.fixture
def counted(url: str) -> Iterator[str]:
    """A database with a sequence, which no rollback sets back."""
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute("CREATE SEQUENCE counted")
        yield url
        assert admin.execute("SELECT last_value FROM counted").fetchone() == (1,)
        admin.execute("DROP SEQUENCE counted")


def _by_stream(url: str) -> Any:
    async def run() -> None:
        async with await psycopg.AsyncConnection.connect(url) as connection, connection.cursor() as cursor:
            [row async for row in cursor.stream(SETVAL)]

    return run()


def _by_copy(url: str) -> Any:
    async def run() -> None:
        async with (
            await psycopg.AsyncConnection.connect(url) as connection,
            connection.cursor() as cursor,
            cursor.copy(f"COPY ({SETVAL}) TO STDOUT") as copy,
        ):
            [row async for row in copy]

    return run()


def _by_cursor(url: str) -> Any:
    async def run() -> None:
        connection = await asyncpg.connect(url)
        async with connection.transaction():
            [row async for row in connection.cursor(SETVAL)]

    return run()


def _by_copy_from_query(url: str) -> Any:
    async def run() -> None:
        connection = await asyncpg.connect(url)
        await connection.copy_from_query(SETVAL, output=io.BytesIO())

    return run()


async def _by_callproc(url: str) -> None:
    psycopg2.connect(url).cursor().callproc("setval", ["counted", 99])


@pytest.mark.parametrize("run", [_by_stream, _by_copy, _by_cursor, _by_copy_from_query, _by_callproc])
def test_what_no_rollback_takes_back_is_refused_by_every_way_to_run_it(counted: str, run: Any) -> None:
    with mirrored() as context:
        with pytest.raises(EffectRefusedError):
            asyncio.run(run(counted))
        assert {effect.outcome for effect in context.ledger} <= {"blocked"}


def test_an_asyncpg_cursor_from_before_the_request_is_refused(url: str) -> None:
    async def main() -> None:
        connection = await asyncpg.connect(url)
        prepared = await connection.prepare(INSERT + " RETURNING note")
        async with connection.transaction():
            with mirrored():
                for make in (lambda: connection.cursor(INSERT + " RETURNING note"), prepared.cursor):
                    with pytest.raises(EffectRefusedError, match="opened outside"):
                        [row async for row in make()]
        await connection.close()

    asyncio.run(main())
    assert rows(url) == 0


def test_rows_one_by_one_of_what_writes_are_given_recorded_and_undone(url: str) -> None:
    returning = INSERT + ", ('y') RETURNING note"

    async def main() -> None:
        connection = await asyncpg.connect(url)
        async with connection.transaction():
            assert [row[0] async for row in connection.cursor(returning)] == ["x", "y"]
            held = await connection.cursor(returning)
            assert [row[0] for row in await held.fetch(5)] == ["x", "y"]
            prepared = await connection.prepare(returning)
            assert [row[0] async for row in prepared.cursor(prefetch=1)] == ["x", "y"]
            assert [row async for row in connection.cursor("SELECT 1 WHERE false")] == []
        assert await connection.fetchval("SELECT count(*) FROM strays") == 6
        await connection.close()
        async with await psycopg.AsyncConnection.connect(url) as other:
            async with other.cursor() as cursor:
                assert [row async for row in cursor.stream(query=returning)] == [("x",), ("y",)]
            await other.commit()

    with mirrored() as context:
        asyncio.run(main())
        assert [effect.kind for effect in context.ledger] == ["sql.insert"] * 4
    assert rows(url) == 0


def test_a_live_asyncpg_cursor_that_may_write_makes_the_effects_unknown(url: str) -> None:
    async def main(sql: str) -> None:
        connection = await asyncpg.connect(url)
        async with connection.transaction():
            [row async for row in connection.cursor(sql)]
        await connection.close()

    for sql, unknown in (("SELECT 1", False), (INSERT + " RETURNING note", True)):
        with entered(MirrorContext(Decision(Mode.LIVE))) as live:
            asyncio.run(main(sql))
        assert live.unobserved is unknown
    assert rows(url) == 1


def test_a_statement_may_be_passed_by_its_name(url: str) -> None:
    with mirrored() as context:
        with psycopg.connect(url) as connection:
            connection.execute(query=INSERT)
            connection.cursor().executemany(query="INSERT INTO strays VALUES (%s)", params_seq=[("a",)])
        cursor = psycopg2.connect(url).cursor()
        cursor.execute(query=INSERT)
        cursor.connection.commit()

        async def main() -> None:
            connection = await asyncpg.connect(url)
            await connection.execute(query=INSERT)
            await connection.executemany(command="INSERT INTO strays VALUES ($1)", args=[("a",)])

        asyncio.run(main())
        assert [effect.kind for effect in context.ledger] == ["sql.insert"] * 5
        with pytest.raises(TypeError):
            cursor.execute()
    assert rows(url) == 0


def _own_psycopg(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(INSERT)


def _own_psycopg_pool(url: str) -> None:
    with psycopg_pool.ConnectionPool(url, min_size=1, open=True) as pool, pool.connection() as connection:
        connection.execute(INSERT)


def _own_psycopg_async(url: str) -> None:
    async def main() -> None:
        async with await psycopg.AsyncConnection.connect(url) as connection:
            await connection.execute(INSERT)

    asyncio.run(main())


def _own_psycopg2(url: str) -> None:
    with psycopg2.connect(url) as connection:
        connection.cursor().execute(INSERT)


def _own_psycopg2_pool(url: str) -> None:
    pool = psycopg2.pool.SimpleConnectionPool(1, 1, url)
    connection = pool.getconn()
    connection.cursor().execute(INSERT)
    connection.commit()
    pool.putconn(connection)
    pool.closeall()


def _own_asyncpg(url: str) -> None:
    async def main() -> None:
        connection = await asyncpg.connect(url)
        await connection.execute(INSERT)
        await connection.close()

    asyncio.run(main())


def _own_asyncpg_pool(url: str) -> None:
    async def main() -> None:
        async with asyncpg.create_pool(url, min_size=1) as pool:
            await pool.execute(INSERT)

    asyncio.run(main())


@pytest.mark.parametrize("mode", [Mode.DRY_RUN, Mode.READ_ONLY])
@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("write", [
    _own_psycopg, _own_psycopg_pool, _own_psycopg_async, _own_psycopg2, _own_psycopg2_pool, _own_asyncpg,
    _own_asyncpg_pool,
])  # fmt: skip
def test_a_database_of_v2s_own_is_written_by_its_driver_and_no_other_is(
    url: str, write: Any, own: bool, mode: Mode
) -> None:
    pattern = url_for("postgresql.psycopg", (url,), {}) if own else "postgresql://elsewhere/*"
    settings = Settings.load({}, databases={pattern: "off"})
    with entered(MirrorContext(Decision(mode), settings=settings)) as context:
        with suppress(*(() if own else (ReadOnlyError,))):
            write(url)
        context.end()
    assert rows(url) == int(own)
    assert bool(context.ledger.effects) is not own


def test_a_connection_from_before_the_request_may_be_used_on_a_database_of_v2s_own(url: str) -> None:
    settings = Settings.load({}, databases={url_for("postgresql.psycopg", (url,), {}): "off"})
    first, second = psycopg.connect(url, autocommit=True), psycopg2.connect(url)
    with entered(MirrorContext(Decision(Mode.DRY_RUN), settings=settings)):
        first.execute(INSERT)
        second.cursor().execute(INSERT)
        second.commit()
    first.close()
    second.close()
    assert rows(url) == 2


@pytest.mark.parametrize(("args", "kwargs"), [
    (("host=own dbname=shop hostaddr=10.0.0.7",), {}), (("service=prod",), {"host": "own"}),
    (("postgresql://own/shop?hostaddr=10.0.0.7",), {}), ((), {"host": "own", "hostaddr": "10.0.0.7"}),
    (({"host": "own", "service": "prod"},), {}),
])  # fmt: skip
def test_what_may_lead_to_another_server_is_no_database_of_v2s_own(args: Any, kwargs: Any) -> None:
    settings = Settings.load({}, databases={"*": "off"})
    context = MirrorContext(Decision(Mode.DRY_RUN), settings=settings)
    assert not connects_to_own(context, "postgresql.psycopg", args, kwargs)
    assert connects_to_own(context, "postgresql.psycopg", (), {"host": "own", "dbname": "shop"})


def test_a_psycopg_block_commits_at_its_end_and_leaves_the_next_one_what_it_wrote(url: str) -> None:
    async def main() -> None:
        async with await psycopg.AsyncConnection.connect(url) as connection:
            await connection.execute(INSERT)
        with suppress(ZeroDivisionError):
            async with await psycopg.AsyncConnection.connect(url) as connection:
                await connection.execute(INSERT)
                raise ZeroDivisionError
        async with await psycopg.AsyncConnection.connect(url) as connection:
            counted = await (await connection.execute("SELECT count(*) FROM strays")).fetchone()
            assert counted == (1,)

    with mirrored() as context:
        asyncio.run(main())
        assert [effect.outcome for effect in context.ledger] == ["suppressed"]
    assert rows(url) == 0


def test_what_an_event_loop_that_is_closed_left_open_ends_with_the_request(url: str, wait_until: Any) -> None:
    async def main() -> None:
        kept.append(await asyncpg.connect(url))

    def idle() -> int:
        with detached(), psycopg.connect(url, autocommit=True) as look:
            count = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"
            row = look.execute(count).fetchone()
            return int(row[0]) if row else 0

    kept: list[Any] = []
    with mirrored() as context:
        asyncio.run(main())
        assert idle() == 1
        context.end()
        wait_until(lambda: idle() == 0)


def test_outside_of_requests_the_end_of_a_with_block_closes_the_connection_and_lets_its_locks_go(
    counted: str,
) -> None:
    set_process_context(Settings.load({}, role="shadow"))
    with psycopg.connect(counted) as connection:
        connection.execute(INSERT)
    set_process_context(None)
    with psycopg.connect(counted, autocommit=True) as look:
        idle = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"
        assert look.execute(idle).fetchone() == (0,)
    assert rows(counted) == 0


def test_what_is_refused_outside_of_requests_says_how_to_let_it_happen(counted: str) -> None:
    remedy = r"outside of requests.*MIRRORPROOF_OUTSIDE_REQUESTS=sql\.\*"
    kept = psycopg.connect(counted)
    set_process_context(Settings.load({}, role="shadow"))
    with psycopg.connect(counted) as connection, pytest.raises(EffectRefusedError, match=remedy):
        connection.execute(SETVAL)
    with pytest.raises(EffectRefusedError, match=remedy):
        kept.execute(INSERT)
    set_process_context(Settings.load({}, role="shadow", databases={"*": "read_only"}))
    with psycopg.connect(counted) as connection, pytest.raises(ReadOnlyError, match=remedy):
        connection.execute(INSERT)
    set_process_context(None)
    kept.close()


def test_psycopg2_s_own_helpers_take_a_mirrored_request_s_connection(url: str) -> None:
    with mirrored():
        connection = psycopg2.connect(url)
        cursor = connection.cursor()
        psycopg2.extras.register_default_jsonb(connection, loads=str)
        psycopg2.extras.register_uuid(conn_or_curs=cursor)
        psycopg2.extensions.register_type(psycopg2.extensions.UNICODE, connection)
        assert psycopg2.extensions.quote_ident("a b", connection) == '"a b"'
        assert psycopg2.sql.Identifier("a b").as_string(connection) == '"a b"'
        cursor.execute("""SELECT '{"a": 1}'::jsonb""")
        assert cursor.fetchone() == ('{"a": 1}',)
        connection.close()


# -- what a mirrored request's code sees is what the driver would show it


def test_a_mirrored_request_s_connections_may_make_mappings_and_objects_of_their_rows(url: str) -> None:
    class Note:
        def __init__(self, note: str) -> None:
            self.note = note

    with mirrored() as context:
        with psycopg.connect(url, row_factory=dict_row) as one:
            assert one.execute(INSERT + " RETURNING note").fetchone() == {"note": "x"}
        with psycopg.connect(url, row_factory=class_row(Note)) as other:
            assert other.execute("SELECT 'y' AS note").fetchone().note == "y"  # type: ignore[union-attr]
        assert [effect.kind for effect in context.ledger] == ["sql.insert"]
    assert rows(url) == 0


async def test_a_mirrored_request_s_rows_can_be_iterated_over(url: str) -> None:
    with mirrored():
        async with await psycopg.AsyncConnection.connect(url, row_factory=dict_row) as connection:
            found = await connection.execute("SELECT 1 AS a UNION SELECT 2 ORDER BY a")
            assert [row async for row in found] == [{"a": 1}, {"a": 2}]
            async with connection.cursor("named") as cursor:
                await cursor.execute("SELECT 3 AS a")
                assert [row async for row in cursor] == [{"a": 3}]


async def test_what_an_asynchronous_driver_s_methods_return_are_coroutines(url: str) -> None:
    with mirrored() as context:
        connection = await asyncpg.connect(url)
        async with asyncio.TaskGroup() as group:
            group.create_task(connection.execute(INSERT))
        assert not connection.is_in_transaction()
        async with connection.transaction():
            assert connection.is_in_transaction()
        await connection.close()
        assert connection.is_closed()
        assert [effect.kind for effect in context.ledger] == ["sql.insert"]
    assert rows(url) == 0


def test_a_mirrored_request_s_psycopg_blocks_may_be_rolled_back_on_purpose(url: str) -> None:
    with mirrored() as context:
        with psycopg.connect(url, autocommit=True) as connection:
            with connection.transaction(force_rollback=True):
                connection.execute(INSERT)
            with connection.transaction() as outer:
                connection.execute(INSERT)
                with connection.transaction():
                    raise psycopg.Rollback
                with connection.transaction():
                    raise psycopg.Rollback(outer)
            assert connection.execute("SELECT count(*) FROM strays").fetchone() == (0,)
        assert connection.closed
        assert not list(context.ledger)


async def test_a_mirrored_request_s_asynchronous_blocks_may_be_rolled_back_on_purpose(url: str) -> None:
    with mirrored() as context:
        async with await psycopg.AsyncConnection.connect(url) as connection:
            await connection.set_autocommit(True)
            async with connection.transaction(force_rollback=True):
                await connection.execute(INSERT)
            async with connection.transaction():
                await connection.execute(INSERT)
                raise psycopg.Rollback
            assert not list(context.ledger)
            await connection.execute(INSERT)
            assert connection.autocommit
        assert connection.closed
        assert [effect.kind for effect in context.ledger] == ["sql.insert"]


async def test_a_pool_of_psycopg_s_configures_a_mirrored_request_s_connections_too(url: str) -> None:
    def configure(connection: Any) -> None:
        connection.autocommit = True
        connection.execute("SET work_mem = '9MB'")

    async def configure_async(connection: Any) -> None:
        await connection.set_autocommit(True)
        await connection.execute("SET work_mem = '8MB'")

    pool = psycopg_pool.ConnectionPool(url, min_size=1, configure=configure, open=True)
    with mirrored() as context, pool.connection() as connection:
        connection.execute(INSERT)
        assert connection.execute("SHOW work_mem").fetchone() == ("9MB",)
        assert [effect.kind for effect in context.ledger] == ["sql.insert"]
    pool.close()
    async with psycopg_pool.AsyncConnectionPool(url, min_size=1, configure=configure_async) as other:
        with mirrored():
            async with other.connection() as asynchronous:
                assert asynchronous.autocommit
                assert await (await asynchronous.execute("SHOW work_mem")).fetchone() == ("8MB",)


def test_psycopg2_s_own_functions_take_a_mirrored_request_s_connection(url: str) -> None:
    with mirrored() as context:
        connection = psycopg2.connect(url)
        named = psycopg2.sql.SQL("INSERT INTO {} VALUES %s").format(psycopg2.sql.Identifier("strays"))
        assert named.as_string(connection) == 'INSERT INTO "strays" VALUES %s'
        assert psycopg2.sql.Literal("it's").as_string(connection) == "'it''s'"
        assert psycopg2.extensions.quote_ident("a b", connection) == '"a b"'
        psycopg2.extras.register_default_json(connection, loads=lambda text: ["read", text])
        psycopg2.extras.register_uuid(conn_or_curs=connection)
        with connection.cursor() as cursor:
            psycopg2.extras.execute_values(cursor, named, [("x",), ("y",)])
            cursor.execute("SELECT '{}'::json")
            assert cursor.fetchone() == (["read", "{}"],)
        connection.rollback()
        connection.set_session(autocommit=True)
        connection.cursor().execute(INSERT)
        connection.rollback()
        connection.close()
        assert connection.closed == 1
        assert [effect.kind for effect in context.ledger] == ["sql.insert"]
    assert rows(url) == 0
