"""What live requests share on a RabbitMQ, a mirrored request seems to cancel and to close, and does not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import aio_pika
import pika
import pytest
from clients.rabbitmq import RabbitPeer
from clients.servers import started

from mirrorproof import install_guards, uninstall_guards
from mirrorproof.context import MirrorContext, entered
from mirrorproof.decision import Decision, Mode


@pytest.fixture(scope="module")
def peer() -> Iterator[RabbitPeer]:
    made = started(RabbitPeer)
    yield made
    made.stop()


@pytest.fixture(autouse=True)
def _guards() -> Iterator[None]:
    install_guards()
    yield
    uninstall_guards()


ENDINGS = [
    ("cancel", "queue.cancel"), ("close the channel", "channel.close"),
    ("close the connection", "connection.close"),
]  # fmt: skip


def serve(mode: Mode, call: Callable[[], Any]) -> list[tuple[str, str]]:
    """What a request noted that made `call`."""
    with entered(MirrorContext(Decision(mode))) as context:
        call()
        context.end()
    return noted(context)


def noted(context: MirrorContext) -> list[tuple[str, str]]:
    return [(effect.kind, effect.outcome.value) for effect in context.ledger.effects]


@pytest.mark.parametrize("connect", [aio_pika.connect, aio_pika.connect_robust])
@pytest.mark.parametrize(("ending", "kind"), ENDINGS)
async def test_a_mirrored_request_ends_nothing_of_aio_pikas_that_others_share(
    peer: RabbitPeer, connect: Any, ending: str, kind: str
) -> None:
    connection = await connect(peer.url)
    channel = await connection.channel()
    queue = await channel.declare_queue(peer.name())
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def hear(message: Any) -> None:
        async with message.process():
            heard.put_nowait(message.body)

    tag = await queue.consume(hear)
    end = {"cancel": lambda: queue.cancel(tag), "close the channel": channel.close}.get(
        ending, connection.close
    )
    with entered(MirrorContext(Decision(Mode.DRY_RUN))) as context:
        await end()
        context.end()
    assert noted(context) == [(kind, "suppressed")]
    await channel.default_exchange.publish(aio_pika.Message(b"live"), queue.name, timeout=20)
    assert await asyncio.wait_for(heard.get(), 20) == b"live"
    with entered(MirrorContext(Decision(Mode.LIVE))) as context:
        await end()
    assert noted(context) == [(kind, "executed")]
    await connection.close()
    assert connection.is_closed


@pytest.mark.parametrize("mode", [Mode.DRY_RUN, Mode.LIVE])
@pytest.mark.parametrize("connect", [aio_pika.connect, aio_pika.connect_robust])
async def test_a_request_closes_what_it_opened_by_aio_pika(
    peer: RabbitPeer, connect: Any, mode: Mode
) -> None:
    with entered(MirrorContext(Decision(mode))) as context:
        connection = await connect(peer.url)
        async with connection.channel() as channel:
            pass
        await connection.close()
        assert channel.is_closed
        assert connection.is_closed
    assert noted(context) == []


@pytest.mark.parametrize(("ending", "kind"), [*ENDINGS, ("cancel the generator", "queue.cancel")])
def test_a_mirrored_request_ends_nothing_of_pikas_that_others_share(
    peer: RabbitPeer, ending: str, kind: str
) -> None:
    connection = pika.BlockingConnection(pika.URLParameters(peer.url))
    channel = connection.channel()
    name = peer.name()
    channel.queue_declare(name)
    heard: list[bytes] = []
    tag = ""
    if ending == "cancel the generator":
        assert next(channel.consume(name, inactivity_timeout=0.1)) == (None, None, None)
    else:
        tag = channel.basic_consume(name, lambda *found: heard.append(found[3]))
    end: Callable[[], Any] = {
        "cancel": lambda: channel.basic_cancel(tag), "close the channel": channel.close,
        "cancel the generator": channel.cancel,
    }.get(ending, connection.close)  # fmt: skip
    assert serve(Mode.DRY_RUN, end) == [(kind, "suppressed")]
    channel.basic_publish("", name, b"live")
    if ending == "cancel the generator":
        heard.append(next(channel.consume(name, inactivity_timeout=20))[2])
    else:
        connection.process_data_events(20)
    assert heard == [b"live"]
    assert serve(Mode.LIVE, end) == [(kind, "executed")]
    if connection.is_open:
        connection.close()


@pytest.mark.parametrize("mode", [Mode.DRY_RUN, Mode.LIVE])
def test_a_request_closes_what_it_opened_by_pika(peer: RabbitPeer, mode: Mode) -> None:
    opened: list[Any] = []

    def call() -> None:
        connection = pika.BlockingConnection(pika.URLParameters(peer.url))
        with connection, connection.channel() as channel:
            opened.extend([channel, connection])

    assert serve(mode, call) == []
    assert all(each.is_closed for each in opened)
