"""Completeness: which part of the traffic a verdict knows nothing about, and whether that is too much.

Pure. Knows counts and limits. Must not know what the known part says.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mirrorproof_sidecar.judge.evidence import Evidence, Sources
from mirrorproof_sidecar.judge.sequences import rate_interval
from mirrorproof_sidecar.judge.thresholds import Limits, Thresholds

__all__ = ["Gap", "gaps", "gaps_of_sources", "mirrored_at_least"]


@dataclass(frozen=True, slots=True)
class Gap:
    """`count` of `of` are missing, or as good as; more than the share `limit` is too much."""

    name: str
    words: str
    count: float
    of: float
    limit: float

    @property
    def share(self) -> float:
        """The part that is missing; what is missing of nothing is all of it."""
        if self.of:
            return self.count / self.of
        return 1.0 if self.count else 0.0

    @property
    def too_much(self) -> bool:
        """Whether it forbids a `pass`."""
        return self.share > self.limit


def gaps(evidence: Evidence, limits: Limits, expected: float) -> Iterator[Gap]:
    """Of one endpoint's traffic, or of all. Of v1's requests, `expected` should have a partner."""
    rows = (
        ("unpaired_primary", "of v1's requests have no partner from v2", "max_unpaired",
         max(0, expected - evidence.primary_paired), expected),
        ("unpaired_shadow", "of v2's requests have no partner from v1", "max_unpaired",
         evidence.shadow_calls - evidence.shadow_paired, evidence.shadow_calls),
        ("incomparable", "of the pairs could not be compared", "max_incomparable",
         evidence.incomparable, evidence.pairs),
        ("truncated", "of the exchanges had a body longer than the capture keeps", "max_truncated",
         evidence.truncated, evidence.recorded),
        ("yielded", "of the mirrored requests were given up so that v1 need not wait", "max_yielded",
         evidence.yielded, evidence.shadow_recorded),
        ("conflict", "of the pairs were set aside since v1 was first with the same change", "max_conflicts",
         evidence.conflicts, evidence.pairs),
    )  # fmt: skip
    for name, words, limit, count, of in rows:
        yield Gap(name, words, count, of, limits.number(limit))


def gaps_of_sources(sources: Sources, thresholds: Thresholds) -> Iterator[Gap]:
    """Of what never reached the recorder, as the capturing processes counted it."""
    if thresholds.require_counters and not sources.reporting:
        yield Gap(
            "counters", "of the capturing processes have reported what they lost: it is unknown", 1, 1, 0
        )
    yield Gap("dropped", "of the captured exchanges were lost on the way to the recorder", sources.dropped,
              sources.captured, thresholds.max_dropped)  # fmt: skip
    yield Gap("unmarked", "of the requests that came to v2 had no well-formed mark", sources.unmarked,
              sources.seen_by_shadow, thresholds.max_unmarked)  # fmt: skip
    yield Gap("without_id", "of the requests had no id to be paired by", sources.without_id, sources.seen,
              thresholds.max_without_id)  # fmt: skip
    yield Gap("observer_errors", "errors of mirrorproof's own observing code for each captured exchange",
              sources.observer_errors, sources.captured, thresholds.max_observer_errors)  # fmt: skip


def mirrored_at_least(calls: int, share: float) -> float:
    """How many of `calls` were mirrored at the least, if each was with the chance `share`."""
    if share >= 1:
        return calls
    return calls * rate_interval(round(calls * share), calls).low
