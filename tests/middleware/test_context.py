"""The context: what a guard is told to do, and how a request ends."""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from mirrorproof import Settings, current, is_mirrored
from mirrorproof.context import (
    Action,
    MirrorContext,
    entered,
    inside_effect,
    own_traffic,
    set_process_context,
)
from mirrorproof.counters import Counters
from mirrorproof.decision import Decision, Mode, Role
from mirrorproof.errors import LateEffectError, ReadOnlyError
from mirrorproof.exchange import Outcome


def in_mode(mode: Mode, **settings: Any) -> MirrorContext:
    return MirrorContext(Decision(mode), settings=Settings(**settings))


@pytest.mark.parametrize(
    ("mode", "running", "ended"),
    [
        (Mode.LIVE, Action.OBSERVE, Action.OBSERVE),
        (Mode.OBSERVE, Action.OBSERVE, Action.OBSERVE),
        (Mode.DRY_RUN, Action.SUPPRESS, Action.REFUSE),
        (Mode.READ_ONLY, Action.REFUSE, Action.REFUSE),
    ],
)
def test_each_mode_has_its_action_while_a_request_runs_and_after_it(
    mode: Mode, running: Action, ended: Action
) -> None:
    context = in_mode(mode)
    assert context.action("sql.insert") is running
    context.end()
    assert context.action("sql.insert") is ended


def test_nothing_is_observed_inside_an_effect_or_where_observing_is_off() -> None:
    with inside_effect():
        assert in_mode(Mode.LIVE).action("k") is Action.EXECUTE
        assert in_mode(Mode.DRY_RUN).action("k") is Action.SUPPRESS
    assert in_mode(Mode.LIVE, observe_effects=False).action("k") is Action.EXECUTE


def test_a_refused_request_is_not_mirrored() -> None:
    assert not MirrorContext(Decision(Mode.DRY_RUN, refusal=400)).mirrored


def test_refusing_records_and_says_which_refusal_it_is() -> None:
    context = in_mode(Mode.READ_ONLY)
    with pytest.raises(ReadOnlyError, match=r"sql\.insert orders"):
        context.refuse("sql.insert", "orders", "INSERT", "d")
    context.end()
    with pytest.raises(LateEffectError, match=r"sql\.insert orders"):
        context.refuse("sql.insert", "orders", "INSERT", "d")
    assert [effect.outcome for effect in context.ledger] == [Outcome.BLOCKED] * 2
    assert context.counters["effects_late"] == 1


def test_cleanups_run_once_last_added_first_even_where_one_raises(caplog: Any) -> None:
    ran: list[str] = []

    def broken() -> None:
        ran.append("broken")
        raise OSError("no")

    context = in_mode(Mode.DRY_RUN)
    for cleanup in (lambda: ran.append("a"), broken, lambda: ran.append("c")):
        context.on_end(cleanup)
    with caplog.at_level(logging.ERROR, "mirrorproof"):
        context.end()
        context.end()
    assert ran == ["c", "broken", "a"]
    assert len(caplog.records) == 1


def test_a_cleanup_that_comes_too_late_runs_at_once() -> None:
    ran: list[int] = []
    context = in_mode(Mode.DRY_RUN)
    context.end()
    context.on_end(lambda: ran.append(1))
    assert ran == [1]


def test_no_cleanup_is_lost_between_threads_and_the_end() -> None:
    ran: list[int] = []
    context = in_mode(Mode.DRY_RUN)
    go = threading.Barrier(5)

    def add(first: int) -> None:
        go.wait()
        for n in range(first, first + 500):
            context.on_end(lambda n=n: ran.append(n))  # type: ignore[misc]

    threads = [threading.Thread(target=add, args=(1000 * n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    go.wait()
    context.end()
    for thread in threads:
        thread.join()
    assert sorted(ran) == sorted(1000 * k + n for k in range(4) for n in range(500))


def test_contexts_nest_and_leave_nothing_behind() -> None:
    outer, inner = in_mode(Mode.LIVE), in_mode(Mode.DRY_RUN)
    with entered(outer):
        with entered(inner):
            assert current() is inner
        assert current() is outer
    assert current() is None


async def test_a_context_does_not_leak_into_tasks_that_were_there_before() -> None:
    ready = asyncio.Event()

    async def other() -> bool:
        await ready.wait()
        return is_mirrored()

    task = asyncio.create_task(other())
    with entered(in_mode(Mode.DRY_RUN)):
        ready.set()
        assert await task is False


def test_a_shadow_process_is_dry_everywhere_and_counts_what_it_would_have_done() -> None:
    counters = Counters()
    set_process_context(Settings(role=Role.SHADOW, outside_requests=("sql.*",)), counters)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(is_mirrored).result()
    context = current()
    assert context is not None
    assert context.mirrored
    assert not context.in_request
    assert context.action("sql.insert") is Action.EXECUTE
    assert context.action("http.request") is Action.SUPPRESS
    context.record("http.request", "t", "s", "d", Outcome.SUPPRESSED)
    assert counters["effects_outside"] == 1
    with own_traffic():
        assert current() is None
    with entered(in_mode(Mode.LIVE)) as live:
        assert current() is live


@pytest.mark.parametrize("role", [Role.PRIMARY, Role.MIXED])
def test_a_live_process_has_no_context_outside_requests(role: Role) -> None:
    set_process_context(Settings(role=Role.SHADOW))
    set_process_context(Settings(role=role))
    assert current() is None
