"""Ignore rules: what they name, how they are read, and what they may cost."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mirrorproof.errors import SettingsError
from mirrorproof_sidecar.compare import DEFAULT_RULES, IgnoreRule, Result, Rules, compare
from mirrorproof_sidecar.compare.pointer import MAX_PATH_CHARS, glob
from mirrorproof_sidecar.compare.rules import matcher_for

BODY = '{"at":1,"items":[{"at":1,"id":1},{"at":2,"id":1}],"meta":{"at":{"x":1}},"a/b":1,"*":1}'
OTHER = '{"at":9,"items":[{"at":9,"id":9},{"at":9,"id":9}],"meta":{"at":{"x":9}},"a/b":9,"*":9}'
ALL = {
    "/body/*", "/body/a~1b", "/body/at", "/body/items/0/at", "/body/items/0/id", "/body/items/1/at",
    "/body/items/1/id", "/body/meta/at/x",
}  # fmt: skip


@pytest.mark.parametrize(
    ("path", "hidden"),
    [
        ("/body/at", {"/body/at"}),
        ("/body/items", set()),
        ("/body/items/*/at", {"/body/items/0/at", "/body/items/1/at"}),
        ("/body/items/*", set()),
        ("/body/items/**", {path for path in ALL if path.startswith("/body/items")}),
        ("/body/**/at", {"/body/at", "/body/items/0/at", "/body/items/1/at"}),
        ("/body/**/at/**", {path for path in ALL if "at" in path.split("/")}),
        ("/body/*/at/x", {"/body/meta/at/x"}),
        ("/**/x", {"/body/meta/at/x"}),
        ("/body/a~1b", {"/body/a~1b"}),
        ("/body/a/b", set()),
        ("/body/a*", {"/body/at", "/body/a~1b"}),
        ("/body/*", {"/body/at", "/body/a~1b", "/body/*"}),
        ("/**/**/id", {"/body/items/0/id", "/body/items/1/id"}),
        ("/**", ALL),
        ("/headers/**", set()),
    ],
)
def test_a_path_hides_what_it_names_and_nothing_below(json_pair, path, hidden):
    comparison = json_pair(BODY, OTHER, Rules((IgnoreRule(path),)))
    assert {ignored.difference.path for ignored in comparison.ignored} == hidden
    assert {found.path for found in comparison.differences} == ALL - hidden


def test_the_first_rule_that_fits_is_the_one_that_is_named(json_pair):
    rules = Rules(
        (IgnoreRule("/body/b"), IgnoreRule("/body/*", reason="one"), IgnoreRule("/body/at", reason="two"))
    )
    assert {ignored.reason for ignored in json_pair(BODY, OTHER, rules).ignored} == {"one"}


@pytest.mark.parametrize(
    ("endpoint", "fits"),
    [("GET /orders/{id}", True), ("GET *", True), ("* /orders/*", True), ("*", True), ("POST *", False),
     ("GET /orders/7", False), ("get *", False), ("GET /orders/{id", False)],
)  # fmt: skip
def test_a_rule_for_an_endpoint_fits_its_method_and_route(exchange, endpoint, fits):
    sides = exchange(status=200, route="/orders/{id}"), exchange(status=500, route="/orders/{id}")
    comparison = compare(*sides, Rules((IgnoreRule("/status", endpoint=endpoint),)))
    assert comparison.result is (Result.MATCHED if fits else Result.DIFFERENT)


def test_the_path_stands_in_where_the_route_is_not_known(exchange):
    rules = Rules((IgnoreRule("/status", endpoint="GET /orders/7"),))
    assert compare(exchange(status=200), exchange(status=500), rules).result is Result.MATCHED


@example("a*a", "a")
@example("ab*ba", "aba")
@given(st.text("ab*", max_size=8), st.text("ab", max_size=8))
def test_a_glob_fits_what_a_pattern_matcher_of_another_make_says(pattern, text):
    def fits(pattern: str, text: str) -> bool:
        if not pattern:
            return not text
        if pattern[0] == "*":
            return fits(pattern[1:], text) or (bool(text) and fits(pattern, text[1:]))
        return text[:1] == pattern[0] and fits(pattern[1:], text[1:])

    assert glob(pattern, text) == fits(pattern, text)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"ignored": []}, "unknown field `ignored`"),
        ({"ignore": [{"path": "/body", "why": "x"}]}, "unknown field `why` - at `$.ignore[0]`"),
        ({"ignore": [{"path": "/body/a"}, {}]}, "missing required field `path` - at `$.ignore[1]`"),
        ({"ignore": [{"path": "body"}]}, "no JSON pointer"),
        ({"ignore": [{"path": ""}]}, "`$.ignore[0].path`"),
        ({"ignore": [{"path": "/boddy/a"}]}, "can hide nothing"),
        ({"ignore": [{"path": "/body/~2"}]}, '"~"'),
        ({"ignore": [{"path": "/body/a**"}]}, '"**" inside a segment'),
        ({"ignore": [{"path": "/body" + "/**" * 9}]}, 'more than 4 segments "**"'),
        ({"ignore": [{"path": "/body" + "/a" * 50}]}, "more than 40 segments"),
        ({"ignore": [{"path": "/body/" + "a" * 500}]}, "`$.ignore[0].path`"),
        ({"ignore": [{"path": "/body", "reason": "a" * 501}]}, "`$.ignore[0].reason`"),
        ({"ignore": [{"path": "/body", "endpoint": ""}]}, "`$.ignore[0].endpoint`"),
        ({"ignore": [{"path": "/body"}] * 501}, "`$.ignore`"),
        ({"ignore": "all"}, "`$.ignore`"),
        ([], "object"),
        (None, "object"),
    ],
)
def test_rules_that_cannot_be_used_name_the_key(data, words):
    with pytest.raises(SettingsError) as by_dict:
        Rules.from_dict(data)
    assert words in str(by_dict.value)
    with pytest.raises(SettingsError) as by_json:
        Rules.from_json(json.dumps(data))
    assert words in str(by_json.value)


@pytest.mark.parametrize(
    "text", [b"", b"{", b"\xff", b"[" * 100_000, b" " * (2 << 20), '{"ignore":[{"path":"\ud800"}]}']
)
def test_text_that_is_no_rules_is_a_settings_error(text):
    with pytest.raises(SettingsError):
        Rules.from_json(text)


def test_a_rule_made_in_code_is_checked_as_well():
    with pytest.raises(SettingsError):
        IgnoreRule("nowhere")
    with pytest.raises(SettingsError):
        Rules((IgnoreRule("/body"),) * 501)


def test_rules_survive_the_trip_through_json_and_plain_data():
    rules = Rules((IgnoreRule("/body/**/at", endpoint="GET *", reason="a clock"),)).with_defaults()
    assert Rules.from_json(rules.to_json()) == rules == Rules.from_dict(rules.to_dict())
    assert Rules.from_dict(json.loads(json.dumps(rules.to_dict()))) == rules


def test_the_defaults_come_first_and_adding_them_twice_changes_nothing():
    own = IgnoreRule("/body/at")
    once = Rules((own, DEFAULT_RULES.ignore[0])).with_defaults()
    assert once.ignore == (*DEFAULT_RULES.ignore, own)
    assert once.with_defaults() == once
    assert Rules().with_defaults() == DEFAULT_RULES


def test_rules_that_are_too_costly_end_the_comparison_and_it_says_so(json_pair):
    rules = Rules(tuple(IgnoreRule(f"/body/**/*{number}b*/**/*c/**") for number in range(500)))
    sides = ('{"a":' * 400 + "[" + ",".join([value] * 9_000) + "]" + "}" * 400 for value in "12")
    comparison = json_pair(*sides, rules)
    assert comparison.incomparable == ("/body: the rules are too costly here; the rest was not looked at",)


def test_rules_for_other_endpoints_cost_nothing():
    rules = Rules((IgnoreRule("/body", endpoint="GET /a"), IgnoreRule("/body", endpoint="GET /b")))
    assert matcher_for(rules, "GET /b").start.cost == 1


def test_a_long_path_is_cut_and_stays_apart_from_others(json_pair):
    keys = ["k" * 5000 + end for end in "ab"]
    one, other = (json.dumps(dict.fromkeys(keys, value)) for value in (1, 2))
    paths = [found.path for found in json_pair(one, other).differences]
    assert len(set(paths)) == 2
    assert all(len(path) <= MAX_PATH_CHARS and "…" in path for path in paths)


def test_a_rule_fits_a_path_that_is_too_long_to_show(json_pair):
    one, other = (json.dumps({"k" * 5000: {"at": value}}) for value in (1, 2))
    assert json_pair(one, other, Rules((IgnoreRule("/body/k*/at"),))).result is Result.MATCHED
