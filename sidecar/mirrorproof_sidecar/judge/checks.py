"""The checks: each holds one bound of the evidence against one limit.

Pure. Knows evidence, limits and confidence sequences. Must not know endpoints, or what the checks come to.

A check fails when everything that the evidence leaves possible is beyond the limit, passes when nothing of it
is, and is undecided in between. The low ends carry the promise about a wrong `fail`, the high ends the one
about a wrong `pass`. Whatever was not seen is taken from the side that is harder to claim: an incomparable
pair counts as alike before something fails, and not at all before something passes. What differs between v1
and its control is taken off before something fails, and never before something passes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from mirrorproof_sidecar.judge.betting import difference_interval, mean_is_above
from mirrorproof_sidecar.judge.durations import Durations
from mirrorproof_sidecar.judge.evidence import Evidence
from mirrorproof_sidecar.judge.sequences import Interval, first_where, prior_near, rate_interval
from mirrorproof_sidecar.judge.thresholds import Limits

__all__ = ["Check", "Promise", "Verdict", "checks"]

_MAX_PAIRS: Final = 1 << 30
_NOISE_PRIOR: Final = prior_near(0.01)
_EQUAL: Final = Durations.of([1_000_000])
_QUANTILES: Final = (("latency_p50", 0.5, "max_p50_slowdown"), ("latency_p95", 0.95, "max_p95_slowdown"))


class Verdict(StrEnum):
    """What a check, an endpoint or everything comes to."""

    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Promise:
    """The chances, over all looks, of a `fail` that is wrong and of a `pass` that is wrong."""

    wrong_fail: float
    wrong_pass: float


@dataclass(frozen=True, slots=True)
class Check:
    """One limit and what the evidence says of it.

    `seen`, `low` and `high` are in the unit of `limit`: shares for rates; for latency how many times as long
    v2 takes beside what v1's time and the slack allow, so that 1 is the limit. `more` is how many further
    pairs would decide an undecided check if they are like those before, `None` where no number would.
    """

    name: str
    verdict: Verdict
    words: str
    limit: float
    seen: float | None
    low: float
    high: float
    more: int | None = None

    @property
    def unit(self) -> str:
        """`share` or `ratio`."""
        return "ratio" if self.name.startswith("latency") else "share"


_Bounds = Callable[[int], Interval]
"""The interval after so many pairs in all, if they go on like those before."""


def checks(evidence: Evidence, limits: Limits, promise: Promise) -> tuple[Check, ...]:
    """Every check that `limits` does not switch off. The promise is about all of them together."""
    wanted = [name for name in _CHECKS if math.isfinite(limits.number(_LIMIT_OF[name]))]
    # Any one of them may fail wrongly, so they share that; only all of them together pass.
    each = Promise(promise.wrong_fail / max(1, len(wanted)), promise.wrong_pass)
    return tuple(_CHECKS[name](evidence, limits, each) for name in wanted)


def _differences(evidence: Evidence, limits: Limits, promise: Promise) -> Check:
    limit = limits.number("max_difference_rate")
    answered, unknown = evidence.answered, evidence.unknown
    hits, control, control_hits = evidence.differing, evidence.control_answered, evidence.control_differing
    prior = prior_near(limit)

    def bounds(pairs: int) -> Interval:
        part = pairs / max(1, answered)
        seen, whole = _scaled(hits, part), _scaled(answered + unknown, part)
        if control:
            low = _beyond_noise(
                seen, whole, _scaled(control_hits, part), _scaled(control, part), promise.wrong_fail
            )
        else:
            low = rate_interval(seen, whole, low_alpha=promise.wrong_fail, prior=prior).low
        return Interval(low, rate_interval(seen, pairs, alpha=promise.wrong_pass, prior=prior).high)

    seen = _share(hits, answered)
    words = f"{hits:,} of {answered:,} pairs truly differ"
    if control:
        words += f"; of v1 and its control, {control_hits:,} of {control:,}"
    return _decided(evidence, "differences", words, limit, seen, answered, bounds)


def _effects(evidence: Evidence, limits: Limits, promise: Promise) -> Check:
    limit = limits.number("max_effect_difference_rate")
    hits, number = evidence.effects_differing, evidence.effects_compared

    def bounds(pairs: int) -> Interval:
        seen = _scaled(hits, pairs / max(1, number))
        return rate_interval(
            seen, pairs, alpha=promise.wrong_pass, low_alpha=promise.wrong_fail, prior=prior_near(limit)
        )

    words = f"{hits:,} of {number:,} pairs have other effects"
    if not number and evidence.answered:
        words = (
            f"effects were seen on both sides in none of {evidence.answered:,} pairs "
            "(`max_effect_difference_rate = inf` switches this check off)"
        )
    return _decided(evidence, "effects", words, limit, _share(hits, number), number, bounds)


def _errors(evidence: Evidence, limits: Limits, promise: Promise) -> Check:
    limit = limits.number("max_error_increase")
    worse, better = evidence.shadow_failed_alone, evidence.primary_failed_alone
    compared, unknown = evidence.compared, evidence.unknown  # in none of the unknown ones did either fail
    fail, right = promise.wrong_fail, promise.wrong_pass

    def scaled(pairs: int) -> tuple[int, int, int]:
        part = pairs / max(1, compared)
        return _scaled(worse, part), _scaled(better, part), pairs + _scaled(unknown, part)

    def bounds(pairs: int) -> Interval:
        return difference_interval(*scaled(pairs), low_alpha=fail, alpha=right)

    def told(pairs: int) -> bool:
        ups, downs, trials = scaled(pairs)
        return mean_is_above(ups, downs, trials, limit, fail) or mean_is_above(
            downs, ups, trials, -limit, right
        )

    seen = (worse - better) / (compared + unknown) if compared else None
    primary, shadow = better + evidence.both_failed, worse + evidence.both_failed
    words = f"v2 failed in {shadow:,} of {compared:,} pairs, v1 in {primary:,}"
    return _decided(evidence, "errors", words, limit, seen, compared, bounds, told)


def _beyond_noise(hits: int, trials: int, control_hits: int, control: int, alpha: float) -> float:
    """The low end of how much more often v2 differs from v1 than v1 from its control.

    By requests where both were seen; where they are not known apart, those without a control are taken to be
    the differing ones, and no request to differ in both. And by both rates alone, which needs no common
    requests.
    """
    both = min(trials, control)
    ups, downs = min(both, max(0, hits - abs(trials - control))), min(both, control_hits)
    in_both = max(0, ups + downs - both)  # at the least
    paired = difference_interval(ups - in_both, downs - in_both, both, low_alpha=alpha / 2).low
    rate = rate_interval(hits, trials, low_alpha=alpha / 4, prior=_NOISE_PRIOR).low
    noise = rate_interval(control_hits, control, alpha=alpha / 4, prior=_NOISE_PRIOR).high
    return max(0.0, paired, rate - noise)


def _latency(name: str, q: float, key: str) -> Callable[[Evidence, Limits, Promise], Check]:
    def check(evidence: Evidence, limits: Limits, promise: Promise) -> Check:
        times, slack_ns = 1 + limits.number(key), limits.number("latency_slack_ms") * 1e6
        primary, shadow = evidence.primary, evidence.shadow
        number = min(primary.total, shadow.total)
        if not number:  # what it would take if both were equally fast
            primary = shadow = _EQUAL

        def bounds(pairs: int) -> Interval:
            fail, right = promise.wrong_fail / 2, promise.wrong_pass / 2
            mine = primary.quantile_bounds_ns(q, low_alpha=right, high_alpha=fail, trials=pairs)
            its = shadow.quantile_bounds_ns(q, low_alpha=fail, high_alpha=right, trials=pairs)
            return Interval(
                its.low / (mine.high * times + slack_ns), its.high / max(mine.low * times + slack_ns, 1.0)
            )

        one, other = evidence.primary.quantile_ns(q), evidence.shadow.quantile_ns(q)
        seen = None if one is None or other is None else other / (one * times + slack_ns)
        words = f"p{q * 100:.0f} of v1 {_ms(one)}, of v2 {_ms(other)}"
        if one is not None:
            words += f" ({_ms(one * times + slack_ns)} allowed)"
        return _decided(evidence, name, words, 1.0, seen, number, bounds)

    return check


_CHECKS: Final[dict[str, Callable[[Evidence, Limits, Promise], Check]]] = {
    "differences": _differences,
    "effects": _effects,
    "errors": _errors,
    **{name: _latency(name, q, key) for name, q, key in _QUANTILES},
}
_LIMIT_OF: Final = {
    "differences": "max_difference_rate",
    "effects": "max_effect_difference_rate",
    "errors": "max_error_increase",
    **{name: key for name, _, key in _QUANTILES},
}


def _decided(  # noqa: PLR0917 - what a check consists of
    evidence: Evidence, name: str, words: str, limit: float, seen: float | None, number: int,
    bounds: _Bounds, told: Callable[[int], bool] | None = None,
) -> Check:  # fmt: skip
    """The check by `number` pairs, with how many more of any it takes where it is undecided. `told` says
    soonest whether `bounds` do."""
    now = bounds(number) if number else Interval(0.0, math.inf)
    verdict = _verdict(now, limit)
    more = None
    if verdict is Verdict.UNDECIDED and (number or not evidence.answered):

        def decided(pairs: int) -> bool:
            return _verdict(bounds(pairs), limit) is not Verdict.UNDECIDED

        enough = first_where(told or decided, number + 1, _MAX_PAIRS, precision=0.02)
        if enough is not None:
            more = math.ceil((enough - number) * (evidence.pairs / number if number else 1.0))
    return Check(name, verdict, words, limit, seen, now.low, now.high, more)


def _verdict(bounds: Interval, limit: float) -> Verdict:
    if bounds.low > limit:
        return Verdict.FAIL
    return Verdict.PASS if bounds.high <= limit else Verdict.UNDECIDED


def _scaled(count: int, part: float) -> int:
    return round(count * part)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _ms(duration_ns: float | None) -> str:
    return "unknown" if duration_ns is None else f"{duration_ns / 1e6:.1f} ms"
