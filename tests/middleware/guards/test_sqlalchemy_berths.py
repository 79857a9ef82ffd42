"""Mirrored requests together take no more connections than the engine's pool would."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool, NullPool

from mirrorproof.context import MirrorContext, entered
from mirrorproof.decision import Decision, Mode
from mirrorproof.errors import EffectRefusedError
from mirrorproof.guards.sqlalchemy import SQLAlchemyGuard
from mirrorproof.guards.sqlalchemy.berths import berths_of


@pytest.fixture(autouse=True)
def guard() -> Iterator[None]:
    made = SQLAlchemyGuard()
    made.install()
    yield
    made.uninstall()


@pytest.fixture
def narrow(tmp_path: Path) -> sa.Engine:
    """An engine whose pool has one connection."""
    return sa.create_engine(f"sqlite:///{tmp_path / 'shop.db'}", pool_size=1, max_overflow=0)


def mirrored() -> MirrorContext:
    return MirrorContext(Decision(Mode.DRY_RUN))


def look(engine: sa.Engine, context: MirrorContext) -> int:
    with entered(context), engine.connect() as connection:
        return int(connection.scalar(sa.text("select 1")) or 0)


async def test_on_an_event_loop_a_request_without_a_berth_is_given_up_at_once(narrow: sa.Engine) -> None:
    first, second = mirrored(), mirrored()
    assert look(narrow, first) == 1
    with pytest.raises(EffectRefusedError, match="all 1 connections for mirrored requests are taken"):
        look(narrow, second)
    assert second.yielded
    assert not first.yielded
    first.end()


async def test_the_berth_is_free_again_when_the_request_ends(narrow: sa.Engine) -> None:
    for _ in range(3):
        context = mirrored()
        assert look(narrow, context) == 1
        context.end()


def test_a_thread_waits_for_a_berth(narrow: sa.Engine) -> None:
    first, started = mirrored(), Event()
    assert look(narrow, first) == 1

    def wait_and_look() -> int:
        started.set()
        return look(narrow, mirrored())

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(wait_and_look)
        assert started.wait(5)
        first.end()
        assert waiting.result(5) == 1


async def test_a_task_waits_for_a_berth_and_lets_the_others_go_on(tmp_path: Path) -> None:
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{tmp_path / 'shop.db'}",
        poolclass=AsyncAdaptedQueuePool, pool_size=1, max_overflow=0,
    )  # fmt: skip

    async def request(context: MirrorContext) -> int:
        with entered(context):
            async with engine.connect() as connection:
                return int(await connection.scalar(sa.text("select 1")) or 0)

    first = mirrored()
    assert await request(first) == 1
    waiting = asyncio.create_task(request(mirrored()))
    await asyncio.sleep(0)
    first.end()
    assert await waiting == 1
    await engine.dispose()


async def test_a_lease_that_cannot_be_made_leaves_its_berth(tmp_path: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path}/nowhere/shop.db", pool_size=1, max_overflow=0)
    for _ in range(2):
        with pytest.raises(EffectRefusedError, match="could not make a connection"):
            look(engine, mirrored())


def test_there_are_as_many_berths_as_the_pool_has_connections() -> None:
    assert berths_of(sa.create_engine("sqlite:///a.db", pool_size=3, max_overflow=4).pool).size == 7
    assert berths_of(sa.create_engine("sqlite:///a.db", pool_size=30, max_overflow=-1).pool).size == 30
    assert berths_of(sa.create_engine("sqlite:///a.db", poolclass=NullPool).pool).size == 15
