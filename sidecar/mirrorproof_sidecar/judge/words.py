"""Why a verdict is what it is, in plain words.

Pure. Knows scopes, checks and gaps. Must not know how they are judged, or where the words are shown.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final

from mirrorproof_sidecar.judge.checks import Check, Verdict
from mirrorproof_sidecar.judge.completeness import Gap
from mirrorproof_sidecar.judge.scope import Scope

__all__ = ["notes", "reasons"]

_MAX_REASONS: Final = 40
_HANDICAP: Final = (
    "v2's times are those of mirrored requests: its writes are rolled back or answered by stubs, so live it "
    "may take longer or shorter"
)


def reasons(verdict: Verdict, scopes: Sequence[Scope]) -> Iterator[str]:
    """Why, the weightiest first, up to a bound. The first of `scopes` is all endpoints together."""
    found = list(_reasons(verdict, scopes))
    yield from found[:_MAX_REASONS]
    if len(found) > _MAX_REASONS:
        yield f"and {_many(len(found) - _MAX_REASONS, 'more reason')}"


def _reasons(verdict: Verdict, scopes: Sequence[Scope]) -> Iterator[str]:
    if verdict is Verdict.PASS:
        together, passed = scopes[0], sum(one.verdict is Verdict.PASS for one in scopes[1:])
        pairs = f"{together.evidence.compared:,} compared pairs"
        yield f"every check holds for {pairs} together, and alone for {_many(passed, 'endpoint')}"
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
    if not scope.open_checks:
        return
    longest = max(scope.open_checks, key=lambda check: math.inf if check.more is None else check.more)
    others = [_NAMES[check.name] for check in scope.open_checks if check is not longest]
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


def notes(scopes: Sequence[Scope]) -> Iterator[str]:
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
