"""Tolerances and transforms: what they let pass, and that they treat both sides alike."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorproof.errors import SettingsError
from mirrorproof_sidecar.compare import (
    Cause,
    IgnoreRule,
    Op,
    OrderRule,
    Result,
    Rules,
    ToleranceRule,
    TransformRule,
    compare,
    rule_id,
)
from mirrorproof_sidecar.compare.passing import instant, transformed, within

VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.decimals(), st.just([1]),
    st.sampled_from(["1.5", "1e5", "-0", "2024-01-02T03:04:05Z", "Tue, 02 Jan 2024 03:04:05 GMT", "9" * 500]),
)  # fmt: skip


@pytest.mark.parametrize(
    ("bounds", "one", "other", "passes"),
    [
        ({"absolute": 0.1}, "1.0", "1.1", True),  # exact: as doubles these are more than 0.1 apart
        ({"absolute": 0.1}, "1.0", "1.11", False),
        ({"absolute": 1}, "9007199254740993", "9007199254740994", True),
        ({"absolute": 0}, "1", "1.0", True),
        ({"absolute": 5}, "1", "true", False),
        ({"absolute": 5}, "1", '"1"', False),
        ({"absolute": 5}, '"1"', '"3.5"', True),
        ({"absolute": 5}, "1", "null", False),
        ({"relative": 0.01}, "100", "101", True),
        ({"relative": 0.01}, "100", "102", False),
        ({"relative": 0.01}, "-100", "-101", True),
        ({"relative": 0.5, "absolute": 0.001}, "0", "0.001", True),
        ({"absolute": 1e308}, "1", "1e400", False),
        ({"absolute": 1}, "NaN", "1", False),
        ({"seconds": 2}, '"2024-01-02T03:04:05Z"', '"2024-01-02T04:04:07+01:00"', True),
        ({"seconds": 2}, '"2024-01-02T03:04:05Z"', '"2024-01-02T03:04:07.1Z"', False),
        ({"seconds": 2}, '"Tue, 02 Jan 2024 03:04:05 GMT"', '"2024-01-02T03:04:06"', True),
        ({"seconds": 2}, '"2024-13-02T03:04:05Z"', '"2024-13-02T03:04:06Z"', False),
        ({"seconds": 2}, "1", "2", False),
    ],
)
def test_a_tolerance_lets_pass_what_its_formula_says_and_lists_it(json_pair, bounds, one, other, passes):
    rules = Rules(tolerance=(ToleranceRule("/body/a", reason="rounding", **bounds),))
    comparison = json_pair(f'{{"a":{one}}}', f'{{"a":{other}}}', rules)
    assert (comparison.result is Result.MATCHED) == passes
    assert [(hidden.by, hidden.name, hidden.reason) for hidden in comparison.ignored] == (
        [(Cause.TOLERANCE, "/body/a", "rounding")] if passes else []
    )
    assert json_pair(f'{{"a":{other}}}', f'{{"a":{one}}}', rules).result is comparison.result


@pytest.mark.parametrize(
    ("op", "one", "other", "passes"),
    [
        ({"op": "lower"}, '"Ab"', '"aB"', True),
        ({"op": "lower"}, '"a"', '"b"', False),
        ({"op": "strip"}, '" a\\n"', '"a"', True),
        ({"op": "spaces"}, '"a \\t b"', '" a b"', True),
        ({"op": "nfc"}, '"\\u00e4"', '"a\\u0308"', True),
        ({"op": "sort_words"}, '"b a c"', '"a c b"', True),
        ({"op": "round", "digits": 1}, "1.04", "0.96", True),
        ({"op": "round", "digits": 1}, "1.06", "0.96", False),
        ({"op": "round", "digits": 0}, "1", "1.0", True),
        ({"op": "round", "digits": 0}, "1", "true", False),
        ({"op": "number"}, "1", '"1.00"', True),
        ({"op": "number"}, "1", "true", False),
        ({"op": "number"}, "18446744073709551617", "18446744073709551616", False),
        ({"op": "date"}, '"2024-01-02T03:04:05Z"', '"2024-01-02T04:04:05+01:00"', True),
        ({"op": "date"}, '"2024-01-02T03:04:05Z"', "null", False),
    ],
)
def test_a_transform_compares_the_value_as_its_op_makes_it(json_pair, op, one, other, passes):
    rules = Rules.from_dict({"transform": [{"path": "/body/a", **op}]})
    comparison = json_pair(f'{{"a":{one}}}', f'{{"a":{other}}}', rules)
    assert (comparison.result is Result.MATCHED) == passes
    assert [hidden.by for hidden in comparison.ignored] == ([Cause.RULE] if passes else [])


def test_transforms_of_one_place_are_applied_in_their_order(json_pair):
    rules = Rules(transform=(TransformRule("/body/*", op=Op.STRIP), TransformRule("/body/a", op=Op.LOWER)))
    assert json_pair('{"a":" X"}', '{"a":"x "}', rules).result is Result.MATCHED
    assert json_pair('{"b":" X"}', '{"b":"x "}', rules).result is Result.DIFFERENT


def test_a_header_can_be_given_a_tolerance(exchange):
    sides = [exchange(headers=[("expires", f"Tue, 02 Jan 2024 03:04:0{n} GMT")]) for n in (5, 6)]
    rule = ToleranceRule("/headers/expires", seconds=1)
    assert compare(*sides, Rules(tolerance=(rule,))).result is Result.MATCHED


@given(VALUES, VALUES, st.floats(0, 10), st.floats(0, 2), st.floats(0, 1e9))
def test_a_tolerance_is_symmetric_and_takes_anything(one, other, absolute, relative, seconds):
    rule = ToleranceRule("/body", absolute=absolute, relative=relative, seconds=seconds)
    assert within(rule, one, other) == within(rule, other, one)


@given(VALUES, st.lists(st.sampled_from(list(Op)), max_size=4))
def test_a_transform_takes_anything_and_doing_it_twice_changes_nothing(value, ops):
    rules = tuple(TransformRule("/body", op=op, digits=2 if op is Op.ROUND else None) for op in ops)
    for rule in rules:
        once = transformed((rule,), value)
        assert repr(transformed((rule,), once)) == repr(once)
    transformed(rules, value)


@given(st.datetimes(timezones=st.just(UTC)))
def test_an_instant_is_read_from_its_own_notation(moment):
    assert instant(moment.isoformat()) == moment


def test_a_date_out_of_range_is_no_instant():
    for text in ("0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "Mon, 99 Jan 2024 00:00:00 GMT"):
        assert instant(text) is None
    assert instant("2024-01-02") == datetime(2024, 1, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("where", "types", "statuses", "holds"),
    [
        ({"content_type": "application/json"}, ("application/json", "application/json"), (200, 200), True),
        ({"content_type": "application/*"}, ("application/json", "application/hal+json"), (200, 200), True),
        (
            {"content_type": "application/json"},
            ("application/json", "application/hal+json"),
            (200, 200),
            False,
        ),
        ({"status": 404}, ("application/json",) * 2, (404, 404), True),
        ({"status": 404}, ("application/json",) * 2, (404, 200), False),
        ({"status": "4xx"}, ("application/json",) * 2, (404, 410), True),
        ({"status": "4xx", "content_type": "text/html"}, ("application/json",) * 2, (404, 410), False),
    ],
)
def test_a_rule_holds_where_each_part_fits_both_answers(exchange, where, types, statuses, holds):
    rules = Rules.from_dict({"ignore": [{"path": "/body/a", **where}]})
    sides = [
        exchange(body, kind, status=status)
        for body, kind, status in zip((b'{"a":1}', b'{"a":2}'), types, statuses, strict=True)
    ]
    assert bool(compare(*sides, rules).ignored) == holds


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"tolerance": [{"path": "/body/a"}]}, "says not how much"),
        ({"tolerance": [{"path": "/body/a", "absolute": -1}]}, "`$.tolerance[0].absolute`"),
        ({"transform": [{"path": "/body/a", "op": "round"}]}, "`digits` goes with `round`"),
        ({"transform": [{"path": "/body/a", "op": "lower", "digits": 1}]}, "`digits` goes with `round`"),
        ({"transform": [{"path": "/body/a", "op": "upper"}]}, "`$.transform[0].op`"),
        ({"order": [{"path": "/body/a"}]}, "give `as` or `key`"),
        ({"order": [{"path": "/body/a", "as": "set", "key": "id"}]}, "`key` goes alone"),
        ({"ignore": [{"path": "/body/a", "status": "9xx"}]}, "`$.ignore[0].status`"),
        ({"ignore": [{"path": "/body/a", "status": 7}]}, "`$.ignore[0].status`"),
        ({"shapes": "no"}, "`$.shapes`"),
    ],
)
def test_rules_that_say_nothing_or_nonsense_name_the_key(data, words):
    with pytest.raises(SettingsError) as raised:
        Rules.from_json(json.dumps(data))
    assert words in str(raised.value)


@pytest.mark.parametrize(
    ("one", "other", "contradict"),
    [
        ({"order": {"as": "set"}}, {"order": {"as": "list"}}, True),
        ({"order": {"as": "set"}}, {"order": {"key": "id"}}, True),
        ({"order": {"as": "set"}}, {"order": {"as": "set", "reason": "again"}}, False),
        ({"order": {"as": "set", "status": 200}}, {"order": {"as": "list", "status": 404}}, False),
        ({"order": {"as": "set", "status": "2xx"}}, {"order": {"as": "list", "status": 204}}, True),
        (
            {"order": {"as": "set", "endpoint": "GET /a"}},
            {"order": {"as": "list", "endpoint": "GET *"}},
            True,
        ),
        (
            {"order": {"as": "set", "endpoint": "GET /a"}},
            {"order": {"as": "list", "endpoint": "GET /b"}},
            False,
        ),
        ({"tolerance": {"absolute": 1}}, {"tolerance": {"relative": 1}}, True),
        ({"transform": {"op": "round", "digits": 1}}, {"transform": {"op": "round", "digits": 2}}, True),
        ({"transform": {"op": "strip"}}, {"transform": {"op": "lower"}}, False),
        ({"ignore": {}}, {"tolerance": {"absolute": 1}}, True),
        ({"ignore": {}}, {"transform": {"op": "lower"}}, True),
        ({"ignore": {}}, {"order": {"as": "set"}}, False),
        ({"ignore": {}}, {"ignore": {"reason": "again"}}, False),
    ],
)
def test_rules_that_contradict_each_other_are_refused_and_both_are_named(one, other, contradict):
    data: dict[str, list[dict[str, object]]] = {}
    for side in (one, other):
        for name, rule in side.items():
            data.setdefault(name, []).append({"path": "/body/items", **rule})
    if not contradict:
        Rules.from_dict(data)
        return
    with pytest.raises(SettingsError, match="contradict each other") as raised:
        Rules.from_dict(data)
    for side in (one, other):
        for name, rule in side.items():
            assert f"`{name}` (path = '/body/items'" in str(raised.value)
            assert all(str(value) in str(raised.value) for value in rule.values())


def test_rules_of_every_sort_survive_the_trip_through_json():
    rules = Rules(
        (IgnoreRule("/body/a", status="4xx", content_type="text/*"),),
        (ToleranceRule("/body/b", absolute=1, relative=0.5, seconds=2),),
        (TransformRule("/body/c", op=Op.ROUND, digits=3),),
        (OrderRule("/body/d", key="id"), OrderRule("/body/e", way="set")),
        shapes=False,
        correspond=False,
    )
    assert Rules.from_json(rules.to_json()) == rules == Rules.from_dict(rules.to_dict())
    kept = rules.with_defaults()
    assert (kept.tolerance, kept.transform, kept.order) == (rules.tolerance, rules.transform, rules.order)
    assert (kept.shapes, kept.correspond) == (False, False)
    assert b'"as"' in rules.to_json()


def test_the_rules_that_were_of_use_are_named(json_pair):
    used, unused = IgnoreRule("/body/a"), IgnoreRule("/body/b")
    comparison = json_pair('{"a":1}', '{"a":2}', Rules((used, unused)))
    assert comparison.used == (rule_id(used),)
    assert rule_id(used) == rule_id(IgnoreRule("/body/a")) != rule_id(unused)


def test_decimals_are_compared_whatever_the_callers_context_is():
    rule = ToleranceRule("/body", absolute=0)
    assert not within(rule, Decimal("1." + "0" * 40 + "1"), Decimal(1))
