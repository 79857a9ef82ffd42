"""py-amqp by itself, without kombu, against RabbitMQ."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any

import amqp

from clients.rabbitmq import RabbitPeer
from clients.table import Case, Client

BODY = '{"total": "10.01"}'


@contextmanager
def _opened(peer: RabbitPeer, **options: Any) -> Any:
    connection = amqp.Connection(f"127.0.0.1:{peer.port}", "guest", "guest", **options)
    connection.connect()
    try:
        yield connection.channel()
    finally:
        connection.close()


def _confirming(peer: RabbitPeer) -> Any:
    return _opened(peer, confirm_publish=True)


def _publish(channel: Any, peer: RabbitPeer) -> None:
    assert channel.basic_publish(amqp.Message(BODY), routing_key="orders").ready


def _confirm(channel: Any, peer: RabbitPeer) -> None:
    sent = channel.basic_publish_confirm(amqp.Message(BODY), "", "orders", confirm_timeout=20)
    assert sent.ready


def _passive(channel: Any, peer: RabbitPeer) -> None:
    assert channel.queue_declare("orders", passive=True).message_count > 0


def _declare(channel: Any, peer: RabbitPeer) -> None:
    name = peer.name()
    assert channel.queue_declare(name, durable=True, auto_delete=False) == (name, 0, 0)


def _delete(channel: Any, peer: RabbitPeer) -> None:
    assert isinstance(channel.queue_delete(peer.spare()), int)


def _purge(channel: Any, peer: RabbitPeer) -> None:
    assert isinstance(channel.queue_purge(peer.spare()), int)


def _bind(channel: Any, peer: RabbitPeer) -> None:
    name = peer.name()
    assert channel.queue_bind("orders", "shop", name) == ()


def _declare_exchange(channel: Any, peer: RabbitPeer) -> None:
    assert channel.exchange_declare(peer.name(), "fanout", auto_delete=False) is None


def _delete_exchange(channel: Any, peer: RabbitPeer) -> None:
    assert channel.exchange_delete(peer.spare()) == ()


def _bind_exchange(channel: Any, peer: RabbitPeer) -> None:
    assert channel.exchange_bind("amq.fanout", "shop", peer.name()) == ()


def _get(channel: Any, peer: RabbitPeer) -> None:
    found = channel.basic_get(peer.spare(), no_ack=True)
    assert found is None or found.body


def _consume(channel: Any, peer: RabbitPeer) -> None:
    got: list[Any] = []
    assert channel.basic_consume(peer.spare(), "mine", no_ack=True, callback=got.append) == "mine"
    try:
        channel.connection.drain_events(timeout=0.3)
    except TimeoutError:
        assert got == []
    channel.basic_cancel("mine")


PUBLISH = ("queue.publish",)
CLIENTS = [
    Client(name="amqp", guard="amqp", peer="rabbitmq", cases=(
        Case(name="basic_publish", client=_opened, write=_publish, read=_passive, kinds=PUBLISH),
        Case(name="basic_publish_confirm", client=_opened, write=_confirm, kinds=PUBLISH),
        Case(name="basic_publish, confirmed", client=_confirming, write=_publish, kinds=PUBLISH),
        Case(name="queue_declare", client=_opened, write=_declare, kinds=("queue.declare",)),
        Case(name="queue_delete", client=_opened, write=_delete, kinds=("queue.delete",)),
        Case(name="queue_purge", client=_opened, write=_purge, kinds=("queue.purge",)),
        Case(name="queue_bind", client=_opened, write=_bind, kinds=("queue.bind",)),
        Case(name="exchange_declare", client=_opened, write=_declare_exchange, kinds=("exchange.declare",)),
        Case(name="exchange_delete", client=_opened, write=_delete_exchange, kinds=("exchange.delete",)),
        Case(name="exchange_bind", client=_opened, write=_bind_exchange, kinds=("exchange.bind",)),
        Case(name="basic_get", client=_opened, write=_get, kinds=("queue.consume",)),
        Case(name="basic_consume", client=_opened, write=_consume, kinds=("queue.consume",)),
    ), not_covered="acknowledging (ack, reject, recover) a message, which only who took it can do; a channel "
       "made with `confirm_publish` before the guards were installed waits in vain for a suppressed "
       "message's confirm"),
]  # fmt: skip
