"""What the matrix cannot say of aiokafka: transactions, groups, administration, rules."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from typing import Any

import aiokafka
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from clients.kafka import TOPIC, KafkaPeer
from clients.servers import Unavailable

from mirrorproof import Settings, install_guards, uninstall_guards
from mirrorproof.context import MirrorContext, entered
from mirrorproof.decision import Decision, Mode
from mirrorproof.errors import EffectRefusedError
from mirrorproof.exchange import Outcome


@pytest.fixture(scope="module")
def peer() -> Iterator[KafkaPeer]:
    try:
        started = KafkaPeer()
    except Unavailable as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    yield started
    started.stop()


@pytest.fixture(autouse=True)
def _guards() -> Iterator[None]:
    install_guards()
    yield
    uninstall_guards()


def in_mode(mode: Mode = Mode.DRY_RUN, **settings: Any) -> Any:
    return entered(MirrorContext(Decision(mode), settings=Settings.load(env={}, **settings)))


def outcomes(context: MirrorContext) -> list[tuple[str, Outcome]]:
    return [(effect.kind, effect.outcome) for effect in context.ledger]


def test_a_mirrored_transaction_begins_and_ends_nowhere(peer: KafkaPeer) -> None:
    async def main() -> None:
        producer = aiokafka.AIOKafkaProducer(bootstrap_servers=peer.servers, transactional_id="t")
        async with producer, producer.transaction():
            assert (await producer.send_and_wait(TOPIC, b"1")).topic == TOPIC

    before = peer.look()
    with in_mode() as context:
        asyncio.run(main())
    assert peer.look() == before
    assert outcomes(context) == [
        (kind, Outcome.SUPPRESSED)
        for kind in (
            "queue.transaction.start", "queue.transaction.begin", "queue.publish", "queue.transaction.commit"
        )
    ]  # fmt: skip


def test_a_mirrored_consumer_joins_no_group_and_finds_no_message(peer: KafkaPeer) -> None:
    async def main() -> None:
        consumer = aiokafka.AIOKafkaConsumer(TOPIC, bootstrap_servers=peer.servers, group_id="shop")
        await consumer.start()
        assert consumer._coordinator is None
        assert await consumer.getmany(timeout_ms=10) == {}
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(consumer.getone(), 0.05)
        await consumer.commit()
        await consumer.stop()

    with in_mode() as context:
        asyncio.run(main())
    assert outcomes(context) == [("queue.consume", Outcome.SUPPRESSED)] * 4


def test_a_consumer_without_a_group_reads(peer: KafkaPeer) -> None:
    async def main() -> bytes | None:
        async with aiokafka.AIOKafkaProducer(bootstrap_servers=peer.servers) as producer:
            await producer.send_and_wait(TOPIC, b"read me")
        with in_mode() as context:
            consumer = aiokafka.AIOKafkaConsumer(
                TOPIC, bootstrap_servers=peer.servers, auto_offset_reset="earliest"
            )
            async with consumer:
                value = (await asyncio.wait_for(consumer.getone(), 30)).value
        assert outcomes(context) == []
        return value

    assert asyncio.run(main()) == b"read me"


def test_topics_are_not_administered(peer: KafkaPeer) -> None:
    async def main() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=peer.servers)
        await admin.start()
        try:
            assert TOPIC in await admin.list_topics()
            for call in (lambda: admin.create_topics([NewTopic("new", 1, 1)]),
                         lambda: admin.delete_topics([TOPIC])):  # fmt: skip
                with pytest.raises(EffectRefusedError):
                    await call()
        finally:
            await admin.close()

    before = peer.look()
    with in_mode() as context:
        asyncio.run(main())
    assert peer.look() == before
    assert [outcome for _, outcome in outcomes(context)] == [Outcome.BLOCKED] * 2


def test_rules_allow_a_topic_or_answer_for_it(peer: KafkaPeer) -> None:
    rules = [{"kind": "queue.publish", "queue": TOPIC, "action": "allow"}, {"queue": "bills", "returns": "x"}]

    async def main() -> None:
        async with aiokafka.AIOKafkaProducer(bootstrap_servers=peer.servers) as producer:
            assert (await producer.send_and_wait(TOPIC, b"really")).offset >= 0
            assert await producer.send("bills", b"not") == "x"

    before = peer.messages()
    with in_mode(effect_rules=rules) as context:
        asyncio.run(main())
    assert peer.messages() == before + 1
    assert [outcome for _, outcome in outcomes(context)] == [Outcome.EXECUTED, Outcome.SUPPRESSED]
