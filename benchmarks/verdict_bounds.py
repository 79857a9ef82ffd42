"""The judge's bounds as arrays, for thousands of courses at once; `agree` holds them against the judge.

Knows NumPy and the formulas of `judge.sequences`. Must not know what a course is about.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from mirrorproof_sidecar.judge.betting import STAKES
from mirrorproof_sidecar.judge.sequences import Prior, quantile_ranks, rate_interval

Array = Any

_HALVINGS: Final = 36


def rate_ends(
    trials: int, most: int, *, low_alpha: float, high_alpha: float, prior: Prior
) -> tuple[Array, Array]:
    """Low and high ends, at [number of trials, successes], for up to `most` successes.

    Where more successes than trials would be meant, the ends are NaN.
    """
    n = np.arange(trials + 1)[:, None]
    s = np.arange(most + 1)[None, :]
    possible = (s <= n) & (n > 0)
    n, s = np.broadcast_arrays(np.where(possible, n, most + 1), np.where(possible, s, 0))
    a, b = prior
    gamma_a, gamma_b, gamma_ab = (_lgammas(x, max(trials, most + 1)) for x in (a, b, a + b))
    mixture = gamma_a[s] + gamma_b[n - s] - gamma_ab[n] - (gamma_a[0] + gamma_b[0] - gamma_ab[0])
    low = np.where(s > 0, _edge(s, n, 0.0, mixture + math.log(low_alpha)), 0.0)
    high = np.where(s < n, _edge(s, n, 1.0, mixture + math.log(high_alpha)), 1.0)
    return np.where(possible, low, np.nan), np.where(possible, high, np.nan)


def _lgammas(x: float, number: int) -> Array:
    return np.array([math.lgamma(x + k) for k in range(number + 1)])


def _edge(s: Array, n: Array, outside: float, least: Array) -> Array:
    out = np.full(s.shape, outside)
    inside = s / n
    with np.errstate(divide="ignore", invalid="ignore"):
        for _ in range(_HALVINGS):
            middle = (out + inside) / 2
            ruled_out = s * np.log(middle) + (n - s) * np.log1p(-middle) <= least
            out = np.where(ruled_out, middle, out)
            inside = np.where(ruled_out, inside, middle)
    return out


def mean_is_above(ups: Array, downs: Array, trials: Array, mean: float, alpha: float) -> Array:
    """The judge's test of the same name, for each course."""
    least = -math.log(alpha)
    # Who has won nothing on the whole has not won; nor who has won too seldom to have won enough.
    some = np.nonzero((ups - downs > mean * trials) & (ups > least / math.log(2)))[0]
    above = np.zeros(ups.shape, dtype=bool)
    if some.size:
        many = np.broadcast_to(trials, ups.shape)[some]
        above[some] = _log_capital(ups[some], downs[some], many, mean) >= least
    return above


def _log_capital(ups: Array, downs: Array, trials: Array, mean: float) -> Array:
    stakes = np.array(STAKES)[:, None]
    won = (
        ups * np.log1p(stakes * (1 - mean) / (1 + mean))
        + downs * np.log1p(-stakes)
        + (trials - ups - downs) * np.log1p(-stakes * mean / (1 + mean))
    )
    best = won.max(0)
    return best + np.log(np.exp(won - best).mean(0))


def ranks(trials: int, q: float, alpha: float) -> tuple[Array, Array]:
    """Low and high ranks at each number of trials: the judge's own."""
    found = [quantile_ranks(number, q, alpha=alpha) for number in range(trials + 1)]
    return np.array([low for low, _ in found]), np.array([high for _, high in found])


def agree(
    low: Array, high: Array, *, low_alpha: float, high_alpha: float, prior: Prior, looks: int = 200
) -> int:
    """Hold random places of the arrays against the judge. How many; raises where they differ."""
    generator = np.random.default_rng(11)
    places = np.argwhere(~np.isnan(low))
    for n, s in places[generator.integers(0, len(places), looks)]:
        judged = rate_interval(int(s), int(n), alpha=high_alpha, low_alpha=low_alpha, prior=prior)
        if abs(judged.low - low[n, s]) > 1e-9 or abs(judged.high - high[n, s]) > 1e-9:
            raise AssertionError(f"{s} of {n}: {judged} where the arrays have {low[n, s]}, {high[n, s]}")
    return looks


class RankFollower:
    """In which bucket the value of a rank is, for many courses, as values and ranks grow one by one."""

    def __init__(self, courses: int, buckets: int) -> None:
        self.at = np.full(courses, buckets // 2)
        self._below = np.zeros(courses, dtype=np.int64)
        self._here = np.zeros(courses, dtype=np.int64)

    def follow(self, counts: Array, came: Array, bucket: Array, rank: Array) -> None:
        """`counts[course, bucket]` has the new values already; `came` says who got one, in which `bucket`."""
        self._below += came & (bucket < self.at)
        self._here += came & (bucket == self.at)
        wrong = (self._below + self._here < rank) | (self._below >= rank)
        active = np.nonzero(wrong & (rank > 0))[0]
        while active.size:
            at, below, here, wanted = self.at[active], self._below[active], self._here[active], rank[active]
            up = below + here < wanted
            at = np.where(up, at + 1, at - 1)
            now = counts[active, at]
            self.at[active], self._here[active] = at, now
            self._below[active] = np.where(up, below + here, below - now)
            below = self._below[active]
            active = active[(below + now < wanted) | (below >= wanted)]
