"""Consumers: in a mirrored request there is no message, and no group is joined.

A consumer that was never part of a group for real is polled for real: it finds nothing, in the client's own
way. One that was is not asked, since it would hand over a message that v1 needs. A consumer that a mirrored
request assigns partitions by hand, and that commits nothing by itself, changes nothing and reads.

Knows confluent-kafka's consumers. Must not decide anything: `guards.acting` does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

from mirrorproof.context import detached, is_mirrored
from mirrorproof.guards.acting import Write, acting
from mirrorproof.guards.confluent_kafka.sealed import config_of
from mirrorproof.guards.kafka import given, taken, wait_s

__all__ = ["JUDGED", "SHARED", "positions"]

_STANDING: Final = "_mirrorproof_standing"
_LOOK_AGAIN_S: Final = 1.0


class _Standing:
    """What one consumer was told so far."""

    def __init__(self) -> None:
        self.topics: tuple[str, ...] = ()
        self.joined = False
        """Whether it may be part of a group: it subscribed or was assigned for real, not only to read."""
        self.reads = False
        """Whether it was assigned partitions only to read."""
        self.unjoined: tuple[tuple[Any, ...], dict[str, Any]] | None = None
        """A suppressed `subscribe`, which the first call of a live request makes up for."""


def _standing(consumer: Any) -> _Standing:
    known = getattr(consumer, "__dict__", None)
    if known is None or (config_of(consumer) is None and _STANDING not in known):
        unknown = _Standing()  # from before the guard, or made by a name from before
        unknown.joined = True
        if known is None:
            return unknown
        return known.setdefault(_STANDING, unknown)  # type: ignore[no-any-return]
    return known.setdefault(_STANDING, _Standing())  # type: ignore[no-any-return]


def _commits_by_itself(consumer: Any) -> bool:
    commits = (config_of(consumer) or {}).get("enable.auto.commit", True)
    return str(commits).lower() not in ("false", "f", "0")


def _group(consumer: Any) -> str:
    return str((config_of(consumer) or {}).get("group.id", "a member of its group"))


def _take(consumer: Any, payload: Any = None) -> Write:
    return taken(_standing(consumer).topics, _group(consumer), payload)


# -- joining


def _subscribe(wrapped: Any, consumer: Any, args: Any, kwargs: Any) -> Any:
    def subscribed(*args: Any, **kwargs: Any) -> Any:
        result = wrapped(*args, **kwargs)
        standing = _standing(consumer)
        standing.topics, standing.joined, standing.reads = _topics(args, kwargs), True, False
        standing.unjoined = None
        return result

    return _judge_subscribe(subscribed, consumer, args, kwargs)


def _topics(args: Any, kwargs: Any) -> tuple[str, ...]:
    return tuple(given(args, kwargs, 0, "topics", ()))


def _subscribing(consumer: Any, args: Any, kwargs: Any) -> Write:
    return taken(_topics(args, kwargs), _group(consumer), "join")


def _not_subscribed(consumer: Any, args: Any, kwargs: Any) -> None:
    standing = _standing(consumer)
    if not standing.joined:
        standing.topics, standing.reads = _topics(args, kwargs), False
        standing.unjoined = (args, kwargs)


_judge_subscribe = acting(_subscribing, _not_subscribed)


def _assign(name: str, wrapped: Any, consumer: Any, args: Any, kwargs: Any) -> Any:
    def assigned(*args: Any, **kwargs: Any) -> Any:
        result = wrapped(*args, **kwargs)
        standing = _standing(consumer)
        standing.reads = is_mirrored() and not _commits_by_itself(consumer) and not standing.joined
        standing.joined = standing.joined or not standing.reads
        standing.topics = tuple({each.topic for each in given(args, kwargs, 0, "partitions", ())})
        return result

    return acting(partial(_assigning, name), lambda *_: None)(assigned, consumer, args, kwargs)


def _assigning(name: str, consumer: Any, args: Any, kwargs: Any) -> Write | None:
    if not _commits_by_itself(consumer) and not _standing(consumer).joined:
        return None
    told = positions(given(args, kwargs, 0, "partitions", ()))
    return taken({topic for topic, *_ in told}, _group(consumer), {name: told})


def positions(partitions: Iterable[Any] | None) -> list[list[Any]]:
    """Topics, partitions and offsets, in words."""
    return [[each.topic, each.partition, each.offset] for each in partitions or ()]


# -- taking


def _reading(consumer: Any, args: Any, kwargs: Any) -> Write | None:
    return None if _standing(consumer).reads else _take(consumer)


def _taking(stub: Callable[..., Any]) -> Callable[..., Any]:
    def wrapper(wrapped: Any, consumer: Any, args: Any, kwargs: Any) -> Any:
        unjoined = None if is_mirrored() else _standing(consumer).unjoined
        if unjoined is not None:
            consumer.subscribe(*unjoined[0], **unjoined[1])
        judge = acting(_reading, partial(stub, wrapped))
        return judge(wrapped, consumer, args, kwargs)

    return wrapper


def _no_message(wrapped: Any, consumer: Any, args: Any, kwargs: Any) -> Any:
    _wait(consumer, partial(wrapped), given(args, kwargs, 0, "timeout", -1))


def _no_messages(wrapped: Any, consumer: Any, args: Any, kwargs: Any) -> Any:
    number = given(args, kwargs, 0, "num_messages", 1)
    _wait(consumer, partial(wrapped, number), given(args, kwargs, 1, "timeout", -1))
    return []


def _wait(consumer: Any, ask: Callable[[float], Any], timeout_s: float) -> None:
    if not _standing(consumer).joined:
        with detached():
            ask(wait_s(timeout_s))  # of nobody, so there is nothing
        return
    until = time.monotonic() + wait_s(timeout_s)
    while (left_s := until - time.monotonic()) > 0:
        consumer.assignment()  # raises once the consumer is closed
        time.sleep(min(left_s, _LOOK_AGAIN_S))


# -- saying how far


def _committing(consumer: Any, args: Any, kwargs: Any) -> Write:
    return _take(consumer, {"commit": _named(args, kwargs)})


def _storing(consumer: Any, args: Any, kwargs: Any) -> Write:
    return _take(consumer, {"store": _named(args, kwargs)})


def _named(args: Any, kwargs: Any) -> list[list[Any]]:
    return positions(_offsets(args, kwargs))


def _offsets(args: Any, kwargs: Any) -> list[Any]:
    from confluent_kafka import TopicPartition

    message, offsets = given(args, kwargs, 0, "message"), given(args, kwargs, 1, "offsets")
    if message is None:
        return list(offsets or ())
    return [TopicPartition(message.topic(), message.partition(), message.offset() + 1)]


def _committed(consumer: Any, args: Any, kwargs: Any) -> Any:
    return None if given(args, kwargs, 2, "asynchronous", True) else _offsets(args, kwargs)


def _leaving(consumer: Any, args: Any, kwargs: Any) -> Write | None:
    standing = _standing(consumer)
    standing.unjoined = None
    return _take(consumer, "leave") if standing.joined else None


# -- share groups


def _shared(payload: Any, stub: Callable[..., Any] = lambda *_: None) -> Callable[..., Any]:
    def describe(consumer: Any, args: Any, kwargs: Any) -> Write:
        topics = _topics(args, kwargs) if payload == "join" else ()
        return taken(topics, "a member of its share group", payload)

    return acting(describe, stub)


def _no_shared(consumer: Any, args: Any, kwargs: Any) -> Any:
    from confluent_kafka import Messages

    time.sleep(wait_s(given(args, kwargs, 0, "timeout", -1)))
    return Messages()


JUDGED: Final[dict[str, Callable[..., Any]]] = {
    "subscribe": _subscribe,
    "assign": partial(_assign, "assign"),
    "incremental_assign": partial(_assign, "incremental_assign"),
    "unsubscribe": acting(_leaving, lambda *_: None),
    "unassign": acting(_leaving, lambda *_: None),
    "incremental_unassign": acting(_leaving, lambda *_: None),
    "poll": _taking(_no_message),
    "consume": _taking(_no_messages),
    "commit": acting(_committing, _committed),
    "store_offsets": acting(_storing, lambda *_: None),
}
"""By the name of a method of `cimpl.Consumer`: what stands around it."""
SHARED: Final[dict[str, Callable[..., Any]]] = {
    "subscribe": _shared("join"),
    "unsubscribe": _shared("leave"),
    "poll": _shared(None, _no_shared),
    "acknowledge": _shared("acknowledge"),
    "acknowledge_offset": _shared("acknowledge"),
    "commit_sync": _shared("commit", lambda *_: {}),
    "commit_async": _shared("commit"),
}
"""The same of `cimpl.ShareConsumer`."""
