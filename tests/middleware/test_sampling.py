"""Sampling by hash of the pair id."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mirrorproof.sampling import sampled

shares = st.floats(0, 1)


@given(st.text(), shares, shares)
def test_a_larger_share_takes_every_request_that_a_smaller_one_takes(
    pair_id: str, a: float, b: float
) -> None:
    assert sampled(pair_id, max(a, b)) or not sampled(pair_id, min(a, b))


@given(st.text())
def test_a_share_of_one_takes_all_and_of_nothing_takes_none(pair_id: str) -> None:
    assert sampled(pair_id, 1.0)
    assert not sampled(pair_id, 0.0)


def test_the_share_is_about_what_is_taken_of_ids_as_envoy_makes_them() -> None:
    ids = [f"{n:08x}-1c2d-4e5f-8a9b-{n * 2654435761 % 2**48:012x}" for n in range(20_000)]
    taken = sum(sampled(pair_id, 0.1) for pair_id in ids)
    assert 1_800 < taken < 2_200


def test_other_processes_take_the_same_ones_since_the_hash_is_fixed() -> None:
    assert [n for n in range(20) if sampled(f"pair-{n}", 0.3)] == [0, 4, 8, 10, 11, 14, 15, 18]
