"""The confluent-kafka guard: producing, transactions, administration, and taking messages.

Theory of operation. The client's classes are C types, which applications import by name and make before any
guard is there. So their own methods are judged, in the place where every name, subclass and instance finds
them (`sealed`). What a C type cannot tell later (its group, its default callback) is kept by a subclass in
the package, for what is made from then on; of others the guard assumes the worst.

Knows where confluent-kafka sends and takes. Must not know what it answers: the modules beside this one do.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from mirrorproof.guards import Guard
from mirrorproof.guards.confluent_kafka import administration, asynchronous, consumers, producers, untold
from mirrorproof.guards.confluent_kafka.sealed import judged, put, record, recording

__all__ = ["ConfluentKafkaAioGuard", "ConfluentKafkaExperimentalGuard", "ConfluentKafkaGuard"]


class ConfluentKafkaGuard(Guard):
    """Guards confluent-kafka."""

    name = "confluent_kafka"
    module = "confluent_kafka"
    distribution = "confluent-kafka"
    tested = ("2.6", "2.16")
    covers = (
        "Producer and SerializingProducer: produce, produce_batch, transactions, purge; Consumer, "
        "DeserializingConsumer and ShareConsumer: subscribe, poll, consume, commit, store_offsets; "
        "AdminClient's writes"
    )

    def install(self) -> None:
        import confluent_kafka
        from confluent_kafka import cimpl

        self._sealed: list[tuple[Any, str, Any]] = []
        for kind, wrappers in (
            (cimpl.Producer, producers.JUDGED),
            (cimpl.Consumer, consumers.JUDGED),
            (getattr(cimpl, "ShareConsumer", None), consumers.SHARED),
            (cimpl._AdminClientImpl, administration.JUDGED),
        ):
            for name in wrappers.keys() & vars(kind or object).keys():
                self._sealed.append((kind, name, vars(kind)[name]))
                put(kind, name, judged(vars(kind)[name], wrappers[name]))
        self.replace(confluent_kafka, "Producer", recording(cimpl.Producer, untold.count))
        self.replace(confluent_kafka, "Consumer", recording(cimpl.Consumer))
        self.wrap(confluent_kafka.SerializingProducer, "__init__", _recorded)
        self.wrap(confluent_kafka.SerializingProducer, "__len__", producers.counted)
        self.wrap(confluent_kafka.DeserializingConsumer, "__init__", _recorded)

    def uninstall(self) -> None:
        super().uninstall()
        for kind, name, own in self.__dict__.pop("_sealed", []):
            put(kind, name, own)


class ConfluentKafkaAioGuard(Guard):
    """Guards confluent-kafka's `AIOProducer`, which gathers messages of several requests before it sends."""

    name = "confluent_kafka_aio"
    module = "confluent_kafka.aio.producer"
    distribution = "confluent-kafka"
    tested = ("2.12", "2.16")
    covers = "AIOProducer and AsyncSerializingProducer: produce, purge"

    def install(self) -> None:
        sends = import_module(f"{self.module}._kafka_batch_executor").ProducerBatchExecutor
        producer = import_module(self.module).AIOProducer
        self.guard(producer, "produce", asynchronous.described, asynchronous.told)
        self.guard(producer, "purge", producers.purged, lambda *_: None)
        self.wrap(sends, "execute_batch", asynchronous.execute)


class ConfluentKafkaExperimentalGuard(ConfluentKafkaAioGuard):
    """The same for where it was in version 2.12."""

    name = "confluent_kafka_experimental"
    module = "confluent_kafka.experimental.aio.producer"


def _recorded(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    record(instance, args or (kwargs.get("conf"),), {})
    wrapped(*args, **kwargs)
