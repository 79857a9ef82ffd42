"""The threads guard: a job of a thread pool belongs to the request that submitted it.

`ThreadPoolExecutor.submit` and `loop.run_in_executor` do not carry context variables, so that a guard in a
worker thread would take a mirrored request's write for a live one. The mark travels with each job, never
with a pool's thread: a worker is shared, and would keep it for ever. (`asyncio.to_thread` and anyio carry
context variables by themselves.) A `threading.Thread` that a request starts belongs to that request.

Knows thread pools. Must not know what a job does.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Thread
from typing import Any

from mirrorproof.context import carry, detached
from mirrorproof.guards import Guard

__all__ = ["ThreadsGuard"]


class ThreadsGuard(Guard):
    """Guards nothing by itself: has the other guards know whose job a pool's thread does."""

    name = "threads"
    module = "concurrent.futures"
    covers = (
        "threading.Thread; jobs of concurrent.futures.ThreadPoolExecutor, loop.run_in_executor among them"
    )

    def install(self) -> None:
        self.wrap(ThreadPoolExecutor, "submit", _submit)
        self.wrap(Thread, "start", _start)


def _submit(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if not args:
        return wrapped(*args, **kwargs)
    job = carry(args[0])
    with detached():  # the thread that a pool may start for the job is everybody's
        return wrapped(job, *args[1:], **kwargs)


def _start(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    instance.run = carry(instance.run)
    return wrapped(*args, **kwargs)
