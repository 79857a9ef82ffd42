"""What the guards of Kafka's clients share: how a message, a transaction and a taken message are named.

Knows Kafka's terms. Must not know any one client.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

from mirrorproof.context import current
from mirrorproof.guards.acting import CONSUME, Write
from mirrorproof.rulings import Where

__all__ = ["ANY_PARTITION", "given", "sent", "taken", "transaction", "wait_s"]

ANY_PARTITION: Final = 0
"""What a suppressed message is said to have gone to where the client does not know the topic's partitions:
the one that every topic has."""

_LONGEST_WAIT_S: Final = 3600.0
_WAIT_IN_REQUEST_S: Final = 1.0


def given(
    args: tuple[Any, ...], kwargs: dict[str, Any], position: int, name: str, default: Any = None
) -> Any:
    """An argument, however it was given."""
    return args[position] if len(args) > position else kwargs.get(name, default)


def sent(topic: str, value: Any, key: Any = None, headers: Any = None, partition: Any = None) -> Write:
    """A message. Its time is left out, since it differs each time."""
    payload = {"value": _content(value), "key": _content(key)}
    if headers:
        pairs = headers.items() if isinstance(headers, dict) else headers
        payload["headers"] = [[name, _content(content)] for name, content in pairs]
    if partition is not None and partition >= 0:
        payload["partition"] = partition
    return Write("queue.publish", f"topic {topic}", payload, where=Where(queue=topic))


def transaction(step: str, name: str, payload: Any = None) -> Write:
    """A step of a transaction: `begin`, `commit`."""
    return Write(f"queue.transaction.{step}", f"transaction {name}", payload)


def taken(topics: Any, group: str, payload: Any = None) -> Write:
    """Taking messages as a member of a group, or telling how far it has read."""
    names = ",".join(sorted(topics))
    target = f"topic {names} as {group}" if names else f"topics of {group}"
    return Write(CONSUME, target, payload, where=Where(queue=names))


def wait_s(timeout_s: float | None) -> float:
    """How long to wait for a message that does not come; `None` and less than nothing is for ever."""
    if timeout_s is not None and timeout_s >= 0:
        return min(max(timeout_s, 0.01), _LONGEST_WAIT_S)  # never a busy loop
    context = current()
    return _WAIT_IN_REQUEST_S if context is not None and context.in_request else _LONGEST_WAIT_S


def _content(part: Any) -> Any:
    if not isinstance(part, bytes | bytearray | memoryview):
        return part
    raw = bytes(part)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return {"bytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}
