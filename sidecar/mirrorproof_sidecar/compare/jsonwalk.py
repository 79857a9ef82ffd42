"""Two JSON trees, by structure: what is missing, extra, of another type or of another value.

Knows JSON's types. Must not know rules or bounds (`Found` does), or where the trees come from.

Type-strict: `1`, `1.0`, `"1"` and `true` are four things; numbers of one type are compared as numbers.
Nothing here recurses, so a tree's depth does not matter.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from mirrorproof_sidecar.compare.align import unequal
from mirrorproof_sidecar.compare.found import Found, Where
from mirrorproof_sidecar.compare.jsontree import DuplicateKeys
from mirrorproof_sidecar.compare.model import MISSING, Kind
from mirrorproof_sidecar.compare.numbers import LongNumber

__all__ = ["same", "walk"]

_TYPES: Final = {
    type(None): "null",
    bool: "boolean",
    int: "integer",
    float: "number",
    Decimal: "number",
    str: "string",
    list: "array",
    dict: "object",
    DuplicateKeys: "object",
}
_CONTAINERS: Final = frozenset({dict, list, DuplicateKeys})


def walk(where: Where, primary: Any, shadow: Any, found: Found) -> None:
    """Tell `found` every difference between the two trees."""
    if type(primary) is type(shadow) and type(primary) in _CONTAINERS:
        _Walk(found).run(where, primary, shadow)
    elif not same(primary, shadow):
        _tell(where, primary, shadow, found)


def same(primary: Any, shadow: Any) -> bool:
    """Whether the two trees are equal in all that `walk` tells apart. Stops at the first difference."""
    waiting: list[tuple[Any, Any]] = [(primary, shadow)]
    while waiting:
        one, other = waiting.pop()
        if type(one) is not type(other):
            return False
        if type(one) is dict:
            if one.keys() != other.keys():
                return False
            waiting.extend((value, other[key]) for key, value in one.items())
        elif type(one) is list:
            if len(one) != len(other):
                return False
            waiting.extend(zip(one, other, strict=True))
        elif type(one) is DuplicateKeys:
            if _keys(one) != _keys(other):
                return False
            waiting.extend((mine[1], its[1]) for mine, its in zip(one.pairs, other.pairs, strict=True))
        elif not _equal(one, other):
            return False
    return True


class _Walk:
    """One walk: the pairs of containers, of one type each, that are still to be looked into."""

    __slots__ = ("_found", "_waiting")

    def __init__(self, found: Found) -> None:
        self._found = found
        self._waiting: list[tuple[Where, Any, Any]] = []

    def run(self, where: Where, primary: Any, shadow: Any) -> None:
        self._waiting.append((where, primary, shadow))
        while self._waiting:
            place, one, other = self._waiting.pop()
            if type(one) is dict:
                self._objects(place, one, other)
            elif type(one) is list:
                self._arrays(place, one, other)
            else:
                self._duplicates(place, one, other)

    def _objects(self, place: Where, one: dict[str, Any], other: dict[str, Any]) -> None:
        # Sorted, so that what is found does not depend on which side is which, even where a bound ends it.
        keys = sorted(one) if one.keys() == other.keys() else sorted(one.keys() | other.keys())
        for key in keys:
            self._visit(place, key, one.get(key, MISSING), other.get(key, MISSING))

    def _arrays(self, place: Where, one: list[Any], other: list[Any]) -> None:
        for number, mine, its in unequal(one, other, same):
            self._visit(
                place,
                number,
                MISSING if mine is None else one[mine],
                MISSING if its is None else other[its],
            )

    def _duplicates(self, place: Where, one: DuplicateKeys, other: DuplicateKeys) -> None:
        _remark_duplicates(place, one, other, self._found)
        if _keys(one) != _keys(other):
            self._found.differ(place, Kind.CHANGED_VALUE, one, other)
            return
        for (key, mine), (_, its) in zip(one.pairs, other.pairs, strict=True):
            self._visit(place, key, mine, its)

    def _visit(self, above: Where, segment: str | int, one: Any, other: Any) -> None:
        if type(one) is type(other):
            if type(one) in _CONTAINERS:
                self._waiting.append((above.child(str(segment)), one, other))
                return
            if _equal(one, other):
                return
        _tell(above.child(str(segment)), one, other, self._found)


def _tell(place: Where, one: Any, other: Any, found: Found) -> None:
    """A difference between two values that are known to differ, and are no containers of one type."""
    if one is MISSING:
        found.differ(place, Kind.EXTRA, one, other)
    elif other is MISSING:
        found.differ(place, Kind.MISSING, one, other)
    elif _type(one) != _type(other):
        found.differ(place, Kind.CHANGED_TYPE, one, other)
    else:
        _remark_duplicates(place, one, other, found)
        found.differ(place, Kind.CHANGED_VALUE, one, other)


def _remark_duplicates(place: Where, one: Any, other: Any, found: Found) -> None:
    repeats = [name for name, tree in (("primary", one), ("shadow", other)) if type(tree) is DuplicateKeys]
    if repeats:
        found.remark(place, f"an object repeats a key ({' and '.join(repeats)}); its pairs count in order")


def _keys(tree: DuplicateKeys) -> list[str]:
    return [key for key, _ in tree.pairs]


def _equal(one: Any, other: Any) -> bool:
    return bool(one == other) or (one != one and other != other)  # noqa: PLR0124  NaN is not equal to itself


def _type(value: Any) -> str:
    if type(value) is LongNumber:
        return "integer" if value.integer else "number"
    return _TYPES[type(value)]
