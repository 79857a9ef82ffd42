"""Which items of two sequences belong together.

Knows positions only. Equal beginnings and ends are set aside, the rest goes by position, so that one
inserted item is one difference. Linear in the items, provided that `same` stops at a first difference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

__all__ = ["unequal"]


def unequal(
    primary: Sequence[Any], shadow: Sequence[Any], same: Callable[[Any, Any], bool]
) -> Iterator[tuple[int, int | None, int | None]]:
    """(number to show, position in primary or `None`, position in shadow or `None`) of all that may differ.

    Sequences of one length go by position alone; that is also what keeps nested arrays linear: `same` is only
    asked where lengths differ, and does not look into nested sequences whose lengths differ.
    """
    first, longer = 0, max(len(primary), len(shadow))
    shorter = min(len(primary), len(shadow))
    last = 0
    if shorter != longer:
        while first < shorter and same(primary[first], shadow[first]):
            first += 1
        while last < shorter - first and same(primary[-1 - last], shadow[-1 - last]):
            last += 1
    for position in range(first, longer - last):
        yield (
            position,
            position if position < len(primary) - last else None,
            position if position < len(shadow) - last else None,
        )
