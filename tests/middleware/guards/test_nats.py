"""The nats guard, on a real server: what the matrix cannot say."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import nats
import pytest
from clients.nats_client import NatsPeer

from mirrorproof import Settings, install_guards, uninstall_guards
from mirrorproof.context import MirrorContext, entered
from mirrorproof.decision import Decision, Mode


@pytest.fixture(scope="module")
def peer() -> Iterator[NatsPeer]:
    started = NatsPeer()
    yield started
    started.stop()


@pytest.fixture(autouse=True)
def _guarded() -> Iterator[None]:
    install_guards("nats", "threads")
    yield
    uninstall_guards()


def request(mode: Mode, **settings: object) -> MirrorContext:
    return MirrorContext(Decision(mode), settings=Settings.load(env={}, role="mixed", **settings))


async def settled(client: nats.NATS) -> None:
    """The server has all that the client sent. One flush is no such promise: nats-py writes its PING at once,
    past what waits to be written."""
    await client.flush()
    await client.flush()


async def takes(peer: NatsPeer, mode: Mode) -> int:
    """How many of one message the request's member of a queue group takes."""
    sender, worker = await nats.connect(peer.url), await nats.connect(peer.url)
    with entered(request(mode)):
        sub = await worker.subscribe("jobs.pack", queue="packers")
        await settled(worker)
    await sender.publish("jobs.pack", b"1")
    await settled(sender)
    await worker.flush()  # what was sent to the worker came before the answer to this
    taken = sub.pending_msgs
    await worker.close()
    await sender.close()
    return taken


async def test_a_mirrored_request_takes_no_message_from_a_queue_group(peer: NatsPeer) -> None:
    assert await takes(peer, Mode.LIVE) == 1
    assert await takes(peer, Mode.DRY_RUN) == 0


async def test_a_suppressed_subscription_is_not_made_by_a_reconnect_either(peer: NatsPeer) -> None:
    client = await nats.connect(peer.url)
    with entered(request(Mode.DRY_RUN)):
        await client.subscribe("jobs.pack", queue="packers")
    assert client._subs == {}
    await client.close()


async def test_a_rule_says_what_a_request_is_answered(peer: NatsPeer) -> None:
    rule = {"kind": "queue.request", "queue": "shop.*", "returns": {"stock": 3}}
    client = await nats.connect(peer.url)
    with entered(request(Mode.DRY_RUN, effect_rules=(rule,))):
        answer = await client.request("shop.ask", b"how many?")
    assert answer.data == b'{"stock": 3}'
    await client.close()


async def test_a_rule_lets_a_request_that_only_reads_through(peer: NatsPeer) -> None:
    rule = {"kind": "queue.request", "queue": "shop.ask", "action": "allow"}
    client = await nats.connect(peer.url)
    with entered(request(Mode.DRY_RUN, effect_rules=(rule,))):
        assert (await client.request("shop.ask", b"may I?", timeout=5)).data == b"yes"
    await client.close()


async def test_equal_effects_have_equal_digests_live_and_mirrored(peer: NatsPeer) -> None:
    digests = []
    client = await nats.connect(peer.url)
    js = client.jetstream()
    for mode in (Mode.LIVE, Mode.DRY_RUN):
        with entered(request(mode)) as context:
            await (await js.key_value("settings")).put("size", b"3")
            await (await js.object_store("files")).put("bill", b"10.01")
            digests.append([effect.digest for effect in context.ledger])
    assert digests[0] == digests[1]
    await client.close()


async def test_a_message_that_came_before_is_not_acknowledged_by_a_mirrored_request(peer: NatsPeer) -> None:
    client = await nats.connect(peer.url)
    js = client.jetstream()
    await js.publish("orders.ack", b"1")
    sub = await js.subscribe("orders.ack", durable="acks", manual_ack=True)
    message = await sub.next_msg(5)
    with entered(request(Mode.DRY_RUN)) as context:
        await message.ack()
    await client.flush()
    assert (await js.consumer_info("ORDERS", "acks")).num_ack_pending == 1
    assert [effect.kind for effect in context.ledger] == ["queue.consume"]
    await client.close()


async def test_a_mirrored_request_closes_neither_a_client_nor_a_subscription_that_others_opened(
    peer: NatsPeer,
) -> None:
    client = await nats.connect(peer.url)
    await client.jetstream().publish("orders.shared", b"1")
    plain = await client.subscribe("shared.news")
    pushed = await client.jetstream().subscribe("orders.shared", ordered_consumer=True)
    await pushed.next_msg(5)
    with entered(request(Mode.DRY_RUN)):
        for close in (plain.unsubscribe, plain.drain, pushed.unsubscribe, client.drain, client.close):
            await close()
    assert client.is_connected
    await client.publish("shared.news", b"still")
    await client.jetstream().publish("orders.shared", b"2")
    assert (await plain.next_msg(5)).data == b"still"
    assert (await pushed.next_msg(5)).data == b"2"
    await pushed.unsubscribe()
    await client.drain()
    assert client.is_closed


async def test_a_mirrored_request_closes_what_it_opened(peer: NatsPeer) -> None:
    with entered(request(Mode.DRY_RUN)):
        client = await nats.connect(peer.url)
        sub = await client.subscribe("shared.news")
        await sub.unsubscribe()
        assert client._subs == {}
        await client.close()
        assert client.is_closed


async def test_a_large_object_is_read_whole_and_nothing_of_it_is_an_effect(peer: NatsPeer) -> None:
    """The server sends more only after it is told that what it sent arrived."""
    client = await nats.connect(peer.url)
    store = await client.jetstream().object_store("files")
    await store.put("film", bytes(16 << 20))
    for mode in (Mode.DRY_RUN, Mode.LIVE):
        with entered(request(mode)) as context:
            film = await asyncio.wait_for(store.get("film"), 60)
        assert len(film.data or b"") == 16 << 20
        assert list(context.ledger) == []
    await client.close()
