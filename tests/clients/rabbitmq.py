"""RabbitMQ's clients: pika and aio-pika."""

from __future__ import annotations

import itertools
import json
import os
import socket
import tempfile
import threading
import urllib.request
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aio_pika
import pika

from clients.servers import Process, Unavailable, free_port, program, wait_for
from clients.table import Case, Client
from mirrorproof.context import own_traffic

SPARES = 240


def _listens(port: int) -> bool:
    socket.create_connection(("127.0.0.1", port), 1).close()
    return True


class RabbitPeer:
    """A RabbitMQ of its own, on loopback, with a name server of its own. Its queues each hold a message."""

    about = "RabbitMQ 3.10 (Debian's rabbitmq-server)"

    def __init__(self) -> None:
        program("rabbitmq-server", "rabbitmq-server")
        server = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
        if not server.exists():
            raise Unavailable(f"{server} is not here; `apt-get install rabbitmq-server` brings it")
        home = Path(tempfile.mkdtemp(prefix="mirrorproof-rabbitmq-"))
        names, self.port, distribution, self._web = (free_port() for _ in range(4))
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}/"
        (home / "plugins").write_text("[rabbitmq_management].\n")
        (home / "rabbit.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\n"
            f"management.tcp.port = {self._web}\nmanagement.tcp.ip = 127.0.0.1\n"
        )
        environment = os.environ | {
            "HOME": str(home), "ERL_EPMD_PORT": str(names), "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_MNESIA_BASE": str(home / "mnesia"), "RABBITMQ_LOG_BASE": str(home / "log"),
            "RABBITMQ_NODENAME": f"mirrorproof-{os.getpid()}@localhost",
            "RABBITMQ_NODE_PORT": str(self.port), "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_DIST_PORT": str(distribution), "RABBITMQ_CONFIG_FILE": str(home / "rabbit.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "plugins"),
            "RABBITMQ_CONF_ENV_FILE": str(home / "none"),
            "detached": "1",  # become the server, with no shell between that would outlive a signal
        }  # fmt: skip
        self._names = Process(
            [program("epmd", "erlang-base"), "-port", str(names), "-address", "127.0.0.1"], env=environment
        )
        try:
            wait_for(lambda: _listens(names), "epmd")
            self._server = Process([str(server)], home, env=environment)
        except BaseException:
            self._names.stop()
            raise
        try:
            wait_for(self._definitions, "RabbitMQ")
            wait_for(lambda: _listens(self.port), "RabbitMQ")
            with own_traffic():
                self._connection = pika.BlockingConnection(pika.URLParameters(self.url + "?heartbeat=0"))
                self._prepare()
        except BaseException:
            self.stop()
            raise
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._spares = iter(range(SPARES))

    def _prepare(self) -> None:
        channel = self._connection.channel()
        channel.queue_declare("orders")
        channel.exchange_declare("shop", "topic")
        for number in range(SPARES):
            channel.queue_declare(f"spare-{number}")
            channel.basic_publish("", f"spare-{number}", b'{"order": 1}')
            channel.exchange_declare(f"spare-{number}", "fanout")
        channel.confirm_delivery()
        channel.basic_publish("", "orders", b"{}")  # confirmed: what went before has arrived as well
        channel.close()

    def _definitions(self) -> Any:
        request = urllib.request.Request(f"http://127.0.0.1:{self._web}/api/definitions")
        request.add_header("authorization", "Basic Z3Vlc3Q6Z3Vlc3Q=")
        with own_traffic(), urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def look(self) -> Any:
        """Every queue, exchange and binding, and how many messages each queue holds, as the server tells."""
        told = self._definitions()
        with self._lock, own_traffic():
            channel = self._connection.channel()
            held = {
                each["name"]: channel.queue_declare(each["name"], passive=True).method.message_count
                for each in told["queues"]
            }
            channel.close()
        names = sorted(each["name"] for each in told["exchanges"])
        bound = sorted(json.dumps(each, sort_keys=True) for each in told["bindings"])
        return held, names, bound

    def name(self) -> str:
        """A name that nothing has yet."""
        return f"new-{next(self._numbers)}"

    def spare(self) -> str:
        """A queue that holds one message, and an exchange, of this name, which nobody used yet."""
        return f"spare-{next(self._spares)}"

    def stop(self) -> None:
        self._server.stop()
        self._names.stop()


PEERS = {"rabbitmq": RabbitPeer}
BODY = b'{"total": "10.01"}'


# -- pika


@contextmanager
def _blocking(peer: RabbitPeer) -> Any:
    connection = pika.BlockingConnection(pika.URLParameters(peer.url + "?heartbeat=0"))
    try:
        yield connection.channel()
    finally:
        connection.close()


@contextmanager
def _confirming(peer: RabbitPeer) -> Any:
    with _blocking(peer) as channel:
        channel.confirm_delivery()
        yield channel


def _publish(channel: Any, peer: RabbitPeer) -> None:
    assert channel.basic_publish("", "orders", BODY) is None


def _passive(channel: Any, peer: RabbitPeer) -> None:
    assert channel.queue_declare("orders", passive=True).method.message_count > 0


def _declare(channel: Any, peer: RabbitPeer) -> None:
    name = peer.name()
    assert channel.queue_declare(queue=name, durable=True).method.queue == name


def _delete(channel: Any, peer: RabbitPeer) -> None:
    assert isinstance(channel.queue_delete(peer.spare()).method, pika.spec.Queue.DeleteOk)


def _purge(channel: Any, peer: RabbitPeer) -> None:
    assert isinstance(channel.queue_purge(peer.spare()).method, pika.spec.Queue.PurgeOk)


def _bind(channel: Any, peer: RabbitPeer) -> None:
    assert isinstance(channel.queue_bind("orders", "shop", peer.name()).method, pika.spec.Queue.BindOk)


def _declare_exchange(channel: Any, peer: RabbitPeer) -> None:
    assert isinstance(channel.exchange_declare(peer.name()).method, pika.spec.Exchange.DeclareOk)


def _delete_exchange(channel: Any, peer: RabbitPeer) -> None:
    assert isinstance(channel.exchange_delete(peer.spare()).method, pika.spec.Exchange.DeleteOk)


def _get(channel: Any, peer: RabbitPeer) -> None:
    assert len(channel.basic_get(peer.spare(), auto_ack=True)) == 3


def _consume(channel: Any, peer: RabbitPeer) -> None:
    for got in channel.consume(peer.spare(), auto_ack=True, inactivity_timeout=0.3):
        assert len(got) == 3
        break
    assert channel.cancel() == 0


def _start_consuming(channel: Any, peer: RabbitPeer) -> None:
    got: list[bytes] = []

    def take(channel: Any, method: Any, properties: Any, body: bytes) -> None:
        got.append(body)
        channel.stop_consuming()

    tag = channel.basic_consume(peer.spare(), take, auto_ack=True)
    assert tag
    channel.start_consuming()


# -- aio-pika


@asynccontextmanager
async def _robust(peer: RabbitPeer) -> Any:
    connection = await aio_pika.connect_robust(peer.url)
    async with connection:
        yield await connection.channel()


@asynccontextmanager
async def _plain(peer: RabbitPeer) -> Any:
    connection = await aio_pika.connect(peer.url)
    async with connection:
        yield await connection.channel()


async def _publish_async(channel: Any, peer: RabbitPeer) -> None:
    answer = await channel.default_exchange.publish(aio_pika.Message(BODY), routing_key="orders")
    assert type(answer).__name__ == "Ack"


async def _passive_async(channel: Any, peer: RabbitPeer) -> None:
    queue = await channel.declare_queue("orders", passive=True)
    assert queue.declaration_result.message_count > 0


async def _declare_async(channel: Any, peer: RabbitPeer) -> None:
    name = peer.name()
    assert (await channel.declare_queue(name, durable=True)).name == name


async def _declare_exchange_async(channel: Any, peer: RabbitPeer) -> None:
    name = peer.name()
    assert (await channel.declare_exchange(name)).name == name


async def _delete_async(channel: Any, peer: RabbitPeer) -> None:
    assert type(await channel.queue_delete(peer.spare())).__name__ == "DeleteOk"


async def _delete_exchange_async(channel: Any, peer: RabbitPeer) -> None:
    assert type(await channel.exchange_delete(peer.spare())).__name__ == "DeleteOk"


async def _purge_async(channel: Any, peer: RabbitPeer) -> None:
    queue = await channel.get_queue(peer.spare())
    assert type(await queue.purge()).__name__ == "PurgeOk"


async def _bind_async(channel: Any, peer: RabbitPeer) -> None:
    queue = await channel.get_queue("orders")
    assert type(await queue.bind("shop", peer.name())).__name__ == "BindOk"


async def _get_async(channel: Any, peer: RabbitPeer) -> None:
    queue = await channel.get_queue(peer.spare())
    await queue.get(no_ack=True, fail=False)


async def _iterate_async(channel: Any, peer: RabbitPeer) -> None:
    queue = await channel.get_queue(peer.spare())
    try:
        async with queue.iterator(no_ack=True, timeout=0.3) as messages:
            async for _ in messages:
                break
    except TimeoutError:
        pass


CLIENTS = [
    Client(
        name="pika", guard="pika", peer="rabbitmq",
        not_covered="acknowledging (ack, nack, reject) a message, which only who took it can do; a callback "
        "for confirms on the `Channel` with callbacks hears nothing of a suppressed message",
        cases=(
            Case(name="basic_publish", client=_blocking, write=_publish, read=_passive,
                 kinds=("queue.publish",)),
            Case(name="basic_publish, confirmed", client=_confirming, write=_publish,
                 kinds=("queue.publish",)),
            Case(name="queue_declare", client=_blocking, write=_declare, kinds=("queue.declare",)),
            Case(name="queue_delete", client=_blocking, write=_delete, kinds=("queue.delete",)),
            Case(name="queue_purge", client=_blocking, write=_purge, kinds=("queue.purge",)),
            Case(name="queue_bind", client=_blocking, write=_bind, kinds=("queue.bind",)),
            Case(name="exchange_declare", client=_blocking, write=_declare_exchange,
                 kinds=("exchange.declare",)),
            Case(name="exchange_delete", client=_blocking, write=_delete_exchange,
                 kinds=("exchange.delete",)),
            Case(name="basic_get", client=_blocking, write=_get, kinds=("queue.consume",)),
            Case(name="consume", client=_blocking, write=_consume, kinds=("queue.consume",)),
            Case(name="start_consuming", client=_blocking, write=_start_consuming, kinds=("queue.consume",)),
        ),
    ),
    Client(
        name="aio-pika", guard="aio-pika", peer="rabbitmq",
        not_covered="acknowledging (ack, nack, reject) a message, which only who took it can do",
        cases=(
            Case(name="Exchange.publish, robust", client=_robust, write=_publish_async, read=_passive_async,
                 kinds=("queue.publish",)),
            Case(name="Exchange.publish", client=_plain, write=_publish_async, kinds=("queue.publish",)),
            Case(name="declare_queue", client=_robust, write=_declare_async, kinds=("queue.declare",)),
            Case(name="declare_exchange", client=_plain, write=_declare_exchange_async,
                 kinds=("exchange.declare",)),
            Case(name="queue_delete", client=_plain, write=_delete_async, kinds=("queue.delete",)),
            Case(name="exchange_delete", client=_plain, write=_delete_exchange_async,
                 kinds=("exchange.delete",)),
            Case(name="Queue.purge", client=_plain, write=_purge_async, kinds=("queue.purge",)),
            Case(name="Queue.bind", client=_plain, write=_bind_async, kinds=("queue.bind",)),
            Case(name="Queue.get", client=_plain, write=_get_async, kinds=("queue.consume",)),
            Case(name="Queue.iterator", client=_plain, write=_iterate_async, kinds=("queue.consume",)),
        ),
    ),
]  # fmt: skip
