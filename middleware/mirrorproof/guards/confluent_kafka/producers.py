"""Producers: a suppressed message is told as delivered, at the next `poll` or `flush`.

Callbacks of live messages that a mirrored request's `poll` runs belong to no request. A suppressed
`init_transactions` is made up for by the first transaction that a live request begins.

Knows confluent-kafka's producers. Must not decide anything: `guards.acting` does.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, Final

from mirrorproof.context import carry, current, detached, is_mirrored
from mirrorproof.guards.acting import Write, acting
from mirrorproof.guards.confluent_kafka import untold
from mirrorproof.guards.confluent_kafka.consumers import positions
from mirrorproof.guards.confluent_kafka.messages import delivered
from mirrorproof.guards.confluent_kafka.sealed import config_of
from mirrorproof.guards.kafka import given, sent, taken, transaction

__all__ = ["JUDGED", "Judged", "counted", "purged"]

_LOOK_AGAIN_S: Final = 0.05
_UNREADY: Final = "_mirrorproof_unready"


class Judged(list[Any]):
    """Messages of a batch that were judged when they were gathered."""


def _config(producer: Any, name: str) -> Any:
    return (config_of(producer) or {}).get(name)


# -- messages

_PRODUCE: Final = ("topic", "value", "key", "partition", "callback", "on_delivery", "timestamp", "headers")
_BATCH: Final = ("topic", "messages", "partition", "callback", "on_delivery")


def _default(producer: Any, named: dict[str, Any]) -> Any:
    return named.get("callback") or named.get("on_delivery") or _config(producer, "on_delivery")


def _produce(wrapped: Any, producer: Any, args: Any, kwargs: Any) -> Any:
    if not is_mirrored():
        return _judge_message(wrapped, producer, args, kwargs)
    named = dict(zip(_PRODUCE, args, strict=False)) | kwargs
    callback = _default(producer, named)
    if callback is not None:
        # A rule may allow the message: whoever polls, what its callback does belongs to this request.
        named = {name: named[name] for name in named if name != "callback"} | {"on_delivery": carry(callback)}
        args, kwargs = (), named
    return _judge_message(wrapped, producer, args, kwargs)


def _sent(producer: Any, args: Any, kwargs: Any) -> Write:
    topic, value, key, partition = (given(args, kwargs, at, name) for at, name in enumerate(_PRODUCE[:4]))
    return sent(topic, value, key, given(args, kwargs, 7, "headers"), partition)


def _told(producer: Any, args: Any, kwargs: Any) -> None:
    named = dict(zip(_PRODUCE, args, strict=False)) | kwargs
    untold.add(producer, _default(producer, named), _delivered(producer, named["topic"], named))


def _delivered(producer: Any, topic: Any, message: Any, partition: Any = None) -> Any:
    return delivered(topic, message, partition, _config(producer, "message.max.bytes"))


def _produce_batch(wrapped: Any, producer: Any, args: Any, kwargs: Any) -> Any:
    messages = given(args, kwargs, 1, "messages")
    if isinstance(messages, Judged):
        return wrapped(*args, **kwargs)
    if not is_mirrored():
        return _judge_batch(wrapped, producer, args, kwargs)
    if not isinstance(messages, list):
        raise TypeError("messages must be a list")  # the client's own error and words
    named = dict(zip(_BATCH, args, strict=False)) | kwargs
    default = _default(producer, named)
    own = [_with_callback(each, default) for each in messages]
    try:
        return _judge_batch(wrapped, producer, (), named | {"messages": own})
    finally:
        for theirs, each in zip(messages, own, strict=True):
            if "_error" in each:
                theirs["_error"] = each["_error"]


def _with_callback(message: Any, default: Any) -> Any:
    callback = message.get("callback") or default
    return {**message, "callback": carry(callback)} if callback else dict(message)


def _sent_batch(producer: Any, args: Any, kwargs: Any) -> Write:
    topic, messages, partition = (given(args, kwargs, at, name) for at, name in enumerate(_BATCH[:3]))
    parts = [
        sent(topic, each.get("value"), each.get("key"), each.get("headers"), each.get("partition")).payload
        for each in messages
    ]
    whole = sent(topic, None, partition=partition)
    shared = {"partition": whole.payload["partition"]} if "partition" in whole.payload else {}
    return Write(whole.kind, whole.target, {"messages": parts, **shared}, where=whole.where)


def _told_batch(producer: Any, args: Any, kwargs: Any) -> int:
    from confluent_kafka import KafkaException

    accepted = 0
    for each in kwargs["messages"]:
        try:
            message = _delivered(producer, kwargs.get("topic"), each, kwargs.get("partition"))
        except KafkaException as error:
            each["_error"] = error.args[0]
            continue
        untold.add(producer, each.get("callback"), message)
        accepted += 1
    return accepted


_judge_message = acting(_sent, _told)
_judge_batch = acting(_sent_batch, _told_batch)


# -- transactions


def _step(step: str, stub: Callable[..., None] = lambda *_: None) -> Callable[..., Any]:
    def describe(producer: Any, args: Any, kwargs: Any) -> Write:
        return transaction(step, str(_config(producer, "transactional.id") or ""))

    return acting(describe, stub)


def _not_ready(producer: Any, args: Any, kwargs: Any) -> None:
    if hasattr(producer, "__dict__"):
        producer.__dict__[_UNREADY] = (args, kwargs)


def _begin(wrapped: Any, producer: Any, args: Any, kwargs: Any) -> Any:
    if not is_mirrored():
        how = getattr(producer, "__dict__", {}).pop(_UNREADY, None)
        if how is not None:
            producer.init_transactions(*how[0], **how[1])
    return _judge_begin(wrapped, producer, args, kwargs)


def _offsets(producer: Any, args: Any, kwargs: Any) -> Write:
    told = positions(given(args, kwargs, 0, "positions"))
    return taken({topic for topic, *_ in told}, "a member of the transaction", told)


def purged(producer: Any, args: Any, kwargs: Any) -> Write:
    """What `purge` would throw away: live messages among them."""
    return Write("queue.purge", "messages that wait to be sent")


_judge_begin = _step("begin")


# -- being told


def _poll(wrapped: Any, producer: Any, args: Any, kwargs: Any) -> Any:
    told = untold.tell(producer)
    if told:
        return told + _aside(wrapped, 0)
    context = current()
    if untold.ever() and (context is None or not context.in_request):
        return _poll_for_all(wrapped, producer, given(args, kwargs, 0, "timeout", -1))
    return _aside(wrapped, *args, **kwargs)


def _poll_for_all(wrapped: Any, producer: Any, timeout_s: float) -> int:
    """`poll`, of a thread that is told of mirrored messages as well: nothing would wake it for these."""
    until = time.monotonic() + timeout_s
    while True:
        left_s = until - time.monotonic() if timeout_s >= 0 else _LOOK_AGAIN_S
        events = int(wrapped(max(0.0, min(left_s, _LOOK_AGAIN_S)))) + untold.tell(producer)
        if events or left_s <= 0:
            return events


def _told_first(wrapped: Any, producer: Any, args: Any, kwargs: Any) -> Any:
    untold.tell(producer)
    return _aside(wrapped, *args, **kwargs)


def _aside(wrapped: Any, *args: Any, **kwargs: Any) -> Any:
    with detached() if is_mirrored() else nullcontext():
        return wrapped(*args, **kwargs)


def counted(wrapped: Any, producer: Any, args: Any, kwargs: Any) -> int:
    """`len(producer)`: suppressed messages wait to be told, too."""
    return int(wrapped(*args, **kwargs)) + untold.count(producer)


JUDGED: Final[dict[str, Callable[..., Any]]] = {
    "produce": _produce,
    "produce_batch": _produce_batch,
    "init_transactions": _step("init", _not_ready),
    "begin_transaction": _begin,
    "commit_transaction": _step("commit"),
    "abort_transaction": _step("abort"),
    "send_offsets_to_transaction": acting(_offsets, lambda *_: None),
    "purge": acting(purged, lambda *_: None),
    "poll": _poll,
    "flush": _told_first,
    "close": _told_first,
    "__exit__": _told_first,
}
"""By the name of a method of `cimpl.Producer`: what stands around it."""
