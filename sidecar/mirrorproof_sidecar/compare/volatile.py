"""The judge that compares volatile values by shape.

Knows the differences of one pair. Must not know how a shape is recognised.

What was drawn by chance is drawn once: if v1's token stands for two of v2's, or stands in v2's answer as
well, then the versions differ in what they repeat, and none of these differences is hidden.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from mirrorproof_sidecar.compare.found import Entry, Judge, Verdict
from mirrorproof_sidecar.compare.model import Cause, Kind
from mirrorproof_sidecar.compare.shapes import Facts, Shape, recognise

__all__ = ["by_shape"]

_KINDS = frozenset((Kind.CHANGED_VALUE, Kind.HEADER))


def by_shape(facts: Facts) -> Judge:
    """The judge for a pair with these facts."""

    def judge(entries: Sequence[Entry]) -> Iterator[Verdict]:
        shapes: dict[int, Shape] = {}
        for number, (where, kind, primary, shadow) in enumerate(entries):
            if kind in _KINDS and (shape := recognise(where.segments(), primary, shadow, facts)):
                shapes[number] = shape
        wrong = _inconsistent(pair for shape in shapes.values() for pair in shape.drawn)
        for number, shape in shapes.items():
            if wrong.isdisjoint(shape.drawn):
                yield number, Cause.SHAPE, shape.name, shape.reason

    return judge


def _inconsistent(pairs: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """The pairs that a renaming, one to one, cannot hold."""
    known = set(pairs)
    ones, others = defaultdict(set), defaultdict(set)
    for one, other in known:
        ones[one].add(other)
        others[other].add(one)
    return {
        (one, other)
        for one, other in known
        if len(ones[one]) > 1 or len(others[other]) > 1 or one in others or other in ones
    }
