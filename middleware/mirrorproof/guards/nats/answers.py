"""What suppressed calls of nats-py return, in its own types.

Knows nats-py's types. Must not know what is an effect.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from mirrorproof.guards.nats.calls import given

__all__ = [
    "ack", "acked", "answered", "managed", "message", "nothing", "objected", "silent", "silent_pull",
    "silent_push", "stored",
]  # fmt: skip

_LONGEST_WAIT_S = 3600.0


def message(instance: Any, args: Any, kwargs: Any, data: bytes = b"") -> Any:
    """A message with no content, in answer to a request."""
    from nats.aio.msg import Msg

    return Msg(_client=instance, subject=instance.new_inbox(), data=data)


async def answered(judged: Callable[..., Any], wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
    """A rule's `returns` is the answer's data."""
    from nats.aio.msg import Msg

    answer = await judged(wrapped, instance, args, kwargs)
    if isinstance(answer, Msg):
        return answer
    return message(
        instance, args, kwargs, answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
    )


def ack(instance: Any, args: Any, kwargs: Any) -> Any:
    """A stream's acknowledgement."""
    from nats.js.api import PubAck

    return PubAck(stream=given(args, kwargs, 3, "stream") or "", seq=1)


def acked(instance: Any, args: Any, kwargs: Any) -> Any:
    """The same, of `publish_async`."""
    future = asyncio.get_running_loop().create_future()
    future.set_result(ack(instance, args, kwargs))
    done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    done.set_result(future)  # `publish_async` is awaited for the future
    return done


def silent(instance: Any, args: Any, kwargs: Any) -> Any:
    """A subscription that the server never heard of, and that a reconnect does not tell it of either."""
    from nats.aio.subscription import Subscription

    subject, queue = given(args, kwargs, 0, "subject"), given(args, kwargs, 1, "queue", "")
    instance._sid += 1
    subscription: Any = Subscription(instance, instance._sid, subject, queue=queue or "")
    subscription._start(instance._error_cb)
    return subscription


def silent_push(instance: Any, args: Any, kwargs: Any) -> Any:
    """A consumer that nothing is pushed to."""
    subject, stream = given(args, kwargs, 0, "subject", ""), kwargs.get("stream") or ""
    subscription = silent(instance._nc, (subject or "-",), {})
    made = instance.PushSubscription(instance, subscription, stream, kwargs.get("durable") or "")
    subscription._jsi = instance._JSI(
        js=instance, conn=instance._nc, stream=stream, ordered=False, psub=made, sub=subscription, ccreq=None
    )
    return made


def silent_pull(instance: Any, args: Any, kwargs: Any) -> Any:
    """A consumer that has nothing to pull."""
    inbox, stream = instance._nc.new_inbox(), kwargs.get("stream") or ""
    consumer = (
        kwargs.get("durable")
        or kwargs.get("consumer")
        or kwargs.get("name")
        or given(args, kwargs, 1, "", "")
    )
    subscription = silent(instance._nc, (inbox,), {})
    return instance.PullSubscription(instance, subscription, stream, consumer or "", inbox.encode())


async def nothing(instance: Any, args: Any, kwargs: Any) -> Any:
    """There is no message: told after as long as the real call would have waited."""
    from nats.errors import TimeoutError as NothingCame

    timeout = given(args, kwargs, 1, "timeout", 5)
    await asyncio.sleep(_LONGEST_WAIT_S if timeout is None else min(timeout, _LONGEST_WAIT_S))
    raise NothingCame


def managed(name: str, instance: Any, args: Any, kwargs: Any) -> Any:
    """What a stream or consumer would look like now."""
    from nats.js import api

    config = kwargs.get("config") or next((each for each in args if hasattr(each, "evolve")), None)
    params = {key: value for key, value in kwargs.items() if key not in ("config", "timeout", "stream")}
    if name in ("add_stream", "update_stream"):
        state = api.StreamState(messages=0, bytes=0, first_seq=0, last_seq=0, consumer_count=0)
        return api.StreamInfo(config=(config or api.StreamConfig()).evolve(**params), state=state)
    if name == "pause_consumer":
        until = given(args, kwargs, 2, "pause_until")
        return api.ConsumerPause(paused=not str(until).startswith("1970"), pause_until=until)
    if name in ("add_consumer", "reset_consumer"):
        made = (config or api.ConsumerConfig()).evolve(**(params if name == "add_consumer" else {}))
        consumer = made.name or made.durable_name or given(args, kwargs, 1, "consumer", "")
        info = api.ConsumerInfo(
            name=consumer if isinstance(consumer, str) else "", config=made, created=datetime.now(UTC),
            stream_name=given(args, kwargs, 0, "stream", ""), num_pending=0,
        )  # fmt: skip
        return (
            info if name == "add_consumer" else api.ConsumerReset(info=info, reset_seq=params.get("seq") or 1)
        )
    return True


def stored(answer: Any, instance: Any, args: Any, kwargs: Any) -> Any:
    """What a KeyValue store would have said."""
    last = kwargs.get("last") or (args[2] if answer is not True and len(args) > 2 else 0)
    return last + 1 if answer is not True and type(last) is int else answer


def objected(name: str, instance: Any, args: Any, kwargs: Any) -> Any:
    """What an ObjectStore would have said."""
    if name != "put":
        return None
    from nats.js import api

    meta, data = given(args, kwargs, 2, "meta"), given(args, kwargs, 1, "data")
    raw = data.encode() if isinstance(data, str) else data if isinstance(data, bytes) else data.read()
    size = len(raw)
    return api.ObjectInfo(
        name=given(args, kwargs, 0, "name") or meta.name, bucket=instance._name, nuid="", size=size,
        mtime=datetime.now(UTC).isoformat(), digest=f"SHA-256={_sha(raw)}", chunks=-(-size // 131072),
    )  # fmt: skip


def _sha(raw: bytes) -> str:
    import base64

    return base64.urlsafe_b64encode(hashlib.sha256(raw).digest()).decode()
