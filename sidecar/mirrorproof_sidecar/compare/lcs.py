"""The longest common run of two sequences, and the cheapest pairing of what is left.

Knows tokens (anything that can be compared and ordered) and costs. Must not know what a token stands for.

Both are exact within a bound and fall back to something simple beyond it. Which of several best answers is
taken does not depend on which sequence comes first: the two are put in order before, by their tokens.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Final

__all__ = ["Budget", "cheapest_pairs", "common_run", "rising"]

_FREQUENT: Final = 64
"""Of a token that occurs more often, only that many occurrences are looked at once the budget is short."""

Pairs = list[tuple[int, int]]


class Budget:
    """What one comparison may still spend on finding out which items belong together."""

    __slots__ = ("left",)

    def __init__(self, left: int) -> None:
        self.left = left

    def take(self, amount: int) -> bool:
        """Whether `amount` is there; if so it is spent."""
        if amount > self.left:
            return False
        self.left -= amount
        return True


def common_run(one: Sequence[Any], other: Sequence[Any], budget: Budget) -> Pairs:
    """Positions of a longest common subsequence, rising on both sides (Hunt and Szymanski, 1977)."""
    if list(other) < list(one):
        return [(i, j) for j, i in common_run(other, one, budget)]
    places: dict[Any, list[int]] = defaultdict(list)
    for position, token in enumerate(other):
        places[token].append(position)
    matches = sum(len(places[token]) for token in one if token in places)
    if not budget.take(matches):
        places = {token: found for token, found in places.items() if len(found) <= _FREQUENT}
        matches = sum(len(places[token]) for token in one if token in places)
        if not budget.take(matches):
            return []
    return _chain(one, places)


def _chain(one: Sequence[Any], places: dict[Any, list[int]]) -> Pairs:
    ends: list[int] = []
    links: list[tuple[int, int, Any]] = []
    for i, token in enumerate(one):
        for j in reversed(places.get(token, ())):
            length = bisect_left(ends, j)
            link = (i, j, links[length - 1] if length else None)
            if length == len(ends):
                ends.append(j)
                links.append(link)
            else:
                ends[length] = j
                links[length] = link
    pairs: Pairs = []
    link_at: Any = links[-1] if links else None
    while link_at is not None:
        pairs.append((link_at[0], link_at[1]))
        link_at = link_at[2]
    return pairs[::-1]


def rising(numbers: Sequence[int]) -> bool:
    """Whether each number is larger than the one before."""
    return all(before < behind for before, behind in pairwise(numbers))


def cheapest_pairs(
    one: Sequence[int], other: Sequence[int], cost: Callable[[int, int], float], alone: float
) -> Pairs:
    """Pairs, rising on both sides, for which the costs and `alone` for each item without one are least.

    Takes time with the product of the lengths.
    """
    rows = [[alone * j for j in range(len(other) + 1)]]
    steps: list[bytearray] = []
    for i, mine in enumerate(one, 1):
        above, row, step = rows[-1], [alone * i], bytearray(len(other) + 1)
        for j, its in enumerate(other, 1):
            paired, left, up = above[j - 1] + cost(mine, its), row[j - 1] + alone, above[j] + alone
            best = min(paired, left, up)
            step[j] = 1 if left <= best + 1e-9 else 2 if up <= best + 1e-9 else 0
            row.append(best)
        rows.append(row)
        steps.append(step)
    pairs: Pairs = []
    i, j = len(one), len(other)
    while i and j:
        way = steps[i - 1][j]
        if way == 0:
            pairs.append((one[i - 1], other[j - 1]))
        i, j = i - (way != 1), j - (way != 2)
    return pairs[::-1]
