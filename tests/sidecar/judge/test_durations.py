"""Durations in buckets: what is read from them is never bolder than the durations themselves."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mirrorproof_sidecar.judge.durations import TOP_BITS, Durations, bucket_of
from mirrorproof_sidecar.judge.sequences import quantile_ranks

NS = st.integers(-5, 1 << 60)
MANY = st.lists(st.integers(0, 1 << 40), min_size=1, max_size=200)


@settings(deadline=None)
@given(NS)
def test_a_bucket_begins_at_or_below_what_falls_into_it_and_is_narrow(duration_ns: int) -> None:
    edge = bucket_of(duration_ns)
    clipped = min(max(duration_ns, 0), (1 << TOP_BITS) - 1)

    assert edge <= clipped < edge + max(1 << 11, edge // 64 + 1)
    assert bucket_of(edge) == edge


@settings(deadline=None)
@given(NS, NS)
def test_a_longer_duration_is_in_no_lower_bucket(one: int, other: int) -> None:
    assert (bucket_of(one) <= bucket_of(other)) or one > other


@settings(deadline=None)
@given(MANY, st.sampled_from([0.5, 0.95]), st.sampled_from([0.3, 0.01]))
def test_bounds_enclose_those_of_the_durations_themselves(many: list[int], q: float, alpha: float) -> None:
    bounds = Durations.of(many).quantile_bounds_ns(q, low_alpha=alpha, high_alpha=alpha)
    low, high = quantile_ranks(len(many), q, alpha=alpha)
    in_order = sorted(many)

    assert bounds.low <= (in_order[low - 1] if low else 0)
    assert bounds.high >= (in_order[high - 1] if high <= len(many) else math.inf)


@settings(deadline=None)
@given(MANY, MANY)
def test_merging_is_counting_all(one: list[int], other: list[int]) -> None:
    merged = Durations.merged([Durations.of(one), Durations.of(other)])

    assert merged == Durations.of(one + other)
    assert merged.total == len(one) + len(other)


@settings(deadline=None)
@given(MANY, st.integers(1, 20))
def test_more_of_the_same_never_widens_the_bounds(many: list[int], times: int) -> None:
    durations = Durations.of(many)
    foreseen = durations.quantile_bounds_ns(0.5, low_alpha=0.05, high_alpha=0.05, trials=len(many) * times)
    come_true = Durations.of(many * times).quantile_bounds_ns(0.5, low_alpha=0.05, high_alpha=0.05)

    assert foreseen == come_true


def test_without_any_nothing_is_known() -> None:
    assert Durations().quantile_ns(0.5) is None
    assert Durations().quantile_bounds_ns(0.5, low_alpha=0.1, high_alpha=0.1).high == math.inf


def test_the_middle_one_is_told_to_one_part_in_a_hundred() -> None:
    assert Durations.of([1_000_000, 20_000_000, 900_000_000]).quantile_ns(0.5) == pytest.approx(2e7, rel=0.01)
