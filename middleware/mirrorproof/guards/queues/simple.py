"""`queue.SimpleQueue`, a type in C that cannot be wrapped: a subclass in its place.

Nobody sees what it holds, so an item of a request is put in an envelope that says whose it is. No lock: a
`SimpleQueue` is put into by destructors and signal handlers as well.

Knows `queue.SimpleQueue`. Must not know who takes items.
"""

from __future__ import annotations

import queue
from functools import partial
from typing import Any, NamedTuple

from mirrorproof.context import MirrorContext, held
from mirrorproof.guards.queues.callers import caller, is_a_clients
from mirrorproof.guards.queues.moving import cannot_note, is_marked, safely, see_empty, settled
from mirrorproof.guards.queues.table import Table, table_of

__all__ = ["simple_queue"]


class _Envelope(NamedTuple):
    item: Any
    context: MirrorContext


def _whose(context: MirrorContext | None, item: Any) -> MirrorContext | None:
    return context


def _sealed(its: Any, item: Any) -> Any:
    context = held()
    if context is None:
        return item
    try:
        table = table_of(its)
        if is_a_clients(caller()) or (table is not None and item in table.lent):
            return item
        return _Envelope(item, context)
    except Exception as error:
        cannot_note(context, error)
        return item


def simple_queue() -> type:
    """The class to stand in for `queue.SimpleQueue`."""
    plain: Any = queue.SimpleQueue

    class SimpleQueue(plain):  # type: ignore[misc]
        """`queue.SimpleQueue`, whose items carry their request."""

        def __init__(self) -> None:
            super().__init__()
            safely("note who makes a queue", lambda: table_of(self, maker=held(), make=True))

        def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
            super().put(_sealed(self, item))

        def put_nowait(self, item: Any) -> None:
            super().put(_sealed(self, item))

        def get(self, block: bool = True, timeout: float | None = None) -> Any:
            while True:
                try:
                    found = super().get(block, timeout)
                except BaseException:
                    see_empty()
                    raise
                if type(found) is not _Envelope and not is_marked():
                    return found
                item, context = found if type(found) is _Envelope else (found, None)
                table: Table | None = table_of(self)
                if table is None or settled(self, table, item, partial(_whose, context)):
                    return item

        def get_nowait(self) -> Any:
            return self.get(block=False)

    SimpleQueue.__module__, SimpleQueue.__qualname__ = "queue", "SimpleQueue"
    return SimpleQueue
