"""The judge that compares volatile values by shape.

Knows the differences of one pair. Must not know how a shape is recognised.

What was drawn by chance is drawn once: if v1's token stands for two of v2's, or stands in v2's answer as
well, then the versions differ in what they repeat, and none of these differences is hidden.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

from mirrorproof_sidecar.compare.found import Entry, Judge, Verdict
from mirrorproof_sidecar.compare.model import Cause, Kind
from mirrorproof_sidecar.compare.shapes import Facts, Shape, recognise

__all__ = ["by_shape"]

_KINDS = frozenset((Kind.CHANGED_VALUE, Kind.HEADER))


def by_shape(facts: Facts, drawn: set[tuple[str, str]]) -> Judge:
    """The judge for a pair with these facts. It adds to `drawn` what it takes for drawn by chance."""

    def judge(entries: Sequence[Entry]) -> Iterator[Verdict]:
        shapes: dict[int, Shape] = {}
        for number, (where, kind, primary, shadow) in enumerate(entries):
            if kind in _KINDS and (shape := recognise(where.segments(), primary, shadow, facts)):
                shapes[number] = shape
        wrong = _inconsistent(pair for shape in shapes.values() for pair in shape.drawn)
        for number, shape in shapes.items():
            if wrong.isdisjoint(shape.drawn):
                drawn.update(shape.drawn)
                yield number, Cause.SHAPE, shape.name, shape.reason

    return judge


def _inconsistent(pairs: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """The pairs that a renaming, one to one, cannot hold; where most places agree, only the others."""
    votes = Counter(pairs)
    ones: defaultdict[str, list[int]] = defaultdict(list)
    others: defaultdict[str, list[int]] = defaultdict(list)
    for (one, other), count in votes.items():
        ones[one].append(count)
        others[other].append(count)
    return {
        (one, other)
        for (one, other), count in votes.items()
        if one in others or other in ones or not (_most(count, ones[one]) and _most(count, others[other]))
    }


def _most(count: int, counts: list[int]) -> bool:
    """Whether no other count is as high."""
    return len(counts) == 1 or (count == max(counts) and counts.count(count) == 1)
