"""Pairing the items of two arrays by a key: one that the data shows, or one that a rule names.

Knows objects and their members through a `Reader`. Must not know what becomes of what has no key.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from operator import itemgetter
from typing import Any, Final

from mirrorproof_sidecar.compare.items import ALIKE, Items, alike, cheapest
from mirrorproof_sidecar.compare.lcs import Pairs
from mirrorproof_sidecar.compare.nodes import Reader

__all__ = ["by_named_key", "by_shown_key"]

_KEYS: Final = ("id", "_id", "uuid", "guid", "key", "sku", "slug", "code", "name")
_KEY_ENDS: Final = ("_id", "Id", "ID")
_SAMPLE: Final = 50


def by_shown_key(items: Items) -> bool:
    """By a key that the data shows, if it shows one."""
    if not all(type(node) is dict and node for side in (items.one, items.other) for node in side):
        return False
    shared = set(items.one[0]) & set(items.other[0])
    names = [name for name in _KEYS if name in shared]
    names += sorted(name for name in shared if name.endswith(_KEY_ENDS) and name not in names)
    return any(_by_candidate(items, name) for name in names)


def _by_candidate(items: Items, name: str) -> bool:
    one, other = items.one, items.other
    try:
        values = [list(map(itemgetter(name), side)) for side in (one, other)]
    except KeyError:
        return False
    if len(one) == len(other) and all(map(items.reader.same, *values)):
        items.pairs = [(i, i) for i in range(len(one))]
        return True
    mine, its = (_keys(side, items.reader) for side in values)
    if mine is None or its is None:
        return False
    pairs = [(i, its[key]) for key, i in mine.items() if key in its]
    if len(pairs) * 2 < min(len(one), len(other)):
        return False
    if _misleading(items, pairs, name):
        items.distrusted = name
        return False
    items.pairs, items.key = pairs, name
    items.tell_order()
    _pair_alike(items)
    return True


def _keys(side: Sequence[Any], reader: Reader) -> dict[Hashable, int] | None:
    """Positions by key; `None` if it is no key."""
    found = {reader.key(value): position for position, value in enumerate(side)}
    return found if len(found) == len(side) and None not in found else None


def _misleading(items: Items, pairs: Pairs, name: str) -> bool:
    """Whether positions fit no worse than this key: numbers that each version counts anew meet by chance."""
    if not len(pairs) < len(items.one) == len(items.other):
        return False
    step = max(1, len(pairs) // _SAMPLE)
    by_key = by_position = 0.0
    for i, j in sorted(pairs)[::step]:
        by_key += alike(items, i, j, name)
        by_position += (alike(items, i, i, name) + alike(items, j, j, name)) / 2
    return by_position >= by_key


def _pair_alike(items: Items) -> None:
    """Pair what has no partner by its key but is alike: its key changed."""
    lone, other_lone = items.rest()
    if lone and other_lone:
        mine = items.reader.tokens([items.one[i] for i in lone])
        its = items.reader.tokens([items.other[j] for j in other_lone])
        items.pairs += cheapest(items, lone, other_lone, its < mine, ALIKE)


def by_named_key(items: Items, name: str) -> None:
    """By the key that a rule names; of one that occurs again, the first with the first."""
    keys = [
        [items.reader.key(node[name]) if type(node) is dict and name in node else None for node in side]
        for side in (items.one, items.other)
    ]
    numbered = [_numbered(side) for side in keys]
    places = {key: j for j, key in enumerate(numbered[1])}
    items.pairs = [(i, places[key]) for i, key in enumerate(numbered[0]) if key in places]
    items.key = name
    items.tell_order()


def _numbered(keys: Sequence[Hashable]) -> list[tuple[Hashable, int]]:
    seen: Counter[Hashable] = Counter()
    found = []
    for key in keys:
        found.append((key, seen[key]))
        seen[key] += 1
    return found
