"""Messages as they are told to delivery callbacks.

A suppressed message's offset is `None`, the client's word for "not known", since only a broker could say.

Knows confluent-kafka's messages. Must not know who sends them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from mirrorproof.guards.kafka import ANY_PARTITION

__all__ = ["delivered"]

_NO_OFFSET: Final = -1001
_MAX_MESSAGE_BYTES: Final = 1_000_000


def delivered(topic: Any, message: Mapping[str, Any], partition: Any = None, limit: Any = None) -> Any:
    """The message of a successful delivery. Raises what the client does of one that it cannot send."""
    from confluent_kafka import TIMESTAMP_CREATE_TIME, KafkaError, KafkaException

    if not isinstance(topic, str):
        raise TypeError(f"argument 1 must be str, not {type(topic).__name__}")
    value, key = _raw(message.get("value")), _raw(message.get("key"))
    if len(value or b"") + len(key or b"") > int(limit or _MAX_MESSAGE_BYTES):
        words = "Unable to produce message: Broker: Message size too large"
        raise KafkaException(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE, words))
    where = message.get("partition", partition)
    at_ms = message.get("timestamp") or int(time.time() * 1000)
    return _message(
        topic=topic,
        partition=ANY_PARTITION if where is None or where < 0 else where,
        offset=_NO_OFFSET,
        key=key,
        value=value,
        timestamp=(TIMESTAMP_CREATE_TIME, at_ms),
        latency=0.0,
    )


def _raw(part: Any) -> bytes | None:
    if part is None:
        return None
    return part.encode() if isinstance(part, str) else bytes(memoryview(part))


def _message(**parts: Any) -> Any:
    from confluent_kafka import Message

    try:
        return Message(**parts)
    except TypeError:  # before 2.13 nobody but the client can make one
        return _Like(parts | {"offset": None})


class _Like:
    """What answers as a `Message` does."""

    def __init__(self, parts: dict[str, Any]) -> None:
        self._parts = parts

    def __len__(self) -> int:
        return len(self._parts["value"] or b"")

    def __getattr__(self, name: str) -> Any:
        if name not in (*self._parts, "error", "headers", "leader_epoch"):
            raise AttributeError(name)
        return lambda: self._parts.get(name)
