"""Confidence sequences: what they promise is computed exactly here, by following every possible course."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mirrorproof_sidecar.judge.betting import difference_interval, mean_is_above
from mirrorproof_sidecar.judge.sequences import (
    evidence_against_even,
    first_where,
    prior_near,
    quantile_ranks,
    rate_interval,
    trials_until,
)

COUNTS = st.integers(0, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
ALPHAS = st.sampled_from([0.2, 0.05, 0.005, 1e-6])
PRIORS = st.sampled_from([(0.5, 0.5), (0.5, 25.0), (0.5, 250.0), (3.0, 1.0)])


def chance_of_ever(rates: Iterable[float], happens: Callable[[int, int], bool]) -> float:
    """The exact chance that `happens(successes, trials)` is true at any look, one look after each trial."""
    alive, lost = {0: 1.0}, 0.0
    for trials, rate in enumerate(rates, start=1):
        after: dict[int, float] = {}
        for successes, chance in alive.items():
            after[successes] = after.get(successes, 0.0) + chance * (1 - rate)
            after[successes + 1] = after.get(successes + 1, 0.0) + chance * rate
        lost += sum(chance for successes, chance in after.items() if happens(successes, trials))
        alive = {
            successes: chance for successes, chance in after.items()
            if chance > 1e-15 and not happens(successes, trials)
        }  # fmt: skip
    return lost


@pytest.mark.parametrize("rate", [0.002, 0.05, 0.5, 0.97])
@pytest.mark.parametrize("prior", [(0.5, 0.5), (0.5, 25.0)])
def test_the_truth_is_ever_missed_with_at_most_the_promised_chance(
    rate: float, prior: tuple[float, float]
) -> None:
    missed = chance_of_ever(
        [rate] * 250, lambda k, n: rate not in rate_interval(k, n, alpha=0.1, prior=prior)
    )

    assert missed <= 0.1


def test_a_textbook_interval_misses_it_far_more_often() -> None:
    def textbook(successes: int, trials: int) -> bool:
        mean = successes / trials
        return abs(mean - 0.5) > 1.645 * math.sqrt(mean * (1 - mean) / trials)

    assert chance_of_ever([0.5] * 250, lambda k, n: n > 20 and textbook(k, n)) > 0.4


@pytest.mark.parametrize("rates", [[0.0] * 100 + [0.1] * 150, [0.1, 0.0] * 125, [0.02] * 200 + [0.1] * 50])
def test_each_end_holds_for_rates_that_vary(rates: list[float]) -> None:
    too_high = chance_of_ever(rates, lambda k, n: rate_interval(k, n, low_alpha=0.1).low > max(rates))
    too_low = chance_of_ever(
        [1 - rate for rate in rates], lambda k, n: rate_interval(k, n, alpha=0.1).high < 1 - max(rates)
    )

    assert too_high <= 0.1
    assert too_low <= 0.1


@pytest.mark.parametrize("q", [0.5, 0.95])
def test_the_ranks_of_a_quantile_are_ever_wrong_with_at_most_the_promised_chance(q: float) -> None:
    # How many values are at or below the quantile is what the ranks speak of.
    too_high = chance_of_ever([q] * 250, lambda k, n: k < quantile_ranks(n, q, alpha=0.1)[0])
    too_low = chance_of_ever([q] * 250, lambda k, n: k >= quantile_ranks(n, q, alpha=0.1)[1])

    assert 0 < too_high <= 0.1
    assert too_low <= 0.1


def chance_of_ever_by_three(
    chances: Iterable[tuple[float, float]], happens: Callable[[int, int, int], bool]
) -> float:
    """As `chance_of_ever`, of (ups, downs, trials) with the chances of a 1 and of a -1 in each trial."""
    alive, lost = {(0, 0): 1.0}, 0.0
    for trials, (up, down) in enumerate(chances, start=1):
        after: dict[tuple[int, int], float] = {}
        for (ups, downs), chance in alive.items():
            steps = ((ups + 1, downs, up), (ups, downs + 1, down), (ups, downs, 1 - up - down))
            for *place, part in steps:
                after[place[0], place[1]] = after.get((place[0], place[1]), 0.0) + chance * part
        gone = {counts for counts in after if happens(*counts, trials)}
        lost += sum(after[counts] for counts in gone)
        alive = {
            counts: chance for counts, chance in after.items() if chance > 1e-12 and counts not in gone
        }  # fmt: skip
    return lost


@pytest.mark.parametrize(("up", "down"), [(0.3, 0.3), (0.06, 0.01), (0.0, 0.4), (0.7, 0.2)])
def test_the_mean_of_a_difference_is_ever_missed_with_at_most_the_promised_chance(
    up: float, down: float
) -> None:
    missed = chance_of_ever_by_three(
        [(up, down)] * 60, lambda u, d, n: mean_is_above(u, d, n, up - down, alpha=0.1)
    )

    assert missed <= 0.1


def test_an_end_of_a_difference_holds_for_means_that_vary() -> None:
    chances = [(0.0, 0.0), (0.4, 0.2)] * 25
    missed = chance_of_ever_by_three(
        chances, lambda u, d, n: difference_interval(u, d, n, low_alpha=0.1).low > 0.2
    )

    assert missed <= 0.1


THREE = st.tuples(st.integers(0, 500), st.integers(0, 500), st.integers(0, 5000)).map(
    lambda counts: (counts[0], counts[1], sum(counts))
)


@settings(deadline=None)
@given(THREE, ALPHAS)
def test_a_difference_holds_what_was_seen_and_is_turned_around_with_its_sides(
    counts: tuple[int, int, int], alpha: float
) -> None:
    ups, downs, trials = counts
    interval = difference_interval(ups, downs, trials, alpha=alpha)
    turned = difference_interval(downs, ups, trials, alpha=alpha)

    assert -1 <= interval.low <= interval.high <= 1
    assert not trials or interval.low - 1e-9 <= (ups - downs) / trials <= interval.high + 1e-9
    assert (turned.low, turned.high) == (-interval.high, -interval.low)
    for mean in (interval.low - 1e-6, interval.low + 1e-6):
        if -1 < mean < 1:
            assert mean_is_above(ups, downs, trials, mean, alpha) is (mean < interval.low)


@settings(deadline=None)
@given(COUNTS, ALPHAS, PRIORS)
def test_an_interval_holds_what_was_seen_and_is_turned_around_with_it(
    counts: tuple[int, int], alpha: float, prior: tuple[float, float]
) -> None:
    successes, trials = counts
    interval = rate_interval(successes, trials, alpha=alpha, prior=prior)
    turned = rate_interval(trials - successes, trials, alpha=alpha, prior=prior[::-1])

    assert 0 <= interval.low <= interval.high <= 1
    assert not trials or successes / trials in interval
    assert math.isclose(turned.low, 1 - interval.high, abs_tol=1e-9)


@settings(deadline=None)
@given(COUNTS, PRIORS)
def test_a_stricter_promise_makes_the_interval_no_shorter(
    counts: tuple[int, int], prior: tuple[float, float]
) -> None:
    loose = rate_interval(*counts, alpha=0.1, prior=prior)
    strict = rate_interval(*counts, alpha=0.01, prior=prior)

    assert strict.low <= loose.low
    assert loose.high <= strict.high


@settings(deadline=None)
@given(COUNTS, PRIORS)
def test_each_end_follows_its_own_promise(counts: tuple[int, int], prior: tuple[float, float]) -> None:
    mixed = rate_interval(*counts, alpha=0.1, low_alpha=0.01, prior=prior)

    assert mixed.low == rate_interval(*counts, alpha=0.01, prior=prior).low
    assert mixed.high == rate_interval(*counts, alpha=0.1, prior=prior).high


@settings(deadline=None)
@given(st.integers(0, 5000), st.floats(0.01, 0.99), ALPHAS)
def test_ranks_enclose_the_place_of_the_quantile(trials: int, q: float, alpha: float) -> None:
    low, high = quantile_ranks(trials, q, alpha=alpha)

    assert 0 <= low <= trials * q + 1
    assert trials * q <= high <= trials + 1


@pytest.mark.parametrize("rate", [0.0, 0.002, 0.03, 1.0])
def test_so_many_trials_are_indeed_enough_and_one_less_is_not(rate: float) -> None:
    more = trials_until(rate, 0.01, prior=prior_near(0.01))
    assert more is not None

    def decided(trials: int) -> bool:
        return 0.01 not in rate_interval(round(rate * trials), trials, prior=prior_near(0.01))

    assert decided(more)
    assert not decided(more - 1)


def test_a_rate_at_the_threshold_is_never_decided() -> None:
    assert trials_until(0.25, 0.25) is None


@settings(deadline=None)
@given(st.integers(1, 10**6), st.integers(1, 10**6))
def test_the_first_place_is_found(at: int, start: int) -> None:
    assert first_where(lambda n: n >= at, start) == max(at, start)
    assert first_where(lambda n: False, start, limit=10**7) is None


@settings(deadline=None)
@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_evidence_against_an_even_split_sees_no_sides(one: int, other: int) -> None:
    assert evidence_against_even(one, other) == pytest.approx(evidence_against_even(other, one), rel=1e-3)
    assert evidence_against_even(one, one) <= 1


@settings(deadline=None)
@example((1_862_044, 1_862_045), 1e-6)
@given(st.integers(0, 10**12).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), ALPHAS)
def test_large_counts_neither_raise_nor_turn_it_round(counts: tuple[int, int], alpha: float) -> None:
    interval = rate_interval(*counts, alpha=alpha)
    assert 0 <= interval.low <= interval.high <= 1


def test_impossible_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="3 successes in 2 trials"):
        rate_interval(3, 2)
    with pytest.raises(ValueError, match="2 ups and 2 downs in 3 trials"):
        difference_interval(2, 2, 3)
    with pytest.raises(ValueError, match="between 0 and 1"):
        quantile_ranks(10, 1.0)
