"""The verdict: what the checks and the gaps of every endpoint, and of all together, come to.

Pure: evidence and thresholds in, a verdict out. Must not know the store, a clock, or how it is told.

Theory of operation. The chance of a wrong `fail`, over all looks and everything that is looked at, is at most
`alpha`: half of it belongs to all endpoints together, the other half to single endpoints, the k-th that was
ever seen getting 1 / (k (k + 1)) of it, which adds up to one however many come. Within, the checks share. A
wrong `pass` needs every check to be wrong that should not pass, so each has `alpha` for that.

Something is `fail` if any check fails, however much is missing: what was seen is enough. It is `pass` if
every check passes and nothing too large is missing. Everything is `pass` if all endpoints together are, and
every one of them but for the minor ones, which may still be undecided.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mirrorproof_sidecar.judge.checks import Promise, Verdict, checks
from mirrorproof_sidecar.judge.completeness import gaps, gaps_of_sources, mirrored_at_least
from mirrorproof_sidecar.judge.evidence import EndpointEvidence, Evidence, Sources
from mirrorproof_sidecar.judge.scope import Scope
from mirrorproof_sidecar.judge.thresholds import Thresholds
from mirrorproof_sidecar.judge.words import notes, reasons

__all__ = ["Judgement", "judge"]


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict on everything, why, and what it rests on."""

    verdict: Verdict
    reasons: tuple[str, ...]
    more: int | None
    together: Scope
    endpoints: tuple[Scope, ...]
    notes: tuple[str, ...]


def judge(
    endpoints: Sequence[EndpointEvidence], sources: Sources, thresholds: Thresholds | None = None
) -> Judgement:
    """The verdict on `endpoints`, which are in the order in which each was first seen."""
    by = thresholds or Thresholds()
    evidence = Evidence.total(one.evidence for one in endpoints)
    half, traffic = by.alpha / 2, evidence.traffic
    several = len({one.service for one in endpoints}) > 1
    scopes, mirrored = [], 0.0
    for place, one in enumerate(endpoints, start=1):
        limits = by.of(one.label, one.service)
        expected = mirrored_at_least(one.evidence.primary_calls, limits.number("mirrored_share"))
        mirrored += expected
        missing = tuple(gaps(one.evidence, limits, expected))
        promise = Promise(half / (place * (place + 1)), by.alpha)
        label = f"{one.label} of {one.service}" if several else one.label
        share = one.evidence.traffic / traffic if traffic else 0.0
        found = checks(one.evidence, limits, promise)
        scopes.append(Scope(one, label, one.evidence, found, missing, share, minor=share < by.minor_share))
    limits = by.together
    missing = (*gaps(evidence, limits, mirrored), *gaps_of_sources(sources, by))
    found = checks(evidence, limits, Promise(half, by.alpha))
    together = Scope(None, "all endpoints together", evidence, found, missing, 1.0, minor=False)
    everything = (together, *scopes)
    verdict = _overall(together, scopes)
    return Judgement(
        verdict, tuple(reasons(verdict, everything)), _more(verdict, everything), together, tuple(scopes),
        tuple(notes(everything)),
    )  # fmt: skip


def _overall(together: Scope, scopes: Iterable[Scope]) -> Verdict:
    verdicts = [
        together.verdict,
        *(one.verdict for one in scopes if not one.minor or one.verdict is Verdict.FAIL),
    ]
    if Verdict.FAIL in verdicts:
        return Verdict.FAIL
    return Verdict.UNDECIDED if Verdict.UNDECIDED in verdicts else Verdict.PASS


def _more(verdict: Verdict, scopes: Sequence[Scope]) -> int | None:
    if verdict is not Verdict.UNDECIDED:
        return None
    numbers = [one.more for one in scopes if one.open_checks and not one.minor]
    if not numbers or any(number is None for number in numbers):
        return None
    return max(number for number in numbers if number is not None)
