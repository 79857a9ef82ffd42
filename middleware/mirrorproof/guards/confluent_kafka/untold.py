"""Suppressed messages whose delivery nobody was told of yet.

They are told to the request that sent the message, or to a thread that is nobody's and polls for all; the
callbacks carry their context. A live request's `poll` leaves mirrored ones alone.

Knows who polls. Must not know how messages are sent.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Any, Final

from mirrorproof.context import MirrorContext, current

__all__ = ["add", "count", "ever", "tell"]

_log = logging.getLogger("mirrorproof")

_MAX: Final = 10_000
"""For each producer. Who never polls is never told, and the oldest are forgotten."""
_SILENT: Final = "confluent_kafka.silent"


@dataclass(frozen=True, slots=True, eq=False)
class _Delivery:
    context: MirrorContext
    callback: Callable[[Any, Any], Any]
    message: Any


_lock = Lock()
# By the producer's id: instances of C types hold no attributes. Each holds its producer, so ids last.
_waiting: dict[int, tuple[Any, deque[_Delivery]]] = {}
_seen: Final[list[bool]] = []


def add(producer: Any, callback: Callable[[Any, Any], Any] | None, message: Any) -> None:
    """A message is as good as delivered. Without a callback it only counts."""
    context = current()
    if context is None:
        return
    with _lock:
        if callback is None:
            key = (_SILENT, id(producer))
            context.resources[key] = context.resources.get(key, 0) + 1
            return
        _seen[:] = [True]
        _, waiting = _waiting.setdefault(id(producer), (producer, deque(maxlen=_MAX)))
        waiting.append(_Delivery(context, callback, message))


def ever() -> bool:
    """Whether there was a callback yet, so that a thread that polls for all has to look."""
    return bool(_seen)


def count(producer: Any) -> int:
    """How many deliveries who polls here and now would be told of."""
    context = current()
    with _lock:
        silent = 0 if context is None else context.resources.get((_SILENT, id(producer)), 0)
        return int(silent) + len(_due(producer, context))


def tell(producer: Any) -> int:
    """Call the callbacks that who polls here and now would be told by. Returns how many deliveries it were.

    What a callback raises is raised to the request that sent the message, and logged to anybody else.
    """
    context = current()
    if (context is None and not _waiting) or (
        context is not None and context.in_request and not context.mirrored
    ):
        return 0  # live work is not held up
    with _lock:
        told = 0 if context is None else int(context.resources.pop((_SILENT, id(producer)), 0))
    while (delivery := _next(producer, context)) is not None:
        told += 1
        if delivery.context is context:
            delivery.callback(None, delivery.message)
            continue
        try:
            delivery.callback(None, delivery.message)
        except Exception:
            _log.exception("mirrorproof: a mirrored request's delivery callback failed")
    return told


def _next(producer: Any, context: MirrorContext | None) -> _Delivery | None:
    with _lock:
        due = _due(producer, context)
        if not due:
            return None
        waiting = _waiting[id(producer)][1]
        waiting.remove(due[0])
        if not waiting:
            del _waiting[id(producer)]
        return due[0]


def _due(producer: Any, context: MirrorContext | None) -> list[_Delivery]:
    waiting = _waiting.get(id(producer), (None, ()))[1]
    if context is None or not context.in_request:
        return list(waiting)
    return [each for each in waiting if each.context is context]
