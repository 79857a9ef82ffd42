"""The py-amqp guard: at the methods of its channel, for those who use it without kombu.

A suppressed consumer is one whose queue stays empty: `drain_events` waits as it would, but for no longer than
a second in a request that set no timeout of its own. What kombu sends by way of py-amqp is judged by kombu's
guard, and only what that does not know by this one.

Knows py-amqp's channel. Must not know what a message means.
"""

from __future__ import annotations

import copy
import inspect
import uuid
from typing import Any, Final
from weakref import WeakSet

from mirrorproof.context import MirrorContext, current
from mirrorproof.guards import Guard
from mirrorproof.guards.acting import Write
from mirrorproof.guards.amqp import (
    DESCRIBED,
    Arguments,
    arguments_of,
    carry_callback,
    judged,
    marked_headers,
    published,
)

__all__ = ["AmqpGuard"]

_WAIT_IN_REQUEST_S: Final = 1.0
_SILENT: Final = ("amqp", "connections with suppressed consumers")


class AmqpGuard(Guard):
    """Guards py-amqp's `Channel`."""

    name = "amqp"
    module = "amqp.channel"
    distribution = "amqp"
    tested = ("5.4", "5.4")
    covers = "publish, get, consume, declare, delete, purge and bind of py-amqp's Channel, past kombu"

    def install(self) -> None:
        from amqp.channel import Channel
        from amqp.connection import Connection

        publish = inspect.signature(Channel._basic_publish)
        for name in ("_basic_publish", "basic_publish"):
            self.wrap(Channel, name, judged(getattr(Channel, name), _publish, _sent, _mark))
        self.guard(
            Channel, "basic_publish_confirm",
            lambda _, args, kwargs: _publish(arguments_of(publish, args, _without_timeout(kwargs))),
            lambda *_: _sent(),
        )  # fmt: skip
        consume = DESCRIBED["basic_consume"]
        mark = carry_callback("callback")
        self.wrap(Channel, "basic_consume", judged(Channel.basic_consume, consume, _silent_consumer, mark))
        answers = {
            "basic_get": _nothing, "queue_declare": _declared, "queue_delete": _count, "queue_purge": _count,
            "exchange_declare": _nothing,
        }  # fmt: skip
        for name in DESCRIBED.keys() - {"basic_publish", "basic_consume"}:
            stub = answers.get(name, _done)
            self.wrap(Channel, name, judged(getattr(Channel, name), DESCRIBED[name], stub))
        self.wrap(Connection, "drain_events", _drain)


def _publish(call: Arguments) -> Write:
    return published(call["exchange"], call["routing_key"], getattr(call["msg"], "body", call["msg"]))


def _without_timeout(kwargs: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in kwargs.items() if name != "confirm_timeout"}


def _mark(context: MirrorContext, call: Arguments) -> None:
    message = call["msg"] = copy.copy(call["msg"])  # the application may send its own again, live
    headers = marked_headers(context, message.properties.get("application_headers"))
    message.properties = {**message.properties, "application_headers": headers}


# -- what the server would have answered


def _nothing(*_: Any) -> None:
    return None


def _sent(*_: Any) -> Any:
    """What py-amqp returns of a method that has no answer: a promise that is kept."""
    from amqp import promise

    kept = promise()
    kept()
    return kept


def _done(channel: Any, call: Arguments) -> Any:
    return _sent() if call.get("nowait") else ()


def _count(channel: Any, call: Arguments) -> Any:
    return _sent() if call.get("nowait") else 0


def _declared(channel: Any, call: Arguments) -> Any:
    from amqp.protocol import queue_declare_ok_t

    if call["nowait"]:
        return None
    return queue_declare_ok_t(call["queue"] or f"amq.gen-mirrored-{uuid.uuid4()}", 0, 0)


def _silent_consumer(channel: Any, call: Arguments) -> str:
    """A consumer that the server does not know of, and that gets nothing therefore."""
    if call["nowait"] and not call["consumer_tag"]:
        raise ValueError("Consumer tag must be specified when nowait is True")
    context = current()
    if context is not None and context.in_request:
        context.resources.setdefault(_SILENT, WeakSet()).add(channel.connection)
    return call["consumer_tag"] or f"amq.ctag-mirrored-{uuid.uuid4()}"


def _drain(wrapped: Any, connection: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    context = current()
    timed = args or kwargs.get("timeout") is not None
    if timed or context is None or connection not in context.resources.get(_SILENT, ()):
        return wrapped(*args, **kwargs)
    if any(channel._pending for channel in list(connection.channels.values())):
        return wrapped(*args, **kwargs)  # an answer of the server's is on its way
    return wrapped(timeout=_WAIT_IN_REQUEST_S)
