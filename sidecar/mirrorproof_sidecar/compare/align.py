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

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mirrorproof_sidecar.compare.bykey import by_named_key, by_shown_key
from mirrorproof_sidecar.compare.items import ALIKE, MAX_CELLS, Items, alike, by_token, cheapest
from mirrorproof_sidecar.compare.lcs import Budget, Pairs, common_run
from mirrorproof_sidecar.compare.nodes import Reader
from mirrorproof_sidecar.compare.ruletypes import Order, OrderRule

__all__ = ["Aligned", "align", "unequal"]

_SAMPLE: Final = 50

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


def align(
    one: list[Any], other: list[Any], reader: Reader, rule: OrderRule | None, budget: Budget
) -> Aligned:
    """The pairs and what has no partner; equal pairs may be left out. Objects in `one` and `other` may be
    replaced by a form that `reader` takes as well, so that they are not decoded again."""
    mine, its = _what_is_left(one, other, reader)
    if not mine or not its:
        return Aligned(_steps([], mine, its))
    if len(mine) == len(its) == 1:
        return Aligned(_steps([(mine[0], its[0])], (), ()))
    items = Items([one[i] for i in mine], [other[j] for j in its], reader, budget)
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
        unequal_places = reader.unequal_places(one, other)
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


def _pair(items: Items, rule: OrderRule | None) -> None:
    if rule is None:
        _objects(items)
        if not (by_shown_key(items) or _by_position(items)):
            _by_run(items)
    elif rule.key is not None:
        _objects(items)
        by_named_key(items, rule.key)
    elif rule.way == Order.LIST:
        _by_run(items)
    else:
        _objects(items)
        _as_bag(items, sort=rule.way == Order.SORTED)


def _objects(items: Items) -> None:
    """Decode one level of each object, once."""
    items.reader.open_objects(items.one)
    items.reader.open_objects(items.other)


def _by_position(items: Items) -> bool:
    """By position, if what stands there is alike everywhere."""
    number = len(items.one)
    if number != len(items.other) or any(alike(items, i, i) < ALIKE for i in range(number)):
        return False
    if set(items.reader.tokens(items.one[:_SAMPLE])) & set(items.reader.tokens(items.other[:_SAMPLE])):
        return False  # something was moved or put in
    items.pairs = [(i, i) for i in range(number)]
    return True


def _by_run(items: Items) -> None:
    """By the longest common run of equal items, then what was moved, then what differs least."""
    tokens = [items.reader.tokens(side) for side in (items.one, items.other)]
    run = common_run(tokens[0], tokens[1], items.budget)
    items.pairs = run
    lone, other_lone = items.rest()
    moved = by_token([tokens[0][i] for i in lone], [tokens[1][j] for j in other_lone])
    items.pairs = run + [(lone[i], other_lone[j]) for i, j in moved]
    items.tell_order()
    lone, other_lone = items.rest()
    flipped = tokens[1] < tokens[0]
    for mine, its in _gaps(lone, other_lone, run):
        items.pairs += cheapest(items, mine, its, flipped)


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


def _as_bag(items: Items, *, sort: bool) -> None:
    """In no order: equal items first, then those that are alike, or next to each other when sorted."""
    tokens = [items.reader.tokens(side) for side in (items.one, items.other)]
    items.pairs = by_token(*tokens)
    items.tell_order()
    sides = items.rest()
    lone, other_lone = (
        sorted(side, key=lambda at: (mine[at], at)) for side, mine in zip(sides, tokens, strict=True)
    )
    items.pairs += cheapest(items, lone, other_lone, tokens[1] < tokens[0], 0.0 if sort else ALIKE)


def unequal(one: Sequence[Any], other: Sequence[Any]) -> list[Step]:
    """Steps of what may differ between two sequences of tokens, of which equal ones stand for equal items."""
    run = common_run(one, other, Budget(MAX_CELLS))
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
