"""A robust connection of aio-pika that live and mirrored requests share, on a RabbitMQ; it connects again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aio_pika
import pytest
from clients.rabbitmq import RabbitPeer
from clients.servers import started

from mirrorproof import current, install_guards, uninstall_guards
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


class Shared:
    """A client of the whole process, opened by whoever needs it first."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.heard: asyncio.Queue[tuple[bytes, Any]] = asyncio.Queue()

    async def open(self) -> None:
        self.connection = await aio_pika.connect_robust(self.url, reconnect_interval=0.05)
        self.channel = await self.connection.channel()

    async def publish(self, queue: str, body: bytes = b"{}") -> None:
        await self.channel.default_exchange.publish(aio_pika.Message(body), queue, timeout=20)

    async def hear(self, message: Any) -> None:
        async with message.process():
            self.heard.put_nowait((message.body, current()))

    async def lose(self) -> None:
        """The connection breaks off, and comes back."""
        again = asyncio.Event()
        self.connection.reconnect_callbacks.add(lambda *_: again.set())
        self.connection.transport.connection._reader_task.cancel()
        await asyncio.wait_for(again.wait(), 20)


@pytest.fixture
async def shared(peer: RabbitPeer) -> AsyncIterator[Shared]:
    made = Shared(peer.url)
    yield made
    await made.connection.close()


async def serve(mode: Mode, *calls: Any) -> MirrorContext:
    """A request of its own, in a task of its own, that awaits what each of `calls` returns."""

    async def serving() -> MirrorContext:
        with entered(MirrorContext(Decision(mode), pair_id="pair-1")) as context:
            for call in calls:
                await call()
            context.end()
        return context

    return await asyncio.create_task(serving())


async def test_what_a_mirrored_request_opened_first_connects_again_for_live_ones(
    peer: RabbitPeer, shared: Shared
) -> None:
    name = peer.name()

    async def consume() -> None:
        await (await shared.channel.declare_queue(name)).consume(shared.hear)

    await serve(Mode.DRY_RUN, shared.open, lambda: shared.publish("orders"))
    await serve(Mode.LIVE, consume)
    await shared.lose()
    await serve(Mode.LIVE, lambda: shared.publish(name, b"again"))
    assert await asyncio.wait_for(shared.heard.get(), 20) == (b"again", None)


async def test_what_a_mirrored_request_declared_is_not_declared_after_the_next_connecting(
    peer: RabbitPeer, shared: Shared
) -> None:
    name, spare = peer.name(), peer.spare()

    async def declare() -> None:
        queue = await shared.channel.declare_queue(name)
        exchange = await shared.channel.declare_exchange(name)
        await queue.bind(exchange, "key")
        await exchange.bind("amq.fanout")
        await (await shared.channel.get_queue(spare)).consume(shared.hear)

    await shared.open()
    before = peer.look()
    await serve(Mode.DRY_RUN, declare)
    await shared.lose()
    assert peer.look() == before


async def test_what_a_mirrored_request_deleted_or_bound_otherwise_live_ones_still_have(
    peer: RabbitPeer, shared: Shared
) -> None:
    name = peer.name()

    async def declare() -> None:
        shared.queue = await shared.channel.declare_queue(name, auto_delete=True)
        shared.exchange = await shared.channel.declare_exchange(name, auto_delete=True)
        await shared.queue.bind(shared.exchange, "key")
        await shared.queue.consume(shared.hear)

    async def delete() -> None:
        await shared.queue.unbind(shared.exchange, "key")
        await shared.queue.delete(if_unused=False, if_empty=False)
        await shared.channel.queue_delete(name)
        await shared.channel.exchange_delete(name)
        await shared.channel.declare_exchange(name, "topic")

    await shared.open()
    await serve(Mode.LIVE, declare)
    await serve(Mode.DRY_RUN, delete)
    await shared.lose()
    await serve(Mode.LIVE, lambda: shared.exchange.publish(aio_pika.Message(b"kept"), "key", timeout=20))
    assert await asyncio.wait_for(shared.heard.get(), 20) == (b"kept", None)
