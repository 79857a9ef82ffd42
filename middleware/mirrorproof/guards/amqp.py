"""What the guards of AMQP's clients share: what each of a channel's methods would change, in words.

AMQP's methods have the same names and arguments in every client, so one table, `DESCRIBED`, describes them
all. A `queue` in a rule is, for a message to the default exchange, the queue's name (its routing key), and
for one to any other exchange `exchange/routing key`, since only the server knows which queues that reaches.

Pure, but for the wrapper. Must not know any one client.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from mirrorproof.context import MirrorContext, carry, current
from mirrorproof.decision import MARK_HEADER, PAIR_ID_HEADER
from mirrorproof.guards.acting import CONSUME, Stub, Write, acting, acting_async
from mirrorproof.rulings import Where

__all__ = [
    "DESCRIBED",
    "Adapt",
    "Arguments",
    "arguments_of",
    "carry_callback",
    "judged",
    "marked_headers",
    "published",
    "shown",
]

Arguments = dict[str, Any]
Adapt = Callable[[MirrorContext, Arguments], None]
"""Changes the arguments of a mirrored request's call that a rule lets through: `marked_headers`, say."""

_MAX_SHOWN: Final = 64 * 1024


def arguments_of(signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
    """A call's arguments by name, defaults included."""
    bound = signature.bind(None, *args, **kwargs)
    bound.apply_defaults()
    return {name: value for name, value in bound.arguments.items() if name != "self"}


def judged(
    method: Callable[..., Any], describe: Callable[[Arguments], Write | None], stub: Callable[..., Any],
    adapt: Adapt | None = None, *, asynchronous: bool = False,
) -> Callable[..., Any]:  # fmt: skip
    """A wrapper (as wrapt's) of `method`. `stub(instance, arguments)` answers in its place."""
    signature = inspect.signature(inspect.unwrap(method))
    judge = acting_async if asynchronous else acting

    def described(instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Write | None:
        return describe(arguments_of(signature, args, kwargs))

    def stubbed(instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return stub(instance, arguments_of(signature, args, kwargs))

    answer: Stub = stubbed

    def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        def let_through(*args: Any, **kwargs: Any) -> Any:
            context = current()
            if adapt is None or context is None or not context.mirrored:
                return wrapped(*args, **kwargs)
            bound = signature.bind(None, *args, **kwargs)
            adapt(context, bound.arguments)
            return wrapped(*bound.args[1:], **bound.kwargs)

        return judge(described, answer)(let_through, instance, args, kwargs)

    return wrapper


def marked_headers(context: MirrorContext, headers: Mapping[str, Any] | None) -> dict[str, Any]:
    """A message's headers with the mark, and the pair id where there is one."""
    marked = {**(headers or {}), MARK_HEADER.decode(): "true"}
    if context.pair_id:
        marked[PAIR_ID_HEADER.decode()] = context.pair_id
    return marked


def carry_callback(name: str) -> Adapt:
    """What consumes for a mirrored request handles the messages as a part of it."""

    def adapt(context: MirrorContext, arguments: Arguments) -> None:
        if callable(arguments.get(name)):
            arguments[name] = carry(arguments[name])

    return adapt


def shown(body: Any) -> Any:
    """A message's body as anything JSON-like: what JSON it is, else its text, else its bytes' `repr`."""
    if not isinstance(body, bytes | bytearray | memoryview):
        return body
    raw = bytes(body)
    if len(raw) <= _MAX_SHOWN:
        try:
            return msgspec.json.decode(raw)
        except ValueError:
            pass
    try:
        return raw.decode()
    except ValueError:
        return repr(raw)


def published(exchange: str | None, routing_key: str | None, body: Any) -> Write:
    """A message to be sent. Its headers and properties are left out: ids, times and trace contexts."""
    exchange, routing_key = exchange or "", routing_key or ""
    queue = f"{exchange}/{routing_key}" if exchange else routing_key
    target = f"exchange {exchange} key {routing_key}" if exchange else f"queue {routing_key}"
    return Write("queue.publish", target, {"body": shown(body)}, where=Where(queue=queue))


def _publish(call: Arguments) -> Write:
    return published(call.get("exchange"), call.get("routing_key"), call.get("body"))


def _consume(call: Arguments) -> Write:
    queue = call.get("queue") or ""
    return Write(CONSUME, f"queue {queue}", where=Where(queue=queue))


def _on_queue(kind: str, *names: str) -> Callable[[Arguments], Write | None]:
    def describe(call: Arguments) -> Write | None:
        if call.get("passive"):
            return None
        queue = call.get("queue") or ""
        payload = {name: call[name] for name in names if call.get(name)}
        return Write(kind, f"queue {queue or '(named by the server)'}", payload or None,
                     where=Where(queue=queue))  # fmt: skip

    return describe


def _on_exchange(kind: str, *names: str) -> Callable[[Arguments], Write | None]:
    def describe(call: Arguments) -> Write | None:
        if call.get("passive"):
            return None
        payload = {name: call[name] for name in names if call.get(name)}
        exchange = call.get("exchange") or call.get("destination") or ""
        return Write(kind, f"exchange {exchange}", payload or None)

    return describe


_BINDING: Final = ("exchange", "source", "routing_key", "arguments")
_KIND_OF_QUEUE: Final = ("durable", "exclusive", "auto_delete", "arguments")
_KIND_OF_EXCHANGE: Final = ("exchange_type", "type", "durable", "auto_delete", "internal", "arguments")

DESCRIBED: Final[dict[str, Callable[[Arguments], Write | None]]] = {
    "basic_publish": _publish,
    "basic_get": _consume,
    "basic_consume": _consume,
    "queue_declare": _on_queue("queue.declare", *_KIND_OF_QUEUE),
    "queue_delete": _on_queue("queue.delete", "if_unused", "if_empty"),
    "queue_purge": _on_queue("queue.purge"),
    "queue_bind": _on_queue("queue.bind", *_BINDING),
    "queue_unbind": _on_queue("queue.unbind", *_BINDING),
    "exchange_declare": _on_exchange("exchange.declare", *_KIND_OF_EXCHANGE),
    "exchange_delete": _on_exchange("exchange.delete", "if_unused"),
    "exchange_bind": _on_exchange("exchange.bind", *_BINDING),
    "exchange_unbind": _on_exchange("exchange.unbind", *_BINDING),
}
"""What a call of each method would change, by the method's name."""
