"""What the matrix cannot say of confluent-kafka: who is told of deliveries, groups, early names, rules.

Most of it runs on the cluster that librdkafka itself can mock, which knows groups.
"""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import confluent_kafka
import pytest
from confluent_kafka import Consumer as EarlyConsumer
from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka import Producer as EarlyProducer
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)
from confluent_kafka.aio import AIOConsumer, AIOProducer, AsyncSerializingProducer
from confluent_kafka.serialization import StringSerializer

from mirrorproof import Settings, current, install_guards, uninstall_guards
from mirrorproof.context import MirrorContext, entered, set_process_context
from mirrorproof.decision import Decision, Mode
from mirrorproof.errors import EffectRefusedError, LateEffectError
from mirrorproof.exchange import Outcome

MOCK = {"bootstrap.servers": "127.0.0.1:1", "test.mock.num.brokers": 1, "log_level": 0}
TOPIC = "orders"
# Its threads inherit the mask: another test's storm of interrupts would end the mocked cluster.
_mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
early = EarlyProducer(MOCK)
signal.pthread_sigmask(signal.SIG_SETMASK, _mask)
SENT = ("queue.publish", Outcome.SUPPRESSED)
TAKEN = ("queue.consume", Outcome.SUPPRESSED)


@pytest.fixture(scope="module")
def servers() -> str:
    """The address of the mocked cluster, which lives as long as `early` does."""
    broker = early.list_topics(timeout=30).brokers[1]
    return f"{broker.host}:{broker.port}"


@pytest.fixture(autouse=True)
def _guards() -> Iterator[None]:
    install_guards()
    yield
    uninstall_guards()


def in_mode(mode: Mode = Mode.DRY_RUN, **settings: Any) -> Any:
    return entered(MirrorContext(Decision(mode), settings=Settings.load(env={}, **settings)))


def outcomes(context: MirrorContext) -> list[tuple[str, Outcome]]:
    return [(effect.kind, effect.outcome) for effect in context.ledger]


def held(servers: str, topic: str = TOPIC) -> int:
    """How many messages the topic holds."""
    consumer = EarlyConsumer({"bootstrap.servers": servers, "group.id": "looks-on"})
    partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
    found = [consumer.get_watermark_offsets(TopicPartition(topic, each), timeout=30) for each in partitions]
    consumer.close()
    return sum(high for _, high in found)


def producer_of(servers: str, **more: Any) -> Any:
    return confluent_kafka.Producer({"bootstrap.servers": servers, **more})


def consumer_of(servers: str, group: str = "shop", **more: Any) -> Any:
    return confluent_kafka.Consumer({
        "bootstrap.servers": servers, "group.id": group, "auto.offset.reset": "earliest", **more,
    })  # fmt: skip


# -- names and instances from before the guards


def test_a_producer_made_before_the_guards_is_judged_and_still_what_it_was(servers: str) -> None:
    before = held(servers)
    with in_mode() as context:
        early.produce(TOPIC, b"1")
        assert early.flush(10) == 0
    assert held(servers) == before
    assert outcomes(context) == [SENT]
    assert isinstance(early, confluent_kafka.Producer)
    assert isinstance(EarlyProducer({}), confluent_kafka.Producer)
    assert issubclass(confluent_kafka.Producer, EarlyProducer)
    assert isinstance(confluent_kafka.SerializingProducer({}), confluent_kafka.Producer)
    assert not isinstance(3, confluent_kafka.Producer)


def test_an_applications_own_subclasses_are_judged(servers: str) -> None:
    class Base(ABC):
        @abstractmethod
        def produce(self, *args: Any) -> None: ...

        def shout(self) -> None:
            self.produce(TOPIC, b"!")

    class Early(EarlyProducer, Base):
        pass

    class Late(confluent_kafka.Producer, Base):
        pass

    before = held(servers)
    for kind in (Early, Late):
        with in_mode() as context:
            producer = kind({"bootstrap.servers": servers})
            producer.shout()
            assert producer.flush(10) == 0
        assert outcomes(context) == [SENT]
        assert not isinstance(early, kind)
    assert held(servers) == before


def test_the_methods_are_the_clients_own_again_once_the_guard_is_out() -> None:
    judged = EarlyProducer.produce
    uninstall_guards()
    assert EarlyProducer.produce is not judged
    assert confluent_kafka.Producer is EarlyProducer
    assert type(EarlyProducer.produce).__name__ == "method_descriptor"


HARMLESS = {
    "Producer": {"cluster_id", "list_topics", "set_sasl_credentials"},
    "Consumer": {
        "assignment", "close", "cluster_id", "committed", "consumer_group_metadata", "get_watermark_offsets",
        "list_topics", "memberid", "offsets_for_times", "pause", "position", "resume", "seek",
        "set_sasl_credentials",
    },
    "ShareConsumer": {
        "close", "set_acknowledgement_commit_callback", "set_sasl_credentials", "subscription",
    },
    "_AdminClientImpl": {
        "cluster_id", "describe_acls", "describe_cluster", "describe_configs", "describe_consumer_groups",
        "describe_topics", "describe_user_scram_credentials", "list_consumer_group_offsets",
        "list_consumer_groups", "list_groups", "list_offsets", "list_topics", "poll", "set_sasl_credentials",
    },
}  # fmt: skip


@pytest.mark.parametrize("name", HARMLESS)
def test_each_method_of_the_client_is_judged_or_known_to_change_nothing(name: str) -> None:
    kind = getattr(confluent_kafka.cimpl, name)
    own = {each for each in vars(kind) if not each.startswith("_")}
    judged = {each for each in own if type(vars(kind)[each]).__name__ == "function"}
    assert own - judged == HARMLESS[name]


# -- who is told of a delivery


def test_a_delivery_is_told_by_the_next_poll_in_the_context_of_its_request(servers: str) -> None:
    told: list[Any] = []
    producer = producer_of(servers)
    with in_mode() as context:
        producer.produce(TOPIC, "é", on_delivery=lambda error, it: told.append((current(), error, it)))
        assert not told
        assert len(producer) == 1
        assert producer.poll(0) == 1
        assert len(producer) == 0
        assert producer.poll(0) == 0
    ((where, error, message),) = told
    assert where is context
    assert error is None
    assert isinstance(message, confluent_kafka.Message)
    assert (message.value(), message.offset(), message.error()) == ("é".encode(), None, None)


def test_a_thread_that_polls_for_all_is_told_and_a_live_request_is_not(servers: str) -> None:
    told: list[Any] = []
    arrived = threading.Event()
    producer = producer_of(servers)

    def remember(error: Any, message: Any) -> None:
        told.append(current())
        arrived.set()

    with in_mode() as context:
        producer.produce(TOPIC, b"1", callback=remember)
    with in_mode(Mode.LIVE):
        assert producer.poll(0) == 0
        assert len(producer) == 0
    assert not told
    thread = threading.Thread(target=producer.poll, args=(30,))
    thread.start()
    assert arrived.wait(20)
    thread.join(20)
    assert told == [context]
    # It is told as well of what comes while it waits in its poll already.
    arrived.clear()
    thread = threading.Thread(target=producer.poll, args=(30,))
    thread.start()
    with in_mode():
        producer.produce(TOPIC, b"1", callback=remember)
    assert arrived.wait(20)
    thread.join(20)


def test_what_a_callback_raises_reaches_its_request_and_nobody_else(
    servers: str, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(error: Any, message: Any) -> None:
        raise LookupError("mine")

    producer = producer_of(servers)
    with in_mode():
        producer.produce(TOPIC, b"1", on_delivery=fail)
        producer.produce(TOPIC, b"1", on_delivery=fail)
        with pytest.raises(LookupError):
            producer.flush(10)
    assert producer.poll(0) == 1
    assert "delivery callback failed" in caplog.text


def test_the_default_callback_is_called_and_a_message_too_large_is_refused(servers: str) -> None:
    told: list[Any] = []
    producer = producer_of(servers, on_delivery=lambda *its: told.append(its))
    with in_mode() as context:
        producer.produce(TOPIC, b"1")
        producer.flush(10)
        with pytest.raises(KafkaException, match="too large"):
            producer.produce(TOPIC, b"x" * 2_000_000)
        for wrong in (5, object()):
            with pytest.raises(TypeError):
                producer.produce(TOPIC, wrong)
        batch: list[Any] = [{"value": b"1"}, {"value": b"x" * 2_000_000}]
        assert producer.produce_batch(TOPIC, batch) == 1
        assert producer.flush(10) == 0
    assert len(told) == 2
    assert "_error" not in batch[0]
    assert batch[1]["_error"].name() == "MSG_SIZE_TOO_LARGE"
    assert set(outcomes(context)) == {SENT}


def test_a_live_callback_that_a_mirrored_request_polls_is_no_part_of_it(servers: str) -> None:
    told: list[Any] = []
    producer = producer_of(servers)
    producer.produce(TOPIC, b"live", on_delivery=lambda *_: told.append(current()))
    with in_mode():
        assert producer.flush(20) == 0
    assert told == [None]


def test_an_allowed_messages_callback_belongs_to_its_request_whoever_polls(servers: str) -> None:
    told: list[Any] = []
    producer = producer_of(servers)
    allow = [{"kind": "queue.publish", "queue": TOPIC, "action": "allow"}]
    before = held(servers)
    with in_mode(effect_rules=allow) as context:
        producer.produce(TOPIC, b"1", None, -1, lambda *_: told.append(current()))
        producer.produce_batch(TOPIC, [{"value": b"2", "callback": lambda *_: told.append(current())}])
    assert producer.flush(20) == 0
    assert told == [context, context]
    assert held(servers) == before + 2
    assert [outcome for _, outcome in outcomes(context)] == [Outcome.EXECUTED] * 2


def test_equal_messages_have_equal_digests_however_they_are_given(servers: str) -> None:
    producer = producer_of(servers)
    with in_mode() as context:
        producer.produce(TOPIC, b"1", "k", headers={"a": b"1"}, timestamp=5)
        producer.produce(topic=TOPIC, value="1", key=b"k", headers=[("a", "1")])
        producer.produce(TOPIC, b"2", "k")
    first, second, third = (effect.digest for effect in context.ledger)
    assert first == second != third


def test_a_mirrored_purge_leaves_live_messages_alone(servers: str) -> None:
    told: list[Any] = []
    producer = producer_of(servers, **{"linger.ms": 60_000})
    producer.produce(TOPIC, b"live", on_delivery=lambda error, _: told.append(error))
    with in_mode() as context:
        producer.purge()
    assert producer.flush(20) == 0
    assert told == [None]
    assert outcomes(context) == [("queue.purge", Outcome.SUPPRESSED)]


def test_a_transactional_id_is_not_taken_from_v1_and_a_live_transaction_makes_up(
    servers: str,
) -> None:
    producer = producer_of(servers, **{"transactional.id": "t"})
    with in_mode() as context:
        producer.init_transactions(20)
        producer.begin_transaction()
        producer.send_offsets_to_transaction([TopicPartition(TOPIC, 0, 3)], None)
        producer.abort_transaction()
    assert [kind for kind, _ in outcomes(context)] == [
        "queue.transaction.init", "queue.transaction.begin", "queue.consume", "queue.transaction.abort",
    ]  # fmt: skip
    with in_mode(Mode.LIVE):
        producer.begin_transaction()
        producer.produce(TOPIC, b"1")
        producer.commit_transaction(20)


def test_late_callbacks_find_their_request_ended(servers: str) -> None:
    raised: list[BaseException] = []
    producer = producer_of(servers)

    def produce_again(error: Any, message: Any) -> None:
        with pytest.raises(LateEffectError) as refused:
            producer.produce(TOPIC, b"again")
        raised.append(refused.value)

    before = held(servers)
    with in_mode() as context:
        producer.produce(TOPIC, b"1", on_delivery=produce_again)
        context.end()
    assert producer.flush(10) == 0
    assert raised
    assert context.late
    assert held(servers) == before


# -- AIOProducer


def test_live_and_mirrored_messages_of_one_buffer_are_told_apart(servers: str) -> None:
    async def main() -> None:
        producer = AIOProducer({"bootstrap.servers": servers}, buffer_timeout=0)
        with in_mode(Mode.LIVE) as live:
            future = await producer.produce(TOPIC, b"live")
        with in_mode() as mirrored:
            assert (await (await producer.produce(TOPIC, b"mirrored"))).value() == b"mirrored"
            with pytest.raises(NotImplementedError):
                await producer.produce(TOPIC, b"1", headers={"a": b"1"})
            await producer.purge()
            await producer.flush()  # sends what a live request left in the buffer
        assert (await asyncio.wait_for(future, 20)).offset() is not None
        await producer.close()
        assert outcomes(live) == [("queue.publish", Outcome.EXECUTED)]
        assert outcomes(mirrored) == [SENT, SENT, ("queue.purge", Outcome.SUPPRESSED)]

    before = held(servers)
    asyncio.run(main())
    assert held(servers) == before + 1


def test_the_asyncio_consumer_and_the_serializing_producer_are_held_back_as_well(servers: str) -> None:
    async def main() -> None:
        with in_mode() as context:
            producer = await AsyncSerializingProducer({
                "bootstrap.servers": servers, "value.serializer": StringSerializer(),
            })  # fmt: skip
            assert (await (await producer.produce(TOPIC, value="é"))).value() == "é".encode()
            await producer.close()
            consumer = AIOConsumer({"bootstrap.servers": servers, "group.id": "asyncio"})
            await consumer.subscribe([TOPIC])
            assert await consumer.poll(0.01) is None
            await consumer.close()
        assert outcomes(context) == [SENT, TAKEN, TAKEN]

    before = held(servers)
    asyncio.run(main())
    assert held(servers) == before


# -- groups


def test_a_mirrored_consumer_joins_no_group_and_finds_no_message(servers: str) -> None:
    producer_of(servers).flush(10)
    early.produce(TOPIC, b"for v1")
    assert early.flush(20) == 0
    consumer = consumer_of(servers, "joins-not")
    with in_mode() as context:
        consumer.subscribe([TOPIC])
        started = time.monotonic()
        assert consumer.poll(0.2) is None
        assert time.monotonic() - started >= 0.2
        assert consumer.consume(5, 0.01) == []
        assert consumer.commit() is None
        offsets = [TopicPartition(TOPIC, 0, 1)]
        assert consumer.commit(offsets=offsets, asynchronous=False) == offsets
        consumer.store_offsets(offsets=offsets)
        consumer.unsubscribe()
        assert consumer.assignment() == []
    assert outcomes(context) == [TAKEN] * 6
    assert next(iter(context.ledger)).target == "topic orders as joins-not"
    # A live request makes up for it.
    with in_mode():
        consumer.subscribe([TOPIC])
    with in_mode(Mode.LIVE) as live:
        message = consumer.poll(30)
    assert message is not None
    assert message.error() is None
    assert [outcome for _, outcome in outcomes(live)] == [Outcome.EXECUTED] * 2
    consumer.close()
    with in_mode(), pytest.raises(RuntimeError, match="closed"):
        consumer.poll(0.01)


@pytest.mark.parametrize("kind", [None, EarlyConsumer])
def test_a_member_of_a_group_is_not_asked_for_a_message_that_v1_needs(servers: str, kind: Any) -> None:
    topic, name = f"bills-{kind is None}", f"members-{kind is None}"
    early.produce(topic, b"1", partition=0)
    assert early.flush(20) == 0
    consumer = (kind or confluent_kafka.Consumer)({
        "bootstrap.servers": servers, "group.id": name, "auto.offset.reset": "earliest",
    })  # fmt: skip
    consumer.subscribe([topic])
    first = consumer.poll(30)
    early.produce(topic, b"2", partition=0)
    assert early.flush(20) == 0
    with in_mode() as context:
        assert consumer.poll(1.0) is None
        assert consumer.consume(1, 0.01) == []
        consumer.unsubscribe()
    second = consumer.poll(30)
    assert (first.value(), second.value()) == (b"1", b"2")
    assert outcomes(context) == [TAKEN] * 3
    consumer.close()
    with in_mode(), pytest.raises(RuntimeError, match="closed"):
        consumer.poll(0.01)


@pytest.mark.parametrize("reads", [True, False])
def test_a_consumer_assigned_by_hand_reads_unless_it_commits_by_itself(servers: str, reads: bool) -> None:
    early.produce(TOPIC, b"read me", partition=0)
    assert early.flush(20) == 0
    consumer = consumer_of(servers, "reads", **({"enable.auto.commit": "false"} if reads else {}))
    with in_mode() as context:
        consumer.assign([TopicPartition(TOPIC, 0, 0)])
        message = consumer.poll(30 if reads else 0.01)
        consumer.unassign()
    consumer.close()
    assert (message is not None) is reads
    assert outcomes(context) == ([] if reads else [TAKEN] * 2)


def test_a_deserializing_and_a_sharing_consumer_find_no_message(servers: str) -> None:
    config = {"bootstrap.servers": servers, "group.id": "g"}
    consumer = confluent_kafka.DeserializingConsumer(config)
    sharing = confluent_kafka.ShareConsumer(config | {"log_level": 0})
    with in_mode() as context:
        consumer.subscribe([TOPIC])
        assert consumer.poll(0.01) is None
        sharing.subscribe([TOPIC])
        assert list(sharing.poll(0.01)) == []
        assert sharing.commit_sync(1) == {}
        assert sharing.subscription() == []
    assert outcomes(context) == [TAKEN] * 5
    consumer.close()
    sharing.close()


def test_a_shadow_process_takes_no_messages(servers: str, caplog: pytest.LogCaptureFixture) -> None:
    set_process_context(Settings.load(env={}, role="shadow"))
    try:
        consumer = consumer_of(servers)
        consumer.subscribe(["bills"])
        assert consumer.poll(0.01) is None
        consumer.close()
    finally:
        set_process_context(None)
    assert "takes no messages from topic bills as shop" in caplog.text


def test_in_read_only_mode_taking_is_refused(servers: str) -> None:
    consumer = consumer_of(servers)
    with in_mode(Mode.READ_ONLY):
        for call in (lambda: consumer.subscribe([TOPIC]), lambda: consumer.poll(0.01), consumer.commit):
            with pytest.raises(EffectRefusedError):
                call()
    consumer.close()


# -- administration


def test_topics_and_more_are_administered_nowhere_and_answered_in_the_clients_own_types(servers: str) -> None:
    admin = AdminClient({"bootstrap.servers": servers})
    resource = ConfigResource(ResourceType.TOPIC, TOPIC, set_config={"retention.ms": "1"})
    acl = AclBinding(
        ResourceType.TOPIC, TOPIC, ResourcePatternType.LITERAL, "User:a", "*", AclOperation.READ,
        AclPermissionType.ALLOW,
    )  # fmt: skip
    calls: dict[str, tuple[dict[Any, Any], Any]] = {}
    with in_mode() as context:
        calls["kafka.create_topics"] = admin.create_topics([NewTopic("new", 1, 1)]), {"new": None}
        calls["kafka.delete_topics"] = admin.delete_topics([TOPIC]), {TOPIC: None}
        calls["kafka.create_partitions"] = admin.create_partitions([NewPartitions(TOPIC, 9)]), {TOPIC: None}
        calls["kafka.incremental_alter_configs"] = admin.incremental_alter_configs([]), {}
        with pytest.warns(DeprecationWarning, match="alter_configs"):
            calls["kafka.alter_configs"] = admin.alter_configs([resource]), {resource: None}
        calls["kafka.create_acls"] = admin.create_acls([acl]), {acl: None}
        calls["kafka.delete_consumer_groups"] = admin.delete_consumer_groups(["shop"]), {"shop": None}
        records = admin.delete_records([TopicPartition(TOPIC, 0, 3)])
        assert [future.result(5).low_watermark for future in records.values()] == [3]
        with pytest.raises(ValueError, match="duplicate"):
            admin.create_acls([acl, acl])
    for answered, expected in calls.values():
        assert {subject: future.result(5) for subject, future in answered.items()} == expected
    assert outcomes(context) == [(kind, Outcome.SUPPRESSED) for kind in (*calls, "kafka.delete_records")]
    assert next(iter(context.ledger)).target == "topic new"
    assert TOPIC in admin.list_topics(timeout=20).topics


def test_rules_answer_for_a_topic_or_block_it(servers: str) -> None:
    rules = [
        {"queue": "bills", "returns": "x"},
        {"kind": "kafka.*", "returns": 1},
        {"queue": "secrets", "action": "block"},
    ]
    producer = producer_of(servers)
    with in_mode(effect_rules=rules) as context:
        assert producer.produce("bills", b"1") == "x"
        made = AdminClient({"bootstrap.servers": servers}).create_topics([NewTopic("new", 1, 1)])
        assert made["new"].result(5) is None
        with pytest.raises(EffectRefusedError, match="blocks"):
            producer.produce("secrets", b"1")
    assert [each for _, each in outcomes(context)] == [Outcome.SUPPRESSED] * 2 + [Outcome.BLOCKED]
