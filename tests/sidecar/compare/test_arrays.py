"""Which items of two arrays belong together, and that reading lazily finds what reading everything finds."""

from __future__ import annotations

import json
import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mirrorproof_sidecar.compare import Cause, IgnoreRule, Kind, OrderRule, Result, Rules
from mirrorproof_sidecar.compare.align import unequal
from mirrorproof_sidecar.compare.found import Found
from mirrorproof_sidecar.compare.jsontree import parse
from mirrorproof_sidecar.compare.jsonwalk import walk, walk_raw
from mirrorproof_sidecar.compare.lcs import Budget, cheapest_pairs, common_run
from mirrorproof_sidecar.compare.rules import matcher_for

SWAPPED = {Kind.MISSING: Kind.EXTRA, Kind.EXTRA: Kind.MISSING}

scalars = st.sampled_from([None, True, 1, 2, 1.5, "a", "b", "ä\n", '"', ""])
items = st.one_of(
    scalars,
    st.lists(scalars, max_size=3),
    st.fixed_dictionaries(
        {"id": st.integers(1, 6)},
        optional={
            "at": st.integers(0, 3),
            "name": st.sampled_from("xy"),
            "tags": st.lists(scalars, max_size=2),
        },
    ),
    st.dictionaries(st.sampled_from(["a", "b", "a b", "ä", '"', "10", "9"]), scalars, max_size=3),
)
arrays = st.lists(items, max_size=8)
ways = st.sampled_from(
    [
        Rules(),
        *(Rules(order=(OrderRule("/body/a", **said),)) for said in (
            {"way": "set"}, {"way": "sorted"}, {"way": "list"}, {"key": "id"}, {"key": "id", "way": "list"},
        )),
        Rules((IgnoreRule("/body/a/*/at"), IgnoreRule("/body/a/1*"))),
    ]
)  # fmt: skip


def body(array, spaced=False):
    return json.dumps({"a": array}, separators=(", ", ": ") if spaced else (",", ":"))


def all_told(comparison):
    return [(one.path, one.kind) for one in comparison.differences]


def shown(found, swap=False):
    turned = [
        (one.path, SWAPPED.get(one.kind, one.kind), one.shadow, one.primary)
        if swap
        else (one.path, one.kind, one.primary, one.shadow)
        for one in found
    ]
    return sorted(tuple(map(repr, one)) for one in turned)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ([1, 2, 3], [3, 1, 2], [("/body/a", "order")]),
        ([1, 2, 3, 4, 5, 6], [1, 9, 2, 3, 8, 5, 6], [("/body/a/1", "extra"), ("/body/a/4", "changed_value")]),
        ([{"id": 1, "n": 1}, {"id": 2, "n": 2}], [{"id": 2, "n": 2}, {"id": 1, "n": 9}],
         [("/body/a", "order"), ("/body/a/1/n", "changed_value")]),
        ([{"id": n, "at": n} for n in range(5)], [{"id": n, "at": n + 50} for n in (0, 1, 3, 4)],
         [("/body/a/0/at", "changed_value"), ("/body/a/1/at", "changed_value"), ("/body/a/2", "missing"),
          ("/body/a/3/at", "changed_value"), ("/body/a/4/at", "changed_value")]),
        ([{"id": 1, "n": 1, "m": 1}, {"id": 2, "n": 2, "m": 2}],
         [{"id": 1, "n": 1, "m": 1}, {"id": 9, "n": 2, "m": 2}],
         [("/body/a/1/id", "changed_value")]),
        # Numbers that each version counts anew: 2 stands for another thing in v2.
        ([{"id": n, "sku": n, "q": 1} for n in (1, 2)], [{"id": n + 1, "sku": n, "q": 1} for n in (1, 2)],
         [("/body/a/0/id", "changed_value"), ("/body/a/1/id", "changed_value")]),
        ([{"x": n, "y": 0} for n in range(4)], [{"x": n, "y": 0} for n in (0, 9, 1, 2, 3)],
         [("/body/a/1", "extra")]),
        ([{"x": n, "y": n, "z": n} for n in range(3)], [{"x": n, "y": n, "z": 7} for n in (0, 2)],
         [("/body/a/0/z", "changed_value"), ("/body/a/1", "missing"), ("/body/a/2/z", "changed_value")]),
        ([[1, 2], [3]], [[1, 2], [4, 3]], [("/body/a/1/0", "extra")]),
        ([1], ["1"], [("/body/a/0", "changed_type")]),
    ],
)  # fmt: skip
def test_items_that_belong_together_are_compared(json_pair, one, other, expected):
    assert all_told(json_pair(body(one), body(other))) == expected


@pytest.mark.parametrize(
    ("rule", "one", "other", "differences", "ignored"),
    [
        ({"way": "set"}, [1, 2, 2], [2, 1, 2], [], ["/body/a"]),
        ({"way": "set"}, [1, 2, 2], [2, 1, 1],
         [("/body/a/2", "extra"), ("/body/a/2", "missing")], ["/body/a"]),
        ({"way": "set"}, [1.0, 2], [2, 1.00], [], ["/body/a"]),
        ({"way": "set"}, [{"a": 1, "b": 1}, 7], [7, {"b": 1, "a": 1}], [], ["/body/a"]),
        ({"way": "sorted"}, ["b", "a"], ["a", "c"], [("/body/a/1", "changed_value")], []),
        ({"way": "list"}, [{"id": 1}, {"id": 2}], [{"id": 2}, {"id": 1}], [("/body/a", "order")], []),
        ({"key": "id"}, [{"id": 1, "n": 1}, {"id": 2}], [{"id": 2}, {"id": 1, "n": 2}],
         [("/body/a/1/n", "changed_value")], ["/body/a"]),
        ({"key": "id", "way": "list"}, [{"id": 1}, {"id": 2}], [{"id": 2}, {"id": 1}],
         [("/body/a", "order")], []),
        ({"key": "k"}, [{"k": 1, "n": 1}, {"k": 1, "n": 2}], [{"k": 1, "n": 1}, {"k": 1, "n": 3}],
         [("/body/a/1/n", "changed_value")], []),
        ({"key": "id"}, [{"id": 1}], [{"id": 2}, {"id": 3}],
         [("/body/a/0", "extra"), ("/body/a/0", "missing"), ("/body/a/1", "extra")], []),
    ],
)  # fmt: skip
def test_a_rule_says_how_items_find_each_other(json_pair, rule, one, other, differences, ignored):
    comparison = json_pair(body(one), body(other), Rules(order=(OrderRule("/body/a", **rule),)))
    assert all_told(comparison) == differences
    assert [(hidden.difference.path, hidden.difference.kind) for hidden in comparison.ignored] == [
        (path, Kind.ORDER) for path in ignored
    ]
    assert all(hidden.by is Cause.RULE and hidden.name == "/body/a" for hidden in comparison.ignored)


def test_an_order_is_shown_by_keys_from_the_first_that_differs(json_pair):
    one = [{"id": n, "text": "x" * 100} for n in range(5)]
    (found,) = json_pair(body(one), body([one[0], one[2], one[1], *one[3:]])).differences
    assert (found.path, found.primary, found.shadow) == ("/body/a", [1, 2], [2, 1])


def test_the_order_of_items_that_a_rule_ignores_is_ignored(json_pair):
    comparison = json_pair(body([1, 2]), body([2, 1]), Rules((IgnoreRule("/body/a/*", reason="drawn"),)))
    assert comparison.result is Result.MATCHED
    (hidden,) = comparison.ignored
    assert (hidden.difference.kind, hidden.name, hidden.reason) == (Kind.ORDER, "/body/a/*", "drawn")


@settings(max_examples=300)
@given(arrays, arrays, ways)
def test_swapping_the_sides_swaps_each_difference_of_arrays_and_moves_none(json_pair, one, other, rules):
    there, back = json_pair(body(one), body(other), rules), json_pair(body(other), body(one), rules)
    assert shown(there.differences) == shown(back.differences, swap=True)
    assert shown(i.difference for i in there.ignored) == shown(
        (i.difference for i in back.ignored), swap=True
    )
    assert there.used == back.used


@settings(max_examples=300)
@given(arrays, ways, st.randoms(), st.booleans())
def test_an_array_never_differs_from_itself_and_as_a_set_not_from_its_items_in_any_order(
    json_pair, array, rules, random_, spaced
):
    same = json_pair(body(array), body(array, spaced), rules)
    assert same.result is Result.MATCHED
    assert not same.ignored
    turned = random_.sample(array, len(array))
    for way in ("set", "sorted"):
        rule = OrderRule("/body/a", way=way)
        assert json_pair(body(array), body(turned), Rules(order=(rule,))).result is Result.MATCHED


@settings(max_examples=300)
@given(arrays, items, st.integers(0, 8), ways)
def test_one_item_put_in_is_one_difference(json_pair, array, item, at, rules):
    more = [*array[:at], item, *array[at:]]
    comparison = json_pair(body(array), body(more), rules)
    told = [*comparison.differences, *(hidden.difference for hidden in comparison.ignored)]
    assert [found.kind for found in told if found.kind is not Kind.ORDER] == [Kind.EXTRA]


@given(
    st.lists(st.integers(0, 10_000), unique=True, min_size=2, max_size=30), st.integers(0, 29), st.booleans()
)
def test_one_volatile_item_put_in_among_items_with_keys_is_one_difference(json_pair, ids, at, first):
    rules = Rules((IgnoreRule("/body/a/*/at"),))
    more = [*ids[:at], 99_999, *ids[at:]]
    sides = [body([{"id": n, "at": n + base} for n in side]) for side, base in ((ids, 0), (more, 7))]
    comparison = json_pair(*(sides if first else sides[::-1]), rules)
    assert [found.kind for found in comparison.differences] == [Kind.EXTRA if first else Kind.MISSING]


@settings(max_examples=500)
@given(arrays, arrays, ways, st.booleans(), st.booleans())
def test_reading_lazily_finds_what_reading_everything_finds(one, other, rules, spaced, other_spaced):
    texts = body(one, spaced), body(other, other_spaced)
    lazily, wholly = (Found(matcher_for(rules, "GET /")) for _ in range(2))
    assert walk_raw(lazily.at("body"), *(text.encode() for text in texts), lazily)
    walk(wholly.at("body"), *map(parse, texts), wholly)
    # Which of two equally good pairings is taken may differ; whether anything differs may not.
    assert bool(lazily.comparison().differences) == bool(wholly.comparison().differences)
    if not any(isinstance(item, dict | list) for item in one + other):
        assert all_told(lazily.comparison()) == all_told(wholly.comparison())


@settings(max_examples=300)
@given(st.lists(st.sampled_from("abcd"), max_size=9), st.lists(st.sampled_from("abcd"), max_size=9))
def test_the_common_run_is_one_of_the_longest(one, other):
    def longest(one, other):
        row = [0] * (len(other) + 1)
        for mine in one:
            above, row = row, [0]
            for j, its in enumerate(other):
                row.append(above[j] + 1 if mine == its else max(row[-1], above[j + 1]))
        return row[-1]

    pairs = common_run(one, other, Budget(1000))
    assert len(pairs) == longest(one, other)
    assert all(one[i] == other[j] for i, j in pairs)
    assert all(a < c and b < d for (a, b), (c, d) in pairwise(pairs))
    assert common_run(other, one, Budget(1000)) == [(j, i) for i, j in pairs]


@given(st.lists(st.sampled_from("abc"), max_size=9), st.lists(st.sampled_from("abc"), max_size=9))
def test_every_item_of_both_sequences_is_in_a_step_or_equal(one, other):
    steps = unequal(one, other)
    lone = sorted(i for _, i, _ in steps if i is not None), sorted(j for _, _, j in steps if j is not None)
    assert len(one) - len(lone[0]) == len(other) - len(lone[1])
    assert len(set(lone[0])) == len(lone[0])
    assert len(set(lone[1])) == len(lone[1])


def test_the_cheapest_pairs_leave_alone_what_costs_most():
    cost = {(0, 0): 0.9, (0, 1): 0.1, (1, 0): 0.9, (1, 1): 0.9}
    assert cheapest_pairs([0], [0, 1], lambda i, j: cost[i, j], 0.55) == [(0, 1)]
    assert cheapest_pairs([0, 1], [0, 1], lambda i, j: 1.0, 0.55) == [(0, 0), (1, 1)]


@pytest.mark.parametrize("size", [3_000])
def test_large_arrays_of_all_sorts_stay_within_the_budget(json_pair, size):
    random_ = random.Random(3)
    spent = []
    for make in (
        lambda n: random_.randrange(3),
        lambda n: {"x": random_.random()},
        lambda n: [n, random_.random()],
    ):
        one, other = [make(n) for n in range(size)], [make(n) for n in range(size + 7)]
        comparison = json_pair(body(one), body(other))
        spent.append(len(comparison.differences) + comparison.differences_omitted)
    assert all(0 < told <= 2 * size + 7 for told in spent)


def test_a_key_that_repeats_is_found_in_whatever_way_the_text_is_written(json_pair):
    for other in ('{"a":1,"b":3}', '{"a": 1, "b": 3}', '{"\\u0061":1,"b":3}', '{"b":3,"a":1}'):
        for one in ('{"a":12,"a":1,"b":2}', '{"a":1, "\\u0061":1, "b":2}', '{ "b":2,"b":2,"a":1 }'):
            comparison = json_pair(one, other)
            assert all_told(comparison) == [("/body", "changed_value")]
            assert "repeats a key (primary)" in comparison.remarks[0]
