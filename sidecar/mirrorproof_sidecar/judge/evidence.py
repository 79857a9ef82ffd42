"""What is counted for a verdict: of one endpoint, of all of them, and of the processes that capture.

Pure values that can be added up. Must not know thresholds, or where the numbers come from.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Any, Final

from mirrorproof_sidecar.judge.durations import Durations

__all__ = ["EndpointEvidence", "Evidence", "Sources"]

_DURATIONS: Final = frozenset({"primary", "shadow"})


@dataclass(frozen=True, slots=True)
class Evidence:
    """Counts, of pairs of v1 with the shadow unless they say otherwise. `a + b` is the evidence of both.

    A pair in which a version failed (a 5xx, or no whole answer) says nothing about differences: two versions
    that fail now and then differ whenever one of them does. So differences are counted among the pairs in
    which both answered, and failures on their own.
    """

    pairs: int = 0
    compared: int = 0  # whole comparisons: matched or different
    incomparable: int = 0  # the rest, for whatever reason
    conflicts: int = 0  # of those: v1 was first with the same change

    answered: int = 0  # compared, neither failed
    differing: int = 0  # of those, different
    unknown: int = 0  # incomparable, neither failed: may be alike or different
    effects_compared: int = 0  # of `answered`: what both wrote was seen
    effects_differing: int = 0  # of those, wrote something different

    primary_failed_alone: int = 0  # compared; v1 failed, v2 did not
    shadow_failed_alone: int = 0
    both_failed: int = 0

    control_answered: int = 0  # as `answered` and `differing`, v1 with its control; known noise is none
    control_differing: int = 0

    primary: Durations = field(default_factory=Durations)  # of `answered`
    shadow: Durations = field(default_factory=Durations)

    primary_calls: int = 0  # recorded requests that could have been paired: no earlier attempts
    primary_paired: int = 0
    shadow_calls: int = 0
    shadow_paired: int = 0
    recorded: int = 0  # exchanges of all sides
    truncated: int = 0  # of those, with a body that was cut
    shadow_recorded: int = 0
    yielded: int = 0  # of those, given up so that v1 need not wait

    def __add__(self, other: Evidence) -> Evidence:
        return Evidence.total((self, other))

    @classmethod
    def total(cls, parts: Iterable[Evidence]) -> Evidence:
        """The evidence of all parts."""
        many = tuple(parts)
        sums: dict[str, Any] = {}
        for one in fields(cls):
            values = [getattr(part, one.name) for part in many]
            sums[one.name] = Durations.merged(values) if one.name in _DURATIONS else sum(values)
        return cls(**sums)

    @property
    def traffic(self) -> int:
        """How many requests there were, paired or not."""
        return max(self.pairs, self.primary_calls, self.shadow_calls)


@dataclass(frozen=True, slots=True)
class EndpointEvidence:
    """The evidence of one endpoint, and what it is called."""

    id: str
    service: str
    method: str
    route: str
    evidence: Evidence

    @property
    def label(self) -> str:
        """As thresholds match it and people read it: `GET /orders/{id}`."""
        return f"{self.method} {self.route}"


@dataclass(frozen=True, slots=True)
class Sources:
    """What the capturing processes counted since each began; `reporting` is how many there are."""

    reporting: int = 0
    seen: int = 0
    seen_by_shadow: int = 0
    captured: int = 0
    dropped: int = 0  # on the way to the recorder, for whatever reason
    unmarked: int = 0  # came to the shadow without a well-formed mark
    without_id: int = 0  # cannot be paired
    observer_errors: int = 0
