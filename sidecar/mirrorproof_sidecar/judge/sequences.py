"""Confidence sequences: bounds that hold at every look at once, so that a gate may look after each pair.

Pure. Knows counts and probabilities. Must not know pairs, versions, thresholds or a clock.

Theory of operation. An interval of the textbook holds at one size of sample, chosen before. Who looks again
and again until it says what they hope for is wrong far more often than it promises. A confidence sequence
bounds the chance that *any* of its intervals, from the first observation on, misses the truth (Ville's
inequality on a nonnegative martingale). For successes in trials the martingale is the beta-binomial mixture:
the likelihood of what was seen under a Beta(a, b) mixture of rates, over its likelihood under the rate p.
Where that exceeds 1/alpha, p is ruled out for good.

What follows, and is relied on here:

- As a function of the successes in n trials it is convex, and at most 1 where they are n * p. So it is
  reached from above only by having more successes. A sequence whose every trial has, given the past, a rate
  of at most p can be coupled to one with exactly p that has no fewer successes; hence the low end passes p no
  more often. So each *end* holds for rates that vary: the low end speaks of the highest rate there was, the
  high end of the lowest. Each end alone has its `alpha`.
- A quantile is a rate turned around: of values, at least q are <= the q-quantile and at most q are < it. The
  counts that rule q out are therefore ranks between which the quantile lies, whatever the distribution.

    Ville, J. (1939). Etude critique de la notion de collectif. Gauthier-Villars.
    Robbins, H. (1970). Statistical methods related to the law of the iterated logarithm. Annals of
    Mathematical Statistics 41(5), 1397-1409; the mixture.
    Howard, S. R., Ramdas, A., McAuliffe, J., Sekhon, J. (2021). Time-uniform, nonparametric, nonasymptotic
    confidence sequences. Annals of Statistics 49(2), 1055-1080.
    Howard, S. R., Ramdas, A. (2022). Sequential estimation of quantiles with applications to A/B testing and
    best-arm identification. Bernoulli 28(3), 1704-1728.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

__all__ = [
    "Interval",
    "Prior",
    "evidence_against_even",
    "first_where",
    "prior_near",
    "quantile_ranks",
    "rate_interval",
    "trials_until",
]

Prior = tuple[float, float]
"""The a and b of a Beta distribution: where rates are looked for first. Any keeps the promise."""

_HALVINGS: Final = 36
_MAX_TRIALS: Final = 1 << 40
_JEFFREYS: Final = (0.5, 0.5)
_QUANTILE_WEIGHT: Final = 30.0
"""How many trials the mixture for a quantile is worth: it makes ranks tightest at some hundred values."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Both ends belong to it."""

    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


def prior_near(rate: float) -> Prior:
    """A mixture that decides soonest whether a rate is above or below `rate`, as tried out for 0.1 and 1
    %."""
    return 0.5, max(0.5, 0.25 / rate) if rate > 0 else 50.0


def rate_interval(
    successes: int, trials: int, *, alpha: float = 0.05, low_alpha: float | None = None,
    prior: Prior = _JEFFREYS,
) -> Interval:  # fmt: skip
    """The rates that `successes` in `trials` leave possible, at every number of trials at once.

    The chance that the true rate is ever outside is at most `alpha`, if trials are independent or, more
    weakly, if each one's rate given the past is the same. With `low_alpha` the ends have promises of their
    own: the chance that the low one is ever above the truth is at most `low_alpha`, that the high one is ever
    below it `alpha`. Any prior keeps them; one near the rates of interest makes intervals there shorter.
    Raises `ValueError` on impossible counts.
    """
    if not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes in {trials} trials")
    if not trials:
        return Interval(0.0, 1.0)
    return _interval(successes, trials, alpha if low_alpha is None else low_alpha, alpha, prior)


@lru_cache(maxsize=8192)
def _interval(successes: int, trials: int, low_alpha: float, high_alpha: float, prior: Prior) -> Interval:
    failures = trials - successes
    mixture = _log_mixture(successes, failures, prior)

    low = _end(successes, failures, 0.0, mixture + math.log(low_alpha))
    high = _end(successes, failures, 1.0, mixture + math.log(high_alpha))
    return Interval(low, high)


def _end(successes: int, failures: int, outside: float, least: float) -> float:
    """From `outside` (0 or 1) inwards, where rates stop to be ruled out: those with a log likelihood of at
    most `least` are. On the side that is still ruled out, so never too short."""
    if _log_likelihood(successes, failures, outside) > least:
        return outside
    inside, log, log1p = successes / (successes + failures), math.log, math.log1p
    for _ in range(_HALVINGS):
        middle = (outside + inside) / 2
        if not 0 < middle < 1:
            return outside  # closer to it than numbers can tell
        if successes * log(middle) + failures * log1p(-middle) <= least:
            outside = middle
        else:
            inside = middle
    return outside


def quantile_ranks(trials: int, q: float, *, alpha: float = 0.05) -> tuple[int, int]:
    """Between which of `trials` values in order the q-quantile lies: ranks from 1, at every number at once.

    Each rank holds with a chance of `alpha` to ever fail. 0 and `trials` + 1 stand for no bound at all.
    Raises `ValueError` unless 0 < q < 1.
    """
    if not 0 < q < 1:
        raise ValueError(f"a quantile is between 0 and 1, not {q}")
    return _ranks(trials, q, alpha)


@lru_cache(maxsize=8192)
def _ranks(trials: int, q: float, alpha: float) -> tuple[int, int]:
    prior, limit = (_QUANTILE_WEIGHT * q, _QUANTILE_WEIGHT * (1 - q)), -math.log(alpha)

    def ruled_out(count: int) -> bool:
        mixture = _log_mixture(count, trials - count, prior)
        return mixture - _log_likelihood(count, trials - count, q) >= limit

    low, high = -1, math.floor(trials * q)  # `low` rules out (or is none), `high` does not
    if ruled_out(0) and trials:
        low = 0
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if ruled_out(middle) else (low, middle)
    inside, outside = math.ceil(trials * q), trials + 1
    if ruled_out(trials) and trials:
        outside = trials
        while outside - inside > 1:
            middle = (inside + outside) // 2
            inside, outside = (inside, middle) if ruled_out(middle) else (middle, outside)
    return low + 1, outside


def evidence_against_even(more: int, fewer: int, *, prior: Prior = _JEFFREYS) -> float:
    """How strongly `more` of `more + fewer` speaks against an even split: a number whose chance of ever
    reaching 1/alpha is at most alpha where the split is even. 1 says nothing; it does not tell which side is
    more."""
    return math.exp(min(700.0, _log_mixture(more, fewer, prior) - _log_likelihood(more, fewer, 0.5)))


def trials_until(
    rate: float, threshold: float, *, alpha: float = 0.05, low_alpha: float | None = None,
    prior: Prior = _JEFFREYS,
) -> int | None:  # fmt: skip
    """How many trials in all it takes until the interval leaves `threshold` behind, if successes go on at
    `rate`.

    `None` where that is never to be expected: the rate is the threshold, or as good as.
    """

    def decided(trials: int) -> bool:
        seen = round(rate * trials)
        return threshold not in rate_interval(seen, trials, alpha=alpha, low_alpha=low_alpha, prior=prior)

    return first_where(decided)


def first_where(
    decided: Callable[[int], bool], start: int = 1, limit: int = _MAX_TRIALS, precision: float = 0.0
) -> int | None:
    """The least number from `start` on where something that stays true once it is true becomes true.

    Sought by doubling, then by halving; `None` beyond `limit`. With a `precision`, too large by at most that
    part.
    """
    if decided(start):
        return start
    low, high = start, 2 * start
    while not decided(high):
        low, high = high, 2 * high
        if high > limit:
            return None
    while high - low > max(1.0, precision * high):
        middle = (low + high) // 2
        low, high = (low, middle) if decided(middle) else (middle, high)
    return high


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def _log_mixture(successes: int, failures: int, prior: Prior) -> float:
    """Of one sequence with these counts, if rates are drawn from the prior."""
    a, b = prior
    return _log_beta(a + successes, b + failures) - _log_beta(a, b)


def _log_likelihood(successes: int, failures: int, p: float) -> float:
    """Of one sequence with these counts; 0 * log 0 is 0."""
    seen = successes * math.log(p) if successes and p > 0 else (-math.inf if successes else 0.0)
    unseen = failures * math.log1p(-p) if failures and p < 1 else (-math.inf if failures else 0.0)
    return seen + unseen
