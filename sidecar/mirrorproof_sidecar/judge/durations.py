"""Durations, counted in buckets: small, mergeable, and rounded only in the cautious direction.

Pure. Knows nanoseconds and ranks. Must not know versions.

A bucket is 1/64 to 1/128 of its values wide (2 microseconds at the least), so that a database can count by it
and two recorders can add what they counted. A bound that is read from it is the bucket's lower edge where it
is a low bound, its upper edge where it is a high one.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final

from mirrorproof_sidecar.judge.sequences import Interval, quantile_ranks

__all__ = ["FINEST_BITS", "SUB_BITS", "TOP_BITS", "Durations", "bucket_of"]

SUB_BITS: Final = 6
FINEST_BITS: Final = 11
TOP_BITS: Final = 46
"""What has more bits than this, about 19 hours, is counted as this."""


def bucket_of(duration_ns: int) -> int:
    """The lower edge, in ns, of the bucket that a duration falls into."""
    clipped = min(max(duration_ns, 0), (1 << TOP_BITS) - 1)
    return clipped >> _shift(clipped) << _shift(clipped)


def _shift(duration_ns: int) -> int:
    return max(FINEST_BITS, duration_ns.bit_length() - 1 - SUB_BITS)


@dataclass(frozen=True, slots=True)
class Durations:
    """How many durations fell into which bucket; `edges` are lower edges in ns, in order."""

    edges: tuple[int, ...] = ()
    counts: tuple[int, ...] = ()
    _sums: tuple[int, ...] = field(default=(), repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_sums", tuple(accumulate(self.counts)))

    @classmethod
    def counted(cls, buckets: Iterable[tuple[int, int]]) -> Durations:
        """From (lower edge in ns, count), in any order; the same bucket may come more than once."""
        totals: dict[int, int] = {}
        for edge, count in buckets:
            totals[edge] = totals.get(edge, 0) + count
        return cls(tuple(sorted(totals)), tuple(totals[edge] for edge in sorted(totals)))

    @classmethod
    def of(cls, durations_ns: Iterable[int]) -> Durations:
        """From the durations themselves."""
        return cls.counted((bucket_of(one), 1) for one in durations_ns)

    @classmethod
    def merged(cls, parts: Iterable[Durations]) -> Durations:
        """All durations of all parts."""
        return cls.counted(pair for part in parts for pair in zip(part.edges, part.counts, strict=True))

    @property
    def total(self) -> int:
        """How many durations there are."""
        return self._sums[-1] if self._sums else 0

    def quantile_ns(self, q: float) -> float | None:
        """The q-quantile by the nearest rank, as the middle of its bucket; `None` without any."""
        if not self.total:
            return None
        edge = self.edges[bisect_left(self._sums, max(1, math.ceil(q * self.total)))]
        return (edge + _upper(edge)) / 2

    def quantile_bounds_ns(
        self, q: float, *, low_alpha: float, high_alpha: float, trials: int | None = None
    ) -> Interval:
        """Between which the q-quantile lies, at every number of durations at once; each end has its promise.

        0 and infinity where there are too few. With `trials`: as it would be after so many in all, if they go
        on being distributed like these.
        """
        if not self.total:
            return Interval(0.0, math.inf)
        number = self.total if trials is None else trials
        scale = self.total / number
        low, _ = quantile_ranks(number, q, alpha=low_alpha)
        _, high = quantile_ranks(number, q, alpha=high_alpha)
        return Interval(
            float(self._edge_at(low * scale)) if low else 0.0,
            float(_upper(self._edge_at(high * scale))) if high <= number else math.inf,
        )

    def _edge_at(self, rank: float) -> int:
        return self.edges[min(bisect_left(self._sums, rank - 1e-9 * self.total), len(self.edges) - 1)]


def _upper(edge_ns: int) -> int:
    return edge_ns + (1 << _shift(edge_ns))
