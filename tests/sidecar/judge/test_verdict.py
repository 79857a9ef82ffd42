"""The verdict: never a pass without evidence that is enough and whole, never a fail that it does not bear."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mirrorproof_sidecar.judge import (
    Durations,
    EndpointEvidence,
    Evidence,
    Judgement,
    Limits,
    Sources,
    Thresholds,
    Verdict,
    judge,
    to_wire,
)

SOURCES = Sources(reporting=2, seen=20_000, seen_by_shadow=10_000, captured=20_000)
TIMES = [int(5e6 * random.Random(7).lognormvariate(0, 0.6)) for _ in range(500)]


def evidence(pairs: int, /, *, slower: float = 1.0, **changes: Any) -> Evidence:
    """`pairs` pairs without a flaw, but for the changes."""
    times = [TIMES[n % len(TIMES)] for n in range(pairs)]
    whole = Evidence(
        pairs=pairs, compared=pairs, answered=pairs, effects_compared=pairs,
        primary=Durations.of(times), shadow=Durations.of(int(one * slower) for one in times),
        primary_calls=pairs, primary_paired=pairs, shadow_calls=pairs, shadow_paired=pairs,
        recorded=2 * pairs, shadow_recorded=pairs,
    )  # fmt: skip
    return replace(whole, **changes)


def judged(*endpoints: Evidence, sources: Sources = SOURCES, **thresholds: Any) -> Judgement:
    named = [
        EndpointEvidence(str(number), "shop", "GET", f"/{number}", one)
        for number, one in enumerate(endpoints)
    ]
    return judge(named, sources, Thresholds(**thresholds))


def said(found: Judgement) -> str:
    return "\n".join(found.reasons)


def test_enough_whole_evidence_without_a_flaw_is_a_pass() -> None:
    found = judged(evidence(6000))

    assert found.verdict is Verdict.PASS
    assert "every check holds for 6,000 compared pairs together, and alone for 1 endpoint" in said(found)
    assert found.more is None


def test_nothing_is_undecided() -> None:
    for found in (judged(), judged(evidence(0))):
        assert found.verdict is Verdict.UNDECIDED
        assert "nothing has been compared yet" in said(found)


def test_a_few_pairs_are_undecided_and_it_says_how_many_more_decide_it() -> None:
    found = judged(evidence(500))
    assert found.verdict is Verdict.UNDECIDED
    assert found.more is not None

    assert judged(evidence(500 + found.more)).verdict is Verdict.PASS
    assert judged(evidence(500 + int(found.more * 0.9))).verdict is Verdict.UNDECIDED
    assert "more pairs like these would decide it" in said(found)


def test_more_than_is_allowed_fails_and_names_the_endpoint_and_the_figures() -> None:
    found = judged(evidence(6000), evidence(2000, differing=60))

    assert found.verdict is Verdict.FAIL
    assert "GET /1: 60 of 2,000 pairs truly differ; at least" in said(found)
    assert [one.verdict for one in found.endpoints] == [Verdict.PASS, Verdict.FAIL]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"effects_differing": 200}, "have other effects"),
        (
            {"shadow_failed_alone": 300},
            "v2 failed in 300 of 3,000 pairs, v1 in 0; above v1's rate by at least",
        ),
        ({"slower": 9.0}, "times what is allowed"),
    ],
)
def test_each_of_the_checks_can_fail(changes: dict[str, Any], says: str) -> None:
    found = judged(evidence(3000, **changes))

    assert found.verdict is Verdict.FAIL
    assert says in said(found)


def test_two_versions_that_fail_equally_often_do_not_fail() -> None:
    flaky = evidence(20_000, shadow_failed_alone=210, primary_failed_alone=200)

    assert judged(flaky).verdict is not Verdict.FAIL


def test_a_v2_that_is_faster_and_fails_less_passes() -> None:
    assert judged(evidence(8000, slower=0.5, primary_failed_alone=100)).verdict is Verdict.PASS


@pytest.mark.parametrize(
    "changes",
    [
        {"primary_paired": 5000}, {"shadow_paired": 5000}, {"primary_calls": 7000},
        {"pairs": 7000, "incomparable": 1000}, {"truncated": 1000}, {"yielded": 600}, {"conflicts": 600},
    ],
)  # fmt: skip
def test_what_is_missing_is_never_passed(changes: dict[str, int]) -> None:
    found = judged(evidence(6000, **changes))

    assert found.verdict is Verdict.UNDECIDED
    assert "may be" in said(found)


@pytest.mark.parametrize(
    "sources",
    [
        Sources(), replace(SOURCES, dropped=1000), replace(SOURCES, unmarked=900),
        replace(SOURCES, without_id=1500), replace(SOURCES, observer_errors=400),
    ],
)  # fmt: skip
def test_what_never_reached_the_recorder_is_never_passed(sources: Sources) -> None:
    found = judged(evidence(6000), sources=sources)

    assert found.verdict is Verdict.UNDECIDED
    assert found.together.gaps[-1].name


def test_what_was_seen_fails_even_if_much_is_missing() -> None:
    assert judged(evidence(3000, differing=90, primary_calls=9000)).verdict is Verdict.FAIL


def test_incomparable_pairs_are_not_left_out_before_something_fails() -> None:
    # Truncated bodies: only the pairs that differ elsewhere are comparable at all.
    seen = evidence(3, differing=3, unknown=5000, pairs=5003, incomparable=5000)

    assert judged(seen).verdict is Verdict.UNDECIDED


def test_a_mirrored_tenth_is_complete_if_it_is_said_to_be_a_tenth() -> None:
    tenth = evidence(6000, primary_calls=60_000)

    assert judged(tenth).verdict is Verdict.UNDECIDED
    assert judged(tenth, each=Limits(mirrored_share=0.1)).verdict is Verdict.PASS
    assert judged(tenth, each=Limits(mirrored_share=0.2)).verdict is Verdict.UNDECIDED


def test_what_v1_and_its_control_differ_in_does_not_fail_and_does_not_pass() -> None:
    noisy = evidence(20_000, differing=400, control_answered=20_000, control_differing=400)

    assert judged(replace(noisy, control_answered=0, control_differing=0)).verdict is Verdict.FAIL
    assert judged(noisy).verdict is Verdict.UNDECIDED
    assert "no number of requests would tell" in said(judged(noisy))


def test_differences_beyond_the_noise_fail_with_a_control_too() -> None:
    found = judged(evidence(20_000, differing=1200, control_answered=20_000, control_differing=200))

    assert found.verdict is Verdict.FAIL


def test_a_rare_endpoint_holds_nothing_up_but_can_fail() -> None:
    assert judged(evidence(9000), evidence(20)).verdict is Verdict.PASS
    assert "1 minor endpoint" in "\n".join(judged(evidence(9000), evidence(20)).notes)
    assert judged(evidence(9000), evidence(20, differing=20)).verdict is Verdict.FAIL
    assert judged(evidence(9000), evidence(200)).verdict is Verdict.UNDECIDED


def test_an_endpoint_that_v2_never_answers_is_not_overlooked() -> None:
    silent = Evidence(primary_calls=3000, recorded=3000)

    found = judged(evidence(6000), silent)
    assert found.verdict is Verdict.UNDECIDED
    assert "GET /1: 3,000 of 3,000 (100.00 %) of v1's requests have no partner" in said(found)


def test_where_there_are_several_services_an_endpoint_is_named_with_its_own() -> None:
    bad = evidence(3000, differing=300)
    named = [
        EndpointEvidence("a", "shop", "GET", "/", evidence(3000)),
        EndpointEvidence("b", "feed", "GET", "/", bad),
    ]
    lax = Thresholds.from_dict({
        "all": {"max_difference_rate": 1.0}, "each": {"max_difference_rate": 1.0},
        "endpoint": [{"match": "GET /", "service": "f*", "max_difference_rate": 0.01}],
    })  # fmt: skip

    found = judge(named, SOURCES, lax)

    assert said(found).startswith("GET / of feed: 300 of 3,000 pairs truly differ")


def test_a_limit_that_is_switched_off_is_not_checked() -> None:
    off = Limits(max_p50_slowdown=float("inf"), max_p95_slowdown=float("inf"))
    found = judged(evidence(6000, slower=50.0), all=off, each=off)

    assert found.verdict is Verdict.PASS
    assert [check.name for check in found.together.checks] == ["differences", "effects", "errors"]


def test_effects_that_nobody_saw_do_not_pass() -> None:
    found = judged(evidence(6000, effects_compared=0))

    assert found.verdict is Verdict.UNDECIDED
    assert "effects were seen on both sides in none of 6,000 pairs" in said(found)
    assert "in 6,000 pairs the effects of one side were not observed" in found.notes


def test_where_effects_are_seen_in_every_tenth_pair_it_takes_ten_times_as_many() -> None:
    every = judged(evidence(1000)).together.checks[1].more
    tenth = judged(evidence(1000, effects_compared=100)).together.checks[1].more

    assert every is not None
    assert tenth is not None
    assert 9 * (1000 + every) < 1000 + tenth < 11 * (1000 + every)


COUNT = st.integers(0, 4000)


@st.composite
def any_evidence(draw: st.DrawFn) -> Evidence:
    answered = draw(COUNT)
    alone, other, both, unknown, conflicts = (draw(st.integers(0, 300)) for _ in range(5))
    compared = answered + alone + other + both
    pairs = compared + unknown + conflicts
    part = st.integers(0, answered)
    control = draw(COUNT)
    calls = pairs + draw(st.integers(0, 500))
    seen = draw(part)
    return Evidence(
        pairs=pairs, compared=compared, incomparable=unknown + conflicts, conflicts=conflicts,
        answered=answered, differing=draw(part), unknown=unknown, effects_compared=seen,
        effects_differing=draw(st.integers(0, seen)), primary_failed_alone=alone, shadow_failed_alone=other,
        both_failed=both, control_answered=control, control_differing=draw(st.integers(0, control)),
        primary=Durations.of(TIMES[:answered]), shadow=Durations.of(TIMES[:answered]), primary_calls=calls,
        primary_paired=pairs, shadow_calls=calls, shadow_paired=pairs, recorded=2 * calls,
        truncated=draw(st.integers(0, calls)), shadow_recorded=calls, yielded=draw(st.integers(0, calls)),
    )  # fmt: skip


@settings(deadline=None)
@given(st.lists(any_evidence(), max_size=3))
def test_any_counts_get_a_verdict_with_reasons_and_json(endpoints: list[Evidence]) -> None:
    found = judged(*endpoints)

    assert found.reasons
    assert found == judged(*endpoints)
    assert to_wire(found)["verdict"] in ("pass", "fail", "undecided")
    assert found.verdict is not Verdict.PASS or found.together.evidence.compared


@settings(deadline=None)
@given(any_evidence())
def test_one_more_difference_never_makes_it_better(one: Evidence) -> None:
    if one.differing == one.answered:
        return
    order = [Verdict.PASS, Verdict.UNDECIDED, Verdict.FAIL]
    before, after = judged(one), judged(replace(one, differing=one.differing + 1))

    assert order.index(after.verdict) >= order.index(before.verdict)


@settings(deadline=None)
@given(st.lists(any_evidence(), max_size=4))
def test_evidence_adds_up_in_any_grouping(parts: list[Evidence]) -> None:
    one_by_one = Evidence()
    for part in parts:
        one_by_one += part

    assert one_by_one == Evidence.total(parts)
