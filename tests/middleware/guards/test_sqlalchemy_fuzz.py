"""Random sequences of begin, savepoint, commit, rollback, error, cancel: a lease does what the database does.

Two databases start alike. What one application does is done to both at once: to one as it is, to the other
inside a mirrored request. Each step has to give the same answer or the same kind of error on both; and when
the request has ended, the mirrored database has to be as it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
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
keys = st.integers(0, 4)


class Side:
    """One of the two: a connection, and the savepoints that are open on it."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self.connection = engine.connect()
        self.savepoints: list[Any] = []

    def reset(self) -> None:
        with self.engine.begin() as connection:
            connection.execute(STOCK.delete())
            connection.execute(STOCK.insert(), START)

    def rows(self) -> list[Any]:
        return list(self.connection.execute(sa.select(STOCK).order_by(STOCK.c.id)).all())

    def reopen(self) -> None:
        self.connection.close()
        self.savepoints.clear()
        self.connection = self.engine.connect()


def settled(engine: sa.Engine) -> list[Any]:
    """What another connection sees."""
    with engine.connect() as watch:
        return [dict(row._mapping) for row in watch.execute(sa.select(STOCK).order_by(STOCK.c.id))]


class Machine(RuleBasedStateMachine):
    """Does each step on both sides."""

    engines: tuple[sa.Engine, sa.Engine]

    @initialize()
    def start(self) -> None:
        plain, mirrored = self.engines
        for engine in self.engines:
            Side(engine).reset()
        self.context = MirrorContext(Decision(Mode.DRY_RUN))
        self.plain = Side(plain)
        with entered(self.context):
            self.mirrored = Side(mirrored)

    def both(self, step: Callable[[Side], Any]) -> None:
        expected = outcome(lambda: step(self.plain))
        with entered(self.context):
            seen = outcome(lambda: step(self.mirrored))
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
        self.both(lambda side: side.savepoints.append(side.connection.begin_nested()))

    @precondition(lambda self: self.plain.savepoints)
    @rule(which=st.integers(0, 3), keep=st.booleans())
    def end_savepoint(self, which: int, keep: bool) -> None:
        def step(side: Side) -> None:
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

        self.both(step)

    @rule()
    def reopen(self) -> None:
        self.both(lambda side: side.reopen())

    def teardown(self) -> None:
        if not hasattr(self, "plain"):
            return
        with entered(self.context):
            self.mirrored.connection.close()
            self.context.end()
        self.plain.connection.close()
        assert settled(self.engines[1]) == START


def outcome(step: Callable[[], Any]) -> Any:
    """What a step returns, or the class of what it raises. Refusals of ours are nobody's answer."""
    try:
        return step()
    except EffectRefusedError:
        raise
    except Exception as error:
        return type(error)


@pytest.fixture(params=["sqlite", "psycopg"])
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
