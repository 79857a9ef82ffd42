"""Which items of two sequences belong together, so that one inserted item is one difference.

Knows items through a `Reader`, tokens and keys. Must not know what is done with the pairs.

Theory of operation. Equal beginnings and ends are set aside. What is left is paired, in this order: as a rule
says; by a key that the data shows (a member such as `id`, on every item, unique on both sides, with most
values on both); by position, where the lengths are equal and the items at each position are alike; by the
longest common run of equal items. Between what the run holds together, items are paired so that as little as
possible differs. Items that both sides have in another order are told as such. Everything is symmetric and
bounded: what is beyond the bound goes by position.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, Final

from mirrorproof_sidecar.compare.lcs import Budget, Pairs, cheapest_pairs, common_run, rising
from mirrorproof_sidecar.compare.nodes import Reader
from mirrorproof_sidecar.compare.ruletypes import Order, OrderRule

__all__ = ["Aligned", "align", "unequal"]

_KEYS: Final = ("id", "_id", "uuid", "guid", "key", "sku", "slug", "code", "name")
_KEY_ENDS: Final = ("_id", "Id", "ID")
_ALIKE: Final = 0.5
"""Two objects are alike if this share of their members is equal."""
_ALONE: Final = 0.55  # two items without partners cost a little more than two that have nothing in common
_SAMPLE: Final = 50
_MAX_CELLS: Final = 10_000  # of one table of costs

Places = Sequence[int]

Step = tuple[int, int | None, int | None]
"""The index to show, and the positions in the primary and in the shadow; `None` where there is none."""


@dataclass(slots=True)
class Aligned:
    """`steps` in the order of the index to show: a pair shows the later of its positions. `order` has, where
    items that both sides have stand in another order, the positions of these items on each side."""

    steps: list[Step]
    order: tuple[list[int], list[int]] | None = None
    key: str | None = None


@dataclass(slots=True)
class _Items:
    """What is left of the two sequences, and what was found out about it. Positions are within it."""

    one: list[Any]
    other: list[Any]
    reader: Reader
    budget: Budget
    pairs: Pairs = field(default_factory=list)
    order: tuple[list[int], list[int]] | None = None
    key: str | None = None
    distrusted: str | None = None
    """A member that looks like a key, and whose values meet by chance."""

    def rest(self) -> tuple[list[int], list[int]]:
        """The positions on each side that have no partner."""
        mine, its = {i for i, _ in self.pairs}, {j for _, j in self.pairs}
        return (
            [i for i in range(len(self.one)) if i not in mine],
            [j for j in range(len(self.other)) if j not in its],
        )

    def tell_order(self) -> None:
        """Say where the pairs stand in another order."""
        if not rising([j for _, j in sorted(self.pairs)]):
            self.order = sorted(i for i, _ in self.pairs), sorted(j for _, j in self.pairs)


def align(
    one: list[Any], other: list[Any], reader: Reader, rule: OrderRule | None, budget: Budget
) -> Aligned:
    """The pairs and what has no partner; equal pairs may be left out. Objects in `one` and `other` may be
    replaced by a form that `reader` takes as well, so that they are not decoded again."""
    mine, its = _what_is_left(one, other, reader)
    items = _Items([one[i] for i in mine], [other[j] for j in its], reader, budget)
    if items.one and items.other:
        if len(items.one) == len(items.other) == 1:
            items.pairs = [(0, 0)]
        else:
            _pair(items, rule)
    for places, side, opened in ((mine, one, items.one), (its, other, items.other)):
        for place, node in zip(places, opened, strict=True):
            side[place] = node
    lone, other_lone = items.rest()
    steps = _steps(
        [(mine[i], its[j]) for i, j in items.pairs], [mine[i] for i in lone], [its[j] for j in other_lone]
    )
    order = items.order and ([mine[i] for i in items.order[0]], [its[j] for j in items.order[1]])
    return Aligned(steps, order, items.key)


def _what_is_left(one: Sequence[Any], other: Sequence[Any], reader: Reader) -> tuple[Places, Places]:
    """The positions on each side that have to be paired: those between the equal beginning and end, or, where
    most items equal the one at their position, those of the others."""
    if len(one) == len(other):
        unequal_places = [i for i, pair in enumerate(zip(one, other, strict=True)) if not reader.same(*pair)]
        if not unequal_places:
            return [], []
        between = range(unequal_places[0], unequal_places[-1] + 1)
        places = unequal_places if len(unequal_places) * 2 <= len(between) else between
        return places, places
    first, last = _equal_ends(one, other, reader)
    return range(first, len(one) - last), range(first, len(other) - last)


def _equal_ends(one: Sequence[Any], other: Sequence[Any], reader: Reader) -> tuple[int, int]:
    shorter = min(len(one), len(other))
    first = last = 0
    while first < shorter and reader.same(one[first], other[first]):
        first += 1
    while last < shorter - first and reader.same(one[-1 - last], other[-1 - last]):
        last += 1
    return first, last


def _pair(items: _Items, rule: OrderRule | None) -> None:
    if rule is None:
        _objects(items)
        if not (_by_shown_key(items) or _by_position(items)):
            _by_run(items)
    elif rule.key is not None:
        _objects(items)
        _by_named_key(items, rule.key)
    elif rule.way is Order.LIST:
        _by_run(items)
    else:
        _objects(items)
        _as_bag(items, sort=rule.way is Order.SORTED)


def _objects(items: _Items) -> None:
    """Decode one level of each object, once."""
    items.reader.open_objects(items.one)
    items.reader.open_objects(items.other)


def _by_shown_key(items: _Items) -> bool:
    """By a key that the data shows, if it shows one."""
    if not all(type(node) is dict and node for side in (items.one, items.other) for node in side):
        return False
    shared = set(items.one[0]) & set(items.other[0])
    names = [name for name in _KEYS if name in shared]
    names += sorted(name for name in shared if name.endswith(_KEY_ENDS) and name not in names)
    return any(_by_candidate(items, name) for name in names)


def _by_candidate(items: _Items, name: str) -> bool:
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


def _misleading(items: _Items, pairs: Pairs, name: str) -> bool:
    """Whether positions fit no worse than this key: numbers that each version counts anew meet by chance."""
    if not len(pairs) < len(items.one) == len(items.other):
        return False
    step = max(1, len(pairs) // _SAMPLE)
    by_key = by_position = 0.0
    for i, j in sorted(pairs)[::step]:
        by_key += _alike(items, i, j, name)
        by_position += (_alike(items, i, i, name) + _alike(items, j, j, name)) / 2
    return by_position >= by_key


def _alike(items: _Items, i: int, j: int, but: str | None = None) -> float:
    """The share of members that are equal, of two objects; of other items 0."""
    one, other = items.one[i], items.other[j]
    if not (type(one) is dict and type(other) is dict):
        return 0.0
    same = items.reader.same
    equal = sum(1 for key, value in one.items() if key in other and key != but and same(value, other[key]))
    return equal / max(1, len(one.keys() | other.keys()) - (but is not None))


def _by_position(items: _Items) -> bool:
    """By position, if what stands there is alike everywhere."""
    number = len(items.one)
    if number != len(items.other) or any(_alike(items, i, i) < _ALIKE for i in range(number)):
        return False
    if set(items.reader.tokens(items.one[:_SAMPLE])) & set(items.reader.tokens(items.other[:_SAMPLE])):
        return False  # something was moved or put in
    items.pairs = [(i, i) for i in range(number)]
    return True


def _by_run(items: _Items) -> None:
    """By the longest common run of equal items, then what was moved, then what differs least."""
    tokens = [items.reader.tokens(side) for side in (items.one, items.other)]
    run = common_run(tokens[0], tokens[1], items.budget)
    items.pairs = run
    lone, other_lone = items.rest()
    moved = _by_token([tokens[0][i] for i in lone], [tokens[1][j] for j in other_lone])
    items.pairs = run + [(lone[i], other_lone[j]) for i, j in moved]
    items.tell_order()
    lone, other_lone = items.rest()
    flipped = tokens[1] < tokens[0]
    for mine, its in _gaps(lone, other_lone, run):
        items.pairs += _cheapest(items, mine, its, flipped)


def _by_token(one: Sequence[bytes], other: Sequence[bytes]) -> Pairs:
    """The first with the first, the second with the second, of each token."""
    waiting: dict[bytes, list[int]] = defaultdict(list)
    for j, token in enumerate(other):
        waiting[token].append(j)
    for found in waiting.values():
        found.reverse()
    return [(i, waiting[token].pop()) for i, token in enumerate(one) if waiting.get(token)]


def _gaps(one: Sequence[int], other: Sequence[int], run: Pairs) -> Iterator[tuple[list[int], list[int]]]:
    """The positions without a partner, between one pair of the run and the next."""
    at_one = at_other = 0
    for i, j in [*run, (1 << 60, 1 << 60)]:
        ends = at_one, at_other
        while at_one < len(one) and one[at_one] < i:
            at_one += 1
        while at_other < len(other) and other[at_other] < j:
            at_other += 1
        if ends[0] < at_one and ends[1] < at_other:
            yield list(one[ends[0] : at_one]), list(other[ends[1] : at_other])


def _cheapest(items: _Items, one: list[int], other: list[int], flipped: bool, least: float = 0.0) -> Pairs:
    cells = len(one) * len(other)
    if cells == 1 and not least:
        return [(one[0], other[0])]
    if cells > _MAX_CELLS or not items.budget.take(cells):
        return [] if least else list(zip(one, other, strict=False))

    def cost(i: int, j: int) -> float:
        alike = _alike(items, i, j, items.distrusted)
        return 2.0 if alike < least else 1.0 - alike

    if flipped:
        return [(i, j) for j, i in cheapest_pairs(other, one, lambda j, i: cost(i, j), _ALONE)]
    return cheapest_pairs(one, other, cost, _ALONE)


def _pair_alike(items: _Items) -> None:
    """Pair what has no partner by its key but is alike: its key changed."""
    lone, other_lone = items.rest()
    if lone and other_lone:
        mine = items.reader.tokens([items.one[i] for i in lone])
        its = items.reader.tokens([items.other[j] for j in other_lone])
        items.pairs += _cheapest(items, lone, other_lone, its < mine, _ALIKE)


def _by_named_key(items: _Items, name: str) -> None:
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


def _as_bag(items: _Items, *, sort: bool) -> None:
    """In no order: equal items first, then those that are alike, or next to each other when sorted."""
    tokens = [items.reader.tokens(side) for side in (items.one, items.other)]
    items.pairs = _by_token(*tokens)
    items.tell_order()
    sides = items.rest()
    lone, other_lone = (
        sorted(side, key=lambda at: (mine[at], at)) for side, mine in zip(sides, tokens, strict=True)
    )
    items.pairs += _cheapest(items, lone, other_lone, tokens[1] < tokens[0], 0.0 if sort else _ALIKE)


def unequal(one: Sequence[Any], other: Sequence[Any]) -> list[Step]:
    """Steps of what may differ between two sequences of tokens, of which equal ones stand for equal items."""
    run = common_run(one, other, Budget(_MAX_CELLS))
    lone = sorted(set(range(len(one))) - {i for i, _ in run})
    other_lone = sorted(set(range(len(other))) - {j for _, j in run})
    pairs = [pair for mine, its in _gaps(lone, other_lone, run) for pair in zip(mine, its, strict=False)]
    alone = set(lone) - {i for i, _ in pairs}, set(other_lone) - {j for _, j in pairs}
    return _steps(pairs, *alone)


def _steps(pairs: Pairs, lone: Iterable[int], other_lone: Iterable[int]) -> list[Step]:
    steps: list[Step] = [(max(i, j), i, j) for i, j in pairs]
    steps += [(i, i, None) for i in lone]
    steps += [(j, None, j) for j in other_lone]
    return sorted(steps, key=lambda step: (step[0], step[1] is None or step[2] is None))
