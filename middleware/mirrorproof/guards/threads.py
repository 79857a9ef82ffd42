"""The threads guard: a job of a thread pool belongs to the request that submitted it.

`ThreadPoolExecutor.submit` and `loop.run_in_executor` do not carry context variables, so that a guard in a
worker thread would take a mirrored request's write for a live one. The mark travels with each job, never
with the thread: a worker is shared, and would keep it for ever. (`asyncio.to_thread` and anyio carry
context variables by themselves. A `threading.Thread` of the application's own carries nothing.)

Knows thread pools. Must not know what a job does.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from mirrorproof.context import carry
from mirrorproof.guards import Guard

__all__ = ["ThreadsGuard"]


class ThreadsGuard(Guard):
    """Guards nothing by itself: has the other guards know whose job a pool's thread does."""

    name = "threads"
    module = "concurrent.futures"
    covers = "jobs of concurrent.futures.ThreadPoolExecutor, loop.run_in_executor with one among them"

    def install(self) -> None:
        self.wrap(ThreadPoolExecutor, "submit", _submit)


def _submit(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if not args:
        return wrapped(*args, **kwargs)
    return wrapped(carry(args[0]), *args[1:], **kwargs)
