"""The threads guard: what runs elsewhere belongs to the request that had it run.

Threads and pools do not carry context variables, so that a guard in a worker thread would take a mirrored
request's write for a live one. The mark travels with each job, never with a pool's thread: a worker is
shared, and would keep it for ever. A `threading.Thread` that a request starts belongs to that request; one
of a live request is nobody's once that has ended. (Tasks, callbacks of the event loop, `asyncio.to_thread`
and anyio carry context variables by themselves.)

No mark travels to another process. So a mirrored request may start none and use no pool of them, but in a
process that serves mirrors only, whose children are dry as well: forked ones are, and spawned ones are if
`mirrorproof run` started the program.

Knows threads, pools and processes. Must not know what a job does.
"""

from __future__ import annotations

import _thread
import multiprocessing
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing.process import BaseProcess
from threading import Thread
from typing import Any

from mirrorproof.context import apart, carry, current, detached, held
from mirrorproof.guards import Guard
from mirrorproof.guards.doubt import Doubtful, in_doubt
from mirrorproof.guards.unguarded import PROCESS, stop
from mirrorproof.injection import travels

__all__ = ["PoolsGuard", "ProcessPoolsGuard", "ThreadsGuard"]


class ThreadsGuard(Guard):
    """Guards nothing by itself: has the other guards know whose job a thread does."""

    name = "threads"
    module = "concurrent.futures"
    covers = (
        "threading.Thread and Timer; jobs of ThreadPoolExecutor and loop.run_in_executor, with their "
        "callbacks; multiprocessing.Process is refused where it would not be dry"
    )

    def install(self) -> None:
        self.wrap(ThreadPoolExecutor, "__init__", _make_executor)
        self.wrap(ThreadPoolExecutor, "submit", _submit)
        self.wrap(Future, "add_done_callback", _when_done)
        self.wrap(Thread, "start", _start)
        for name in ("start_new_thread", "start_new", "start_joinable_thread"):
            if hasattr(_thread, name):
                self.wrap(_thread, name, _start_bare)
        self.wrap(BaseProcess, "start", _start_process)


class PoolsGuard(Guard):
    """The same for `multiprocessing.pool`: a `ThreadPool`'s jobs carry the mark, a `Pool`'s cannot."""

    name = "threads-multiprocessing"
    module = "multiprocessing.pool"
    covers = "jobs of multiprocessing.pool.ThreadPool; those of Pool are refused where it would not be dry"

    def install(self) -> None:
        from multiprocessing import pool

        self.wrap(pool.Pool, "__init__", _make_pool)
        self.wrap(pool.Pool, "apply_async", _apply)
        self.wrap(pool.Pool, "_map_async", _map)
        self.wrap(pool.Pool, "imap", _map)
        self.wrap(pool.Pool, "imap_unordered", _map)


class ProcessPoolsGuard(Guard):
    """The same for `ProcessPoolExecutor`."""

    name = "threads-processes"
    module = "concurrent.futures.process"
    covers = "jobs of concurrent.futures.ProcessPoolExecutor are refused where they would not be dry"

    def install(self) -> None:
        from concurrent.futures.process import ProcessPoolExecutor

        self.wrap(ProcessPoolExecutor, "submit", _submit_to_process)


# -- threads


def _make_executor(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return wrapped(*_initialized(args, kwargs, 2), **kwargs)


def _initialized(args: tuple[Any, ...], kwargs: dict[str, Any], at: int) -> tuple[Any, ...]:
    """The arguments of a pool in the making, in `kwargs` too, its initializer in doubt if a mirrored request
    makes the pool: the pool may outlive the request and serve live ones."""
    context = held()
    if context is None or not context.mirrored or context.settings.role.always_mirrored:
        return args
    doubtful = Doubtful(
        context, "a pool's initializer, of a pool that a mirrored request made", "make the pool at start-up"
    )
    if kwargs.get("initializer") is not None:
        kwargs["initializer"] = in_doubt(kwargs["initializer"], doubtful)
    if len(args) > at and callable(args[at]):
        return (*args[:at], in_doubt(args[at], doubtful), *args[at + 1 :])
    return args


def _submit(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if not args:
        return wrapped(*args, **kwargs)
    job = apart(args[0])
    with detached():  # the thread that a pool may start for the job is everybody's
        return wrapped(job, *args[1:], **kwargs)


def _when_done(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if not args:
        return wrapped(*args, **kwargs)
    return wrapped(carry(args[0]), *args[1:], **kwargs)


def _start(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if type(instance).__module__.startswith("anyio."):  # whose workers are shared, and carry by job
        return wrapped(*args, **kwargs)
    run = instance.run
    carried = carry(run, lent=True)
    if carried is not run:

        def once() -> None:
            instance.__dict__.pop("run", None)  # it holds the request
            carried()

        instance.run = once
    return wrapped(*args, **kwargs)


def _start_bare(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if not args or not callable(args[0]):
        return wrapped(*args, **kwargs)
    return wrapped(carry(args[0], lent=True), *args[1:], **kwargs)


# -- pools


def _is_of_threads(pool: Any) -> bool:
    from multiprocessing.pool import ThreadPool

    return isinstance(pool, ThreadPool)


def _make_pool(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if not _is_of_threads(instance):
        return wrapped(*args, **kwargs)
    args = _initialized(args, kwargs, 1)
    with detached():
        return wrapped(*args, **kwargs)


def _apply(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    def call(
        func: Any, args: Any = (), kwds: Any = None, callback: Any = None, error_callback: Any = None
    ) -> Any:
        return wrapped(apart(func), args, kwds or {}, _carried(callback), _carried(error_callback))

    if _is_of_threads(instance):
        return call(*args, **kwargs)
    _require_dry(instance._ctx.get_start_method())
    return wrapped(*args, **kwargs)


def _map(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    def call(func: Any, iterable: Iterable[Any], *more: Any, **named: Any) -> Any:
        for name in ("callback", "error_callback"):
            if name in named:
                named[name] = _carried(named[name])
        more = tuple(_carried(each) if callable(each) and at else each for at, each in enumerate(more))
        if current() is not None and not hasattr(iterable, "__len__"):  # one of the pool's threads asks it
            iterable = iter(carry(iter(iterable).__next__), object())
        return wrapped(apart(func), iterable, *more, **named)

    if _is_of_threads(instance):
        return call(*args, **kwargs)
    _require_dry(instance._ctx.get_start_method())
    return wrapped(*args, **kwargs)


def _carried(callback: Callable[..., Any] | None) -> Callable[..., Any] | None:
    return None if callback is None else carry(callback)


# -- processes


def _require_dry(method: str | None) -> None:
    context = current()
    if context is None or not context.mirrored:
        return
    how = method or multiprocessing.get_start_method()
    if context.settings.role.always_mirrored and (how == "fork" or travels()):
        return
    stop(context, PROCESS, f"process multiprocessing ({how})")


def _start_process(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    _require_dry(getattr(instance, "_start_method", None))
    return wrapped(*args, **kwargs)


def _submit_to_process(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    context = current()
    if context is None or not context.mirrored:
        return wrapped(*args, **kwargs)
    _require_dry(instance._mp_context.get_start_method() if instance._mp_context else None)
    with detached():  # the thread that looks after the workers is everybody's
        return wrapped(*args, **kwargs)
