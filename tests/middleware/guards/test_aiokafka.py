"""What the matrix cannot say of aiokafka: transactions, groups, administration, rules."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import aiokafka
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource
from clients.kafka import TOPIC, KafkaPeer
from clients.servers import started

from mirrorproof import Settings, install_guards, uninstall_guards
from mirrorproof.context import MirrorContext, entered
from mirrorproof.decision import Decision, Mode
from mirrorproof.errors import EffectRefusedError
from mirrorproof.exchange import Outcome


@pytest.fixture(scope="module")
def peer() -> Iterator[KafkaPeer]:
    made = started(KafkaPeer)
    yield made
    made.stop()


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


def test_topics_are_administered_nowhere_and_answered_in_the_protocols_own_types(peer: KafkaPeer) -> None:
    async def main() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=peer.servers)
        await admin.start()
        try:
            assert TOPIC in await admin.list_topics()
            where = TopicPartition(TOPIC, 0)
            created = await admin.create_topics([NewTopic("new", 1, 1)])
            assert created.topic_errors == [("new", 0, None)]
            assert (await admin.delete_topics([TOPIC])).topic_error_codes == [(TOPIC, 0)]
            parted = await admin.create_partitions({TOPIC: NewPartitions(9)})
            assert parted.topic_errors == [(TOPIC, 0, None)]
            (altered,) = await admin.alter_configs([ConfigResource("topic", TOPIC, {"retention.ms": "1"})])
            assert altered.resources == [(0, None, 2, TOPIC)]
            assert await admin.delete_records({where: RecordsToDelete(3)}) == {where: 3}
        finally:
            await admin.close()

    before = peer.look()
    with in_mode() as context:
        asyncio.run(main())
    assert peer.look() == before
    assert outcomes(context) == [
        (f"kafka.{name}", Outcome.SUPPRESSED)
        for name in ("create_topics", "delete_topics", "create_partitions", "alter_configs", "delete_records")
    ]


def test_a_write_of_the_administration_that_nothing_can_answer_is_refused(
    peer: KafkaPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def elect_leaders(self: Any, topics: Any) -> None:
        raise AssertionError("this was sent")

    uninstall_guards("aiokafka")
    monkeypatch.setattr(AIOKafkaAdminClient, "elect_leaders", elect_leaders, raising=False)
    install_guards("aiokafka")

    async def main() -> None:
        await AIOKafkaAdminClient(bootstrap_servers=peer.servers).elect_leaders([TOPIC])  # type: ignore[attr-defined]

    with in_mode() as context, pytest.raises(EffectRefusedError):
        asyncio.run(main())
    uninstall_guards("aiokafka")
    assert outcomes(context) == [("kafka.elect_leaders", Outcome.BLOCKED)]


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
