"""The pika guard: at the methods of its two channels, the blocking one and the one with callbacks.

A suppressed consumer is one whose queue stays empty: `start_consuming` and `consume` wait as they would.
In a request they wait for a second, in a process that serves mirrors only for as long as it likes. What a
request hands over to the thread of a connection stays that request's there.

Knows pika's channels. Must not know what a message means.
"""

from __future__ import annotations

import copy
import logging
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from mirrorproof.context import MirrorContext, carry, current, held
from mirrorproof.errors import EffectRefusedError
from mirrorproof.guards import Guard
from mirrorproof.guards.amqp import DESCRIBED, Arguments, carry_callback, judged, marked_headers
from mirrorproof.guards.amqp_sharing import cancelling, closing, note_consumer, note_maker, note_suppressed

__all__ = ["PikaGuard", "channel_name"]

_log = logging.getLogger("mirrorproof")
_WAIT_IN_REQUEST_S: Final = 1.0
_KEPT: Final = "_mirrorproof_suppressed_consumers"
_ANSWERS: Final = {
    "queue_declare": ("Queue", "DeclareOk"),
    "queue_delete": ("Queue", "DeleteOk"),
    "queue_purge": ("Queue", "PurgeOk"),
    "queue_bind": ("Queue", "BindOk"),
    "queue_unbind": ("Queue", "UnbindOk"),
    "exchange_declare": ("Exchange", "DeclareOk"),
    "exchange_delete": ("Exchange", "DeleteOk"),
    "exchange_bind": ("Exchange", "BindOk"),
    "exchange_unbind": ("Exchange", "UnbindOk"),
}


class PikaGuard(Guard):
    """Guards pika: `BlockingChannel`, and the `Channel` of the connections with callbacks."""

    name = "pika"
    module = "pika.adapters.blocking_connection"
    distribution = "pika"
    tested = ("1.4", "1.4")
    covers = "publish, get, consume, declare, delete, purge and bind of pika's BlockingChannel and Channel"

    def install(self) -> None:
        from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection
        from pika.adapters.select_connection import IOLoop
        from pika.channel import Channel
        from pika.connection import Connection

        for name in _ANSWERS:
            self._guard(BlockingChannel, name, partial(_frame, name))
            self._guard(Channel, name, partial(_call_back, name))
        self._guard(BlockingChannel, "basic_publish", _nothing, _mark)
        self._guard(Channel, "basic_publish", _nothing, _mark)
        self._guard(BlockingChannel, "basic_get", lambda *_: (None, None, None))
        self._guard(Channel, "basic_get", _nothing)
        self.wrap(Channel, "basic_consume", note_consumer)
        self.wrap(BlockingChannel, "_basic_consume_impl", note_consumer)
        self._guard(Channel, "basic_consume", _no_consumer, carry_callback("on_message_callback"))
        # The one way of both `basic_consume` and `consume`:
        describe = DESCRIBED["basic_consume"]
        consume = BlockingChannel._basic_consume_impl
        self.wrap(BlockingChannel, "_basic_consume_impl", judged(consume, describe, _silent_consumer))
        # The innermost asks; a consumer that nobody but this process knows of is told apart before.
        self.wrap(BlockingChannel, "basic_cancel", cancelling(lambda *_: []))
        self.wrap(BlockingChannel, "basic_cancel", _cancel)
        self.wrap(BlockingChannel, "cancel", _cancel_generator)
        self.wrap(Channel, "basic_cancel", cancelling(_call_back_cancelled))
        for owner in (BlockingChannel, Channel, BlockingConnection, Connection):
            self.wrap(owner, "__init__", note_maker)
        for owner in (BlockingChannel, Channel):
            self.wrap(owner, "close", closing("channel.close"))
        for owner in (BlockingConnection, Connection):
            self.wrap(owner, "close", closing("connection.close"))
        self.wrap(BlockingConnection, "add_callback_threadsafe", partial(_hand_over, 0))
        self.wrap(BlockingConnection, "call_later", partial(_hand_over, 1))
        for name, at in (("add_callback_threadsafe", 0), ("add_callback", 0), ("call_later", 1)):
            self.wrap(IOLoop, name, partial(_hand_over, at))

    def _guard(self, owner: Any, name: str, stub: Any, adapt: Any = None) -> None:
        self.wrap(owner, name, judged(getattr(owner, name), DESCRIBED[name], stub, adapt))


def _nothing(channel: Any, call: Arguments) -> None:
    return None


def _mark(context: MirrorContext, call: Arguments) -> None:
    from pika.spec import BasicProperties

    properties = copy.copy(call.get("properties")) or BasicProperties()
    properties.headers = marked_headers(context, properties.headers)
    call["properties"] = properties


def _frame(method: str, channel: Any, call: Arguments) -> Any:
    """What the server would have answered."""
    from pika import frame, spec

    group, name = _ANSWERS[method]
    answer = getattr(getattr(spec, group), name)()
    if method == "queue_declare":
        answer.queue = call["queue"] or channel_name(channel)
    if hasattr(answer, "message_count") or method in ("queue_declare", "queue_delete", "queue_purge"):
        answer.message_count = 0
    if method == "queue_declare":
        answer.consumer_count = 0
    return frame.Method(int(channel), answer)


def channel_name(channel: Any) -> str:
    """A name such as the server gives to a queue that is declared without one."""
    return f"amq.gen-mirrored-{int(channel)}-{id(channel):x}"


def _call_back(method: str, channel: Any, call: Arguments) -> None:
    if call.get("callback") is not None:
        answer = _frame(method, channel, call)
        channel.connection._adapter_call_later(0, partial(call["callback"], answer))


def _no_consumer(channel: Any, call: Arguments) -> str:
    from pika import frame, spec

    tag: str = call["consumer_tag"] or channel._generate_consumer_tag()
    if call.get("callback") is not None:
        answer = frame.Method(int(channel), spec.Basic.ConsumeOk(tag))
        channel.connection._adapter_call_later(0, partial(call["callback"], answer))
    note_suppressed(channel, tag)
    return tag


def _silent_consumer(channel: Any, call: Arguments) -> str:
    """A consumer that the server does not know of, and that gets nothing therefore."""
    from pika.adapters.blocking_connection import _ConsumerInfo

    tag: str = call["consumer_tag"] or channel._impl._generate_consumer_tag()
    consumer = _ConsumerInfo(
        tag, auto_ack=call["auto_ack"], on_message_callback=call["on_message_callback"],
        alternate_event_sink=call["alternate_event_sink"],
    )  # fmt: skip
    consumer.state = _ConsumerInfo.ACTIVE
    channel._consumer_infos[tag] = consumer
    channel.__dict__.setdefault(_KEPT, set()).add(tag)
    context = current()
    if context is not None and context.in_request:
        channel.connection.call_later(_WAIT_IN_REQUEST_S, partial(_drop, channel, tag))
    return tag


def _drop(channel: Any, tag: str) -> None:
    channel.__dict__.get(_KEPT, set()).discard(tag)
    channel._consumer_infos.pop(tag, None)
    generator = channel._queue_consumer_generator
    if generator is not None and generator.consumer_tag == tag:
        channel._queue_consumer_generator = None


def _cancel(wrapped: Any, channel: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    tag = args[0] if args else kwargs.get("consumer_tag")
    if tag not in channel.__dict__.get(_KEPT, ()):
        return wrapped(*args, **kwargs)
    channel.__dict__[_KEPT].discard(tag)
    channel._consumer_infos.pop(tag, None)
    return []


def _cancel_generator(wrapped: Any, channel: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    generator = channel._queue_consumer_generator
    if generator is None or generator.consumer_tag in channel.__dict__.get(_KEPT, ()):
        return wrapped(*args, **kwargs)
    return cancelling(lambda *_: 0)(lambda *_: wrapped(), channel, (generator.consumer_tag,), {})


def _call_back_cancelled(channel: Any, tag: str, callback: Any) -> None:
    from pika import frame, spec

    if callback is not None:
        answer = frame.Method(int(channel), spec.Basic.CancelOk(tag))
        channel.connection._adapter_call_later(0, partial(callback, answer))


# -- what a connection's thread is asked to do


def _hand_over(at: int, wrapped: Any, its: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A callback for the thread that looks after the connection: there it is the request's that gave it."""
    if held() is None or sys._getframe(1).f_globals.get("__name__", "").startswith("pika."):
        return wrapped(*args, **kwargs)  # heartbeats and the like are nobody's
    if len(args) > at and callable(args[at]):
        return wrapped(*args[:at], _handed(args[at]), *args[at + 1 :], **kwargs)
    if callable(kwargs.get("callback")):
        kwargs["callback"] = _handed(kwargs["callback"])
    return wrapped(*args, **kwargs)


def _handed(callback: Callable[[], Any]) -> Callable[[], Any]:
    giver, carried = held(), carry(callback)

    def handed() -> None:
        if held() is giver:
            callback()
            return
        try:
            carried()
        except EffectRefusedError:  # which would end a thread that serves everybody
            _log.exception("mirrorproof refused what a mirrored request had a connection's thread do")

    return handed
