"""BSON's values as JSON-like ones, which are equal for equal effects of v1 and v2.

What no two runs agree on is told by its kind: ids that were drawn for new documents, wherever they are named
again, and times close to now. What is long is told by its hash.

Pure, the time is given. Must not know commands.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

from bson import ObjectId

__all__ = ["MAX_DOCUMENTS", "is_drawn", "is_fresh", "plain"]

_DRAWN: Final = "<drawn>"
_NOW: Final = "<now>"
_NOW_WINDOW: Final = timedelta(minutes=10)
_MAX_DEPTH: Final = 60
MAX_DOCUMENTS: Final = 100
"""How many of the documents that one command names are told, so that telling them slows nobody down."""
_MAX_ITEMS: Final = 1000
_MAX_CHARS: Final = 4096


def is_drawn(value: Any) -> bool:
    """Whether it is an id made from randomness or time: an ObjectId, a UUID, one as text."""
    if isinstance(value, ObjectId):
        return True
    try:
        made = value if isinstance(value, UUID) else UUID(value) if isinstance(value, str) else None
    except ValueError:
        return False
    return made is not None and made.version in (1, 4, 6, 7)


def is_fresh(value: Any, now: datetime) -> bool:
    """Whether it is an ObjectId that was made just now."""
    return isinstance(value, ObjectId) and _is_near(value.generation_time, now)


def plain(value: Any, drawn: set[Any], now: datetime, depth: int = 0) -> Any:
    """`value` as a JSON-like one. `drawn` are the ids that this request drew."""
    if depth > _MAX_DEPTH:
        return "…"
    if isinstance(value, Mapping):
        return {str(key): plain(each, drawn, now, depth + 1) for key, each in value.items()}
    if isinstance(value, list | tuple):
        limit = _MAX_ITEMS if depth else MAX_DOCUMENTS
        told = [plain(each, drawn, now, depth + 1) for each in value[:limit]]
        return told if len(value) <= limit else [*told, f"{len(value)} in all"]
    return _single(value, drawn, now)


def _single(value: Any, drawn: set[Any], now: datetime) -> Any:
    if isinstance(value, ObjectId | UUID | str) and value in drawn:
        return _DRAWN
    if isinstance(value, datetime) and _is_near(value, now):
        return _NOW
    if isinstance(value, bytes | bytearray | memoryview):
        data = bytes(value)
        return repr(data) if len(data) <= _MAX_CHARS else f"bytes sha256 {sha256(data).hexdigest()}"
    if isinstance(value, str) and len(value) > _MAX_CHARS:
        return f"str sha256 {sha256(value.encode('utf-8', 'surrogatepass')).hexdigest()}"
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)  # Int64 is one
    return value if value is None or isinstance(value, bool | float | str) else str(value)


def _is_near(time: datetime, now: datetime) -> bool:
    aware = time if time.tzinfo is not None else time.replace(tzinfo=UTC)  # as PyMongo takes it
    return abs(aware - now) < _NOW_WINDOW
