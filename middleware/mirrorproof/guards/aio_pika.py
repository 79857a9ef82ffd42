"""The aio-pika guard: at aiormq's channel, which every object of aio-pika uses.

A suppressed consumer is one whose queue stays empty. The tasks of a connection and of its channels serve
everybody, so they start outside any request, whoever opened them.

Knows aiormq's channel. Must not know what a message means.
"""

from __future__ import annotations

import copy
from typing import Any, Final

from mirrorproof.context import MirrorContext, detached, entered
from mirrorproof.guards import Guard
from mirrorproof.guards.amqp import DESCRIBED, Arguments, judged, marked_headers
from mirrorproof.guards.amqp_sharing import cancelling, note_consumer_async, note_suppressed

__all__ = ["AioPikaGuard"]

_METHODS: Final = (
    "queue_declare", "queue_delete", "queue_purge", "queue_bind", "queue_unbind",
    "exchange_declare", "exchange_delete", "exchange_bind", "exchange_unbind",
)  # fmt: skip


class AioPikaGuard(Guard):
    """Guards aio-pika and aiormq."""

    name = "aio-pika"
    module = "aiormq.channel"
    distribution = "aiormq"
    tested = ("7.2", "7.2")
    covers = "aio_pika's exchanges and queues, through aiormq.Channel: publish, get, consume, declare, delete"

    def install(self) -> None:
        from aiormq.channel import Channel

        for name in _METHODS:
            self._guard(Channel, name, _confirmed(name))
        self._guard(Channel, "basic_publish", _acknowledged, _mark)
        self._guard(Channel, "basic_get", _empty)
        self.wrap(Channel, "basic_consume", note_consumer_async)
        self._guard(Channel, "basic_consume", _consuming, _as_part_of_the_request)
        self.wrap(Channel, "basic_cancel", cancelling(_cancelled, asynchronous=True))
        self.wrap(Channel, "__init__", _outside)

    def _guard(self, owner: Any, name: str, stub: Any, adapt: Any = None) -> None:
        self.wrap(owner, name, judged(getattr(owner, name), DESCRIBED[name], stub, adapt, asynchronous=True))


def _outside(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    with detached():  # starts the task that later calls consumers back
        return wrapped(*args, **kwargs)


def _mark(context: MirrorContext, call: Arguments) -> None:
    from pamqp.commands import Basic

    properties = copy.copy(call.get("properties")) or Basic.Properties(delivery_mode=1)
    properties.headers = marked_headers(context, properties.headers)
    call["properties"] = properties


def _as_part_of_the_request(context: MirrorContext, call: Arguments) -> None:
    if not context.in_request:
        return
    callback = call["consumer_callback"]

    async def carried(message: Any) -> Any:
        with entered(context):
            answer = callback(message)
            return await answer if hasattr(answer, "__await__") else answer

    call["consumer_callback"] = carried


def _confirmed(method: str) -> Any:
    def stub(channel: Any, call: Arguments) -> Any:
        from pamqp import commands

        if call.get("nowait"):
            return None
        group, _, verb = method.partition("_")
        answer = getattr(getattr(commands, group.capitalize()), verb.capitalize() + "Ok")
        if method == "queue_declare":
            name = call["queue"] or f"amq.gen-mirrored-{channel.number}-{id(channel):x}"
            return answer(queue=name, message_count=0, consumer_count=0)
        return answer(message_count=0) if method in ("queue_delete", "queue_purge") else answer()

    return stub


def _acknowledged(channel: Any, call: Arguments) -> Any:
    from pamqp.commands import Basic

    return Basic.Ack(delivery_tag=channel.delivery_tag) if channel.publisher_confirms else None


def _empty(channel: Any, call: Arguments) -> Any:
    from aiormq.abc import DeliveredMessage
    from pamqp.commands import Basic
    from pamqp.header import ContentHeader

    return DeliveredMessage(delivery=Basic.GetEmpty(), header=ContentHeader(), body=b"", channel=channel)


def _consuming(channel: Any, call: Arguments) -> Any:
    from pamqp.commands import Basic

    tag = call["consumer_tag"] or f"ctag-mirrored.{id(call['queue']):x}"
    return note_suppressed(channel, Basic.ConsumeOk(consumer_tag=tag))


def _cancelled(channel: Any, tag: Any, _: Any) -> Any:
    from pamqp.commands import Basic

    return Basic.CancelOk(consumer_tag=tag)
