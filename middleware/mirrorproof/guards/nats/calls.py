"""What calls of nats-py would change: a `Write`, or `None` for a read.

Pure. Knows the arguments of nats-py's methods. Must not know what is answered in their place.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

from mirrorproof.guards.acting import CONSUME, Write
from mirrorproof.rulings import Where

__all__ = [
    "fetch",
    "given",
    "js_bind",
    "js_pull",
    "js_subscribe",
    "manage",
    "object_write",
    "publish",
    "request",
    "respond",
    "store",
    "subscribe",
]

_FLOW: Final = "$JS.FC."  # the server waits for it before it sends more to an ordered consumer


def given(
    args: tuple[Any, ...], kwargs: dict[str, Any], position: int, name: str, default: Any = None
) -> Any:
    """An argument, by position or by name."""
    return args[position] if len(args) > position else kwargs.get(name, default)


def _content(data: Any) -> Any:
    """A payload, for the digest and the summary: JSON as it reads, text, or a hash of the rest."""
    raw = bytes(data)
    try:
        return json.loads(raw)
    except ValueError:
        pass
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return {"bytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}


def publish(instance: Any, args: Any, kwargs: Any) -> Write | None:
    """A message; what keeps a reader's messages flowing is none."""
    subject, payload = given(args, kwargs, 0, "subject"), given(args, kwargs, 1, "payload", b"")
    if subject.startswith(_FLOW):
        return None
    return _sent("queue.publish", subject, payload)


def request(instance: Any, args: Any, kwargs: Any) -> Write:
    """A message that asks for an answer."""
    subject, payload = given(args, kwargs, 0, "subject"), given(args, kwargs, 1, "payload", b"")
    return _sent("queue.request", subject, payload)


def _sent(kind: str, subject: str, payload: Any) -> Write:
    if subject.startswith("$JS.ACK."):
        parts = subject.split(".")  # version 2 has a domain and an account before stream and consumer
        stream, consumer = parts[2:4] if len(parts) == 9 else parts[4:6]
        return _taken(f"consumer {stream}.{consumer}", consumer, _content(payload or b"+ACK"))
    if subject.startswith("_INBOX."):
        subject = "_INBOX"  # whose inbox it is differs each time
    return Write(kind, f"subject {subject}", _content(payload), where=Where(queue=subject))


def respond(instance: Any, args: Any, kwargs: Any) -> Write:
    """A message's answer."""
    data = given(args, kwargs, 0, "data", b"")
    return Write(
        "queue.publish", f"reply to {instance.subject}", _content(data), where=Where(queue=instance.subject)
    )


def _taken(target: str, queue: str, payload: Any = None) -> Write:
    return Write(CONSUME, target, payload, where=Where(queue=queue))


def subscribe(instance: Any, args: Any, kwargs: Any) -> Write | None:
    """Taking messages as a member of a queue group; without one it is a read."""
    subject, queue = given(args, kwargs, 0, "subject"), given(args, kwargs, 1, "queue", "")
    return _taken(f"subject {subject} as {queue}", subject) if queue else None


def js_subscribe(instance: Any, args: Any, kwargs: Any) -> Write | None:
    """A consumer that is pushed to; an ordered one is a read."""
    subject = given(args, kwargs, 0, "subject")
    if given(args, kwargs, 7, "ordered_consumer"):  # a reader of its own, that acknowledges nothing
        return None
    return _taken(f"subject {subject}", subject)


def js_pull(instance: Any, args: Any, kwargs: Any) -> Write:
    """A consumer that pulls."""
    subject = given(args, kwargs, 0, "subject")
    return _taken(f"subject {subject}", subject)


def js_bind(instance: Any, args: Any, kwargs: Any) -> Write:
    """A consumer that is there already."""
    consumer = kwargs.get("consumer") or kwargs.get("durable") or kwargs.get("name") or ""
    stream = kwargs.get("stream") or ""
    for given in args:
        if isinstance(given, str):
            consumer = f"{consumer}.{given}".strip(".")
    return _taken(f"consumer {stream}.{consumer}".rstrip("."), consumer)


def fetch(instance: Any, args: Any, kwargs: Any) -> Write:
    """Taking messages from a stream."""
    # An ephemeral consumer has a random name, so the stream is what equal effects have in common.
    return _taken(f"stream {instance._stream}", instance._stream)


def manage(name: str, instance: Any, args: Any, kwargs: Any) -> Write | None:
    """A change of a stream or a consumer."""
    first = given(args, kwargs, 0, "name", kwargs.get("stream", kwargs.get("stream_name")))
    config = kwargs.get("config") or next((each for each in args if hasattr(each, "as_dict")), None)
    if not isinstance(first, str):
        first = getattr(config, "name", None) or kwargs.get("name", "")
    settings = config.as_dict() if config is not None else {}
    settings |= {key: value for key, value in kwargs.items() if key not in ("config", "timeout")}
    settings |= {"arguments": [each for each in args[1:] if isinstance(each, str | int | float)]}
    return Write(f"nats.{name}", f"stream {first}", settings, where=Where(queue=first))


def store(name: str, instance: Any, args: Any, kwargs: Any) -> Write:
    """A change in a KeyValue store."""
    key, value = given(args, kwargs, 0, "key"), given(args, kwargs, 1, "value", b"")
    content = _content(value) if name in ("create", "put", "update") else None
    target = f"bucket {instance._name}" + ("" if name == "purge_deletes" else f" key {key}")
    return Write(f"nats.kv.{name}", target, content, where=Where(queue=instance._name, table=instance._name))


def object_write(name: str, instance: Any, args: Any, kwargs: Any) -> Write:
    """A change in an ObjectStore."""
    key, data = given(args, kwargs, 0, "name", ""), given(args, kwargs, 1, "data")
    content = (
        _content(data.encode() if isinstance(data, str) else data) if isinstance(data, str | bytes) else None
    )
    target = f"bucket {instance._name}" + (f" object {key}" if key else "")
    return Write(
        f"nats.object.{name}", target, content, where=Where(queue=instance._name, table=instance._name)
    )
