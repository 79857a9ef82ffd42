"""Who puts and takes: the application's own code, a client's, or a pool that hands on what it got.

Knows frames and tasks. Must not know requests.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import CodeType, FrameType
from typing import Any, Final

from mirrorproof.guards import guarded_packages

__all__ = [
    "Waiting",
    "caller",
    "forget_clients",
    "hands_on",
    "holds",
    "is_a_clients",
    "is_a_workers",
    "taking_for",
]

_SKIPPED: Final = frozenset({"queue", "asyncio.queues", "mirrorproof.context", "mirrorproof.failsafe"})
_OWN: Final = __name__.rpartition(".")[0]
# Among them are those whose own queues bring jobs to threads: a job carries its request by itself.
_AROUND: Final = frozenset({
    "anyio", "asgiref", "celery", "django", "mirrorproof", "psycopg_pool", "requests", "sqlalchemy",
})  # fmt: skip
# They run what they are given, and hand its result to somebody else.
_POOLS: Final = frozenset({"anyio", "asgiref", "asyncio", "concurrent", "multiprocessing"})
_FRAMES: Final = 3
_LONGEST: Final = 10_000

_GETS: Final = ("get", "get_async")

_waiting: Final[ContextVar[Waiting | None]] = ContextVar("mirrorproof_waiting", default=None)
_clients: dict[str, bool] = {}


def caller() -> FrameType | None:
    """The innermost frame that is not a queue's or ours."""
    frame: FrameType | None = sys._getframe(1)
    waiting = _waiting.get()
    while frame is not None:
        name = _module(frame)
        if name not in _SKIPPED and not name.startswith((_OWN, "wrapt")):
            return frame
        if waiting is not None and frame.f_code is waiting.inner:
            return waiting.frame
        frame = frame.f_back
    return None


def _module(frame: FrameType | None) -> str:
    name = frame.f_globals.get("__name__", "") if frame is not None else ""
    return name if isinstance(name, str) else ""


def is_a_clients(frame: FrameType | None) -> bool:
    """Whether it belongs to the standard library or a guarded client: their queues are their own affair."""
    package = _module(frame).partition(".")[0]
    found = _clients.get(package)
    if found is None:
        found = package not in ("", "__main__") and (
            package in _AROUND or package in sys.stdlib_module_names or package in guarded_packages()
        )
        _clients[package] = found
    return found


def forget_clients() -> None:
    """Guards came or went."""
    _clients.clear()


def hands_on(its: Any, frame: FrameType | None) -> bool:
    """Whether taking from `its` is all that this task, or this job of a pool's, does: `create_task(q.get())`,
    `run_in_executor(None, q.get)`. Somebody else will handle the item, and nothing says who."""
    coroutine = _coroutine()
    if coroutine is None:
        return _module(frame).partition(".")[0] in _POOLS
    own = getattr(coroutine, "cr_frame", None)
    if own is None or own.f_code.co_name not in _GETS:
        return False
    named = own.f_locals
    return named.get("self") is its or (_module(own).startswith(_OWN) and named.get("instance") is its)


def is_a_workers(frame: FrameType | None) -> bool:
    """Whether `frame` is the very coroutine that this task was made of, or one that waits for this task."""
    waiting = _waiting.get()
    if waiting is not None and frame is not None and waiting.frame is frame:
        return waiting.is_a_workers
    coroutine = _coroutine()
    return coroutine is not None and getattr(coroutine, "cr_frame", None) is frame


class Waiting:
    """Who waits for a task that `wait_for` makes, while the coroutine `inner` runs in it."""

    __slots__ = ("frame", "inner", "is_a_workers")

    def __init__(self, frame: FrameType | None, is_a_workers: bool, inner: CodeType) -> None:
        self.frame = frame
        self.is_a_workers = is_a_workers
        self.inner = inner


@contextmanager
def taking_for(waiting: Waiting) -> Iterator[None]:
    """What runs in here, in the coroutine that `waiting` names, takes items for a task that waits for it."""
    token = _waiting.set(waiting)
    try:
        yield
    finally:
        _waiting.reset(token)
        waiting.frame = None  # tasks that were started meanwhile have it too


def _coroutine() -> Any:
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return None
    return None if task is None else task.get_coro()


def holds(frame: FrameType | None, item: Any) -> bool:
    """Whether the worker has `item` in a list of its own: it collects items, to handle them together."""
    for _ in range(_FRAMES):
        if frame is None:
            return False
        named = dict(frame.f_locals)
        its = named.get("self")
        own = list(vars(its).values()) if hasattr(its, "__dict__") else []
        if any(_has(each, item) for each in named.values()) or any(
            _has(each, item, own=True) for each in own
        ):
            return True
        frame = frame.f_back
    return False


def _has(each: Any, item: Any, *, own: bool = False) -> bool:
    name = type(each).__name__
    if name not in (("list", "deque") if own else ("list", "deque", "set", "tuple")) or each is item:
        return False
    return len(each) <= _LONGEST and any(one is item for one in list(each))
