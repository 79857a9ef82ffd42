"""What a request schedules with APScheduler, and what that leaves behind for others."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from apscheduler.job import Job
from apscheduler.jobstores.base import ConflictingIdError, JobLookupError
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.schedulers.background import BackgroundScheduler

from mirrorproof import Settings, current, install_guards, uninstall_guards
from mirrorproof.context import MirrorContext, entered
from mirrorproof.decision import Decision, Mode
from mirrorproof.errors import EffectRefusedError, LateEffectError
from mirrorproof.exchange import Outcome


@pytest.fixture(autouse=True)
def _guards() -> Iterator[None]:
    install_guards()
    yield
    uninstall_guards()


@pytest.fixture
def scheduler() -> Iterator[BackgroundScheduler]:
    made = BackgroundScheduler(timezone=UTC)
    made.start()
    made.add_job(print, "interval", hours=1, id="hourly")
    yield made
    made.shutdown()


def context_for(mode: Mode = Mode.DRY_RUN, **settings: Any) -> MirrorContext:
    return MirrorContext(Decision(mode), settings=Settings.load(env={}, **settings), pair_id="pair-1")


def told(context: MirrorContext) -> list[tuple[str, str, Outcome]]:
    return [(effect.kind, effect.target, effect.outcome) for effect in context.ledger]


def test_a_mirrored_request_schedules_nothing_and_gets_a_job(scheduler: BackgroundScheduler) -> None:
    ran = threading.Event()
    with entered(context_for()) as context:
        job = scheduler.add_job(ran.set, id="now")
        later = scheduler.add_job(print, "interval", ["a"], minutes=5)
        assert isinstance(job, Job)
        assert (job.id, job.next_run_time is not None, later.args) == ("now", True, ("a",))
        job.remove()
        scheduler.pause()
        with pytest.raises(EffectRefusedError):
            scheduler.shutdown()
    assert [each.id for each in scheduler.get_jobs()] == ["hourly"]
    assert scheduler.state == 1
    assert not ran.is_set()
    assert told(context) == [
        ("job.add", "job now", Outcome.SUPPRESSED),
        ("job.add", "job builtins:print", Outcome.SUPPRESSED),
        ("job.remove", "job now", Outcome.SUPPRESSED),
        ("job.pause", "scheduler", Outcome.SUPPRESSED),
        ("job.shutdown", "scheduler", Outcome.BLOCKED),
    ]


def test_a_mirrored_request_hears_what_the_scheduler_would_refuse(scheduler: BackgroundScheduler) -> None:
    with entered(context_for()) as context:
        with pytest.raises(ConflictingIdError):
            scheduler.add_job(print, id="hourly")
        with pytest.raises(JobLookupError):
            scheduler.remove_job("nobody's")
        assert scheduler.modify_job("hourly", name="renamed").id == "hourly"
        scheduler.remove_job("hourly")
        context.end()
        with pytest.raises(LateEffectError):
            scheduler.add_job(print)
    assert [(each.id, each.name) for each in scheduler.get_jobs()] == [("hourly", "print")]


def test_a_live_request_schedules_as_ever(scheduler: BackgroundScheduler) -> None:
    ran = threading.Event()
    with entered(context_for(Mode.LIVE)) as context:
        scheduler.add_job(ran.set, id="now")
        assert ran.wait(20)
        scheduler.modify_job("hourly", name="renamed")
        scheduler.remove_job("hourly")
    assert {each.outcome for each in context.ledger} == {Outcome.EXECUTED}
    assert [each.kind for each in context.ledger] == ["job.add", "job.modify", "job.remove"]
    assert scheduler.get_jobs() == []


@pytest.mark.parametrize("mode", [Mode.DRY_RUN, Mode.LIVE])
async def test_the_timers_of_a_scheduler_that_a_request_starts_and_wakes_are_nobodys(mode: Mode) -> None:
    seen: asyncio.Queue[Any] = asyncio.Queue()

    async def tick() -> None:
        seen.put_nowait(current())

    async def request() -> None:
        with entered(context_for(mode)) as context:
            scheduler.start()
            scheduler.add_job(print, "date", run_date=datetime.now(UTC) + timedelta(hours=1), id="later")
            await asyncio.sleep(0)
            context.end()

    scheduler = AsyncIOScheduler(timezone=UTC)
    scheduler.add_job(tick, "interval", seconds=0.01)
    await asyncio.create_task(request())
    for _ in range(3):
        assert await asyncio.wait_for(seen.get(), 20) is None
    assert (scheduler.get_job("later") is not None) == (mode is Mode.LIVE)
    scheduler.shutdown()
