"""The yield watchdog, on a real PostgreSQL: v1 gets through while a mirrored request holds its locks."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from mirrorproof.context import MirrorContext, current, entered
from mirrorproof.decision import Decision, Mode
from mirrorproof.errors import EffectRefusedError
from mirrorproof.guards.sql import watch
from mirrorproof.guards.sqlalchemy import SQLAlchemyGuard
from mirrorproof.settings import Settings

UPDATE = sa.text("UPDATE held SET note = 'mirrored' WHERE id = 1")
# Longer than any test: only the watchdog lets v1 through.
PATIENCE = "SET lock_timeout = '30s'"


@pytest.fixture(autouse=True)
def guard(monkeypatch):
    monkeypatch.setattr("mirrorproof.guards.sql.fuse.IDLE_LIMIT_S", 60.0)
    made = SQLAlchemyGuard()
    made.install()
    yield made
    made.uninstall()


@pytest.fixture
def v1(postgres_url):
    """A live connection that goes by another way than the mirrored request's engine."""
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(PATIENCE)
        connection.execute("DROP TABLE IF EXISTS held")
        connection.execute("CREATE TABLE held (id int PRIMARY KEY, note text)")
        connection.execute("INSERT INTO held VALUES (1, 'live')")
        yield connection


@pytest.fixture(params=["psycopg", "psycopg2"])
def engine(request, postgres_url):
    made = sa.create_engine(postgres_url.replace("postgresql:", f"postgresql+{request.param}:"))
    yield made
    made.dispose()


def mirrored(**settings):
    return MirrorContext(Decision(Mode.DRY_RUN), settings=Settings(**settings))


def watchdogs():
    return [each for each in threading.enumerate() if each.name == "mirrorproof-watchdog"]


def test_v1_gets_through_while_the_mirrored_transaction_is_still_held(engine, v1):
    context = mirrored()
    with entered(context), engine.connect() as v2:
        v2.execute(UPDATE)
        v1.execute("UPDATE held SET note = 'v1' WHERE id = 1")
        with pytest.raises(EffectRefusedError, match="others need not wait"):
            v2.execute(UPDATE)
    assert context.yielded
    context.end()
    assert v1.execute("SELECT note FROM held").fetchone() == ("v1",)


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
async def test_v1_gets_through_beside_an_async_engine(driver, postgres_url, v1):
    engine = create_async_engine(postgres_url.replace("postgresql:", f"postgresql+{driver}:"))
    context = mirrored()
    with entered(context):
        async with engine.connect() as v2:
            await v2.execute(UPDATE)
            await asyncio.to_thread(v1.execute, "UPDATE held SET note = 'v1' WHERE id = 1")
            with pytest.raises(EffectRefusedError, match="others need not wait"):
                await v2.execute(UPDATE)
    assert context.yielded
    context.end()
    await engine.dispose()


def test_a_request_that_ends_without_another_statement_is_yielded_too(engine, v1, wait_until):
    context = mirrored()
    with entered(context), engine.connect() as v2:
        v2.execute(UPDATE)
        v2.commit()
        v1.execute("UPDATE held SET note = 'v1' WHERE id = 1")
        wait_until(lambda: context.yielded)
    context.end()
    assert {effect.outcome for effect in context.ledger} == {"yielded"}


def test_a_statement_in_the_middle_of_its_work_is_cut_off(engine, v1):
    context = mirrored()
    with entered(context), engine.connect() as v2:
        v2.execute(UPDATE)
        errors = []

        def work():
            try:
                v2.execute(sa.text("SELECT pg_sleep(30)"))
            except Exception as error:
                errors.append(error)

        sleeper = threading.Thread(target=work)
        sleeper.start()
        v1.execute("UPDATE held SET note = 'v1' WHERE id = 1")
        sleeper.join(20)
        assert errors
    assert context.yielded
    context.end()


def test_leases_that_wait_for_each_other_are_left_to_their_time_limits(engine, v1):
    one, other = mirrored(), mirrored()
    timeout = pytest.raises(sa.exc.OperationalError, match="lock timeout")
    with entered(one), engine.connect() as first:
        first.execute(UPDATE)
        with entered(other), engine.connect() as second, timeout:
            second.execute(UPDATE)
        first.execute(UPDATE)
    one.end()
    other.end()
    assert (one.yielded, other.yielded) == (False, True)


def test_a_lease_that_comes_and_waits_while_the_server_is_asked_is_none_of_v1s(engine, v1, postgres_url):
    one, other = mirrored(yield_poll_ms=0), mirrored(yield_poll_ms=0)
    with entered(one), engine.connect() as first:
        first.execute(UPDATE)
        with entered(other), engine.connect() as second:
            second.execute(sa.text("SET LOCAL lock_timeout = '30s'"))
            waiter = threading.Thread(target=lambda: _fails(lambda: second.execute(UPDATE)))
            waiter.start()
            with psycopg.connect(postgres_url, autocommit=True) as look:
                while not look.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone():
                    pass
                known = [{_lease_of(one)}, {_lease_of(one), _lease_of(other)}]
                assert watch.let_go(look, lambda: frozenset(known.pop(0) if known[1:] else known[0])) == []
            one.end()
            waiter.join(20)
    other.end()


def _fails(call):
    try:
        call()
    except Exception as error:
        return error


def test_a_backend_that_serves_another_transaction_by_now_is_left_alone(engine, v1, postgres_url):
    context = mirrored(yield_poll_ms=0)
    with entered(context), engine.connect() as v2:
        v2.execute(UPDATE)
        lease = _lease_of(context)
        lease.backend = (lease.backend[0], lease.backend[1] - 1)
        blocked = threading.Thread(target=v1.execute, args=("UPDATE held SET note = 'v1' WHERE id = 1",))
        blocked.start()
        with psycopg.connect(postgres_url, autocommit=True) as look:
            while not look.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone():
                pass
            assert watch.let_go(look, lambda: frozenset([lease])) == []
            lease.backend = (lease.backend[0], lease.backend[1] + 1)
            assert watch.let_go(look, lambda: frozenset([lease])) == [lease]
        blocked.join(20)
    context.end()


@pytest.mark.parametrize("end", ["rollback", "commit"])
def test_the_end_of_a_transaction_finds_out_that_the_server_has_ended_it(engine, v1, end):
    context = mirrored(yield_poll_ms=0)
    with entered(context), engine.connect() as v2:
        v2.execute(UPDATE)
        v1.execute("SELECT pg_terminate_backend(%s, 5000)", [_lease_of(context).backend[0]])
        if end == "rollback":
            v2.rollback()
        else:
            with pytest.raises(EffectRefusedError, match="others need not wait"):
                v2.commit()
    context.end()
    assert context.yielded


def _lease_of(context):
    return next(each for key, each in context.resources.items() if key[0] == "sqlalchemy").lease()


def test_it_is_one_thread_with_one_connection_and_goes_when_it_is_idle(engine, monkeypatch, wait_until):
    monkeypatch.setattr(watch, "IDLE_S", 0.05)
    wait_until(lambda: not watchdogs())
    made, seen = [], []

    @sa.event.listens_for(engine, "do_connect")
    def count(dialect, record, args, kwargs):
        if threading.current_thread().name == "mirrorproof-watchdog":
            made.append(threading.current_thread())
            seen.append(current())

    contexts = [mirrored() for _ in range(3)]
    for context in contexts:
        with entered(context), engine.connect() as v2:
            v2.execute(sa.text("SELECT 1"))
    wait_until(lambda: made)
    assert len(watchdogs()) == 1
    for context in contexts:
        context.end()
    wait_until(lambda: not watchdogs())
    assert len(made) == 1
    assert seen == [None]


def test_switched_off_there_is_no_watchdog(engine, wait_until, monkeypatch):
    monkeypatch.setattr(watch, "IDLE_S", 0.05)
    wait_until(lambda: not watchdogs())
    context = mirrored(yield_poll_ms=0)
    with entered(context), engine.connect() as v2:
        v2.execute(sa.text("SELECT 1"))
        assert watchdogs() == []
    context.end()


def test_where_it_cannot_connect_the_request_goes_on_and_it_is_counted(engine, v1, wait_until, caplog):
    @sa.event.listens_for(engine, "do_connect")
    def refuse(dialect, record, args, kwargs):
        if threading.current_thread().name == "mirrorproof-watchdog":
            raise OSError("no more connections")

    context = mirrored()
    with entered(context), engine.connect() as v2:
        v2.execute(UPDATE)
        wait_until(lambda: context.counters["observer_errors"])
        assert v2.execute(sa.text("SELECT note FROM held")).scalar() == "mirrored"
    context.end()
    assert not context.yielded
    wait_until(lambda: "connect to watch over locks" in caplog.text)  # which the thread says after it counts


EXITING = """
import asyncio, sys
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine
from mirrorproof.context import MirrorContext, entered
from mirrorproof.decision import Decision, Mode
from mirrorproof.guards.sqlalchemy import SQLAlchemyGuard

SQLAlchemyGuard().install()

async def main():
    engine = create_async_engine(sys.argv[1])
    with entered(MirrorContext(Decision(Mode.DRY_RUN))) as context:
        async with engine.connect() as v2:
            await v2.execute(sa.text("SELECT 1"))
        context.end()

asyncio.run(main())
"""


def test_a_process_that_exits_while_the_watchdog_works_exits_well(postgres_url, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(EXITING)
    url = postgres_url.replace("postgresql:", "postgresql+asyncpg:")
    runs = [subprocess.Popen([sys.executable, str(program), url], stderr=subprocess.PIPE) for _ in range(6)]
    said = [run.communicate(timeout=60)[1].decode() for run in runs]
    assert [run.returncode for run in runs] == [0] * len(runs)
    assert said == [""] * len(runs)


def test_an_exit_ends_a_watchdog_that_waits_to_try_again(engine, v1, wait_until, monkeypatch):
    monkeypatch.setattr(watch, "_exiting", False)  # what is set to True here is set back
    monkeypatch.setattr(watch, "RETRY_S", 3600.0)

    @sa.event.listens_for(engine, "do_connect")
    def refuse(dialect, record, args, kwargs):
        if threading.current_thread().name == "mirrorproof-watchdog":
            raise OSError("no more connections")

    context = mirrored()
    with entered(context), engine.connect() as v2:
        v2.execute(UPDATE)
        wait_until(lambda: context.counters["observer_errors"])
        watch._end_threads()
        assert watchdogs() == []
    context.end()


async def test_an_exit_cuts_off_an_async_watchdog_in_a_wait_for_the_server(
    postgres_url, v1, wait_until, monkeypatch
):
    monkeypatch.setattr(watch, "_exiting", False)
    monkeypatch.setattr(watch, "EXIT_S", 0.2)
    engine = create_async_engine(postgres_url.replace("postgresql:", "postgresql+asyncpg:"))
    asks = threading.Event()

    def ask_for_ever(connection, leases):
        asks.set()
        connection.cursor().execute("SELECT pg_catalog.pg_sleep(60)")

    monkeypatch.setattr(watch, "let_go", ask_for_ever)
    context = mirrored()
    with entered(context):
        async with engine.connect() as v2:
            await v2.execute(UPDATE)
            await asyncio.to_thread(asks.wait, 20)
            await asyncio.to_thread(watch._end_threads)
            await asyncio.to_thread(wait_until, lambda: not watchdogs())
    context.end()
    await engine.dispose()
