"""The SQLAlchemy guard beyond single writes: modes, ends, what is refused, what is recorded."""

from __future__ import annotations

import asyncio
import contextvars
import sqlite3
import threading
from datetime import UTC, datetime
from decimal import Decimal
from uuid import uuid4

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.pool import NullPool, StaticPool

from mirrorproof import install_guards
from mirrorproof.context import MirrorContext, entered, own_traffic, set_process_context
from mirrorproof.decision import Decision, Mode, Role
from mirrorproof.errors import EffectRefusedError, LateEffectError, ReadOnlyError
from mirrorproof.guards.sqlalchemy import SQLAlchemyGuard
from mirrorproof.settings import Settings

NOW = datetime(2030, 1, 1, tzinfo=UTC)
metadata = sa.MetaData()
orders = sa.Table(
    "orders", metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("note", sa.String(50)),
    sa.Column("total", sa.Numeric(10, 2)),
    sa.Column("placed", sa.DateTime(timezone=True)),
    sa.Column("reference", sa.String(40), default=lambda: str(object())),
    sa.Column("api_token", sa.String(40)),
)  # fmt: skip
lines = sa.Table(
    "lines", metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("order_id", sa.ForeignKey("orders.id")),
    sa.Column("item", sa.String(20)),
)  # fmt: skip


@pytest.fixture(autouse=True)
def guard():
    made = SQLAlchemyGuard(now=lambda: NOW)
    made.install()
    yield made
    made.uninstall()


@pytest.fixture
def file(tmp_path):
    made = tmp_path / "shop.db"
    setup = sa.create_engine(f"sqlite:///{made}")
    metadata.create_all(setup)
    setup.dispose()
    return made


@pytest.fixture
def engine(file):
    made = sa.create_engine(f"sqlite:///{file}")
    yield made
    made.dispose()


@pytest.fixture
def postgres(postgres_url):
    url = postgres_url.replace("postgresql:", "postgresql+psycopg:")
    made = sa.create_engine(url)
    metadata.drop_all(made)
    metadata.create_all(made)
    yield made
    made.dispose()


def context_in(mode=Mode.DRY_RUN, **settings):
    return MirrorContext(Decision(mode), settings=Settings(**settings))


def insert(engine, **values):
    with engine.begin() as connection:
        connection.execute(orders.insert().values(**values or {"note": "x"}))


def count(engine):
    with engine.connect() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(orders))


def mirrored(engine, work, mode=Mode.DRY_RUN):
    context = context_in(mode)
    with entered(context):
        work(engine)
    context.end()
    return context


# -- modes


def test_observe_mode_writes_and_records():
    engine = sa.create_engine("sqlite://", poolclass=StaticPool)
    metadata.create_all(engine)
    context = mirrored(engine, insert, Mode.OBSERVE)
    assert count(engine) == 1
    assert [(e.kind, e.outcome) for e in context.ledger] == [("sql.insert", "executed")]


@pytest.mark.parametrize(
    "write",
    [
        lambda c: c.execute(orders.insert().values(note="x")),
        lambda c: c.execute(orders.update().values(note="x")),
        lambda c: c.execute(orders.delete()),
        lambda c: c.execute(sa.text("INSERT INTO orders (note) VALUES ('x')")),
        lambda c: c.exec_driver_sql("DELETE FROM orders"),
        metadata.drop_all,
        lambda c: c.connection.cursor().execute("DELETE FROM orders"),
        lambda c: c.connection.cursor().executemany("DELETE FROM orders WHERE id = ?", [(1,)]),
    ],
)
def test_read_only_refuses_each_write_by_name_and_reads_go_on(engine, write):
    context = context_in(Mode.READ_ONLY)
    with entered(context), engine.connect() as connection:
        with pytest.raises(ReadOnlyError, match=r"orders|lines"):
            write(connection)
        assert connection.scalar(sa.select(sa.func.count()).select_from(orders)) == 0
    context.end()
    assert [effect.outcome for effect in context.ledger] == ["blocked"]


def test_read_only_is_kept_by_the_server_where_a_select_writes(postgres):
    with postgres.begin() as connection:
        connection.execute(sa.text(
            "CREATE OR REPLACE FUNCTION sneak() RETURNS int LANGUAGE sql AS "
            "$$ INSERT INTO orders (note) VALUES ('x') RETURNING id $$"))  # fmt: skip
    context = context_in(Mode.READ_ONLY)
    with entered(context), postgres.connect() as connection, pytest.raises(sa.exc.InternalError):
        connection.execute(sa.text("SELECT sneak()"))
    context.end()
    assert count(postgres) == 0


# -- ends


def test_after_the_response_new_checkouts_are_refused(engine):
    context = context_in()
    with entered(context):
        insert(engine)
        context.end()
        with pytest.raises(LateEffectError):
            engine.connect()
    assert [effect.outcome for effect in context.ledger] == ["suppressed", "blocked"]
    assert context.counters["effects_late"] == 1


def test_after_the_response_statements_on_an_open_connection_are_refused(engine):
    context = context_in()
    with entered(context):
        connection = engine.connect()
        connection.execute(orders.insert().values(note="x"))
        context.end()
        with pytest.raises(LateEffectError):
            connection.execute(orders.insert().values(note="x"))
        with pytest.raises(LateEffectError):
            connection.commit()
        connection.close()
    assert count(engine) == 0


def test_a_request_may_end_while_a_statement_runs_in_a_thread(engine):
    context, inside, go_on = context_in(), threading.Event(), threading.Event()
    errors = []

    def hold() -> int:
        inside.set()
        go_on.wait(10)
        return 1

    def work():
        try:
            with engine.connect() as connection:
                connection.connection.driver_connection.create_function("hold", 0, hold)
                connection.execute(sa.text("SELECT hold()"))
        except Exception as error:
            errors.append(error)

    with entered(context):
        worker = threading.Thread(target=contextvars.copy_context().run, args=(work,))
        worker.start()
        inside.wait(10)
        context.end()
        go_on.set()
        worker.join(10)
    assert len(errors) == 1
    insert(engine)
    assert count(engine) == 1


def test_a_lease_that_the_server_ended_is_yielded(postgres, postgres_url):
    context = context_in()
    with entered(context):
        insert(postgres)
        with postgres.connect() as connection:
            backend = connection.scalar(sa.text("SELECT pg_backend_pid()"))
            with psycopg.connect(postgres_url, autocommit=True) as watch:
                watch.execute("SELECT pg_terminate_backend(%s, 5000)", [backend])
            with pytest.raises(EffectRefusedError):
                connection.execute(orders.insert().values(note="x"))
            with pytest.raises(EffectRefusedError):
                connection.execute(orders.insert().values(note="x"))
        with pytest.raises(EffectRefusedError), postgres.connect() as connection:
            connection.execute(sa.select(orders))
    context.end()
    assert context.yielded
    assert {effect.outcome for effect in context.ledger} == {"yielded"}


def test_a_lock_that_v1_holds_makes_the_request_yield(postgres):
    insert(postgres, id=1, note="shared")
    with postgres.begin() as v1:
        v1.execute(orders.update().values(note="v1"))
        context = context_in()
        lock_timeout = pytest.raises(sa.exc.OperationalError, match="lock timeout")
        with entered(context), lock_timeout, postgres.begin() as v2:
            v2.execute(orders.update().values(note="v2"))
        context.end()
    assert context.yielded


def test_a_request_with_several_checkouts_has_one_connection(postgres):
    context = context_in()
    with entered(context), postgres.connect() as one, postgres.connect() as two:
        assert len({c.scalar(sa.text("SELECT pg_backend_pid()")) for c in (one, two)}) == 1
    context.end()


def test_nothing_of_a_lease_returns_to_the_shared_pool(postgres):
    insert(postgres)
    before = postgres.pool.status()
    mirrored(postgres, insert)
    assert postgres.pool.status() == before


# -- what gets no lease


def test_other_databases_are_refused_by_name():
    engine = sa.create_engine("sqlite://")
    engine.dialect.name, engine.dialect.driver = "oracle", "oracledb"
    with entered(context_in()), pytest.raises(EffectRefusedError, match=r"oracle\+oracledb"):
        engine.connect()


def test_a_creator_that_returns_a_shared_connection_is_refused(file):
    shared = sqlite3.connect(file, check_same_thread=False)
    engine = sa.create_engine("sqlite://", creator=lambda: shared, poolclass=NullPool)
    with entered(context_in()), pytest.raises(EffectRefusedError, match="creator"):
        engine.connect()
    assert shared.execute("SELECT count(*) FROM orders").fetchone() == (0,)
    shared.close()


def test_a_creator_that_takes_from_a_pool_of_its_own_is_refused_once_tried(file):
    class Pooled(sqlite3.Connection):
        def close(self):
            """Back to the pool, as psycopg_pool does with `close_returns`."""

    taken = []

    def take():
        taken.append(sqlite3.connect(file, factory=Pooled, check_same_thread=False))
        return taken[-1]

    pooled = sa.create_engine("sqlite://", creator=take, poolclass=NullPool)
    for _ in range(3):
        with entered(context_in()), pytest.raises(EffectRefusedError, match="a pool of its own"):
            pooled.connect()
    assert len(taken) == 2


def test_a_creator_that_makes_new_connections_is_fine(file):
    engine = sa.create_engine("sqlite://", creator=lambda: sqlite3.connect(file), poolclass=NullPool)
    context = mirrored(engine, insert)
    assert len(context.ledger) == 1
    assert count(engine) == 0


def test_without_the_right_to_make_the_fuse_there_is_no_connection(postgres, postgres_url):
    with postgres.begin() as connection:
        connection.execute(sa.text("DROP ROLE IF EXISTS humble"))
        connection.execute(sa.text("CREATE ROLE humble LOGIN"))
        connection.execute(sa.text("REVOKE TEMPORARY ON DATABASE postgres FROM PUBLIC"))
    engine = sa.create_engine(postgres_url.replace("postgresql://postgres@", "postgresql+psycopg://humble@"))
    try:
        with entered(context_in()), pytest.raises(EffectRefusedError, match="permission denied"):
            engine.connect()
    finally:
        engine.dispose()
        with postgres.begin() as connection:
            connection.execute(sa.text("GRANT TEMPORARY ON DATABASE postgres TO PUBLIC"))


def test_a_connection_from_outside_the_request_is_refused(engine):
    with engine.connect() as connection:
        context = context_in()
        with entered(context), pytest.raises(EffectRefusedError, match="outside"):
            connection.execute(orders.insert().values(note="x"))
        connection.rollback()
    assert [effect.outcome for effect in context.ledger] == ["blocked"]
    assert count(engine) == 0


def test_what_no_rollback_takes_back_is_refused(postgres):
    context = context_in()
    refused = pytest.raises(EffectRefusedError, match="setval")
    with entered(context), postgres.connect() as connection, refused:
        connection.execute(sa.select(sa.func.setval("orders_id_seq", 100)))
    context.end()
    assert [effect.outcome for effect in context.ledger] == ["blocked"]


def test_listeners_of_the_pool_are_told_as_ever(file):
    engine = sa.create_engine(f"sqlite:///{file}")
    heard = []

    def connected(connection, _):
        heard.append("connect")
        connection.execute("PRAGMA foreign_keys = ON")

    sa.event.listen(engine, "connect", connected)
    sa.event.listen(engine, "checkout", lambda c, *_: (heard.append("checkout"), c.execute("SELECT 1")))
    sa.event.listen(engine, "checkin", lambda *_: heard.append("checkin"))

    def violate(engine):
        with pytest.raises(sa.exc.IntegrityError), engine.begin() as connection:
            connection.execute(lines.insert().values(order_id=99))

    mirrored(engine, violate)
    assert heard == ["connect", "checkout", "checkin"]


@pytest.mark.parametrize("driver", ["psycopg", "sqlite"])
def test_a_listener_that_writes_while_connecting_gets_no_further(postgres, postgres_url, file, driver):
    urls = {
        "sqlite": f"sqlite:///{file}",
        "psycopg": postgres_url.replace("postgresql:", "postgresql+psycopg:"),
    }
    engine = sa.create_engine(urls[driver])

    def write(connection, _):
        connection.cursor().execute("INSERT INTO orders (note) VALUES ('connected')")
        connection.commit()

    sa.event.listen(engine, "connect", write)
    with entered(context_in()), pytest.raises(EffectRefusedError, match=r"read-only|not authorized"):
        engine.connect()
    engine.dispose()
    sa.event.remove(engine, "connect", write)
    assert count(engine) == 0


def test_what_a_listener_sets_for_the_session_stays(postgres_url):
    engine = sa.create_engine(postgres_url.replace("postgresql:", "postgresql+psycopg:"))
    sa.event.listen(engine, "connect", lambda c, _: c.cursor().execute("SET application_name = 'shop'"))
    with entered(context_in()) as context, engine.connect() as connection:
        assert connection.scalar(sa.text("SHOW application_name")) == "shop"
        connection.rollback()
        assert connection.scalar(sa.text("SHOW application_name")) == "shop"
    context.end()


def test_between_its_transactions_a_request_sees_what_others_committed_and_can_still_write(file):
    engine = sa.create_engine(f"sqlite:///{file}")
    with engine.connect() as connection:
        connection.execute(sa.text("PRAGMA journal_mode = WAL"))
    with sqlite3.connect(file) as v1:
        context = context_in()
        with entered(context):
            assert count(engine) == 0
            v1.execute("INSERT INTO orders (note) VALUES ('v1')")
            v1.commit()
            assert count(engine) == 1
            v1.execute("INSERT INTO orders (note) VALUES ('v1')")
            v1.commit()
            insert(engine)
            assert count(engine) == 3
        context.end()
        assert v1.execute("SELECT count(*) FROM orders").fetchone() == (2,)
    v1.close()


# -- databases in memory


@pytest.mark.parametrize("options", [{}, {"poolclass": StaticPool}])
def test_a_database_in_memory_is_copied_for_the_request(options):
    engine = sa.create_engine("sqlite://", **options)
    metadata.create_all(engine)
    insert(engine)

    def work(engine):
        assert count(engine) == 1
        insert(engine)
        assert count(engine) == 2

    mirrored(engine, work)
    assert count(engine) == 1


async def test_a_database_in_memory_is_copied_for_the_request_under_asyncio():
    engine = create_async_engine("sqlite+aiosqlite://")
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
        await connection.execute(orders.insert().values(note="x"))
    context = context_in()
    with entered(context):
        async with engine.begin() as connection:
            await connection.execute(orders.insert().values(note="y"))
        async with engine.connect() as connection:
            assert len((await connection.execute(sa.select(orders))).all()) == 2
    context.end()
    async with engine.connect() as connection:
        assert len((await connection.execute(sa.select(orders))).all()) == 1
    await engine.dispose()


def test_a_shared_cache_in_memory_gets_a_lease_like_a_file():
    url = "sqlite:///file:shared-for-test?mode=memory&cache=shared&uri=true"
    engine = sa.create_engine(url, poolclass=StaticPool)
    metadata.create_all(engine)
    mirrored(engine, insert)
    assert count(engine) == 0


# -- a shadow outside requests


@pytest.fixture
def shadow():
    set_process_context(Settings(role=Role.SHADOW))
    yield
    set_process_context(None)


def test_a_shadow_outside_requests_leaves_nothing_from_one_checkout_to_the_next(engine, shadow):
    insert(engine)
    assert count(engine) == 0


def test_a_shadow_outside_requests_may_be_allowed_to_write(engine):
    set_process_context(Settings(role=Role.SHADOW, outside_requests=("sql.*",)))
    try:
        insert(engine)
        assert count(engine) == 1
    finally:
        set_process_context(None)


def test_mirrorproofs_own_traffic_is_never_guarded(engine, shadow):
    with own_traffic():
        insert(engine)
        assert count(engine) == 1


# -- what is recorded


def test_equal_effects_of_v1_and_v2_have_equal_digests(engine):
    def work(engine):
        with orm.Session(engine) as session:
            made = session.execute(
                orders.insert().values(note="n", total=Decimal("10.01"), placed=NOW, api_token="t")
            ).inserted_primary_key[0]
            session.execute(lines.insert(), [{"order_id": made, "item": item} for item in "ab"])
            session.execute(orders.update().where(orders.c.id == made).values(note="m"))
            session.commit()

    insert(engine)  # so that the two runs get different keys
    live = context_in(Mode.LIVE)
    with entered(live):
        work(engine)
    dry = mirrored(engine, work)
    assert [(e.kind, e.digest) for e in live.ledger] == [(e.kind, e.digest) for e in dry.ledger]
    assert [e.summary for e in dry.ledger][1:3] == [
        "INSERT lines (order_id=3, item='a') (2 rows)",
        "INSERT lines (order_id=3, item='b') (2 rows)",
    ]
    assert "api_token=[redacted]" in live.ledger.effects[0].summary
    assert "total=10.01" in live.ledger.effects[0].summary


def test_a_new_rows_random_key_is_no_difference(engine):
    documents = sa.Table("documents", sa.MetaData(), sa.Column("id", sa.String(36), primary_key=True),
                         sa.Column("owner", sa.String(36)))  # fmt: skip
    documents.create(engine)

    def digest(**values):
        def work(engine):
            with engine.begin() as connection:
                connection.execute(documents.insert().values(**values))

        return mirrored(engine, work).ledger.effects[0].digest

    owner = str(uuid4())
    assert digest(id=str(uuid4()), owner=owner) == digest(id=str(uuid4()), owner=owner)
    assert digest(id="a", owner=owner) != digest(id="b", owner=owner)
    assert digest(id="a", owner=owner) != digest(id="a", owner=str(uuid4()))


def test_different_effects_have_different_digests(engine):
    def digest(**values):
        return mirrored(engine, lambda engine: insert(engine, **values)).ledger.effects[0].digest

    assert digest(note="a") == digest(note="a")
    assert digest(note="a") != digest(note="b")
    assert digest(note="a", total=Decimal(1)) != digest(note="a", total=Decimal(2))


def test_literals_in_a_text_do_not_reach_the_summary(engine):
    def work(engine):
        with engine.begin() as connection:
            connection.execute(sa.text("INSERT INTO orders (api_token) VALUES ('very secret')"))

    assert "secret" not in mirrored(engine, work).ledger.effects[0].summary


@pytest.mark.parametrize("mode", [Mode.LIVE, Mode.DRY_RUN])
def test_only_what_was_committed_is_reported(engine, mode):
    def work(engine):
        with engine.connect() as connection:
            connection.execute(orders.insert().values(note="rolled back"))
            connection.rollback()
            connection.execute(orders.insert().values(note="kept"))
            with connection.begin_nested() as inner:
                connection.execute(orders.insert().values(note="undone"))
                inner.rollback()
            with pytest.raises(sa.exc.IntegrityError):
                connection.execute(orders.insert().values(id=1, note="failed"))
            connection.commit()
            connection.execute(orders.insert().values(note="never committed"))

    insert(engine, id=1, note="there")
    context = mirrored(engine, work, mode)
    summaries = [effect.summary.partition(", reference")[0] for effect in context.ledger]
    assert summaries == ["INSERT orders (note='kept'"]


def test_live_autocommit_is_reported_at_once(engine):
    context = context_in(Mode.LIVE)
    with entered(context), engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(orders.insert().values(note="x"))
        assert len(context.ledger) == 1


def test_a_live_commit_by_text_is_reported(engine):
    context = context_in(Mode.LIVE)
    with entered(context), engine.connect() as connection:
        connection.execute(orders.insert().values(note="x"))
        connection.execute(sa.text("COMMIT"))
    assert len(context.ledger) == 1


def test_an_error_in_observing_never_reaches_a_live_request(engine, monkeypatch):
    monkeypatch.setattr("mirrorproof.guards.sql.effects.digest_of", lambda *_: 1 / 0)
    context = context_in(Mode.LIVE)
    with entered(context):
        insert(engine)
    assert count(engine) == 1
    assert context.counters["observer_errors"] == 1


def test_an_error_in_recording_never_lets_a_mirrored_write_out(engine, monkeypatch):
    monkeypatch.setattr("mirrorproof.guards.sql.effects.digest_of", lambda *_: 1 / 0)
    mirrored(engine, insert)
    assert count(engine) == 0


def test_observing_can_be_switched_off(engine):
    context = context_in(Mode.LIVE, observe_effects=False)
    with entered(context):
        insert(engine)
    assert len(context.ledger) == 0
    assert count(engine) == 1


def test_uninstalled_it_is_gone(engine, guard):
    guard.uninstall()
    try:
        context = mirrored(engine, insert)
        assert len(context.ledger) == 0
        assert count(engine) == 1
    finally:
        guard.install()


async def test_gathered_requests_do_not_see_each_other(postgres_url, postgres):
    engine = create_async_engine(postgres_url.replace("postgresql:", "postgresql+asyncpg:"))

    async def request(mode):
        context = context_in(mode)
        with entered(context):
            async with engine.begin() as connection:
                await connection.execute(orders.insert().values(note=mode.value))
                await asyncio.sleep(0)
                seen = (await connection.scalars(sa.select(orders.c.note))).all()
        context.end()
        return seen

    seen = await asyncio.gather(*(request(mode) for mode in [Mode.DRY_RUN, Mode.LIVE] * 4))
    assert all(notes.count("dry_run") == 1 for notes in seen[::2])
    assert all("dry_run" not in notes for notes in seen[1::2])
    await engine.dispose()
    assert count(postgres) == 4


# -- PostgreSQL: one session's error is not another's, though a dry run has one connection only


def test_a_statement_that_failed_leaves_a_mirrored_request_s_other_session_alone(postgres):
    context = context_in()
    with entered(context), orm.Session(postgres) as one, orm.Session(postgres) as other:
        one.execute(orders.insert(), {"id": 1, "note": "kept"})
        savepoint = one.begin_nested()
        with pytest.raises(sa.exc.DataError):
            one.execute(sa.text("SELECT 1/0"))
        other.execute(orders.insert(), {"id": 2, "note": "other"})
        for again in ("SELECT 1", "SAVEPOINT mine"):
            with pytest.raises(sa.exc.InternalError, match="current transaction is aborted"):
                one.execute(sa.text(again))
        other.commit()
        savepoint.rollback()
        one.commit()
        assert "kept" in one.scalars(sa.select(orders.c.note)).all()
    context.end()
    assert [effect.summary[:22] for effect in context.ledger] == [
        "INSERT orders (id=2, n",
        "INSERT orders (id=1, n",
    ]
    with postgres.connect() as connection:
        assert connection.execute(orders.select()).all() == []


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
async def test_of_sessions_side_by_side_in_a_mirrored_request_only_those_fail_that_have_to(
    postgres, postgres_url, driver
):
    with postgres.begin() as connection:
        connection.execute(orders.insert(), [{"id": 1}, {"id": 2}])
    engine = create_async_engine(postgres_url.replace("postgresql:", f"postgresql+{driver}:"))

    async def insert(key):
        async with AsyncSession(engine) as session:
            await session.execute(orders.insert(), {"id": key})
            await session.commit()

    context = context_in()
    with entered(context):
        found = await asyncio.gather(*map(insert, (1, 10, 2, 20)), return_exceptions=True)
        assert [type(each) for each in found] == [
            sa.exc.IntegrityError, type(None), sa.exc.IntegrityError, type(None),
        ]  # fmt: skip
        async with engine.connect() as connection:
            keys = await connection.scalars(sa.select(orders.c.id).order_by(orders.c.id))
            assert keys.all() == [1, 2, 10, 20]
    context.end()
    await asyncio.sleep(0)
    await engine.dispose()
    assert [effect.outcome for effect in context.ledger] == ["suppressed", "suppressed"]


# -- what a live request's ledger says has happened


def live_ledger(use):
    context = context_in(Mode.LIVE)
    with entered(context):
        use()
    context.end()
    return [effect.summary[:22] for effect in context.ledger]


def test_what_a_live_commit_refused_is_not_recorded(postgres):
    with postgres.begin() as connection:
        connection.execute(sa.text("ALTER TABLE orders ADD UNIQUE (note) DEFERRABLE INITIALLY DEFERRED"))

    def use():
        with orm.Session(postgres) as session:
            session.execute(orders.insert(), [{"id": 1, "note": "same"}, {"id": 2, "note": "same"}])
            with pytest.raises(sa.exc.IntegrityError):
                session.commit()
            session.rollback()
            session.execute(orders.insert(), {"id": 3})
            session.commit()

    assert live_ledger(use) == ["INSERT orders (id=3, r"]


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg", "psycopg2"])
async def test_what_postgres_rolled_back_at_a_live_commit_is_not_recorded(postgres, postgres_url, driver):
    def use(connection):
        connection.execute(orders.insert(), {"id": 1})
        with pytest.raises(sa.exc.DBAPIError):
            connection.execute(sa.text("SELECT 1/0"))
        connection.commit()
        connection.execute(orders.insert(), {"id": 2})
        with pytest.raises(sa.exc.DBAPIError), connection.begin_nested():
            connection.execute(sa.text("SELECT 1/0"))
        connection.commit()

    context = context_in(Mode.LIVE)
    url = postgres_url.replace("postgresql:", f"postgresql+{driver}:")
    with entered(context):
        if driver == "asyncpg":
            engine = create_async_engine(url, poolclass=NullPool)
            async with engine.connect() as connection:
                await connection.run_sync(use)
        else:
            with sa.create_engine(url, poolclass=NullPool).connect() as connection:
                use(connection)
    assert [effect.summary[:22] for effect in context.ledger] == ["INSERT orders (id=2, r"]


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg", "psycopg2"])
async def test_what_a_live_request_writes_by_a_raw_cursor_is_recorded_once_and_as_its_mirror_s(
    postgres, postgres_url, driver
):
    url = postgres_url.replace("postgresql:", f"postgresql+{driver}:")
    insert = "INSERT INTO orders (id) VALUES ({})".format

    def use(engine):
        with engine.begin() as connection:
            connection.execute(orders.insert(), {"id": 1})
            connection.connection.cursor().execute(insert(2))
        raw = engine.raw_connection()
        raw.cursor().execute(insert(3))
        raw.commit()
        raw.cursor().execute(insert(4))
        raw.close()

    async def use_async(engine):
        async with engine.connect() as connection:
            await connection.execute(orders.insert(), {"id": 1})
            raw = await connection.get_raw_connection()
            await raw.driver_connection.execute(insert(2))
            await connection.commit()
            await raw.driver_connection.execute(insert(3))

    install_guards(driver)
    found = []
    for mode in (Mode.LIVE, Mode.DRY_RUN):
        context = context_in(mode)
        with entered(context):
            if driver == "asyncpg":
                engine = create_async_engine(url, poolclass=NullPool)
                await use_async(engine)
            else:
                use(sa.create_engine(url, poolclass=NullPool))
            context.end()
            await asyncio.sleep(0)
        found.append(sorted(effect.digest for effect in context.ledger))
        with postgres.begin() as connection:
            connection.execute(orders.delete())
    assert found[0] == found[1]
    assert len(found[0]) == 3
