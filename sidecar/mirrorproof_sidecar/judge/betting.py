"""How much more often one thing happens than another, bounded at every look at once.

Pure. Knows counts and probabilities. Must not know pairs, versions, thresholds or a clock.

Theory of operation. Of each pair comes 1 (v2 alone failed), -1 (v1 alone) or 0. Somebody who bets against a
mean of at most m, a fixed part of what they have each time, cannot expect to win where that is the truth,
even if the mean moves below m as it likes; so by Ville's inequality the chance that they ever have 1/alpha
times what they began with is at most alpha. Their capital after so many of each is a product of powers.
Several players who bet differently, taken together, are one more such player. Where they have that much, a
mean of m is ruled out.

    Waudby-Smith, I., Ramdas, A. (2024). Estimating means of bounded random variables by betting. Journal of
    the Royal Statistical Society B 86(1), 1-27.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

from mirrorproof_sidecar.judge.sequences import Interval

__all__ = ["STAKES", "difference_interval", "mean_is_above"]

STAKES: Final = (0.95, 0.8, 0.5, 0.25, 0.12, 0.06, 0.03, 0.015)
"""What the players bet of what they have: much finds rare one-sided changes soon, little those within
noise."""
_HALVINGS: Final = 36


def difference_interval(
    ups: int, downs: int, trials: int, *, alpha: float = 0.05, low_alpha: float | None = None
) -> Interval:
    """Between which the mean of values lies of which `ups` were 1, `downs` -1 and the rest 0, at every
    number.

    Each end holds for means that vary, given the past, and has its promise as in `rate_interval`. Raises
    `ValueError` on impossible counts.
    """
    if min(ups, downs) < 0 or ups + downs > trials:
        raise ValueError(f"{ups} ups and {downs} downs in {trials} trials")
    low = _mean_above(ups, downs, trials, alpha if low_alpha is None else low_alpha)
    return Interval(low, -_mean_above(downs, ups, trials, alpha))


def mean_is_above(ups: int, downs: int, trials: int, mean: float, alpha: float) -> bool:
    """Whether the low end of `difference_interval` is above `mean`, at a fraction of its cost."""
    return _log_capital(ups, downs, trials, mean) >= -math.log(alpha)


@lru_cache(maxsize=8192)
def _mean_above(ups: int, downs: int, trials: int, alpha: float) -> float:
    """The largest mean that is ruled out from below, -1 if none is."""
    limit = -math.log(alpha)
    outside, inside = -1.0 + 1e-9, (ups - downs) / trials if trials else 0.0
    if _log_capital(ups, downs, trials, outside) < limit:
        return -1.0
    for _ in range(_HALVINGS):
        middle = (outside + inside) / 2
        if _log_capital(ups, downs, trials, middle) >= limit:
            outside = middle
        else:
            inside = middle
    return outside


def _log_capital(ups: int, downs: int, trials: int, mean: float) -> float:
    """Of the players together, each of whom began with their part of 1 and bet on more than `mean`.

    A stake is the part of the largest bet that a -1 does not ruin; so it falls as `mean` rises.
    """
    even = trials - ups - downs
    won = [
        ups * math.log1p(stake * (1 - mean) / (1 + mean))
        + downs * math.log1p(-stake)
        + even * math.log1p(-stake * mean / (1 + mean))
        for stake in STAKES
    ]
    best = max(won)
    return best + math.log(sum(math.exp(one - best) for one in won) / len(won))
