"""The yield watchdog, on a real MariaDB: v1 gets through while a mirrored request holds its locks."""

from __future__ import annotations

import asyncio
import time

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from mirrorproof.context import MirrorContext, entered
from mirrorproof.decision import Decision, Mode
from mirrorproof.errors import EffectRefusedError
from mirrorproof.guards import install_guards
from mirrorproof.guards.sql import watch_mariadb
from mirrorproof.settings import Settings

UPDATE = sa.text("UPDATE held SET note = 'mirrored' WHERE id = 1")
V1 = "UPDATE held SET note = 'v1' WHERE id = 1"


@pytest.fixture(autouse=True)
def guard(monkeypatch):
    monkeypatch.setattr("mirrorproof.guards.sql.mariadb_fuse.IDLE_LIMIT_S", 60)
    install_guards("sqlalchemy")


@pytest.fixture
def v1(mariadb):
    """Runs a live statement, by a connection of its own; only the watchdog lets it through."""
    mariadb.ask("CREATE OR REPLACE TABLE shop.held (id int PRIMARY KEY, note varchar(20))")
    mariadb.ask("INSERT INTO shop.held VALUES (1, 'live')")
    mariadb.ask("USE shop")
    mariadb.ask("SET SESSION innodb_lock_wait_timeout = 30, lock_wait_timeout = 30")
    return mariadb.ask


@pytest.fixture
def engine(mariadb, v1):
    made = sa.create_engine(mariadb.url())
    yield made
    made.dispose()


def mirrored(**settings):
    return MirrorContext(Decision(Mode.DRY_RUN), settings=Settings(**settings))


@pytest.mark.parametrize("wanted", [V1, "ALTER TABLE held ADD more int", "SELECT * FROM held FOR UPDATE"])
def test_v1_gets_through_while_the_mirrored_transaction_is_still_held(engine, v1, wanted):
    context = mirrored()
    with entered(context), engine.connect() as v2:
        v2.execute(UPDATE)
        v1(wanted)
        with pytest.raises(EffectRefusedError, match="others need not wait"):
            v2.execute(UPDATE)
    assert context.yielded
    context.end()


async def test_v1_gets_through_beside_an_async_engine(mariadb, v1):
    engine = create_async_engine(mariadb.url("asyncmy"))
    context = mirrored()
    with entered(context):
        async with engine.connect() as v2:
            await v2.execute(UPDATE)
            await asyncio.to_thread(v1, V1)
            with pytest.raises(EffectRefusedError, match="others need not wait"):
                await v2.execute(UPDATE)
    assert context.yielded
    context.end()
    await engine.dispose()


async def test_a_statement_that_is_cancelled_does_not_go_on_in_the_server(mariadb, v1):
    engine = create_async_engine(mariadb.url("asyncmy"))
    running = "SELECT id FROM information_schema.processlist WHERE info LIKE 'SELECT sleep%'"
    context = mirrored()

    async def application():
        async with engine.connect() as v2:
            await v2.execute(UPDATE)
            await v2.execute(sa.text("SELECT sleep(8)"))

    with entered(context):
        task = asyncio.create_task(application())
        while not mariadb.ask(running):
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(BaseException):  # noqa: B017 - whatever the driver makes of it
            await task
        context.end()
    deadline = time.monotonic() + 4
    while mariadb.ask(running):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    await engine.dispose()


def test_leases_that_wait_for_each_other_are_left_to_their_time_limits(engine):
    one, other = mirrored(), mirrored()
    timeout = pytest.raises(sa.exc.OperationalError, match="1205")
    with entered(one), engine.connect() as first:
        first.execute(UPDATE)
        with entered(other), engine.connect() as second, timeout:
            second.execute(UPDATE)
        first.execute(UPDATE)
    one.end()
    other.end()
    assert (one.yielded, other.yielded) == (False, True)


def test_a_user_who_may_not_see_who_waits_is_told_so_once(mariadb, v1, caplog, wait_until, monkeypatch):
    monkeypatch.setattr("mirrorproof.guards.sql.mariadb_fuse.IDLE_LIMIT_S", 1)
    mariadb.ask("CREATE OR REPLACE USER 'small'@'%'")
    mariadb.ask("GRANT ALL ON shop.* TO 'small'@'%'")
    engine = sa.create_engine(mariadb.url().replace("root@", "small@"))
    for _ in range(2):
        context = mirrored()
        with entered(context), engine.connect() as v2:
            v2.execute(UPDATE)
            v1(V1)  # the server ends the idle lease
        context.end()
        mariadb.ask("COMMIT")
    said = [record for record in caplog.records if "GRANT PROCESS" in record.getMessage()]
    assert len(said) == 1
    engine.dispose()


def test_who_waits_is_not_asked_again_before_the_answer_can_be_new():
    asked = []
    now = [0.0]

    class Cursor:
        def execute(self, statement):
            asked.append(statement)

        def fetchall(self):
            return [("waits", "1")] if asked[-1] == watch_mariadb._HOW_MANY else []

        def close(self):
            pass

    class Connection:
        cursor = Cursor

    class Lease:
        backend = (7, 0)
        cut_off = False
        used = True

    looks = watch_mariadb.MariadbLooks(lambda: now[0])
    for now[0] in (1.0, 1.05, 1.1, 1.2):
        looks(Connection(), lambda: frozenset([Lease()]))
    assert asked.count(watch_mariadb._WHO) == 2
