"""Two trees, by structure: what is missing, extra, of another type or value, or in another order.

Knows JSON's types. Must not know rules or bounds (`Found` does), or how the trees are written (`Reader`
does).

Type-strict: `1`, `1.0`, `"1"` and `true` are four things; numbers of one type are compared as numbers.
Differences are told in the order of their paths. Nothing here recurses, so a tree's depth does not matter.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from mirrorproof_sidecar.compare.align import align
from mirrorproof_sidecar.compare.found import Found, Where
from mirrorproof_sidecar.compare.jsontree import DuplicateKeys, TooDeepError
from mirrorproof_sidecar.compare.lcs import Budget
from mirrorproof_sidecar.compare.model import MISSING, Kind
from mirrorproof_sidecar.compare.nodes import ARRAY, OBJECT, Reader, TreeReader, same_leaves
from mirrorproof_sidecar.compare.rawjson import RawReader, root
from mirrorproof_sidecar.compare.where import segment_order

__all__ = ["walk", "walk_raw"]

_MAX_RAW_DEPTH: Final = 24
"""Each level of raw text is read once more than the level above it; deeper down, all is parsed at once."""
_MAX_ALIGNED: Final = 200_000
_MAX_ORDER_SHOWN: Final = 50

_Node = tuple[Where, Any, Any]


def walk(where: Where, primary: Any, shadow: Any, found: Found) -> None:
    """Tell `found` every difference between two trees of plain values."""
    _Walk(found, TreeReader(), Budget(_MAX_ALIGNED)).run(where, primary, shadow)


def walk_raw(where: Where, primary: bytes, shadow: bytes, found: Found) -> bool:
    """The same for two JSON texts in UTF-8, decoding only what differs.

    `False`, with nothing told, if a text is one that only `jsontree` can read, or nobody. Raises
    `TooDeepError`, with what was found until then told, if what differs is nested too deep to be parsed.
    """
    try:
        one, other = root(primary), root(shadow)
    except (msgspec.MsgspecError, RecursionError):
        return False
    try:
        _Walk(found, RawReader(), Budget(_MAX_ALIGNED)).run(where, one, other)
    except RecursionError as error:  # the caller's own stack was nearly full
        raise TooDeepError("nested too deep for the stack that was left") from error
    return True


class _Walk:
    """One walk."""

    __slots__ = ("_budget", "_found", "_raw", "_reader")

    def __init__(self, found: Found, reader: Reader, budget: Budget) -> None:
        self._found = found
        self._reader = reader
        self._budget = budget
        self._raw = isinstance(reader, RawReader)

    def run(self, where: Where, primary: Any, shadow: Any) -> None:
        if self._reader.plainly_same(primary, shadow):
            return
        open_: list[Iterator[_Node]] = [iter([(where, primary, shadow)])]
        while open_:
            node = next(open_[-1], None)
            if node is None:
                open_.pop()
            elif self._raw and len(open_) > _MAX_RAW_DEPTH:
                self._parsed(*node)
            else:
                below = self._visit(*node)
                if below is not None:
                    open_.append(below)

    def _parsed(self, where: Where, one: Any, other: Any) -> None:
        sides = (MISSING if node is MISSING else self._reader.value(node) for node in (one, other))
        _Walk(self._found, TreeReader(), self._budget).run(where, *sides)

    def _visit(self, where: Where, one: Any, other: Any) -> Iterator[_Node] | None:
        """Tell what differs at `where` itself; what is below, to be visited."""
        if one is MISSING or other is MISSING:
            kind = Kind.EXTRA if one is MISSING else Kind.MISSING
            self._found.differ(where, kind, one, other, self._value)
            return None
        if type(one) is type(other) is dict:
            return self._members(where, one, other)
        sort, its = self._reader.sort(one), self._reader.sort(other)
        if sort == its == OBJECT:
            return self._objects(where, one, other)
        if sort == its == ARRAY:
            return self._arrays(where, one, other)
        self._leaf(where, one, other, same_sort=sort == its)
        return None

    def _leaf(self, where: Where, one: Any, other: Any, *, same_sort: bool) -> None:
        mine, its = self._reader.value(one), self._reader.value(other)
        if not same_sort:
            self._found.differ(where, Kind.CHANGED_TYPE, mine, its)
        elif not same_leaves(mine, its):
            self._found.differ(where, Kind.CHANGED_VALUE, mine, its)

    def _objects(self, where: Where, one: Any, other: Any) -> Iterator[_Node] | None:
        mine, its = self._reader.members(one), self._reader.members(other)
        if mine is None or its is None:
            self._duplicates(where, one, other)
            return None
        return self._members(where, mine, its)

    def _members(self, where: Where, mine: dict[str, Any], its: dict[str, Any]) -> Iterator[_Node] | None:
        keys = self._reader.unequal_keys(mine, its)
        if len(keys) > 1:
            keys.sort(key=segment_order)
        below: list[_Node] = []
        for key in keys:
            one, other = mine.get(key, MISSING), its.get(key, MISSING)
            counted = self._found.lists_no_more and self._reader.are_unequal_leaves(one, other)
            if counted and self._found.hides(where, key):
                continue
            below.append((where.child(key), one, other))
        if len(below) == 1:  # the usual case, without a detour
            place, one, other = below[0]
            if self._reader.are_unequal_leaves(one, other):
                self._leaf(place, one, other, same_sort=True)
                return None
        return iter(below)

    def _arrays(self, where: Where, one: Any, other: Any) -> Iterator[_Node]:
        mine, its = list(self._reader.items(one)), list(self._reader.items(other))
        rule = self._found.order_of(where)
        aligned = align(mine, its, self._reader, rule, self._budget)
        if aligned.order is not None:
            shown = self._order((mine, its), aligned.order, aligned.key)
            self._found.reordered(where, *shown, rule if rule is not None and rule.order_is_free else None)
        return (
            (where.child(shown_at), MISSING if i is None else mine[i], MISSING if j is None else its[j])
            for shown_at, i, j in aligned.steps
        )

    def _order(
        self, sides: tuple[list[Any], list[Any]], places: tuple[list[int], list[int]], key: str | None
    ) -> tuple[list[Any], list[Any]]:
        """What stands at these places, from the first that differs: the items' keys if they have one, else
        the items."""
        one, other = (
            [_named(side[position], key) for position in at] for side, at in zip(sides, places, strict=True)
        )
        same = self._reader.same
        first = next((at for at, pair in enumerate(zip(one, other, strict=False)) if not same(*pair)), 0)
        shown = slice(first, first + _MAX_ORDER_SHOWN)
        return [self._value(node) for node in one[shown]], [self._value(node) for node in other[shown]]

    def _duplicates(self, where: Where, one: Any, other: Any) -> None:
        """Objects of which one at least repeats a key: their pairs count in order."""
        trees = self._value(one), self._value(other)
        repeats = [
            name
            for name, tree in zip(("primary", "shadow"), trees, strict=True)
            if type(tree) is DuplicateKeys
        ]
        pairs = [tree.pairs if type(tree) is DuplicateKeys else tuple(tree.items()) for tree in trees]
        if len(repeats) == 2 and [key for key, _ in pairs[0]] == [key for key, _ in pairs[1]]:
            for (key, mine), (_, its) in zip(*pairs, strict=True):
                _Walk(self._found, TreeReader(), self._budget).run(where.child(key), mine, its)
        else:
            self._found.differ(where, Kind.CHANGED_VALUE, *trees)
        self._found.remark(
            where, f"an object repeats a key ({' and '.join(repeats)}); its pairs count in order"
        )

    def _value(self, node: Any) -> Any:
        return MISSING if node is MISSING else self._reader.value(node)


def _named(node: Any, key: str | None) -> Any:
    return node[key] if key is not None and type(node) is dict and key in node else node
