"""What stands around a queue's methods: an item is noted as it is put, and told whose it is as it is taken.

Nothing in here keeps an item from anybody by failing. A mirrored item that cannot be noted is refused.

Knows how queues are called. Must not know how it is decided whose an item is.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from inspect import iscoroutine
from typing import Any, Final, TypeVar

from mirrorproof.context import MirrorContext, adopt, held, taken
from mirrorproof.counters import Counters
from mirrorproof.failsafe import failsafe
from mirrorproof.guards.queues.callers import Waiting, caller, is_a_clients, is_a_workers, taking_for
from mirrorproof.guards.queues.table import Table, table_of
from mirrorproof.guards.queues.taking import Item, came_back_empty, doubt, refuse, take

__all__ = [
    "cannot_note",
    "get",
    "get_async",
    "is_marked",
    "make",
    "put",
    "safely",
    "see_empty",
    "settled",
    "wait_for",
]

T = TypeVar("T")

_counters: Final = Counters()  # of what happens outside requests; the log hears of it


def safely(what: str, call: Callable[..., T], *args: Any) -> T | None:
    """`failsafe`, counted for whoever this is."""
    context = held()
    return failsafe(what, _counters if context is None else context.counters, call, *args)


# -- putting


def make(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`__init__`: whose the queue is."""
    made = wrapped(*args, **kwargs)
    safely("note who makes a queue", lambda: table_of(instance, maker=held(), make=True))
    return made


def put(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`put`, or asyncio's `put_nowait`."""
    item = args[0] if args else kwargs.get("item", put)
    context = held()
    table = table_of(instance)
    if item is put or (context is None and (table is None or not table.mirrored)):
        return wrapped(*args, **kwargs)
    try:
        table = _noted_in(instance, item, context)
    except Exception as error:
        cannot_note(context, error)
        table = None
    if table is None:
        return wrapped(*args, **kwargs)
    try:
        result = wrapped(*args, **kwargs)
    except BaseException:
        safely("forget an item", table.drop, item, context)
        raise
    try:
        table.arrived(item, context)
    except Exception as error:
        safely("note an item", _raise, error)
    return result


def _noted_in(instance: Any, item: Any, context: MirrorContext | None) -> Table | None:
    if is_a_clients(caller()):
        return None
    table = table_of(instance, make=True)
    return table if table is not None and table.add(instance, item, context) else None


def cannot_note(context: MirrorContext | None, error: Exception) -> None:
    """Whose an item is cannot be noted: raises for a mirrored request's, else it is only counted."""
    if context is not None and context.mirrored:
        refuse(context, error)
    safely("note an item", _raise, error)


# -- taking


class _WithheldError(Exception):
    """What `asyncio.Queue.get` took is withheld: it waits again."""


def get(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`get`, or asyncio's `get_nowait`."""
    while True:
        try:
            item = wrapped(*args, **kwargs)
        except BaseException:
            see_empty()
            raise
        table = table_of(instance)
        if table is None or (not table.entries and not is_marked()):
            return item
        if settled(instance, table, item, table.take):
            return item
        with suppress(Exception):
            instance.task_done()
        inner = sys._getframe(1)
        if inner.f_code.co_name == "get" and inner.f_globals.get("__name__") == "asyncio.queues":
            raise _WithheldError


def see_empty() -> None:
    """Whoever runs here asked for an item and there was none."""
    if taken() is not None:
        safely("see an empty queue", came_back_empty)


def is_marked() -> bool:
    """Whether taking an item that is nobody's makes a difference to whoever runs here."""
    if taken() is not None:
        return True
    context = held()
    return context is not None and context.mirrored


def settled(instance: Any, table: Table, item: Any, whose: Callable[[Any], Any]) -> bool:
    """Whether who took the item is to have it. No error of ours keeps it from anybody."""
    getter = held()
    dangerous = table.mirrored > 0 or (getter is not None and getter.mirrored)
    try:
        context = whose(item)
        if context is getter and taken() is None:
            return True
        return take(instance, table, item, getter, context)
    except Exception as error:
        safely("tell whose an item is", _raise, error)
        if dangerous and (getter is None or taken() is not None):
            safely(
                "refuse effects", doubt, getter, f"mirrorproof could not tell whose an item is ({error!r})"
            )
        return True


def _raise(error: Exception) -> None:
    raise error


async def get_async(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`asyncio.Queue.get`, which waits again where an item is withheld."""
    while True:
        try:
            return await wrapped(*args, **kwargs)
        except _WithheldError:
            continue
        except BaseException:
            see_empty()
            raise


async def wait_for(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Whose the inner task became, by what it took, whoever waits for it becomes too."""
    waited = args[0] if args else kwargs.get("fut")
    frame = caller()
    worker = is_a_workers(frame)
    if not iscoroutine(waited) or not (worker or held() is None or taken() is not None):
        return await wrapped(*args, **kwargs)
    became: list[Item] = []

    async def inner() -> Any:
        before = taken()
        with taking_for(Waiting(frame, worker, inner.__code__)):
            try:
                return await waited
            finally:
                after = taken()
                if isinstance(after, Item) and after is not before:
                    became.append(after)

    try:
        if args:
            return await wrapped(inner(), *args[1:], **kwargs)
        return await wrapped(**{**kwargs, "fut": inner()})
    finally:
        waited.close()  # if it never began
        if became:
            adopt(became[-1].context, became[-1])
