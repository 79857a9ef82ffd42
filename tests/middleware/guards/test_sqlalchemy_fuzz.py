"""Random sequences of begin, savepoint, commit, rollback, error, cancel: a lease does what the database does.

Two databases start alike. What one application does is done to both at once: to one as it is, to the other
inside a mirrored request. Each step has to give the same answer or the same kind of error on both; and when
the request has ended, the mirrored database has to be as it was.

With the drivers of asyncio a step may also cancel a statement: while the server runs it, or after some turns
of the loop. There the lease may have been cancelled in a statement of its own; it then gives up, and refuses
all that follows. Or a statement was over before its cancel on one side only: no answers are compared then.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterator
from contextlib import suppress
from contextvars import Context
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.util.concurrency import greenlet_spawn

from mirrorproof import install_guards, uninstall_guards
from mirrorproof.context import MirrorContext, entered
from mirrorproof.decision import Decision, Mode
from mirrorproof.errors import EffectRefusedError

STOCK = sa.Table(
    "stock", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True), sa.Column("count", sa.Integer)
)
START = [{"id": 0, "count": 10}, {"id": 1, "count": 11}]
BOUNDS = settings(
    max_examples=60, stateful_step_count=30, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)  # fmt: skip
ASYNC_BOUNDS = settings(BOUNDS, max_examples=25, stateful_step_count=15)
keys = st.integers(0, 4)
SCHEMAS = ("plain", "mirrored")
IN_SCHEMA: dict[str, Callable[[str], dict[str, Any]]] = {
    "asyncpg": lambda name: {"server_settings": {"search_path": f"fuzz_{name}"}},
    "psycopg": lambda name: {"options": f"-csearch_path=fuzz_{name}"},
}
NAPS = {  # SQLite's goes on to its end, whoever waits
    "postgresql": "SELECT pg_sleep({seconds})",
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000) "
    "SELECT max(i) FROM n",
}
SOUND, SHORT = 20, 0.1
"""Seconds. The short one is for cancels that may reach the server before the statement does: the server then
forgets them, and psycopg waits for its end."""


class Side:
    """One of the two: a connection, and the savepoints that are open on it."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self.connection = engine.connect()
        self.savepoints: list[Any] = []

    def sleep(self, seconds: float) -> None:
        self.connection.execute(sa.text(NAPS[self.engine.dialect.name].format(seconds=seconds))).all()

    def rows(self) -> list[Any]:
        return list(self.connection.execute(sa.select(STOCK).order_by(STOCK.c.id)).all())

    def reopen(self) -> None:
        self.connection.close()
        self.savepoints.clear()
        self.connection = self.engine.connect()


def reset(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        connection.execute(STOCK.delete())
        connection.execute(STOCK.insert(), START)


def settled(engine: sa.Engine) -> list[Any]:
    """What another connection sees."""
    with engine.connect() as watch:
        return [dict(row._mapping) for row in watch.execute(sa.select(STOCK).order_by(STOCK.c.id))]


class Machine(RuleBasedStateMachine):
    """Does each step on both sides."""

    engines: tuple[sa.Engine, sa.Engine]
    nested = False
    """Whether there may be savepoints: by the steps, since what they came to may differ from run to run."""

    @initialize()
    def start(self) -> None:
        plain, mirrored = self.engines
        for engine in self.engines:
            self.run(lambda engine=engine: reset(engine))
        self.context = MirrorContext(Decision(Mode.DRY_RUN))
        self.plain = self.run(lambda: Side(plain))
        with entered(self.context):
            self.mirrored = self.run(lambda: Side(mirrored))

    def run(self, call: Callable[[], Any]) -> Any:
        return call()

    def both(self, step: Callable[[Side], Any]) -> None:
        expected = outcome(lambda: self.run(lambda: step(self.plain)))
        with entered(self.context):
            seen = outcome(lambda: self.run(lambda: step(self.mirrored)))
        assert seen == expected

    @rule(key=keys, count=st.integers(0, 9))
    def insert(self, key: int, count: int) -> None:
        self.both(lambda side: side.connection.execute(STOCK.insert().values(id=key, count=count)).rowcount)

    @rule(key=keys)
    def take_one(self, key: int) -> None:
        change = STOCK.update().where(STOCK.c.id == key).values(count=STOCK.c.count - 1)
        self.both(lambda side: side.connection.execute(change).rowcount)

    @rule(key=keys)
    def delete(self, key: int) -> None:
        self.both(lambda side: side.connection.execute(STOCK.delete().where(STOCK.c.id == key)).rowcount)

    @rule()
    def read(self) -> None:
        self.both(lambda side: side.rows())

    @rule()
    def fail(self) -> None:
        self.both(lambda side: side.connection.execute(sa.text("SELECT * FROM nowhere")))

    @rule()
    def savepoint(self) -> None:
        self.nested = True
        self.both(lambda side: side.savepoints.append(side.connection.begin_nested()))

    @precondition(lambda self: self.nested)
    @rule(which=st.integers(0, 3), keep=st.booleans())
    def end_savepoint(self, which: int, keep: bool) -> None:
        def step(side: Side) -> None:
            if not side.savepoints:
                return
            which_one = which % len(side.savepoints)
            ended = side.savepoints[which_one]
            del side.savepoints[which_one:]
            ended.commit() if keep else ended.rollback()

        self.both(step)

    @rule(keep=st.booleans())
    def end(self, keep: bool) -> None:
        def step(side: Side) -> None:
            side.savepoints.clear()
            side.connection.commit() if keep else side.connection.rollback()

        self.nested = False
        self.both(step)

    @rule()
    def reopen(self) -> None:
        self.nested = False
        self.both(lambda side: side.reopen())

    def teardown(self) -> None:
        if not hasattr(self, "plain"):
            return
        with entered(self.context):
            self.run(self.close_mirrored)
            self.context.end()
        self.run(self.plain.connection.close)
        assert self.run(lambda: settled(self.engines[1])) == START

    def close_mirrored(self) -> None:
        self.mirrored.connection.close()


class AsyncMachine(Machine):
    """The same in an event loop, where each step is a task that can be cancelled."""

    loop: asyncio.AbstractEventLoop
    watch: sa.Engine | None  # PostgreSQL: to see what the server runs
    in_doubt = False
    """Whether a cancel may have met any statement, or none."""
    apart = False
    """Whether the two sides cannot be compared any more."""

    def run(self, call: Callable[[], Any]) -> Any:
        return self.loop.run_until_complete(greenlet_spawn(call))

    def both(self, step: Callable[[Side], Any]) -> None:
        try:
            if not self.apart:
                super().both(step)
        except EffectRefusedError:
            assert self.in_doubt
            self.apart = True
        if self.apart:
            with suppress(Exception):
                self.run(lambda: step(self.plain))
            with entered(self.context), suppress(Exception):
                self.run(lambda: step(self.mirrored))

    @rule(turns=st.sampled_from([None, None, 1, 2, 4]))
    def cancel(self, turns: int | None) -> None:
        self.in_doubt |= turns is not None or self.watch is None
        expected = self.loop.run_until_complete(self.cancelled(self.plain, turns))
        with entered(self.context):
            seen = self.loop.run_until_complete(self.cancelled(self.mirrored, turns))
        if self.watch is None:
            gc.collect()  # SQLite: unguarded, the cancelled statement's cursor keeps its connection's lock
        self.apart |= seen != expected
        assert self.in_doubt or not self.apart

    async def cancelled(self, side: Side, turns: int | None) -> Any:
        task = asyncio.create_task(greenlet_spawn(side.sleep, SOUND if turns is None else SHORT))
        for _ in range(turns or 1):
            await asyncio.sleep(0)
        while turns is None and not task.done() and not Context().run(self.sleeps):
            await asyncio.sleep(0.001)
        task.cancel()
        try:
            await task
        except BaseException as error:
            return type(error)

    def sleeps(self) -> bool:
        if self.watch is None:
            return True  # SQLite's thread has it, and goes on with it
        with self.watch.connect() as watch:
            return bool(watch.scalar(sa.text(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active' AND wait_event = 'PgSleep'"
            )))  # fmt: skip

    def close_mirrored(self) -> None:
        with suppress(*((EffectRefusedError,) if self.in_doubt else ())):
            super().close_mirrored()


def outcome(step: Callable[[], Any]) -> Any:
    """What a step returns, or the class of what it raises. Refusals of ours are nobody's answer."""
    try:
        return step()
    except EffectRefusedError:
        raise
    except Exception as error:
        return type(error)


@pytest.fixture(params=["sqlite", "psycopg", "pymysql"])
def engines(request: Any, tmp_path: Path) -> Iterator[tuple[sa.Engine, sa.Engine]]:
    made = [make_engine(request, tmp_path, name) for name in ("plain", "mirrored")]
    for engine in made:
        STOCK.create(engine)
    install_guards()
    yield made[0], made[1]
    uninstall_guards()
    for engine in made:
        STOCK.drop(engine)
        engine.dispose()


def make_engine(request: Any, tmp_path: Path, name: str) -> sa.Engine:
    if request.param == "sqlite":
        return sa.create_engine(f"sqlite:///{tmp_path / name}.db")
    if request.param == "pymysql":
        peer = request.getfixturevalue("mariadb")
        peer.ask(f"CREATE OR REPLACE DATABASE fuzz_{name}")
        zero_is_a_key = "SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO'"
        url = peer.url().replace("/shop", f"/fuzz_{name}")
        return sa.create_engine(url, connect_args={"init_command": zero_is_a_key})
    base = request.getfixturevalue("postgres_url").replace("postgresql:", "postgresql+psycopg:")
    with sa.create_engine(base).begin() as connection:
        connection.execute(sa.text(f"CREATE SCHEMA IF NOT EXISTS fuzz_{name}"))
    return sa.create_engine(base, connect_args={"options": f"-csearch_path=fuzz_{name}"})


@pytest.mark.timeout(300)
def test_any_sequence_on_a_lease_behaves_as_the_database_does_and_leaves_nothing(
    engines: tuple[sa.Engine, sa.Engine],
) -> None:
    class Here(Machine):
        pass

    Here.engines = engines
    run_state_machine_as_test(Here, settings=BOUNDS)


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lease that stands idle is ended by the server: not here, however slow the machine is."""
    monkeypatch.setattr("mirrorproof.guards.sql.fuse.IDLE_LIMIT_S", 60.0)
    monkeypatch.setattr("mirrorproof.guards.sql.mariadb_fuse.IDLE_LIMIT_S", 60)


@pytest.fixture(params=["aiosqlite", "asyncpg", "psycopg"])
def async_engines(request: Any, tmp_path: Path) -> Iterator[tuple[sa.Engine, sa.Engine, Any, Any]]:
    loop = asyncio.new_event_loop()
    run = loop.run_until_complete
    watch = None
    if request.param == "aiosqlite":
        made = [create_async_engine(f"sqlite+aiosqlite:///{tmp_path / name}.db") for name in SCHEMAS]
    else:
        base = sa.make_url(request.getfixturevalue("postgres_url"))
        watch = sa.create_engine(base.set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
        with watch.connect() as connection:
            for name in SCHEMAS:
                connection.execute(sa.text(f"CREATE SCHEMA IF NOT EXISTS fuzz_{name}"))
        made = [
            create_async_engine(base.set(drivername=f"postgresql+{request.param}"), connect_args=options)
            for options in (IN_SCHEMA[request.param](name) for name in SCHEMAS)
        ]
    first, second = (engine.sync_engine for engine in made)
    gc.freeze()  # a collection looks at what comes from now on only
    for engine in (first, second):
        run(greenlet_spawn(lambda engine=engine: STOCK.create(engine)))
    install_guards()
    yield first, second, loop, watch
    uninstall_guards()
    for engine in (first, second):
        run(greenlet_spawn(lambda engine=engine: (STOCK.drop(engine), engine.dispose())))
    gc.unfreeze()
    loop.close()
    if watch is not None:
        watch.dispose()


@pytest.mark.timeout(300)
def test_any_sequence_with_cancelled_statements_behaves_as_the_database_does_and_leaves_nothing(
    async_engines: tuple[sa.Engine, sa.Engine, Any, Any],
) -> None:
    class Here(AsyncMachine):
        pass

    *engines, Here.loop, Here.watch = async_engines
    Here.engines = (engines[0], engines[1])
    run_state_machine_as_test(Here, settings=ASYNC_BOUNDS)


SLOW = {
    "asyncpg": "SELECT pg_sleep(20)",
    "aiosqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000000) "
    "SELECT max(i) FROM n",
}


@pytest.mark.parametrize("driver", SLOW)
@pytest.mark.parametrize("before", ["", "savepoint"])
def test_a_statement_that_is_cancelled_leaves_nothing_behind(
    postgres_url: str, tmp_path: Path, driver: str, before: str
) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'cancel.db'}" if driver == "aiosqlite" else postgres_url.replace(
        "postgresql:", "postgresql+asyncpg:"
    )  # fmt: skip

    async def main() -> None:
        engine = create_async_engine(url)
        async with engine.begin() as setup:
            await setup.run_sync(STOCK.metadata.drop_all)
            await setup.run_sync(STOCK.metadata.create_all)
        context = MirrorContext(Decision(Mode.DRY_RUN))

        async def application(sent: asyncio.Event) -> None:
            async with engine.connect() as connection:
                await connection.execute(STOCK.insert(), START)
                if before:
                    await connection.begin_nested()
                sent.set()
                await connection.execute(sa.text(SLOW[driver]))

        with entered(context):
            sent = asyncio.Event()
            task = asyncio.create_task(application(sent))
            await sent.wait()
            await asyncio.sleep(0)
            task.cancel()
            with suppress(asyncio.CancelledError, sa.exc.DBAPIError, EffectRefusedError):
                await task
            context.end()
        async with engine.begin() as live:
            assert (await live.execute(sa.select(STOCK))).all() == []
            await live.execute(STOCK.insert(), START)
        await engine.dispose()

    install_guards()
    asyncio.run(main())
    uninstall_guards()
