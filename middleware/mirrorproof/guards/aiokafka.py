"""The aiokafka guard: sending, transactions, topics, and taking messages as a member of a group.

A suppressed `send` returns a future that is done. Its partition is what the client's own partitioner says
of the partitions that the client knows; its offset is -1, Kafka's word for "not known", since only a broker
could say. A suppressed `start` connects but goes no further: a consumer would join its group, which takes
partitions away from v1, and a transactional producer would fence v1's. The first call of a live request
makes up for it. A consumer without a group changes nothing and reads.

Knows aiokafka. Must not decide anything: `guards.acting` does.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from inspect import iscoroutinefunction
from typing import Any, Final

from mirrorproof.context import connecting, is_mirrored
from mirrorproof.guards import Guard
from mirrorproof.guards.acting import Write, acting_async
from mirrorproof.guards.aiokafka_admin import is_write, judge
from mirrorproof.guards.kafka import ANY_PARTITION, given, sent, taken, transaction, wait_s

__all__ = ["AiokafkaGuard"]

_NO_OFFSET: Final = -1
_UNSTARTED: Final = "_mirrorproof_unstarted"


class AiokafkaGuard(Guard):
    """Guards aiokafka."""

    name = "aiokafka"
    module = "aiokafka"
    distribution = "aiokafka"
    tested = ("0.14", "0.14")
    covers = (
        "AIOKafkaProducer send, send_and_wait, send_batch, transactions; AIOKafkaConsumer with a group: "
        "start, getone, getmany, commit; AIOKafkaAdminClient's writes"
    )

    def install(self) -> None:
        from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
        from aiokafka.admin import AIOKafkaAdminClient
        from aiokafka.conn import AIOKafkaConnection

        self.wrap(AIOKafkaConnection, "connect", _connect)
        self.guard(AIOKafkaProducer, "start", _started, _connected)
        self.guard(AIOKafkaProducer, "send", _sent, _told)
        self.guard(AIOKafkaProducer, "send_batch", _batch, _batch_told)
        for step in ("begin", "commit", "abort"):
            name = f"{step}_transaction"
            self.wrap(AIOKafkaProducer, name, partial(_after_start, acting_async(
                partial(_transaction, step), lambda producer, *_: producer._ensure_transactional()
            )))  # fmt: skip
        self.guard(AIOKafkaProducer, "send_offsets_to_transaction", _offsets, lambda *_: None)
        self.guard(AIOKafkaConsumer, "start", _joined, _connected)
        for name, stub in (("getone", _nothing), ("getmany", _none), ("commit", lambda *_: None)):
            self.wrap(AIOKafkaConsumer, name, partial(_after_start, acting_async(_taken, stub)))
        for name, method in list(vars(AIOKafkaAdminClient).items()):
            if iscoroutinefunction(method) and is_write(name):
                self.wrap(AIOKafkaAdminClient, name, judge(name))


async def _connect(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
    with connecting():  # whatever is sent over the connection is judged
        return await wrapped(*args, **kwargs)


async def _connected(instance: Any, args: Any, kwargs: Any) -> None:
    setattr(instance, _UNSTARTED, True)
    await (instance.client if hasattr(instance, "client") else instance._client).bootstrap()


async def _after_start(judged: Any, wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
    if not is_mirrored() and instance.__dict__.pop(_UNSTARTED, False):
        await instance.start()
    return await judged(wrapped, instance, args, kwargs)


# -- producers


def _id_of(producer: Any) -> str | None:
    manager = producer._txn_manager
    return None if manager is None else manager.transactional_id


def _started(producer: Any, args: Any, kwargs: Any) -> Write | None:
    name = _id_of(producer)
    return None if name is None else transaction("start", name)


def _sent(producer: Any, args: Any, kwargs: Any) -> Write:
    topic, value, key = (given(args, kwargs, at, name) for at, name in enumerate(("topic", "value", "key")))
    return sent(topic, value, key, given(args, kwargs, 5, "headers"), given(args, kwargs, 3, "partition"))


def _batch(producer: Any, args: Any, kwargs: Any) -> Write:
    batch, topic = given(args, kwargs, 0, "batch"), given(args, kwargs, 1, "topic")
    return sent(topic, {"records": batch.record_count()}, partition=kwargs.get("partition"))


def _transaction(step: str, producer: Any, args: Any, kwargs: Any) -> Write:
    return transaction(step, _id_of(producer) or "")


def _offsets(producer: Any, args: Any, kwargs: Any) -> Write:
    group = given(args, kwargs, 1, "group_id")
    return taken((), str(group), str(given(args, kwargs, 0, "offsets")))


async def _told(producer: Any, args: Any, kwargs: Any) -> Any:
    topic, value, key = (given(args, kwargs, at, name) for at, name in enumerate(("topic", "value", "key")))
    if value is None and key is None:
        raise AssertionError("Need at least one: key or value")  # the client's own error and words
    headers, partition = given(args, kwargs, 5, "headers") or [], given(args, kwargs, 3, "partition")
    raw_key, raw_value = producer._serialize(key, value, headers)  # refuses what is too large
    if producer._metadata.partitions_for_topic(topic):
        partition = producer._partition(topic, partition, key, value, raw_key, raw_value)
    return _future(producer, topic, partition, given(args, kwargs, 4, "timestamp_ms"))


async def _batch_told(producer: Any, args: Any, kwargs: Any) -> Any:
    return _future(producer, given(args, kwargs, 1, "topic"), kwargs.get("partition"), None)


def _future(producer: Any, topic: str, partition: int | None, timestamp_ms: int | None) -> Any:
    from aiokafka.structs import RecordMetadata, TopicPartition

    where = TopicPartition(topic, ANY_PARTITION if partition is None else partition)
    at_ms = int(time.time() * 1000) if timestamp_ms is None else timestamp_ms
    future = asyncio.get_running_loop().create_future()
    unheard = producer._sender._acks == 0  # who asks for no acknowledgement is told nothing
    future.set_result(None if unheard else RecordMetadata(*where, where, _NO_OFFSET, at_ms, 0, None))
    return future


# -- consumers


def _joined(consumer: Any, args: Any, kwargs: Any) -> Write | None:
    group = consumer._group_id
    return None if group is None else taken(consumer.subscription() or (), group, "join")


def _taken(consumer: Any, args: Any, kwargs: Any) -> Write | None:
    group = consumer._group_id
    return None if group is None else taken(consumer.subscription() or (), group)


async def _nothing(consumer: Any, args: Any, kwargs: Any) -> Any:
    """There is no message, so this waits for one, as the real call would."""
    from aiokafka.errors import ConsumerStoppedError

    while not consumer._closed:  # noqa: ASYNC110  (the client tells nobody that it was closed)
        await asyncio.sleep(1)
    raise ConsumerStoppedError


async def _none(consumer: Any, args: Any, kwargs: Any) -> Any:
    await asyncio.sleep(wait_s(kwargs.get("timeout_ms", 0) / 1000))
    return {}
