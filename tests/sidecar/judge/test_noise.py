"""Noise is what v1 shows against itself, as long as v2 shows no more of it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mirrorproof_sidecar.judge.noise import MIN_SEEN, Source, Tally, learn, with_own

FIELD = ("endpoint", "/body/seen", "changed_value")


def counted(control: tuple[int, int], shadow: tuple[int, int], source: Source = Source.CONTROL) -> Tally:
    tally = Tally()
    for of, (seen, pairs) in ((source, control), (Source.SHADOW, shadow)):
        tally.add("endpoint", of, [FIELD[1:]], pairs=seen)
        tally.add("endpoint", of, [], pairs=pairs - seen)
    return tally


def test_a_field_that_differs_as_often_between_two_copies_of_v1_is_noise() -> None:
    learnt = learn(counted((30, 100), (35, 100)))
    assert learnt.noise[FIELD].startswith("v1 and its control differ here in 30 of 100 pairs (")
    assert learnt.noise[FIELD].endswith("v1 and v2 in 35 of 100")
    assert not learnt.excess


def test_a_field_in_which_v2_differs_credibly_more_often_is_no_noise() -> None:
    learnt = learn(counted((5, 100), (60, 100)))
    assert FIELD not in learnt.noise
    assert FIELD in learnt.excess


def test_one_difference_of_v1_from_itself_is_not_enough() -> None:
    assert FIELD not in learn(counted((MIN_SEEN - 1, 100), (1, 100))).noise
    assert FIELD in learn(counted((MIN_SEEN, 100), (1, 100))).noise


def test_repeated_reads_teach_as_a_control_does() -> None:
    assert "asked again soon" in learn(counted((30, 100), (35, 100), Source.REPEAT)).noise[FIELD]


def test_what_one_copy_of_v1_lacks_the_other_has_and_both_are_one_kind() -> None:
    tally = Tally()
    for kind in ("missing", "extra"):
        tally.add("endpoint", Source.CONTROL, [("/body/ad", kind)])
    assert {kind for _, _, kind in learn(tally).noise} == {"missing", "extra"}


def test_a_requests_own_control_excuses_it_unless_v2_differs_there_more_often() -> None:
    assert FIELD in with_own(learn(Tally()), "endpoint", [FIELD[1:]])
    assert FIELD not in with_own(learn(counted((5, 100), (60, 100))), "endpoint", [FIELD[1:]])


@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.sampled_from(list(Source)), st.sampled_from("xy")), max_size=20
    )
)
def test_tallies_add_up(seen: list[tuple[str, Source, str]]) -> None:
    whole, halves = Tally(), [Tally(), Tally()]
    for number, (endpoint, source, pattern) in enumerate(seen):
        for tally in (whole, halves[number % 2]):
            tally.add(endpoint, source, [(pattern, "changed_value")])
    assert learn(halves[0] + halves[1]) == learn(whole)
