"""Pairing: laws, and each rule as a sentence."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mirrorproof_sidecar.pairing import Match, Seen, Settlement, Side, State, effects, settle

P, S, C = Side.PRIMARY, Side.SHADOW, Side.CONTROL


def seen(uid: str, side: Side = P, started: int = 0, **more: Any) -> Seen:
    return Seen(uid, side, started, more.pop("received_s", 0.0), **more)


def settled(*exchanges: Seen, now_s: float = 1.0, expire_after_s: float = 60.0, **more: Any) -> Settlement:
    return settle(exchanges, now_s=now_s, expire_after_s=expire_after_s, **more)


def pairs_of(settlement: Settlement) -> set[tuple[str, str]]:
    return {(match.primary, match.other) for match in settlement.matches}


exchange_sets = st.lists(
    st.builds(
        Seen,
        uid=st.uuids().map(str),
        side=st.sampled_from(Side),
        started_ns=st.integers(0, 5),
        received_s=st.integers(0, 100).map(float),
        attempt=st.integers(1, 3),
        query=st.sampled_from(["", "a=1"]),
        body=st.sampled_from([None, "x", "y"]),
    ),
    max_size=12,
)


@given(exchange_sets, st.randoms(), st.integers(0, 200))
def test_the_order_of_arrival_does_not_matter(exchanges: list[Seen], rng: random.Random, now: int) -> None:
    shuffled = rng.sample(exchanges, len(exchanges))

    assert settled(*exchanges, now_s=now) == settled(*shuffled, now_s=now)


@given(exchange_sets, st.randoms(), st.integers(0, 12))
def test_settling_in_between_comes_to_the_same(exchanges: list[Seen], rng: random.Random, cut: int) -> None:
    arriving = rng.sample(exchanges, len(exchanges))
    recorded: set[Match] = set()
    states: dict[str, State] = {}
    for part in (arriving[:cut], arriving):
        done = effects(settled(*part, now_s=90), recorded=recorded, states=states)
        recorded = (recorded - set(done.revoke)) | set(done.add)
        states |= done.restate

    final = settled(*exchanges, now_s=90)
    assert recorded == final.matches
    assert states == final.states


@given(exchange_sets)
def test_a_duplicate_changes_nothing(exchanges: list[Seen]) -> None:
    assert settled(*exchanges, *exchanges) == settled(*exchanges)


@given(exchange_sets, st.integers(0, 200))
def test_every_exchange_has_one_state_and_at_most_one_partner(exchanges: list[Seen], now: int) -> None:
    done = settled(*exchanges, now_s=now)

    assert done.states.keys() == {one.uid for one in exchanges}
    for against in (S, C):
        matches = [match for match in done.matches if match.against is against]
        assert len({match.primary for match in matches}) == len(matches)
        assert len({match.other for match in matches}) == len(matches)
    sides = {one.uid: one.side for one in exchanges}
    for match in done.matches:
        assert (sides[match.primary], sides[match.other]) == (P, match.against)
        assert done.states[match.other] is State.PAIRED


@given(exchange_sets, st.integers(0, 200))
def test_something_is_due_exactly_while_something_waits(exchanges: list[Seen], now: int) -> None:
    done = settled(*exchanges, now_s=now)

    waiting = State.WAITING in done.states.values()
    assert (done.due_s is not None and done.due_s > now) == waiting


def test_one_of_each_side_pairs_whatever_their_bodies() -> None:
    done = settled(seen("p", body="x"), seen("s", S, body="y"))

    assert pairs_of(done) == {("p", "s")}
    assert done.states == {"p": State.PAIRED, "s": State.PAIRED}
    assert done.due_s is None


def test_the_last_attempt_of_the_primary_wins() -> None:
    done = settled(
        seen("p1", started=1),
        seen("p2", started=2, attempt=2),
        seen("p3", started=3, attempt=3),
        seen("s", S),
    )

    assert pairs_of(done) == {("p3", "s")}
    assert done.states["p1"] is done.states["p2"] is State.SUPERSEDED


def test_two_calls_with_retries_are_two_calls() -> None:
    done = settled(
        seen("a1", started=1), seen("a2", started=2, attempt=2),
        seen("b1", started=3), seen("b2", started=4, attempt=2),
        seen("s1", S, started=1), seen("s2", S, started=2),
    )  # fmt: skip

    assert pairs_of(done) == {("a2", "s1"), ("b2", "s2")}


def test_an_attempt_that_did_not_read_its_body_is_superseded_all_the_same() -> None:
    done = settled(
        seen("p1", started=1, body=None), seen("p2", started=2, attempt=2, body="x"), seen("s", S, body="x")
    )

    assert pairs_of(done) == {("p2", "s")}


def test_a_retry_belongs_to_the_call_with_its_query() -> None:
    done = settled(
        seen("a1", started=1, query="a"), seen("b1", started=2, query="b"),
        seen("a2", started=3, query="a", attempt=2),
        seen("sa", S, query="a"), seen("sb", S, query="b"),
    )  # fmt: skip

    assert pairs_of(done) == {("a2", "sa"), ("b1", "sb")}


def test_calls_with_other_queries_pair_by_query_before_order() -> None:
    done = settled(
        seen("p1", started=1, query="a"), seen("p2", started=2, query="b"),
        seen("s1", S, started=1, query="b"), seen("s2", S, started=2, query="a"),
    )  # fmt: skip

    assert pairs_of(done) == {("p1", "s2"), ("p2", "s1")}


def test_with_one_missing_nothing_is_guessed() -> None:
    exchanges = (seen("p1", started=1), seen("p2", started=2), seen("s", S))

    assert settled(*exchanges).matches == frozenset()
    expired = settled(*exchanges, now_s=61)
    assert set(expired.states.values()) == {State.AMBIGUOUS}
    assert expired.due_s is None


def test_a_lonely_exchange_waits_and_then_is_unpaired() -> None:
    waiting = settled(seen("p", received_s=10.0), now_s=69.9)
    assert (waiting.states, waiting.due_s) == ({"p": State.WAITING}, 70.0)

    assert settled(seen("p", received_s=10.0), now_s=70.0).states == {"p": State.UNPAIRED}


def test_a_late_partner_still_pairs_and_is_counted_as_a_revision() -> None:
    done = effects(
        settled(seen("p"), seen("s", S, received_s=500.0), now_s=501),
        recorded=(),
        states={"p": State.UNPAIRED, "s": State.NEW},
    )

    assert done.add == (Match("p", "s", S),)
    assert done.restate == {"p": State.PAIRED, "s": State.PAIRED}
    assert done.revised == 1


def test_a_new_arrival_may_revoke_a_pair() -> None:
    early = Match("p1", "s2", S)
    done = effects(
        settled(seen("p1", body="x"), seen("p2", body="y"), seen("s1", S, body="x"), seen("s2", S, body="y")),
        recorded=[early],
        states={"p1": State.PAIRED, "s2": State.PAIRED, "p2": State.NEW, "s1": State.NEW},
    )

    assert done.revoke == (early,)
    assert set(done.add) == {Match("p1", "s1", S), Match("p2", "s2", S)}
    assert done.revised == 0


def test_a_primary_pairs_with_shadow_and_control_each() -> None:
    done = settled(seen("p"), seen("s", S), seen("c", C))

    assert done.matches == {Match("p", "s", S), Match("p", "c", C)}


def test_a_control_does_not_stand_in_for_a_missing_shadow() -> None:
    done = settled(seen("p"), seen("c", C), now_s=100)

    assert done.states == {"p": State.UNPAIRED, "c": State.PAIRED}


def test_an_id_that_is_reused_too_often_says_nothing() -> None:
    exchanges = [seen(f"p{n}") for n in range(3)] + [seen(f"s{n}", S) for n in range(3)]

    assert set(settled(*exchanges, max_exchanges=5).states.values()) == {State.AMBIGUOUS}
    assert len(settled(*exchanges, max_exchanges=6).matches) == 3
