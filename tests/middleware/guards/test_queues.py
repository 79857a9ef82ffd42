"""An item in a hand-made queue belongs to the request that put it there, whoever started the worker."""

from __future__ import annotations

import asyncio
import multiprocessing
import multiprocessing.queues
import pickle
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from multiprocessing.pool import ThreadPool
from typing import Any

import pytest
import urllib3
from anyio import to_thread
from asgiref.sync import async_to_sync, sync_to_async

from mirrorproof import Settings, current, install_guards, side_effect, uninstall_guards
from mirrorproof.context import MirrorContext, adopt, detached, entered, set_process_context
from mirrorproof.decision import Decision, Mode
from mirrorproof.errors import EffectRefusedError, LateEffectError, UnguardedError
from mirrorproof.guards.queues import moving, simple, taking
from mirrorproof.guards.queues.taking import Verdict, judge


@pytest.fixture(autouse=True)
def guards() -> Iterator[None]:
    install_guards("threads", "queues", "queues-multiprocessing")
    yield
    uninstall_guards()
    adopt(None, None)  # this thread took items


def request_of(mode: Mode = Mode.DRY_RUN) -> MirrorContext:
    return MirrorContext(Decision(mode))


class Worker:
    """A loop over a queue, that tells whose it is for each item."""

    def __init__(self, kind: str = "Queue") -> None:
        self.todo: Any = getattr(queue, kind)()
        self.seen: list[Any] = []  # not a queue, which would make its reader the item's as well
        self.more = threading.Semaphore(0)

    def start(self) -> Worker:
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        return self

    def run(self) -> None:
        while (item := self.todo.get()) != 99:
            self.seen.append((item, current(), written()))
            self.more.release()

    def take(self) -> Any:
        assert self.more.acquire(timeout=20)
        return self.seen.pop()

    def put(self, item: int, context: MirrorContext | None) -> tuple[Any, Any]:
        if context is None:
            self.todo.put(item)
        else:
            with entered(context):
                self.todo.put(item)
        got, whose, wrote = self.take()
        assert got == item
        return whose, wrote

    def stop(self) -> None:
        self.todo.put(99)
        self.thread.join(20)


def written() -> Any:
    done: list[str] = []
    try:
        side_effect("mail.send", "smtp")(lambda: done.append("written"))()
    except EffectRefusedError as error:
        return type(error)
    return "written" if done else "dry"


KINDS = ["Queue", "LifoQueue", "PriorityQueue", "SimpleQueue"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_worker_from_start_up_handles_a_mirrored_item_dry_and_the_next_live(kind: str) -> None:
    worker = Worker(kind).start()
    mirror, live = request_of(), request_of(Mode.LIVE)
    assert worker.put(1, mirror) == (mirror, "dry")
    assert worker.put(2, live) == (live, "written")
    assert worker.put(1, mirror) == (mirror, "dry")
    assert worker.put(3, None) == (None, "written")
    worker.stop()


@pytest.mark.parametrize("ended", [False, True])
@pytest.mark.parametrize("first", [Mode.DRY_RUN, Mode.LIVE])
@pytest.mark.parametrize("kind", KINDS)
def test_a_worker_that_a_request_started_handles_each_item_as_its_own_request(
    kind: str, first: Mode, ended: bool
) -> None:
    worker, starter = Worker(kind), request_of(first)
    with entered(starter):
        worker.start()
    assert worker.put(1, starter)[0] is starter
    if ended:
        starter.end()
    live, mirror = request_of(Mode.LIVE), request_of()
    assert worker.put(2, live) == (live, "written")
    assert worker.put(3, mirror) == (mirror, "dry")
    assert worker.put(4, None) == (None, "written")
    worker.stop()


def test_a_live_item_in_a_queue_and_worker_of_a_running_mirrored_request_is_refused_then_live() -> None:
    starter, live = request_of(), request_of(Mode.LIVE)
    with entered(starter):
        worker = Worker().start()
    assert worker.put(1, live)[1] is EffectRefusedError
    assert [effect.outcome for effect in starter.ledger] == ["blocked"]
    starter.end()
    assert worker.put(2, live) == (live, "written")
    worker.stop()


def test_an_item_of_a_mirrored_request_that_has_ended_is_refused() -> None:
    worker, mirror = Worker(), request_of()
    with entered(mirror):
        worker.todo.put(1)
    mirror.end()
    worker.start()
    _, whose, wrote = worker.take()
    assert whose is mirror
    assert wrote not in ("written", "dry")
    worker.stop()


class Thing:
    """What a pool lends out."""


@pytest.mark.parametrize("kind", KINDS)
def test_a_request_that_borrows_from_a_pool_made_of_a_queue_stays_itself(kind: str) -> None:
    pool: Any = getattr(queue, kind)()
    pool.put(Thing())
    contexts = request_of(), request_of(Mode.LIVE)
    for context in (*contexts, *contexts):
        with entered(context):
            thing = pool.get()
            assert current() is context
            pool.put(thing)
            assert current() is context
    pool.get()
    assert current() is None


def test_a_job_in_a_pool_of_threads_leaves_no_mark_to_the_next() -> None:
    todo: queue.Queue[int] = queue.Queue()
    with entered(request_of()) as mirror:
        todo.put(1)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(lambda: (todo.get(), current())).result() == (1, mirror)
        assert pool.submit(current).result() is None


def test_an_item_that_does_not_fit_is_forgotten_and_a_queue_is_as_ever() -> None:
    todo: queue.Queue[int] = queue.Queue(1)
    with entered(request_of()):
        todo.put(1)
        with pytest.raises(queue.Full):
            todo.put(2, block=False)
    assert (todo.qsize(), len(vars(todo)["_mirrorproof_table"].entries)) == (1, 1)
    assert todo.get() == 1
    assert not vars(todo)["_mirrorproof_table"].entries
    with pytest.raises(queue.Empty):
        todo.get_nowait()


@pytest.mark.parametrize("kind", [asyncio.Queue, asyncio.LifoQueue, asyncio.PriorityQueue])
@pytest.mark.parametrize("starts", [None, Mode.DRY_RUN, Mode.LIVE])
async def test_a_task_over_a_queue_handles_each_item_as_its_own_request(
    kind: Callable[[], Any], starts: Mode | None
) -> None:
    todo, seen, more = kind(), [], asyncio.Event()

    async def work() -> None:
        while True:
            await todo.get()
            seen.append((current(), written()))
            more.set()

    if starts is None:
        task = asyncio.create_task(work())
    else:
        with entered(request_of(starts)):
            task = asyncio.create_task(work())
    mirror, live = request_of(), request_of(Mode.LIVE)
    for context, wrote in ((live, "written"), (mirror, "dry"), (live, "written"), (mirror, "dry")):
        with entered(context):
            todo.put_nowait(1)
        await asyncio.wait_for(more.wait(), 20)
        more.clear()
        assert seen.pop() == (context, wrote)
    task.cancel()


def test_a_mirrored_request_hands_no_item_to_another_process() -> None:
    for made in (multiprocessing.Queue(), multiprocessing.SimpleQueue(), multiprocessing.JoinableQueue()):
        with entered(request_of()), pytest.raises(UnguardedError):
            made.put(1)  # type: ignore[attr-defined]
        assert made.empty()  # type: ignore[attr-defined]


def test_a_mirrored_request_uses_a_pool_of_threads_which_has_such_queues_of_its_own() -> None:
    with entered(request_of()) as mirror:
        pool = ThreadPool(1)
        assert pool.apply(current) is mirror
        pool.close()
        pool.join()


def test_uninstalled_the_queues_are_as_they_were() -> None:
    uninstall_guards("queues")
    assert queue.SimpleQueue.__base__ is object
    assert not hasattr(queue.Queue.put, "__wrapped__")


# -- whoever takes an item but does not handle it


async def hand_over(todo: asyncio.Queue[Any], context: MirrorContext | None, item: Any = 1) -> None:
    if context is None:
        todo.put_nowait(item)
    else:
        with entered(context):
            todo.put_nowait(item)


async def test_a_worker_that_waits_for_an_item_with_a_timeout_handles_it_as_its_own_request() -> None:
    todo: asyncio.Queue[Any] = asyncio.Queue()
    seen: list[Any] = []
    more = asyncio.Event()

    async def next_item() -> Any:
        return await todo.get()

    async def work() -> None:
        for turn in range(6):
            await asyncio.wait_for(todo.get() if turn % 2 else next_item(), 20)
            seen.append((current(), written()))
            more.set()

    task = asyncio.create_task(work())
    mirror, live = request_of(), request_of(Mode.LIVE)
    for context, wrote in ((mirror, "dry"), (live, "written"), (None, "written")) * 2:
        await hand_over(todo, context)
        await asyncio.wait_for(more.wait(), 20)
        more.clear()
        assert seen.pop() == (context, wrote)
    await task


async def test_a_wait_that_times_out_raises_as_ever_and_loses_no_item() -> None:
    todo: asyncio.Queue[int] = asyncio.Queue()
    for wait_s in (0, 0.01):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(todo.get(), wait_s)
    todo.put_nowait(1)
    assert await asyncio.wait_for(todo.get(), 20) == 1
    assert current() is None


async def by_task(todo: asyncio.Queue[int]) -> int:
    return await asyncio.create_task(todo.get())


async def by_gather(todo: asyncio.Queue[int]) -> int:
    return (await asyncio.gather(todo.get()))[0]


@pytest.mark.parametrize("way", [by_task, by_gather])
async def test_a_mirrored_item_is_withheld_from_a_task_that_takes_it_for_nobody_knows_whom(way: Any) -> None:
    todo: asyncio.Queue[int] = asyncio.Queue()
    mirror, live = request_of(), request_of(Mode.LIVE)
    for turn, context in enumerate((mirror, live, mirror, None)):
        await hand_over(todo, context, turn)
    assert (await way(todo), written()) == (1, "written")
    assert (await way(todo), written()) == (3, "written")
    await asyncio.wait_for(todo_done(todo), 20)
    assert [effect.outcome for effect in mirror.ledger] == ["blocked"] * 2
    with entered(mirror):
        await hand_over(todo, mirror, 4)
        assert (await way(todo), written()) == (4, "dry")


async def todo_done(todo: asyncio.Queue[int]) -> None:
    todo.task_done()
    todo.task_done()
    await todo.join()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_mirrored_item_is_withheld_from_a_pools_thread_that_takes_it_for_nobody_knows_whom(
    kind: str,
) -> None:
    todo: Any = getattr(queue, kind)()
    mirror = request_of()
    with entered(mirror):
        todo.put(1)
    job = asyncio.get_running_loop().run_in_executor(None, todo.get)
    while not list(mirror.ledger):
        await asyncio.sleep(0)
    todo.put(2)
    assert (await job, written()) == (2, "written")


# -- workers that collect


def collect(todo: Any, most: int) -> tuple[list[Any], Any]:
    batch: list[Any] = []
    while len(batch) < most:
        try:
            batch.append(todo.get(block=False))
        except queue.Empty:
            break
    return batch, written()


def filled(*contexts: MirrorContext | None) -> queue.Queue[Any]:
    todo: queue.Queue[Any] = queue.Queue()
    for number, context in enumerate(contexts):
        if context is None:
            todo.put([number])
        else:
            with entered(context):
                todo.put([number])
    return todo


def test_a_worker_that_has_collected_live_items_does_not_get_a_mirrored_one() -> None:
    for live in (request_of(Mode.LIVE), None):
        mirror = request_of()
        assert collect(filled(live, mirror, live), 3) == ([[0], [2]], "written")
        assert [effect.outcome for effect in mirror.ledger] == ["blocked"]


def test_what_a_worker_does_with_mirrored_and_live_items_together_is_refused_until_it_starts_afresh() -> None:
    mirror = request_of()
    todo = filled(mirror, request_of(Mode.LIVE), None, None)
    assert collect(todo, 3) == ([[0], [1], [2]], EffectRefusedError)
    assert [effect.outcome for effect in mirror.ledger] == ["blocked"]
    assert collect(todo, 3) == ([[3]], "written")


def test_mirrored_items_that_a_worker_has_collected_are_handled_dry() -> None:
    assert collect(filled(request_of(), request_of()), 9) == ([[0], [1]], "dry")


# -- when it is over


def test_a_worker_that_found_no_more_is_refused_and_nobodys_a_minute_after_the_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [1000.0]
    monkeypatch.setattr(taking, "monotonic", lambda: now[0])
    mirror = request_of()
    todo = filled(mirror)
    todo.get()
    assert written() == "dry"
    with pytest.raises(queue.Empty):
        todo.get_nowait()
    assert written() is EffectRefusedError
    now[0] += 100
    assert written() is EffectRefusedError
    mirror.end()
    assert written() == "written"
    assert current() is None


def test_a_client_that_empties_a_queue_of_its_own_does_not_end_the_workers_item() -> None:
    """urllib3 empties every pool of connections that it closes, as `requests.post` does after its answer."""
    install_guards("urllib3")
    mirror = request_of()
    todo = filled(mirror)
    todo.get()
    urllib3.HTTPConnectionPool("127.0.0.1").close()
    assert (current(), written()) == (mirror, "dry")
    with pytest.raises(queue.Empty):
        todo.get_nowait()
    assert written() is EffectRefusedError


def test_a_long_job_of_a_mirrored_request_is_refused_after_it_however_long_it_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [1000.0]
    monkeypatch.setattr(taking, "monotonic", lambda: now[0])
    mirror = request_of()
    others = filled(None)
    filled(mirror).get()
    mirror.end()
    now[0] += 100_000
    assert written() is LateEffectError
    with detached():
        assert written() == "written"
    assert others.get() == [0]
    assert written() == "written"


async def test_a_task_that_a_worker_started_stays_the_items_whatever_the_worker_does_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [1000.0]
    monkeypatch.setattr(taking, "monotonic", lambda: now[0])
    mirror, gate = request_of(), asyncio.Event()
    todo = filled(mirror)

    async def later() -> Any:
        await gate.wait()
        return written()

    todo.get()
    task = asyncio.create_task(later())
    await asyncio.sleep(0)
    with pytest.raises(queue.Empty):
        todo.get_nowait()
    mirror.end()
    now[0] += 100
    gate.set()
    assert await task is LateEffectError


def test_a_shadows_worker_is_dry_with_an_item_of_a_request_that_has_ended() -> None:
    settings = Settings.load(env={}, role="shadow")
    set_process_context(settings)
    try:
        mirror = MirrorContext(Decision(Mode.DRY_RUN), settings=settings)
        todo = filled(mirror)
        mirror.end()
        todo.get()
        assert written() == "dry"
    finally:
        set_process_context(None)


# -- errors of the guard's own


def fail(*_: Any, **__: Any) -> Any:
    raise RuntimeError("the guard's own")


@pytest.mark.parametrize("kind", KINDS)
def test_an_item_that_cannot_be_noted_is_put_all_the_same_unless_it_is_a_mirrored_requests(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    todo: Any = getattr(queue, kind)()
    monkeypatch.setattr(moving, "is_a_clients", fail)
    monkeypatch.setattr(simple, "is_a_clients", fail)
    live, mirror = request_of(Mode.LIVE), request_of()
    with entered(live):
        todo.put(1)
    with entered(mirror), pytest.raises(EffectRefusedError):
        todo.put(2)
    assert (todo.qsize(), todo.get(), live.counters["observer_errors"]) == (1, 1, 1)
    assert [effect.outcome for effect in mirror.ledger] == ["blocked"]


def test_an_item_of_which_it_cannot_be_told_whose_it_is_is_handed_over_and_its_effects_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    live = request_of(Mode.LIVE)
    todo, lives = filled(request_of(), live), filled(live, None)
    monkeypatch.setattr(moving, "take", fail)
    assert (lives.get(), written()) == ([0], "written")
    assert (todo.get(), written()) == ([0], EffectRefusedError)
    monkeypatch.undo()
    assert (todo.get(), current()) == ([1], live)


class Pickling(queue.Queue[Any]):
    """Hands out other objects than were put."""

    def _put(self, item: Any) -> None:
        super()._put(pickle.dumps(item))

    def _get(self) -> Any:
        return pickle.loads(super()._get())


def test_a_queue_that_hands_out_other_objects_refuses_effects_while_a_mirrored_item_may_be_in() -> None:
    todo = Pickling()
    todo.put([0])
    assert (todo.get(), written()) == ([0], "written")
    with entered(request_of()):
        todo.put([1])
    assert (todo.get(), written()) == ([1], EffectRefusedError)


def test_of_the_same_object_put_by_both_one_is_dry_and_one_is_live() -> None:
    todo: queue.Queue[None] = queue.Queue()
    for context in (request_of(Mode.LIVE), request_of()):
        with entered(context):
            todo.put(None)
    done = []
    for _ in range(2):
        todo.get()
        done.append(written())
    assert sorted(done) == ["dry", "written"]


def test_what_is_beside_a_queue_that_is_emptied_by_hand_is_forgotten_in_time() -> None:
    todo: queue.Queue[Any] = queue.Queue()
    with entered(request_of()):
        for _ in range(4):
            for number in range(4096):
                todo.put([number])
            todo.queue.clear()
        todo.put(["kept"])
    assert len(vars(todo)["_mirrorproof_table"].entries) <= 3 * 4096
    assert (todo.get(), written()) == (["kept"], "dry")


# -- the decision


def test_a_free_worker_is_always_whose_the_item_is_or_refused_or_does_not_get_it() -> None:
    contexts = [None, request_of(), request_of(Mode.LIVE)]
    for getter, item, handed_on, still in product(contexts, contexts, (False, True), contexts):
        verdict = judge(getter, item, free=True, handed_on=handed_on, still_has=[still])
        mirrored = [each is not None and each.mirrored for each in (item, still)]
        if handed_on:
            assert verdict is (Verdict.WITHHOLD if mirrored[0] else Verdict.STAY)
        elif mirrored[0] != mirrored[1]:
            assert verdict is (Verdict.WITHHOLD if mirrored[0] else Verdict.DOUBT)
        else:
            assert verdict is Verdict.ADOPT


async def test_the_workers_of_anyio_and_asgiref_do_what_a_mirrored_request_hands_them() -> None:
    """Every synchronous endpoint of Starlette's and Django's: its job is in a queue of the pool's own."""
    mirror = request_of()
    assert await to_thread.run_sync(current) is None
    with entered(mirror):
        async with asyncio.timeout(20):
            assert await to_thread.run_sync(current) is mirror
            assert await sync_to_async(current)() is mirror
            assert await asyncio.to_thread(async_to_sync(sync_to_async(current))) is mirror
    assert await to_thread.run_sync(current) is None


async def test_an_item_that_the_application_takes_in_a_worker_of_anyios_is_withheld() -> None:
    its: queue.Queue[int] = queue.Queue()
    with entered(request_of()):
        its.put(1)
    its.put(2)
    assert await to_thread.run_sync(its.get) == 2
