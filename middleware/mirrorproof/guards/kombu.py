"""The kombu guard: at its producer, queues and exchanges, whatever the transport.

A suppressed declaration is not remembered as done: the next live message's queue has to be there. A
suppressed consumer is one whose queue stays empty.

Knows kombu's entities and the form of Celery's messages. Must not know a transport.
"""

from __future__ import annotations

import inspect
from typing import Any, Final

from mirrorproof.context import MirrorContext, current
from mirrorproof.guards import Guard
from mirrorproof.guards.acting import CONSUME, Describe, Stub, Write, acting
from mirrorproof.guards.amqp import Arguments, arguments_of, carry_callback, marked_headers, published
from mirrorproof.rulings import Where

__all__ = ["KombuGuard"]

_VERBS: Final = {"bind_to": "bind", "unbind_from": "unbind", "consume": "consume", "get": "consume"}
_SIGNATURE: Final = frozenset({"task", "args", "kwargs", "subtask_type"})


class KombuGuard(Guard):
    """Guards kombu, and so Celery's `delay`, `apply_async`, `send_task`, chains, groups and chords."""

    name = "kombu"
    module = "kombu.messaging"
    distribution = "kombu"
    tested = ("5.7", "5.7")
    covers = (
        "kombu's Producer.publish, and consume, get, declare, delete, purge and bind of Queue and Exchange: "
        "Celery's delay, apply_async, send_task, chains, groups, chords and workers among them"
    )

    def install(self) -> None:
        from kombu import common
        from kombu.entity import Exchange, Queue
        from kombu.messaging import Producer

        publish = inspect.signature(Producer.publish)

        def describe(producer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Write:
            return _published(producer, arguments_of(publish, args, kwargs))

        self.wrap(Producer, "publish", _adapted(publish, describe, _nothing, _mark))
        consume = inspect.signature(Queue.consume)
        self.wrap(Queue, "consume", _adapted(
            consume, _entity("queue", "consume"), lambda queue, *_: None, carry_callback("callback")
        ))  # fmt: skip
        answers: dict[str, Stub] = {"purge": _zero, "declare": _name}
        for name in ("get", "declare", "delete", "purge", "bind_to", "unbind_from"):
            answer = answers.get(name, _nothing)
            self.guard(Queue, name, _entity("queue", name), answer)
        for name in ("declare", "delete", "bind_to", "unbind_from"):
            self.guard(Exchange, name, _entity("exchange", name), _nothing)
        self.guard(common, "_maybe_declare", _maybe_declared, lambda *_: False)


def _adapted(signature: inspect.Signature, describe: Describe, stub: Any, adapt: Any) -> Any:
    def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        def let_through(*args: Any, **kwargs: Any) -> Any:
            context = current()
            if context is None or not context.mirrored:
                return wrapped(*args, **kwargs)
            bound = signature.bind(None, *args, **kwargs)
            adapt(context, bound.arguments)
            return wrapped(*bound.args[1:], **bound.kwargs)

        return acting(describe, stub)(let_through, instance, args, kwargs)

    return wrapper


def _mark(context: MirrorContext, call: Arguments) -> None:
    call["headers"] = marked_headers(context, call.get("headers"))


def _published(producer: Any, call: Arguments) -> Write:
    exchange = producer.exchange if call["exchange"] is None else call["exchange"]
    routing_key = producer.routing_key if call["routing_key"] is None else call["routing_key"]
    exchange_name = exchange if isinstance(exchange, str) else exchange.name
    return published(exchange_name, routing_key, _told(call["body"], call["headers"] or {}))


def _told(body: Any, headers: dict[str, Any]) -> Any:
    """What equal messages have in common: of Celery's, the task and its arguments, and what follows it."""
    if "task" not in headers or not isinstance(body, tuple | list) or len(body) != 3:
        return body
    told = {"task": headers["task"], "args": body[0], "kwargs": body[1]}
    follows = {name: _signature(value) for name, value in (body[2] or {}).items() if value}
    return told | follows


def _signature(value: Any) -> Any:
    """A Celery signature, or several, without their ids."""
    if isinstance(value, dict):
        return {name: _signature(each) for name, each in value.items() if name in _SIGNATURE}
    return [_signature(each) for each in value] if isinstance(value, tuple | list) else value


def _entity(what: str, name: str) -> Describe:
    verb = _VERBS.get(name, name)
    kind = CONSUME if verb == "consume" else f"{what}.{verb}"

    def describe(entity: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Write | None:
        if what == "exchange" and name == "declare":
            passive = args[1] if len(args) > 1 else kwargs.get("passive")
            if entity.passive if passive is None else passive:
                return None
        return _changed(kind, what, entity)

    return describe


def _changed(kind: str, what: str, entity: Any) -> Write:
    where = Where(queue=entity.name) if what == "queue" else Where()
    return Write(kind, f"{what} {entity.name or ''}", where=where)


def _maybe_declared(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Write:
    entity = args[0] if args else kwargs["entity"]
    what = "exchange" if hasattr(entity, "type") else "queue"
    return _changed(f"{what}.declare", what, entity)


def _nothing(*_: Any) -> None:
    return None


def _zero(*_: Any) -> int:
    return 0


def _name(queue: Any, *_: Any) -> str:
    return str(queue.name)
