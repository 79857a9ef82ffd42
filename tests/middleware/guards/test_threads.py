"""A job in a thread pool belongs to the request that submitted it, and to no other."""

from __future__ import annotations

import _thread
import asyncio
import multiprocessing
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing.pool import Pool, ThreadPool
from pathlib import Path
from typing import Any

import anyio
import pytest
import sqlalchemy as sa

from mirrorproof import Settings, current, install_guards, is_mirrored, side_effect, uninstall_guards
from mirrorproof.context import MirrorContext, entered, set_process_context
from mirrorproof.decision import Decision, Mode
from mirrorproof.errors import EffectRefusedError, LateEffectError, UnguardedError


@pytest.fixture(autouse=True)
def guards() -> Iterator[None]:
    import multiprocessing.pool  # noqa: F401 - their guards are at work once they are imported

    install_guards("threads", "threads-multiprocessing", "threads-processes", "sqlalchemy")
    yield
    uninstall_guards()


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


# -- every way to have something run elsewhere


def by_thread(job: Callable[[], Any]) -> Any:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(job()))
    thread.start()
    thread.join()
    return found[0]


def by_bare_thread(job: Callable[[], Any]) -> Any:
    found: Future[Any] = Future()
    _thread.start_new_thread(lambda: found.set_result(job()), ())
    return found.result(20)


def by_old_name(job: Callable[[], Any]) -> Any:
    found: Future[Any] = Future()
    _thread.start_new(lambda: found.set_result(job()), ())  # type: ignore[attr-defined]
    return found.result(20)


class Overriding(threading.Thread):
    """As users write them: the work is in `run`."""

    def __init__(self, job: Callable[[], Any]) -> None:
        super().__init__()
        self.job, self.found = job, Future[Any]()

    def start(self) -> None:
        super().start()

    def run(self) -> None:
        super().run()
        self.found.set_result(self.job())


def by_overriding(job: Callable[[], Any]) -> Any:
    thread = Overriding(job)
    thread.start()
    return thread.found.result(20)


def by_timer(job: Callable[[], Any]) -> Any:
    found: Future[Any] = Future()
    threading.Timer(0, lambda: found.set_result(job())).start()
    return found.result(20)


def by_executor(job: Callable[[], Any]) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(job).result()


def by_executor_map(job: Callable[[], Any]) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return next(iter(pool.map(lambda _: job(), [1])))


def by_done_callback(job: Callable[[], Any]) -> Any:
    found: Future[Any] = Future()
    with ThreadPoolExecutor(1) as pool:
        gate = threading.Event()
        pool.submit(gate.wait).add_done_callback(lambda _: found.set_result(job()))
        gate.set()
        return found.result(20)


def by_pool_apply(job: Callable[[], Any]) -> Any:
    with ThreadPool(1) as pool:
        return pool.apply(job)


def by_pool_map(job: Callable[[], Any]) -> Any:
    with ThreadPool(1) as pool:
        return pool.map(lambda _: job(), [1])[0]


def by_pool_starmap(job: Callable[[], Any]) -> Any:
    with ThreadPool(1) as pool:
        return pool.starmap(lambda _, __: job(), [(1, 2)])[0]


def by_pool_imap(job: Callable[[], Any]) -> Any:
    with ThreadPool(1) as pool:
        return next(pool.imap(lambda _: job(), iter([1])))


def by_pool_imap_items(job: Callable[[], Any]) -> Any:
    with ThreadPool(1) as pool:
        return next(pool.imap_unordered(lambda item: item, (job() for _ in range(1))))


def by_pool_callback(job: Callable[[], Any]) -> Any:
    found: Future[Any] = Future()
    with ThreadPool(1) as pool:
        pool.apply_async(int, callback=lambda _: found.set_result(job()))
        return found.result(20)


async def run_in_default_executor(job: Callable[[], Any]) -> Any:
    return await asyncio.get_running_loop().run_in_executor(None, job)


async def in_anyio_thread(job: Callable[[], Any]) -> Any:
    return await anyio.to_thread.run_sync(job)


async def in_task(job: Callable[[], Any]) -> Any:
    async def run() -> Any:
        return job()

    return await asyncio.create_task(run())


async def in_task_group(job: Callable[[], Any]) -> Any:
    found: list[Any] = []

    async def run() -> None:
        found.append(job())

    async with anyio.create_task_group() as group:
        group.start_soon(run)
    return found[0]


async def in_asyncio_group(job: Callable[[], Any]) -> Any:
    async def run() -> Any:
        return job()

    async with asyncio.TaskGroup() as group:
        task = group.create_task(run())
    return task.result()


async def in_callback(job: Callable[[], Any]) -> Any:
    loop = asyncio.get_running_loop()
    found: asyncio.Future[Any] = loop.create_future()
    loop.call_later(0, lambda: found.set_result(job()))
    return await found


async def from_a_thread_back_in_the_loop(job: Callable[[], Any]) -> Any:
    async def run() -> Any:
        return job()

    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(None, lambda: asyncio.run_coroutine_threadsafe(run(), loop).result(20))


async def in_generator(job: Callable[[], Any]) -> Any:
    async def steps() -> Any:
        yield job()

    async for found in steps():
        return found


PLAIN = [
    by_thread, by_bare_thread, by_old_name, by_overriding, by_timer, by_executor, by_executor_map,
    by_done_callback, by_pool_apply, by_pool_map, by_pool_starmap, by_pool_imap, by_pool_imap_items,
    by_pool_callback,
]  # fmt: skip
OF_LOOPS = [
    run_in_default_executor, asyncio.to_thread, in_anyio_thread, in_task, in_task_group, in_asyncio_group,
    in_callback, from_a_thread_back_in_the_loop, in_generator,
]  # fmt: skip


@pytest.mark.parametrize("way", PLAIN)
def test_what_a_request_has_run_elsewhere_belongs_to_it(way: Callable[[Any], Any]) -> None:
    with entered(mirrored()) as context:
        assert way(current) is context
    with entered(MirrorContext(Decision(Mode.LIVE))) as live:
        assert way(current) is live
    assert way(current) is None


@pytest.mark.parametrize("way", OF_LOOPS)
async def test_what_a_request_has_a_loop_run_belongs_to_it_and_what_comes_next_does_not(
    way: Callable[[Any], Any],
) -> None:
    """The workers that the loop and anyio start for the mirrored request serve the next ones as well."""
    with entered(mirrored()) as context:
        assert await way(current) is context
    assert await way(current) is None
    with entered(MirrorContext(Decision(Mode.LIVE))) as live:
        assert await way(current) is live
    assert await way(current) is None


def test_a_pool_made_in_a_mirrored_request_serves_a_live_one_next() -> None:
    with entered(mirrored()):
        pool = ThreadPool(1)
    with pool:
        with entered(mirrored()):
            assert pool.apply(is_mirrored)
        assert pool.apply(current) is None
        with entered(MirrorContext(Decision(Mode.LIVE))) as live:
            assert pool.map(lambda _: current(), range(3)) == [live] * 3
        assert pool.map(lambda _: current(), range(3)) == [None] * 3


def test_a_pools_workers_are_started_outside_the_request_that_had_them_started() -> None:
    seen: list[Any] = []
    with ThreadPoolExecutor(1, initializer=lambda: seen.append(current())) as pool, entered(mirrored()):
        pool.submit(int).result()
    assert seen == [None]


@side_effect("mail.send", "smtp")
def mail(done: list[str]) -> None:
    done.append("sent")


@pytest.mark.parametrize("kind", [ThreadPoolExecutor, ThreadPool])
@pytest.mark.parametrize("named", [False, True])
def test_the_initializer_of_a_pool_that_a_mirrored_request_makes_is_refused_effects_and_no_more(
    kind: Any, named: bool
) -> None:
    """The pool may serve live requests later, so it is neither done nor dry."""
    done: list[str] = []
    seen: list[Any] = []

    def initialize(what: list[str]) -> None:
        seen.append(current())
        try:
            mail(what)
        except EffectRefusedError as error:
            seen.append(str(error))

    context, before = mirrored(), (1, "name") if kind is ThreadPoolExecutor else (1,)
    with entered(context):
        if named:
            pool = kind(1, initializer=initialize, initargs=(done,))
        else:
            pool = kind(*before, initialize, (done,))
        for _ in pool.map(int, [1]):
            pass
    live = MirrorContext(Decision(Mode.LIVE))
    with pool, entered(live):
        assert list(pool.map(lambda _: current(), [1])) == [live]
    assert done == []
    assert "make the pool at start-up" in seen[1]
    assert [effect.outcome for effect in context.ledger] == ["blocked"]
    with entered(live), kind(*before, mail, (done,)) as pool:
        list(pool.map(int, [1]))
    assert done == ["sent"]


def test_a_thread_that_has_run_holds_its_request_no_more() -> None:
    context = mirrored()
    with entered(context):
        thread = threading.Thread(target=int)
        thread.start()
        thread.join()
    assert "run" not in vars(thread)


async def test_anyios_workers_are_started_outside_the_request_that_had_them_started() -> None:
    with entered(mirrored()):
        worker = await anyio.to_thread.run_sync(threading.current_thread)
    assert "run" not in vars(worker)


def test_a_thread_of_a_mirrored_request_is_late_after_it_and_one_of_a_live_request_is_nobodys() -> None:
    for mode in (Mode.DRY_RUN, Mode.LIVE):
        context = MirrorContext(Decision(mode))
        gate, found = threading.Event(), []

        def run(gate: threading.Event = gate, found: list[Any] = found) -> None:
            found.append(current())
            gate.wait(20)
            found.append(current())

        with entered(context):
            thread = threading.Thread(target=run)
            thread.start()
        while not found:
            pass
        context.end()
        gate.set()
        thread.join()
        assert found == [context, context if mode is Mode.DRY_RUN else None]


# -- processes


def leave() -> None:
    """A job for another process."""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_mirrored_request_starts_no_process_that_carries_no_mark(method: str) -> None:
    context = mirrored()
    kind = multiprocessing.get_context(method)
    with entered(context):
        with pytest.raises(UnguardedError, match="multiprocessing"):
            kind.Process(target=leave).start()
        with pytest.raises(UnguardedError):
            kind.Pool(1)
        with ProcessPoolExecutor(1, mp_context=kind) as pool, pytest.raises(UnguardedError):
            pool.submit(leave)
    assert {(each.kind, each.outcome) for each in context.ledger} == {("process.start", "blocked")}


def test_a_mirrored_request_uses_no_pool_of_processes_from_before_it() -> None:
    with Pool(1) as pool:
        with entered(mirrored()):
            for use in (pool.apply_async, lambda job: pool.map(job, []), lambda job: pool.imap(job, [])):
                with pytest.raises(UnguardedError):
                    use(leave)
        assert pool.apply(leave) is None


def tell(queue: Any) -> None:
    queue.put(is_mirrored())


def test_in_a_shadow_a_forked_child_is_dry_and_a_spawned_one_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    set_process_context(Settings.load(env={}, role="shadow"))
    kind = multiprocessing.get_context("fork")
    queue = kind.SimpleQueue()
    child = kind.Process(target=tell, args=(queue,))
    child.start()
    assert queue.get() is True
    child.join()
    with ProcessPoolExecutor(1, mp_context=kind) as pool:
        assert pool.submit(is_mirrored).result() is True
    with pytest.raises(UnguardedError, match="spawn"):
        multiprocessing.get_context("spawn").Process(target=leave).start()
