"""The field-level view: laws of merging, and bounds that hold whatever comes."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorproof_sidecar.fields import MAX_EXAMPLES, MAX_NAMES, Example, Field, FieldView, Tally

Seen = tuple[Field, int, int]
"""A field, the pair it is in, and when."""

names = st.sampled_from(["a", "b", "c", "d", "*"])
fields = st.builds(
    Field,
    st.sampled_from(["e1", "e2"]),
    st.lists(names, min_size=1, max_size=3).map(lambda found: "/body/" + "/".join(found)),
    st.sampled_from(["missing", "changed_value"]),
)
sightings = st.lists(st.tuples(fields, st.integers(0, 10**9), st.integers(0, 1000)), max_size=60)


def view_of(seen: list[Seen], capacity: int = 2000) -> FieldView:
    view = FieldView(capacity)
    for one, pair, at_s in seen:
        view.add(one, Tally(1, 1, at_s, at_s, (Example(f"{pair:032x}", one.path),)))
    return view


@given(sightings, st.data())
def test_however_pairs_are_spread_and_merged_the_view_is_the_same_while_it_fits(
    seen: list[Seen], data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(seen)), max_size=4)))
    parts = [seen[start:end] for start, end in pairwise([0, *cuts, len(seen)])]
    views = data.draw(st.permutations([view_of(part) for part in parts]))

    one_by_one = FieldView()
    for view in views:
        one_by_one = FieldView.merged([one_by_one, view])

    assert one_by_one == view_of(seen)
    assert FieldView.merged(views) == view_of(seen)


@given(sightings, sightings, st.integers(2, 6))
def test_merging_does_not_care_for_sides_not_even_where_it_has_to_cut(
    one: list[Seen], other: list[Seen], capacity: int
) -> None:
    mine, its = view_of(one, capacity), view_of(other, capacity)

    assert FieldView.merged([mine, its]) == FieldView.merged([its, mine])


@given(st.lists(sightings, max_size=4), st.integers(2, 8))
def test_a_view_that_cuts_keeps_its_sums_its_bound_and_what_is_frequent(
    parts: list[list[Seen]], capacity: int
) -> None:
    view = FieldView.merged([FieldView(capacity), *(view_of(part, capacity) for part in parts)])
    truth = Counter(one for part in parts for one, _, _ in part)
    total = truth.total()

    kept = dict(view.rows())
    assert len(kept) <= capacity
    omitted = view.omitted.pairs if view.omitted else 0
    assert sum(tally.pairs for tally in kept.values()) + omitted == total
    assert all(tally.pairs <= truth[one] for one, tally in kept.items())
    assert all(one in kept for one, count in truth.items() if count > 2 * total / capacity)


@given(sightings)
def test_a_tally_knows_when_and_a_few_different_pairs(seen: list[Seen]) -> None:
    for one, tally in view_of(seen).rows():
        mine = [(pair, at_s) for other, pair, at_s in seen if other == one]
        assert (tally.first_s, tally.last_s) == (min(at for _, at in mine), max(at for _, at in mine))
        least = sorted({f"{pair:032x}" for pair, _ in mine})[:MAX_EXAMPLES]
        assert [example.pair for example in tally.examples] == least


def test_names_that_are_data_become_one_field_and_the_others_stay() -> None:
    capacity = 4 * MAX_NAMES
    seen = [
        (Field("e", f"/body/users/name{number}/{leaf}", "missing"), number, number)
        for number in range(5000)
        for leaf in ("age", "mail")
    ]
    seen += [(Field("e", "/body/total", "missing"), 7, 7)]

    view = view_of(seen, capacity)

    found = {one.path: tally.pairs for one, tally in view.rows()}
    assert found == {"/body/users/*/age": 5000, "/body/users/*/mail": 5000, "/body/total": 1}
    assert view.omitted is None
    assert view.folded("e", "/body/users/*/age")
    assert not view.folded("e", "/body/total")


def test_what_one_view_has_folded_is_folded_in_the_merged_one() -> None:
    capacity = 4 * MAX_NAMES
    wide = view_of([(Field("e", f"/body/by/n{n}", "extra"), n, n) for n in range(1000)], capacity)
    narrow = view_of([(Field("e", "/body/by/anna", "extra"), 1, 1)], capacity)

    for merged in (FieldView.merged([wide, narrow]), FieldView.merged([narrow, wide])):
        assert [(one.path, tally.pairs) for one, tally in merged.rows()] == [("/body/by/*", 1001)]


def test_what_strangers_invent_takes_bounded_memory() -> None:
    view = FieldView(100)
    for number in range(20_000):
        path = f"/body/{number % 7}x/{number % 49}y/{number}z/{number * 3}"
        view.add(Field(f"e{number % 13}", path, "missing"), Tally(1, 1, 0.0, 0.0))

    assert len(view) <= 100
    assert len(view._folded) <= 100


def test_a_view_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="a view of 1 fields"):
        FieldView(1)
