"""The nats-py guard: publishing, requests, JetStream, its stores, and taking messages from queues.

Everything that nats-py sends goes through `Client.publish`, `request` or `subscribe`, which are judged. The
methods that users call above them (`JetStreamContext.publish`, `KeyValue.put`) are judged as what they mean,
and what they consist of is admitted. So a method that this guard does not know is still held back, as a
request. A suppressed subscription is one that the server never heard of, so nothing arrives.

Knows nats-py. Must not decide anything: `guards.acting` does.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from mirrorproof.context import connecting
from mirrorproof.guards import Guard
from mirrorproof.guards.acting import acting_async
from mirrorproof.guards.nats import answers, calls
from mirrorproof.guards.nats.sharing import close, close_subscription, note_maker, note_taker

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
        from nats.aio.subscription import Subscription
        from nats.js.client import JetStreamContext
        from nats.js.kv import KeyValue
        from nats.js.manager import JetStreamManager
        from nats.js.object_store import ObjectStore

        self.wrap(Client, "_select_next_server", _connect)
        self.wrap(Client, "connect", note_maker)
        self.wrap(Subscription, "__init__", note_taker)
        for name in ("close", "drain"):
            self.wrap(Client, name, close)
        for name in ("unsubscribe", "drain"):
            self.wrap(Subscription, name, close_subscription)
        self.wrap(JetStreamContext.PushSubscription, "unsubscribe", close_subscription)
        self.guard(Client, "publish", calls.publish, lambda *_: None)
        self.wrap(Client, "request", partial(answers.answered, acting_async(calls.request, answers.message)))
        self.guard(Client, "subscribe", calls.subscribe, answers.silent)
        self.guard(Msg, "respond", calls.respond, lambda *_: None)
        self.guard(JetStreamContext, "publish", calls.publish, answers.ack)
        self.guard(JetStreamContext, "publish_async", calls.publish, answers.acked)
        self.guard(JetStreamContext, "subscribe", calls.js_subscribe, answers.silent_push)
        self.guard(JetStreamContext, "subscribe_bind", calls.js_bind, answers.silent_push)
        self.guard(JetStreamContext, "pull_subscribe", calls.js_pull, answers.silent_pull)
        self.guard(JetStreamContext, "pull_subscribe_bind", calls.js_bind, answers.silent_pull)
        self.guard(JetStreamContext.PullSubscription, "fetch", calls.fetch, answers.nothing)
        for name in _MANAGER_READS:
            self.guard(JetStreamManager, name, lambda *_: None, lambda *_: None)
        for name in filter(partial(hasattr, JetStreamManager), _MANAGER_WRITES):
            self.guard(JetStreamManager, name, partial(calls.manage, name), partial(answers.managed, name))
        for name, answer in _STORE_WRITES.items():
            self.guard(KeyValue, name, partial(calls.store, name), partial(answers.stored, answer))
        for name in _OBJECT_WRITES:
            self.guard(ObjectStore, name, partial(calls.object_write, name), partial(answers.objected, name))


async def _connect(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
    with connecting():  # whatever is sent over the connection is judged
        return await wrapped(*args, **kwargs)
