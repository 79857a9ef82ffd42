"""The nats-py guard: publishing, requests, JetStream, its stores, and taking messages from queues.

Everything that nats-py sends goes through `Client.publish`, `request` or `subscribe`, which are judged. The
methods that users call above them (`JetStreamContext.publish`, `KeyValue.put`) are judged as what they mean,
and what they consist of is admitted. So a method that this guard does not know is still held back, as a
request. A suppressed subscription is one that the server never heard of, so nothing arrives.

Knows nats-py. Must not decide anything: `guards.acting` does.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

from mirrorproof.context import connecting
from mirrorproof.guards import Guard
from mirrorproof.guards.acting import CONSUME, Write, acting_async
from mirrorproof.rulings import Where

__all__ = ["NatsGuard"]

_MANAGER_READS = (
    "account_info", "consumer_info", "consumers_info", "find_stream_name_by_subject", "get_msg",
    "stream_info", "streams_info", "streams_info_iterator",
)  # fmt: skip
_MANAGER_WRITES = (
    "add_consumer", "add_stream", "delete_consumer", "delete_msg", "delete_stream", "pause_consumer",
    "purge_stream", "reset_consumer", "update_stream",
)  # fmt: skip
_STORE_WRITES = {
    "create": 1, "put": 1, "update": 1, "delete": True, "purge": True, "purge_deletes": True,
}  # fmt: skip
_OBJECT_WRITES = ("delete", "put", "seal", "update_meta")
_LONGEST_WAIT_S = 3600.0


class NatsGuard(Guard):
    """Guards nats-py."""

    name = "nats"
    module = "nats"
    distribution = "nats-py"
    tested = ("2.16", "2.16")
    covers = (
        "nats.Client publish, request, queue subscriptions; JetStream publish, subscriptions, fetch, "
        "streams, consumers; KeyValue; ObjectStore; acknowledgements"
    )

    def install(self) -> None:
        from nats.aio.client import Client
        from nats.aio.msg import Msg
        from nats.js.client import JetStreamContext
        from nats.js.kv import KeyValue
        from nats.js.manager import JetStreamManager
        from nats.js.object_store import ObjectStore

        self.wrap(Client, "_select_next_server", _connect)
        self.guard(Client, "publish", _publish, lambda *_: None)
        self.wrap(Client, "request", partial(_answered, acting_async(_request, _message)))
        self.guard(Client, "subscribe", _subscribe, _silent)
        self.guard(Msg, "respond", _respond, lambda *_: None)
        self.guard(JetStreamContext, "publish", _publish, _ack)
        self.guard(JetStreamContext, "publish_async", _publish, _acked)
        self.guard(JetStreamContext, "subscribe", _js_subscribe, _silent_push)
        self.guard(JetStreamContext, "subscribe_bind", _js_bind, _silent_push)
        self.guard(JetStreamContext, "pull_subscribe", _js_pull, _silent_pull)
        self.guard(JetStreamContext, "pull_subscribe_bind", _js_bind, _silent_pull)
        self.guard(JetStreamContext.PullSubscription, "fetch", _fetch, _nothing)
        for name in _MANAGER_READS:
            self.guard(JetStreamManager, name, lambda *_: None, lambda *_: None)
        for name in filter(partial(hasattr, JetStreamManager), _MANAGER_WRITES):
            self.guard(JetStreamManager, name, partial(_manage, name), partial(_managed, name))
        for name, answer in _STORE_WRITES.items():
            self.guard(KeyValue, name, partial(_store, name), partial(_stored, answer))
        for name in _OBJECT_WRITES:
            self.guard(ObjectStore, name, partial(_object, name), partial(_objected, name))


async def _connect(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
    with connecting():  # whatever is sent over the connection is judged
        return await wrapped(*args, **kwargs)


def _given(
    args: tuple[Any, ...], kwargs: dict[str, Any], position: int, name: str, default: Any = None
) -> Any:
    return args[position] if len(args) > position else kwargs.get(name, default)


# -- what calls are


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


def _publish(instance: Any, args: Any, kwargs: Any) -> Write:
    subject, payload = _given(args, kwargs, 0, "subject"), _given(args, kwargs, 1, "payload", b"")
    return _sent("queue.publish", subject, payload)


def _request(instance: Any, args: Any, kwargs: Any) -> Write:
    subject, payload = _given(args, kwargs, 0, "subject"), _given(args, kwargs, 1, "payload", b"")
    return _sent("queue.request", subject, payload)


def _sent(kind: str, subject: str, payload: Any) -> Write:
    if subject.startswith("$JS.ACK."):
        parts = subject.split(".")  # version 2 has a domain and an account before stream and consumer
        stream, consumer = parts[2:4] if len(parts) == 9 else parts[4:6]
        return _taken(f"consumer {stream}.{consumer}", consumer, _content(payload or b"+ACK"))
    if subject.startswith("_INBOX."):
        subject = "_INBOX"  # whose inbox it is differs each time
    return Write(kind, f"subject {subject}", _content(payload), where=Where(queue=subject))


def _respond(instance: Any, args: Any, kwargs: Any) -> Write:
    data = _given(args, kwargs, 0, "data", b"")
    return Write(
        "queue.publish", f"reply to {instance.subject}", _content(data), where=Where(queue=instance.subject)
    )


def _taken(target: str, queue: str, payload: Any = None) -> Write:
    return Write(CONSUME, target, payload, where=Where(queue=queue))


def _subscribe(instance: Any, args: Any, kwargs: Any) -> Write | None:
    subject, queue = _given(args, kwargs, 0, "subject"), _given(args, kwargs, 1, "queue", "")
    return _taken(f"subject {subject} as {queue}", subject) if queue else None


def _js_subscribe(instance: Any, args: Any, kwargs: Any) -> Write | None:
    subject = _given(args, kwargs, 0, "subject")
    if _given(args, kwargs, 7, "ordered_consumer"):  # a reader of its own, that acknowledges nothing
        return None
    return _taken(f"subject {subject}", subject)


def _js_pull(instance: Any, args: Any, kwargs: Any) -> Write:
    subject = _given(args, kwargs, 0, "subject")
    return _taken(f"subject {subject}", subject)


def _js_bind(instance: Any, args: Any, kwargs: Any) -> Write:
    consumer = kwargs.get("consumer") or kwargs.get("durable") or kwargs.get("name") or ""
    stream = kwargs.get("stream") or ""
    for given in args:
        if isinstance(given, str):
            consumer = f"{consumer}.{given}".strip(".")
    return _taken(f"consumer {stream}.{consumer}".rstrip("."), consumer)


def _fetch(instance: Any, args: Any, kwargs: Any) -> Write:
    # An ephemeral consumer has a random name, so the stream is what equal effects have in common.
    return _taken(f"stream {instance._stream}", instance._stream)


def _manage(name: str, instance: Any, args: Any, kwargs: Any) -> Write | None:
    first = _given(args, kwargs, 0, "name", kwargs.get("stream", kwargs.get("stream_name")))
    config = kwargs.get("config") or next((each for each in args if hasattr(each, "as_dict")), None)
    if not isinstance(first, str):
        first = getattr(config, "name", None) or kwargs.get("name", "")
    settings = config.as_dict() if config is not None else {}
    settings |= {key: value for key, value in kwargs.items() if key not in ("config", "timeout")}
    settings |= {"arguments": [each for each in args[1:] if isinstance(each, str | int | float)]}
    return Write(f"nats.{name}", f"stream {first}", settings, where=Where(queue=first))


def _store(name: str, instance: Any, args: Any, kwargs: Any) -> Write:
    key, value = _given(args, kwargs, 0, "key"), _given(args, kwargs, 1, "value", b"")
    content = _content(value) if name in ("create", "put", "update") else None
    target = f"bucket {instance._name}" + ("" if name == "purge_deletes" else f" key {key}")
    return Write(f"nats.kv.{name}", target, content, where=Where(queue=instance._name, table=instance._name))


def _object(name: str, instance: Any, args: Any, kwargs: Any) -> Write:
    key, data = _given(args, kwargs, 0, "name", ""), _given(args, kwargs, 1, "data")
    content = (
        _content(data.encode() if isinstance(data, str) else data) if isinstance(data, str | bytes) else None
    )
    target = f"bucket {instance._name}" + (f" object {key}" if key else "")
    return Write(
        f"nats.object.{name}", target, content, where=Where(queue=instance._name, table=instance._name)
    )


# -- what suppressed calls return


def _message(instance: Any, args: Any, kwargs: Any, data: bytes = b"") -> Any:
    from nats.aio.msg import Msg

    return Msg(_client=instance, subject=instance.new_inbox(), data=data)


async def _answered(judged: Callable[..., Any], wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
    """A rule's `returns` is the answer's data."""
    from nats.aio.msg import Msg

    answer = await judged(wrapped, instance, args, kwargs)
    if isinstance(answer, Msg):
        return answer
    return _message(
        instance, args, kwargs, answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
    )


def _ack(instance: Any, args: Any, kwargs: Any) -> Any:
    from nats.js.api import PubAck

    return PubAck(stream=_given(args, kwargs, 3, "stream") or "", seq=1)


def _acked(instance: Any, args: Any, kwargs: Any) -> Any:
    future = asyncio.get_running_loop().create_future()
    future.set_result(_ack(instance, args, kwargs))
    done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    done.set_result(future)  # `publish_async` is awaited for the future
    return done


def _silent(instance: Any, args: Any, kwargs: Any) -> Any:
    """A subscription that the server never heard of, and that a reconnect does not tell it of either."""
    from nats.aio.subscription import Subscription

    subject, queue = _given(args, kwargs, 0, "subject"), _given(args, kwargs, 1, "queue", "")
    instance._sid += 1
    subscription: Any = Subscription(instance, instance._sid, subject, queue=queue or "")
    subscription._start(instance._error_cb)
    return subscription


def _silent_push(instance: Any, args: Any, kwargs: Any) -> Any:
    subject, stream = _given(args, kwargs, 0, "subject", ""), kwargs.get("stream") or ""
    silent = _silent(instance._nc, (subject or "-",), {})
    made = instance.PushSubscription(instance, silent, stream, kwargs.get("durable") or "")
    silent._jsi = instance._JSI(
        js=instance, conn=instance._nc, stream=stream, ordered=False, psub=made, sub=silent, ccreq=None
    )
    return made


def _silent_pull(instance: Any, args: Any, kwargs: Any) -> Any:
    inbox, stream = instance._nc.new_inbox(), kwargs.get("stream") or ""
    consumer = (
        kwargs.get("durable")
        or kwargs.get("consumer")
        or kwargs.get("name")
        or _given(args, kwargs, 1, "", "")
    )
    silent = _silent(instance._nc, (inbox,), {})
    return instance.PullSubscription(instance, silent, stream, consumer or "", inbox.encode())


async def _nothing(instance: Any, args: Any, kwargs: Any) -> Any:
    """There is no message: told after as long as the real call would have waited."""
    from nats.errors import TimeoutError as NothingCame

    timeout = _given(args, kwargs, 1, "timeout", 5)
    await asyncio.sleep(_LONGEST_WAIT_S if timeout is None else min(timeout, _LONGEST_WAIT_S))
    raise NothingCame


def _managed(name: str, instance: Any, args: Any, kwargs: Any) -> Any:
    from nats.js import api

    config = kwargs.get("config") or next((each for each in args if hasattr(each, "evolve")), None)
    params = {key: value for key, value in kwargs.items() if key not in ("config", "timeout", "stream")}
    if name in ("add_stream", "update_stream"):
        state = api.StreamState(messages=0, bytes=0, first_seq=0, last_seq=0, consumer_count=0)
        return api.StreamInfo(config=(config or api.StreamConfig()).evolve(**params), state=state)
    if name == "pause_consumer":
        until = _given(args, kwargs, 2, "pause_until")
        return api.ConsumerPause(paused=not str(until).startswith("1970"), pause_until=until)
    if name in ("add_consumer", "reset_consumer"):
        made = (config or api.ConsumerConfig()).evolve(**(params if name == "add_consumer" else {}))
        consumer = made.name or made.durable_name or _given(args, kwargs, 1, "consumer", "")
        info = api.ConsumerInfo(
            name=consumer if isinstance(consumer, str) else "", config=made, created=datetime.now(UTC),
            stream_name=_given(args, kwargs, 0, "stream", ""), num_pending=0,
        )  # fmt: skip
        return (
            info if name == "add_consumer" else api.ConsumerReset(info=info, reset_seq=params.get("seq") or 1)
        )
    return True


def _stored(answer: Any, instance: Any, args: Any, kwargs: Any) -> Any:
    last = kwargs.get("last") or (args[2] if answer is not True and len(args) > 2 else 0)
    return last + 1 if answer is not True and type(last) is int else answer


def _objected(name: str, instance: Any, args: Any, kwargs: Any) -> Any:
    if name != "put":
        return None
    from nats.js import api

    meta, data = _given(args, kwargs, 2, "meta"), _given(args, kwargs, 1, "data")
    raw = data.encode() if isinstance(data, str) else data if isinstance(data, bytes) else data.read()
    size = len(raw)
    return api.ObjectInfo(
        name=_given(args, kwargs, 0, "name") or meta.name, bucket=instance._name, nuid="", size=size,
        mtime=datetime.now(UTC).isoformat(), digest=f"SHA-256={_sha(raw)}", chunks=-(-size // 131072),
    )  # fmt: skip


def _sha(raw: bytes) -> str:
    import base64

    return base64.urlsafe_b64encode(hashlib.sha256(raw).digest()).decode()
