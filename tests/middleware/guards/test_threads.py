"""A job in a thread pool belongs to the request that submitted it, and to no other."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from mirrorproof import current, install_guards, is_mirrored, side_effect, uninstall_guards
from mirrorproof.context import MirrorContext, entered
from mirrorproof.decision import Decision, Mode
from mirrorproof.errors import LateEffectError


@pytest.fixture(autouse=True)
def guards() -> Iterator[None]:
    install_guards("threads", "sqlalchemy")
    yield
    uninstall_guards("threads", "sqlalchemy")


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """A pool of one thread, so that jobs of different requests share it."""
    with ThreadPoolExecutor(1) as made:
        yield made


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "shop.db"
    engine = sa.create_engine(f"sqlite:///{made}")
    with engine.begin() as connection:
        connection.execute(sa.text("create table orders (id integer)"))
    engine.dispose()
    return made


def write(file: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{file}")
    with engine.begin() as connection:
        connection.execute(sa.text("insert into orders values (1)"))


def rows(file: Path) -> int:
    with sa.create_engine(f"sqlite:///{file}").connect() as connection:
        return int(connection.scalar(sa.text("select count(*) from orders")) or 0)


def mirrored() -> MirrorContext:
    return MirrorContext(Decision(Mode.DRY_RUN))


def test_a_write_in_a_pools_thread_is_suppressed_and_named(pool: ThreadPoolExecutor, file: Path) -> None:
    context = mirrored()
    with entered(context):
        list(pool.map(write, [file]))
    context.end()
    assert rows(file) == 0
    assert [effect.kind for effect in context.ledger] == ["sql.insert"]


async def test_a_write_through_run_in_executor_is_suppressed(file: Path) -> None:
    context = mirrored()
    with entered(context):
        await asyncio.get_running_loop().run_in_executor(None, write, file)
    context.end()
    assert rows(file) == 0
    assert [effect.kind for effect in context.ledger] == ["sql.insert"]


def test_a_shared_worker_forgets_the_mark_after_each_job(pool: ThreadPoolExecutor, file: Path) -> None:
    with entered(mirrored()):
        assert pool.submit(is_mirrored).result()
    assert pool.submit(current).result() is None
    pool.submit(write, file).result()
    assert rows(file) == 1


def test_a_live_requests_job_is_live_and_its_write_is_recorded(pool: ThreadPoolExecutor, file: Path) -> None:
    context = MirrorContext(Decision(Mode.LIVE))
    with entered(context):
        pool.submit(write, file).result()
    assert rows(file) == 1
    assert [effect.outcome for effect in context.ledger] == ["executed"]


def test_a_job_that_outlives_its_mirrored_request_is_refused(pool: ThreadPoolExecutor) -> None:
    context = mirrored()

    @side_effect("mail.send", "smtp")
    def mail() -> None:
        raise AssertionError("it was really sent")

    with entered(context):
        context.end()
        job = pool.submit(mail)
    with pytest.raises(LateEffectError):
        job.result()
    assert context.late


def test_what_a_declared_effect_does_in_a_thread_is_not_recorded_again(
    pool: ThreadPoolExecutor, file: Path
) -> None:
    context = MirrorContext(Decision(Mode.LIVE))
    with entered(context), side_effect("orders.import", "orders"):
        pool.submit(write, file).result()
    assert [effect.kind for effect in context.ledger] == ["orders.import"]


def test_a_job_submitted_without_a_function_fails_as_ever(pool: ThreadPoolExecutor) -> None:
    with pytest.raises(TypeError):
        pool.submit()  # type: ignore[call-arg]


def test_uninstalled_the_pool_is_as_it_was() -> None:
    installed = ThreadPoolExecutor.submit
    uninstall_guards("threads")
    assert ThreadPoolExecutor.submit is not installed
    assert not hasattr(ThreadPoolExecutor.submit, "__wrapped__")
