"""A comparison as plain data that JSON, and a JSON column of PostgreSQL, can hold.

Knows what `json.dumps(ensure_ascii=True)` and PostgreSQL refuse. Must not know who stores or shows it.

PostgreSQL takes neither U+0000 nor half a surrogate pair, not even escaped: both are spelt out, `\\u0000`. A
number that a reader's double would round is `{"$number": "…"}`, so that it is not mistaken for a string.
Each value is bounded: strings, lists and objects are cut, and `…` stands where something was left out.
"""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal
from typing import Any, Final

from mirrorproof_sidecar.compare.jsontree import DuplicateKeys
from mirrorproof_sidecar.compare.model import MISSING, Comparison, Difference
from mirrorproof_sidecar.compare.numbers import LongNumber
from mirrorproof_sidecar.compare.pointer import MAX_PATH_CHARS, shorten

__all__ = ["MAX_VALUE_CHARS", "difference_to_wire", "storable", "to_wire"]

MAX_VALUE_CHARS: Final = 1000
"""Of JSON text, for each value."""
_MARK: Final = "…"
_MARK_CHARS: Final = len(json.dumps(_MARK))
_MARK_ITEM_CHARS: Final = _MARK_CHARS + 2
_MARK_MEMBER_CHARS: Final = 2 * _MARK_CHARS + 4
_TAG_CHARS: Final = 3 * _MARK_MEMBER_CHARS
_MAX_NESTING: Final = 30
_SAFE_INT: Final = 2**53
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_PLAIN = re.compile(r"[ !#-\[\]-~]")  # what JSON writes as it is
_Fitted = tuple[Any, int]
"""A value and the most that its JSON text takes."""


def to_wire(comparison: Comparison) -> dict[str, Any]:
    """The whole comparison; `MISSING` is a key left out."""
    return {
        "result": comparison.result.value,
        "differences": [difference_to_wire(difference) for difference in comparison.differences],
        "differences_omitted": comparison.differences_omitted,
        "ignored": [
            difference_to_wire(ignored.difference)
            | {
                "by": ignored.by.value,
                "rule": {"path": storable(ignored.name), "reason": storable(ignored.reason)},
            }
            for ignored in comparison.ignored
        ],
        "ignored_omitted": comparison.ignored_omitted,
        "incomparable": [storable(reason) for reason in comparison.incomparable],
        "remarks": [storable(remark) for remark in comparison.remarks],
    }


def difference_to_wire(difference: Difference) -> dict[str, Any]:
    """One difference: `path`, `kind`, and `primary` and `shadow` where they are not `MISSING`."""
    values = {"primary": difference.primary, "shadow": difference.shadow}
    return {
        "path": shorten(storable(difference.path), MAX_PATH_CHARS),
        "kind": difference.kind.value,
        **{side: _fit(value, MAX_VALUE_CHARS)[0] for side, value in values.items() if value is not MISSING},
    }


def storable(text: str) -> str:
    """`text` with what PostgreSQL refuses spelt out; doing it twice changes nothing."""
    return _UNSTORABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _fit(value: Any, room: int, nesting: int = 0) -> _Fitted:
    """`value`, cut so that its JSON text has at most `room` characters; `room` is enough for the mark."""
    if isinstance(value, DuplicateKeys):
        value = {"$pairs": value.pairs}
    if isinstance(value, str):
        return _fit_text(value, room)
    if isinstance(value, dict | list | tuple):
        if nesting == _MAX_NESTING or room < _MARK_MEMBER_CHARS:
            return _MARK, _MARK_CHARS
        if isinstance(value, dict):
            return _fit_object(value, room, nesting)
        return _fit_list(value, room, nesting)
    if _is_plain(value):
        size = len(json.dumps(value))
        return (value, size) if size <= room else (_MARK, _MARK_CHARS)
    tagged = _tagged(value)
    return _fit_object(tagged, room, nesting) if room >= _TAG_CHARS else (_MARK, _MARK_CHARS)


def _is_plain(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or (isinstance(value, int) and abs(value) <= _SAFE_INT)


def _tagged(value: Any) -> dict[str, str]:
    if isinstance(value, bytes):
        return {"$bytes": value[:MAX_VALUE_CHARS].hex()}
    if isinstance(value, LongNumber):
        return {"$number": value.text}
    if isinstance(value, float):
        return {"$number": "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"}
    if isinstance(value, int | Decimal):
        return {"$number": str(value)}
    return {"$value": repr(value)[:MAX_VALUE_CHARS]}


def _fit_text(text: str, room: int) -> _Fitted:
    safe = storable(text[:room])
    size = len(json.dumps(safe))
    if size <= room and len(text) <= room:
        return safe, size
    kept, left = 0, room - _MARK_CHARS
    for character in safe:
        left -= 1 if _PLAIN.match(character) else len(json.dumps(character)) - 2
        if left < 0:
            break
        kept += 1
    return safe[:kept] + _MARK, room


def _fit_list(items: Any, room: int, nesting: int) -> _Fitted:
    fitted: list[Any] = []
    left = room  # each item takes two more for ", ", which pays for the brackets
    for item in items:
        # Room stays for the mark behind this item, in case another one follows.
        share = left - 2 - _MARK_ITEM_CHARS
        if share < _MARK_CHARS:
            fitted.append(_MARK)
            left -= _MARK_ITEM_CHARS
            break
        value, size = _fit(item, share, nesting + 1)
        fitted.append(value)
        left -= size + 2
    return fitted, max(2, room - left)


def _fit_object(members: dict[str, Any], room: int, nesting: int) -> _Fitted:
    fitted: dict[str, Any] = {}
    left = room
    for key, item in members.items():
        share = left - 4 - _MARK_MEMBER_CHARS
        if share < 2 * _MARK_CHARS:
            fitted[_MARK] = _MARK
            left -= _MARK_MEMBER_CHARS
            break
        name, key_size = _fit_text(key, share - _MARK_CHARS)
        value, size = _fit(item, share - key_size, nesting + 1)
        fitted[name] = value
        left -= key_size + size + 4
    return fitted, max(2, room - left)
