"""The queues guard: an item in a hand-made queue belongs to the request that put it there.

Theory of operation. A worker that loops over a queue serves everybody, whoever started it. So a table beside
the queue says whose each item is, and whoever takes one is told by `taking`:

- A worker of nobody's, started outside requests, is the item's request's until it takes the next one. Asks it
  for more and there is none, it may hold what it took or not: its effects are refused, until it takes the
  next item, or has been idle for a minute and that request has ended.
- A worker that a request started (a thread, or a task whose own coroutine takes the item) becomes nobody's
  with the first item of another request. But a queue that a mirrored request made itself may be its mailbox:
  while that request runs, effects for a live request's item are refused: nobody can tell whose they are.
- All else that runs in a request stays in it: a handler that borrows a connection from a pool made of a
  queue is not the request that gave it back. Once the request has ended, the item decides.
- Where an item is taken by a task or a pool's job that does nothing else, or by a worker that has collected
  live items, a mirrored one is withheld: recorded as blocked, and the next one is taken.

A thing that was lent out and is put back (a pool's) carries nothing, and what the standard library and
guarded clients do with queues of their own is left alone. No error in here keeps an item from anybody: with
no mirrored item in the queue it is only counted, otherwise who takes an item is refused effects.

Knows which methods to wrap. Must not know what items are.
"""

from __future__ import annotations

import asyncio
import queue
import sys
from typing import Any

from mirrorproof.context import current
from mirrorproof.guards import Guard
from mirrorproof.guards.queues.callers import caller, forget_clients, is_a_clients
from mirrorproof.guards.queues.moving import get, get_async, make, put, wait_for
from mirrorproof.guards.queues.simple import simple_queue
from mirrorproof.guards.unguarded import PROCESS, stop

__all__ = ["ProcessQueuesGuard", "QueuesGuard"]


class QueuesGuard(Guard):
    """Guards nothing by itself: has the other guards know whose item a worker handles."""

    name = "queues"
    module = "queue"
    covers = (
        "items of queue.Queue, LifoQueue, PriorityQueue, SimpleQueue and asyncio.Queue, whoever handles them"
    )

    def install(self) -> None:
        forget_clients()
        for owner, putting, getting in (
            (queue.Queue, "put", "get"), (asyncio.Queue, "put_nowait", "get_nowait"),
        ):  # fmt: skip
            self.wrap(owner, "__init__", make)
            self.wrap(owner, putting, put)
            self.wrap(owner, getting, get)
        self.wrap(asyncio.Queue, "get", get_async)
        self.replace(queue, "SimpleQueue", simple_queue())
        if sys.version_info < (3, 12):  # where it waits in a task of its own
            for module in (asyncio, asyncio.tasks):
                self.wrap(module, "wait_for", wait_for)

    def uninstall(self) -> None:
        super().uninstall()
        forget_clients()


class ProcessQueuesGuard(Guard):
    """No mark travels to another process, so a mirrored request hands no item to one that is not dry."""

    name = "queues-multiprocessing"
    module = "multiprocessing.queues"
    covers = "items of multiprocessing's queues are refused where who takes them would not be dry"

    def install(self) -> None:
        from multiprocessing import queues

        for owner in (queues.Queue, queues.JoinableQueue, queues.SimpleQueue):
            if "put" in vars(owner):
                self.wrap(owner, "put", _put_to_process)


def _put_to_process(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    context = current()
    if context is None or not context.mirrored or context.settings.role.always_mirrored:
        return wrapped(*args, **kwargs)
    if not is_a_clients(caller()):  # a pool's own, whose jobs the guard `threads` judges
        stop(context, PROCESS, "process multiprocessing.Queue")
    return wrapped(*args, **kwargs)
