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

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from mirrorproof_sidecar.judge.checks import Check, Promise, Verdict, checks
from mirrorproof_sidecar.judge.completeness import Gap, gaps, gaps_of_sources
from mirrorproof_sidecar.judge.evidence import EndpointEvidence, Evidence, Sources
from mirrorproof_sidecar.judge.thresholds import Limits, Thresholds

__all__ = ["Judgement", "Scope", "judge"]

_MAX_REASONS: Final = 40
_HANDICAP: Final = (
    "v2's times are those of mirrored requests: its writes are rolled back or answered by stubs, so live it "
    "may take longer or shorter"
)


@dataclass(frozen=True, slots=True)
class Scope:
    """One endpoint, or all of them together (`endpoint` is `None`), judged.

    `share` is of all requests; `more` how many more requests, of all endpoints, it takes if it is undecided
    for want of evidence, `None` where it is not or no number would do.
    """

    endpoint: EndpointEvidence | None
    evidence: Evidence
    verdict: Verdict
    checks: tuple[Check, ...]
    gaps: tuple[Gap, ...]
    share: float
    minor: bool
    more: int | None

    @property
    def label(self) -> str:
        """What it is called in a sentence."""
        return self.endpoint.label if self.endpoint else "all endpoints together"


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
    half = by.alpha / 2
    lost = tuple(gaps_of_sources(sources, by))
    together = _scope(None, evidence, by.together, Promise(half, by.alpha), share=1.0, minor=False, lost=lost)
    scopes = []
    for place, one in enumerate(endpoints, start=1):
        share = one.evidence.traffic / evidence.traffic if evidence.traffic else 0.0
        promise = Promise(half / (place * (place + 1)), by.alpha)
        limits = by.of(one.label)
        minor = share < by.minor_share
        scopes.append(_scope(one, one.evidence, limits, promise, share=share, minor=minor))
    everything = (together, *scopes)
    verdict = _overall(together, scopes)
    return Judgement(
        verdict, tuple(_bounded(_reasons(verdict, everything))), _more(verdict, everything), together,
        tuple(scopes), tuple(_notes(everything)),
    )  # fmt: skip


def _scope(
    endpoint: EndpointEvidence | None, evidence: Evidence, limits: Limits, promise: Promise, *, share: float,
    minor: bool, lost: tuple[Gap, ...] = (),
) -> Scope:  # fmt: skip
    found, missing = checks(evidence, limits, promise), (*gaps(evidence, limits), *lost)
    verdicts = {check.verdict for check in found}
    if Verdict.FAIL in verdicts:
        verdict = Verdict.FAIL
    elif Verdict.UNDECIDED in verdicts or any(gap.too_much for gap in missing) or not evidence.compared:
        verdict = Verdict.UNDECIDED
    else:
        verdict = Verdict.PASS
    return Scope(endpoint, evidence, verdict, found, missing, share, minor, _requests(found, evidence, share))


def _requests(found: Sequence[Check], evidence: Evidence, share: float) -> int | None:
    """What the checks lack, in requests to everything, if this scope goes on having its share of them."""
    more = [check.more for check in found if check.verdict is Verdict.UNDECIDED]
    pairs_of_requests = share * (evidence.pairs / evidence.traffic if evidence.pairs else 1.0)
    if not more or not pairs_of_requests or any(one is None for one in more):
        return None
    return math.ceil(max(one for one in more if one is not None) / pairs_of_requests)


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
    waiting = [one for one in scopes if _open(one) and not one.minor]
    numbers = [one.more for one in waiting]
    if not numbers or any(number is None for number in numbers):
        return None
    return max(number for number in numbers if number is not None)


def _open(scope: Scope) -> bool:
    return any(check.verdict is Verdict.UNDECIDED for check in scope.checks)


def _reasons(verdict: Verdict, scopes: Sequence[Scope]) -> Iterator[str]:
    """Why, the weightiest first."""
    if verdict is Verdict.PASS:
        together = scopes[0]
        yield (
            f"every check holds for {together.evidence.compared:,} compared pairs of "
            f"{_many(len(scopes) - 1, 'endpoint')}"
        )
        return
    if not scopes[0].evidence.pairs:
        yield "nothing has been compared yet"
    for scope in scopes:
        for check in scope.checks:
            if check.verdict is Verdict.FAIL:
                yield f"{scope.label}: {check.words}; {_beyond(check)}"
    for scope in scopes:
        for gap in scope.gaps:
            if gap.too_much and not scope.minor:
                yield f"{scope.label}: {_gap(gap)}"
    if verdict is Verdict.UNDECIDED and scopes[0].evidence.pairs:
        for scope in scopes:
            if not scope.minor:
                yield from _open_check(scope)


def _open_check(scope: Scope) -> Iterator[str]:
    """What a scope waits for longest."""
    waiting = [check for check in scope.checks if check.verdict is Verdict.UNDECIDED]
    if not waiting:
        return
    longest = max(waiting, key=lambda check: math.inf if check.more is None else check.more)
    others = [_NAMES[check.name] for check in waiting if check is not longest]
    rest = f" (and before that {', '.join(others)})" if others else ""
    yield f"{scope.label}: {longest.words}; {_between(longest)}{rest}"


_NAMES: Final = {
    "differences": "the differences", "effects": "the effects", "errors": "the failures",
    "latency_p50": "the median latency", "latency_p95": "the 95th percentile of latency",
}  # fmt: skip


def _beyond(check: Check) -> str:
    if check.unit == "ratio":
        return f"at least {check.low:.2f} times what is allowed"
    above = "above v1's rate by at least" if check.name == "errors" else "at least"
    return f"{above} {_percent(check.low)}, where {_percent(check.limit)} is allowed"


def _between(check: Check) -> str:
    if check.unit == "ratio":
        upper = "any number of" if math.isinf(check.high) else f"{check.high:.2f}"
        where = f"between {check.low:.2f} and {upper} times what is allowed"
    else:
        above = "v2's rate minus v1's is " if check.name == "errors" else ""
        ends = f"{_percent(max(-1.0, check.low))} and {_percent(min(1.0, check.high))}"
        where = f"{above}between {ends}, where {_percent(check.limit)} is allowed"
    if check.seen is None and check.more is None:
        return "so nothing is known, however many requests come"
    if check.more is None:
        return f"{where}: so close to the limit that no number of requests would tell"
    return f"{where}; about {_many(_rounded(check.more), 'more pair')} like these would decide it"


def _gap(gap: Gap) -> str:
    if gap.name == "counters":
        return "no capturing process has reported what it lost, so it is unknown what is missing"
    return (
        f"{gap.count:,.0f} of {gap.of:,.0f} ({_percent(gap.share)}) {gap.words}; {_percent(gap.limit)} may be"
    )


def _notes(scopes: Sequence[Scope]) -> Iterator[str]:
    """What a reader should know whatever the verdict is."""
    together, minor = scopes[0], [one for one in scopes if one.minor and one.verdict is Verdict.UNDECIDED]
    if minor:
        share = _percent(sum(one.share for one in minor))
        yield f"{_many(len(minor), 'minor endpoint')} with {share} of the requests could not be judged alone"
    if together.evidence.answered and any(check.unit == "ratio" for check in together.checks):
        yield _HANDICAP
    unseen = together.evidence.answered - together.evidence.effects_compared
    if unseen:
        yield f"in {_many(unseen, 'pair')} the effects of one side were not observed"


def _bounded(reasons: Iterable[str]) -> Iterator[str]:
    found = list(reasons)
    yield from found[:_MAX_REASONS]
    if len(found) > _MAX_REASONS:
        yield f"and {_many(len(found) - _MAX_REASONS, 'more reason')}"


def _rounded(count: int) -> int:
    """Up, to two digits: an estimate should not look exact."""
    unit: int = 10 ** max(0, len(str(count)) - 2)
    return -(-count // unit) * unit


def _many(count: int, one: str) -> str:
    return f"{count:,} {one if count == 1 else one + 's'}"


def _percent(share: float) -> str:
    if 0 < abs(share) < 0.0001:
        return "<0.01 %"
    return f"{share * 100:.2f} %"
