"""Whose the items of one queue are: a table beside it, so that the queue itself holds what it ever held.

Theory of operation. An entry is looked up by the item's identity and holds the item, so that nothing else
gets that identity meanwhile. The same object may be put twice (a `None`, a small number): then it makes no
difference which of the two is whose, only how many are, so an entry counts. Entries that are left over when
somebody empties the queue by hand (`queue.queue.clear()`) are found by comparing with the queue.

A class that stores its items in its own way may hand out other objects than were put. There an object that
nobody put, while a mirrored item is in, may be that one: `IN_DOUBT`.

Knows queues' own attributes. Must not know who takes items.
"""

from __future__ import annotations

import asyncio
import queue
from collections import OrderedDict
from collections.abc import Iterable
from contextlib import suppress
from threading import Lock
from typing import Any, Final
from weakref import ref

from mirrorproof.context import MirrorContext

__all__ = ["IN_DOUBT", "Lent", "Table", "table_of"]

IN_DOUBT: Final = object()
_NAME: Final = "_mirrorproof_table"
_MOST: Final = 4096  # entries before the table is compared with the queue
_MOST_LENT: Final = 1024
_KNOWN: Final = (
    queue.Queue, queue.LifoQueue, queue.PriorityQueue,
    asyncio.Queue, asyncio.LifoQueue, asyncio.PriorityQueue,
)  # fmt: skip
_STORES: Final = frozenset(vars(each)[name] for each in _KNOWN for name in ("_put", "_get"))


class Lent:
    """Things that a request took out of a queue and did not become an item's of: a pool's, say. Where one
    is put back, it carries nothing. Takes no lock: a `SimpleQueue` is put into by destructors as well."""

    __slots__ = ("_things",)

    def __init__(self) -> None:
        self._things: OrderedDict[int, ref[Any]] = OrderedDict()

    def add(self, thing: Any) -> None:
        with suppress(TypeError, KeyError):  # what has no weak references is no pool's
            self._things[id(thing)] = ref(thing)
            if len(self._things) > _MOST_LENT:
                self._things.popitem(last=False)

    def __contains__(self, thing: Any) -> bool:
        found = self._things.get(id(thing))
        return found is not None and found() is thing


class _Entry:
    __slots__ = ("contexts", "item", "missed", "under_way")

    def __init__(self, item: Any) -> None:
        self.item = item
        self.contexts: list[MirrorContext | None] = []
        self.under_way: list[MirrorContext | None] = []  # of those who put it now: they may wait for room
        self.missed = False


class Table:
    """The entries of one queue, under a lock of its own that is held for dictionary steps only."""

    __slots__ = ("_at_most", "_exact", "_lock", "_maker", "entries", "lent", "mirrored")

    def __init__(self, its: Any, maker: MirrorContext | None) -> None:
        kind = type(its)
        self._exact = all(getattr(kind, name, None) in _STORES for name in ("_put", "_get"))
        self._maker = None if maker is None else ref(maker)
        self._lock = Lock()
        self._at_most = _MOST
        self.entries: dict[int, _Entry] = {}
        self.lent = Lent()
        self.mirrored = 0
        """How many items of mirrored requests may be in."""

    def is_of(self, context: MirrorContext | None) -> bool:
        """Whether `context` is the request that made the queue."""
        return context is not None and self._maker is not None and self._maker() is context

    def add(self, its: Any, item: Any, context: MirrorContext | None) -> bool:
        """Note whose `item` is, before it is put; whether there was anything to note."""
        if item in self.lent:
            context = None
        with self._lock:
            entry = self.entries.get(id(item))
            if entry is None:
                if context is None and (self._exact or not self.mirrored):
                    return False
                if len(self.entries) >= self._at_most:
                    self._compare(its)
                entry = self.entries[id(item)] = _Entry(item)
            entry.under_way.append(context)
            self._count(context, 1)
            return True

    def arrived(self, item: Any, context: MirrorContext | None) -> None:
        """It was put."""
        with self._lock:
            entry = self.entries.get(id(item))
            if entry is not None and (its := self._under_way(entry, context)):
                entry.contexts += its

    def drop(self, item: Any, context: MirrorContext | None) -> None:
        """It was not put after all."""
        with self._lock:
            entry = self.entries.get(id(item))
            if entry is not None and (its := self._under_way(entry, context)):
                self._count(its[0], -1)
                self._tidy(item, entry)

    def take(self, item: Any) -> Any:
        """Whose the item is, after it was taken: a context, `None` or `IN_DOUBT`."""
        with self._lock:
            entry = self.entries.get(id(item))
            if entry is None:
                return IN_DOUBT if self.mirrored and not self._exact else None
            context = (entry.contexts or entry.under_way).pop(0)
            self._count(context, -1)
            self._tidy(item, entry)
            return context

    def _under_way(self, entry: _Entry, context: MirrorContext | None) -> list[MirrorContext | None]:
        """What `add` noted, taken out again: `None` for a thing that was lent."""
        for whose in (context, None):
            for at, each in enumerate(entry.under_way):
                if each is whose:
                    return [entry.under_way.pop(at)]
        return []

    def _tidy(self, item: Any, entry: _Entry) -> None:
        if not entry.contexts and not entry.under_way:
            del self.entries[id(item)]

    def _count(self, context: MirrorContext | None, by: int) -> None:
        if context is not None and context.mirrored:
            self.mirrored += by

    def _compare(self, its: Any) -> None:
        """Forget what is not in the queue, if it was not the last time either: it may be on its way out."""
        stored = {id(item) for item in _stored(its)}
        for key, entry in list(self.entries.items()):
            if key in stored or entry.under_way:
                entry.missed = False
            elif entry.missed:
                del self.entries[key]
                for context in entry.contexts:
                    self._count(context, -1)
            else:
                entry.missed = True
        self._at_most = max(_MOST, 2 * len(self.entries))


def _stored(its: Any) -> Iterable[Any]:
    if isinstance(its, asyncio.Queue):
        return list(its._queue)  # type: ignore[attr-defined]
    with its.mutex:
        return list(its.queue)


def table_of(its: Any, *, maker: MirrorContext | None = None, make: bool = False) -> Table | None:
    """The queue's table, if it has one; `make` one otherwise, for a queue that `maker` makes."""
    found: Table | None = its.__dict__.get(_NAME)
    if found is None and make:
        found = its.__dict__.setdefault(_NAME, Table(its, maker))
    return found
