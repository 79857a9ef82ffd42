"""What is left of two sequences, and the means to pair it: tokens, likeness, cost.

Knows items through a `Reader`. Must not know by which of them a pairing is made.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from mirrorproof_sidecar.compare.lcs import Budget, Pairs, cheapest_pairs, rising
from mirrorproof_sidecar.compare.nodes import Reader

__all__ = ["ALIKE", "MAX_CELLS", "Items", "alike", "by_token", "cheapest"]

ALIKE: Final = 0.5
"""Two objects are alike if this share of their members is equal."""
MAX_CELLS: Final = 10_000
"""Of one table of costs."""
_ALONE: Final = 0.55  # two items without partners cost a little more than two that have nothing in common


@dataclass(slots=True)
class Items:
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


def alike(items: Items, i: int, j: int, but: str | None = None) -> float:
    """The share of members that are equal, of two objects; of other items 0."""
    one, other = items.one[i], items.other[j]
    if not (type(one) is dict and type(other) is dict):
        return 0.0
    same = items.reader.same
    equal = sum(1 for key, value in one.items() if key in other and key != but and same(value, other[key]))
    return equal / max(1, len(one.keys() | other.keys()) - (but is not None))


def cheapest(items: Items, one: list[int], other: list[int], flipped: bool, least: float = 0.0) -> Pairs:
    cells = len(one) * len(other)
    if cells == 1 and not least:
        return [(one[0], other[0])]
    if cells > MAX_CELLS or not items.budget.take(cells):
        return [] if least else list(zip(one, other, strict=False))

    def cost(i: int, j: int) -> float:
        share = alike(items, i, j, items.distrusted)
        return 2.0 if share < least else 1.0 - share

    if flipped:
        return [(i, j) for j, i in cheapest_pairs(other, one, lambda j, i: cost(i, j), _ALONE)]
    return cheapest_pairs(one, other, cost, _ALONE)


def by_token(one: Sequence[bytes], other: Sequence[bytes]) -> Pairs:
    """The first with the first, the second with the second, of each token."""
    waiting: dict[bytes, list[int]] = defaultdict(list)
    for j, token in enumerate(other):
        waiting[token].append(j)
    for found in waiting.values():
        found.reverse()
    return [(i, waiting[token].pop()) for i, token in enumerate(one) if waiting.get(token)]
