"""kombu and Celery, against RabbitMQ."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any

import celery
import kombu

from clients.rabbitmq import RabbitPeer
from clients.table import Case, Client


@contextmanager
def _connection(peer: RabbitPeer) -> Any:
    with kombu.Connection(peer.url) as connection:
        yield connection


def _produce(connection: Any, peer: RabbitPeer) -> None:
    connection.Producer().publish({"total": "10.01"}, routing_key="orders")


def _produce_twice(connection: Any, peer: RabbitPeer) -> None:
    producer = connection.Producer(auto_declare=False)
    producer.publish({"total": "10.01"}, exchange="shop", routing_key="orders", declare=[])
    producer.publish({"total": "10.01"}, routing_key="orders", retry=True)


def _declare(connection: Any, peer: RabbitPeer) -> None:
    exchange = kombu.Exchange(peer.name(), "direct")
    exchange(connection.default_channel).declare()


def _maybe_declare(connection: Any, peer: RabbitPeer) -> None:
    queue = kombu.Queue(peer.name(), no_declare=False)
    connection.Producer().maybe_declare(queue)


def _purge(connection: Any, peer: RabbitPeer) -> None:
    kombu.Queue(peer.spare())(connection.default_channel).purge()


def _delete(connection: Any, peer: RabbitPeer) -> None:
    kombu.Queue(peer.spare())(connection.default_channel).delete()


def _get(connection: Any, peer: RabbitPeer) -> None:
    kombu.Queue(peer.spare())(connection.default_channel).get(no_ack=True)


def _consume(connection: Any, peer: RabbitPeer) -> None:
    queue = kombu.Queue(peer.spare(), no_declare=True)
    got: list[Any] = []
    with connection.Consumer(
        [queue], on_message=got.append, no_ack=True, auto_declare=False, accept=["json"]
    ):
        try:
            connection.drain_events(timeout=0.3)
        except TimeoutError:
            assert not got


@contextmanager
def _app(peer: RabbitPeer) -> Any:
    app = celery.Celery("shop", broker=peer.url, backend="cache+memory://", set_as_current=False)
    app.conf.task_ignore_result = False
    # The queue is there: no declaration of Celery's own beside the task.
    app.conf.task_queues = [kombu.Queue("orders", routing_key="orders", no_declare=True)]
    app.conf.task_default_queue = "orders"

    @app.task(name="shop.order", shared=False)
    def order(total: str) -> str:
        return total

    try:
        yield app
    finally:
        app.close()


def _sent(result: Any) -> None:
    assert result.id
    assert result.state == "PENDING"


def _delay(app: Any, peer: RabbitPeer) -> None:
    _sent(app.tasks["shop.order"].delay("10.01"))


def _send_task(app: Any, peer: RabbitPeer) -> None:
    _sent(app.send_task("shop.order", ("10.01",), countdown=1))


def _chain(app: Any, peer: RabbitPeer) -> None:
    order = app.tasks["shop.order"]
    celery.chain(order.si("1"), order.si("2"), app=app).apply_async()


def _group(app: Any, peer: RabbitPeer) -> None:
    order = app.tasks["shop.order"]
    celery.group([order.s("1"), order.s("2")], app=app).apply_async()


PUBLISH = ("queue.publish",)
CLIENTS = [
    Client(
        name="kombu", guard="kombu", peer="rabbitmq",
        not_covered="acknowledging a message",
        cases=(
            Case(name="Producer.publish", client=_connection, write=_produce, kinds=PUBLISH),
            Case(name="Producer.publish, with an exchange and a retry", client=_connection,
                 write=_produce_twice, kinds=PUBLISH * 2),
            Case(name="Exchange.declare", client=_connection, write=_declare, kinds=("exchange.declare",)),
            Case(name="maybe_declare", client=_connection, write=_maybe_declare, kinds=("queue.declare",)),
            Case(name="Queue.purge", client=_connection, write=_purge, kinds=("queue.purge",)),
            Case(name="Queue.delete", client=_connection, write=_delete, kinds=("queue.delete",)),
            Case(name="Queue.get", client=_connection, write=_get, kinds=("queue.consume",)),
            Case(name="Consumer.consume", client=_connection, write=_consume, kinds=("queue.consume",)),
        ),
    ),
    Client(
        name="celery", guard="celery", peer="rabbitmq",
        cases=(
            Case(name="delay", client=_app, write=_delay, kinds=PUBLISH),
            Case(name="send_task", client=_app, write=_send_task, kinds=PUBLISH),
            Case(name="chain", client=_app, write=_chain, kinds=PUBLISH),
            Case(name="group", client=_app, write=_group, kinds=PUBLISH * 2),
        ),
    ),
]  # fmt: skip
