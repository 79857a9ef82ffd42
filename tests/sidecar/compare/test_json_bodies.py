"""JSON bodies: the traps, each by example."""

from __future__ import annotations

import contextlib
import json
from decimal import Decimal

import pytest

from mirrorproof_sidecar.compare import MISSING, DuplicateKeys, LongNumber, Result, Rules, compare
from mirrorproof_sidecar.compare.found import Found
from mirrorproof_sidecar.compare.jsontree import MAX_DEPTH, BrokenJSONError, TooDeepError, parse
from mirrorproof_sidecar.compare.jsonwalk import walk
from mirrorproof_sidecar.compare.nodes import TreeReader
from mirrorproof_sidecar.compare.numbers import parse_fraction, parse_integer
from mirrorproof_sidecar.compare.rules import matcher_for

JSON = "application/json"


@pytest.mark.parametrize(
    ("one", "other"),
    [("1", "1.0"), ("1", '"1"'), ("1", "true"), ("1.0", "true"), ("0", "false"), ("0", "null"), ("1", "1e0"),
     ('""', "null"), ("[]", "{}"), ("[]", "null"), ("{}", "null"), ("NaN", "null"), ("1", "9" * 700 + ".0"),
     ("9" * 4301, "9" * 4301 + ".0")],
)  # fmt: skip
def test_values_of_two_types_are_a_changed_type_either_way(json_pair, told, one, other):
    assert told(json_pair(f'{{"a":{one}}}', f'{{"a":{other}}}')) == [("/body/a", "changed_type")]
    assert told(json_pair(f"[{other}]", f"[{one}]")) == [("/body/0", "changed_type")]
    assert told(json_pair(one, other)) == [("/body", "changed_type")]


@pytest.mark.parametrize(
    ("one", "other"),
    [("1.0", "1.00"), ("1.0", "1e0"), ("100.0", "1E+2"), ("0.1", "1e-1"), ("-0.0", "0.0"), ("0e9", "0.0"),
     ("-0", "0"),
     ("1e400", "10e399"), ("1.0", "1." + "0" * 5000), ("1e0", "1e" + "0" * 5000), ("NaN", "NaN"),
     ("1e99999999999999999999", "10e99999999999999999998")],
)  # fmt: skip
def test_one_number_written_in_two_ways_is_no_difference(json_pair, one, other):
    assert json_pair(f'{{"a":{one}}}', f'{{"a": {other}}}').result is Result.MATCHED


@pytest.mark.parametrize(
    ("one", "other"),
    [("1e400", "1e401"), ("1e400", "Infinity"), ("-Infinity", "Infinity"), ("NaN", "Infinity"),
     ("1e999999999", "1.0"), ("1e999999999", "1e-999999999"), ("1e-400", "0.0"),
     ("9007199254740993.0", "9007199254740992.0"), ("0.1", "0.1000000000000000055511151231257827"),
     ("18446744073709551616", "18446744073709551617"), ("9" * 4301, "9" * 4300 + "8"),
     ("1e" + "9" * 5000, "1e" + "9" * 4999), ('"\\ud800"', '"\\ud801"'), ('"\\u0000"', '""'), ('"a"', '"A"')],
)  # fmt: skip
def test_values_that_a_common_parser_confuses_are_a_changed_value(json_pair, told, one, other):
    assert told(json_pair(f'{{"a":{one}}}', f'{{"a":{other}}}')) == [("/body/a", "changed_value")]


def test_numbers_come_out_as_what_holds_them_exactly():
    assert (parse_integer("17"), type(parse_integer("17"))) == (17, int)
    assert parse_integer("9" * 4301) == LongNumber(True, "9" * 4301)
    assert (parse_fraction("19.90"), type(parse_fraction("19.90"))) == (19.9, float)
    assert parse_fraction("1e400") == Decimal("1e400")
    assert parse_fraction("0.12345678901234567890") == Decimal("0.12345678901234567890")
    assert isinstance(parse_fraction("1e99999999999999999999"), LongNumber)


def test_paths_are_pointers_with_their_escapes(json_pair, told):
    comparison = json_pair('{"a/b":{"m~n":[1]},"":1}', '{"a/b":{"m~n":[2]},"":2}')
    assert told(comparison) == [("/body/", "changed_value"), ("/body/a~1b/m~0n/0", "changed_value")]


def test_a_missing_member_is_not_a_null_member(json_pair):
    (found,) = json_pair('{"a":null}', "{}").differences
    assert (found.kind, found.primary, found.shadow) == ("missing", None, MISSING)
    (found,) = json_pair("{}", '{"a":null}').differences
    assert (found.kind, found.primary, found.shadow) == ("extra", MISSING, None)


def test_the_order_of_members_and_the_blanks_do_not_count(json_pair):
    assert json_pair('{"a":1,"b":[2]}', ' { "b" : [ 2 ] , "a" : 1 } ').result is Result.MATCHED


def test_the_order_of_items_counts(json_pair, told):
    assert told(json_pair("[1,2]", "[2,1]")) == [("/body", "order")]
    assert json_pair("[1,1,2]", "[1,2,2]").result is Result.DIFFERENT


@pytest.mark.parametrize(
    ("shadow", "expected"),
    [
        ("[9,1,2,3]", [("/body/0", "extra")]),
        ("[1,2,9,3]", [("/body/2", "extra")]),
        ("[1,2,3,9]", [("/body/3", "extra")]),
        ("[1,2,3,3]", [("/body/3", "extra")]),
        ("[1,3]", [("/body/1", "missing")]),
        ("[]", [("/body/0", "missing"), ("/body/1", "missing"), ("/body/2", "missing")]),
        ("[1,8,9,3]", [("/body/1", "changed_value"), ("/body/2", "extra")]),
    ],
)
def test_items_put_in_or_taken_out_do_not_shift_the_rest(json_pair, told, shadow, expected):
    assert told(json_pair("[1,2,3]", shadow)) == expected


def test_items_are_taken_for_equal_only_if_their_types_are(json_pair, told):
    assert told(json_pair("[[1],[2]]", "[[1.0],[2],[3]]"))[0] == ("/body/0/0", "changed_type")
    assert not TreeReader().same([{"a": [1]}], [{"a": [True]}])
    assert TreeReader().same([{"a": [1], "b": {}}], [{"b": {}, "a": [1]}])


def test_a_key_that_occurs_twice_is_never_silently_equal(json_pair, told):
    one, two = '{"x":{"a":1,"a":2}}', '{"x":{"a":2}}'
    for left, right in ((one, two), (two, one)):
        comparison = json_pair(left, right)
        assert told(comparison) == [("/body/x", "changed_value")]
        assert "repeats a key" in comparison.remarks[0]
    assert told(json_pair(one, '{"x":{"a":1,"a":3}}')) == [("/body/x/a", "changed_value")]
    assert told(json_pair(one, '{"x":{"a":2,"a":1}}')) != []
    (found,) = json_pair(one, two).differences
    assert found.primary == DuplicateKeys((("a", 1), ("a", 2)))


def test_equal_bodies_with_a_key_that_occurs_twice_match_and_say_so(json_pair):
    comparison = json_pair('{"a":1,"a":2}', '{"a":1, "a":2}')
    assert comparison.result is Result.MATCHED
    assert comparison.remarks == (
        "/body: an object repeats a key (primary and shadow); its pairs count in order",
    )


def nested(depth: int, core: str = "1") -> str:
    return "[" * depth + core + "]" * depth


def test_depth_100_000_cannot_be_compared_and_does_no_harm(json_pair):
    for shadow in (nested(100_000, "2"), '{"a":' * 100_000 + "1" + "}" * 100_000, "[" * 100_000, "1"):
        comparison = json_pair(nested(100_000), shadow)
        assert comparison.result is Result.INCOMPARABLE
        assert comparison.incomparable[0].startswith("/body: nested deeper than 500 on the primary side")


def test_depth_100_000_matches_if_the_bytes_are_equal(json_pair, exchange):
    assert json_pair(nested(100_000), nested(100_000)).result is Result.MATCHED
    blind = exchange(nested(100_000).encode(), JSON, sha256="")
    assert compare(blind, blind, Rules()).result is Result.MATCHED


def test_the_deepest_allowed_is_compared(json_pair, told):
    ((path, kind),) = told(json_pair(nested(MAX_DEPTH), nested(MAX_DEPTH, "2")))
    assert (path.startswith("/body/0/0"), kind) == (True, "changed_value")
    with pytest.raises(TooDeepError):
        parse(nested(MAX_DEPTH + 1))


def test_brackets_in_strings_are_not_depth():
    for text in ("[" * 1000, '\\"' + "[" * 1000, "\\\\"):
        assert parse(json.dumps([text])) == [text]


@pytest.mark.parametrize(
    "text", ["[" * 600 + '"', "[" * 600 + '"\\', "[" * 600 + '"\\"' * 5000, "]" * 600 + "[" * 600]
)
def test_a_deep_text_that_is_also_broken_raises_one_of_the_two_errors(text):
    with pytest.raises((TooDeepError, BrokenJSONError)):
        parse(text)


def test_a_stack_that_is_nearly_full_is_no_crash():
    def down(levels: int) -> object:
        return parse(nested(400)) if levels == 0 else down(levels - 1)

    # From Python 3.12 on, C code has a stack of its own, and the text is simply read.
    with contextlib.suppress(TooDeepError):
        assert TreeReader().same(down(800), parse(nested(400)))


def test_broken_json_on_one_side_is_a_difference(json_pair, told):
    comparison = json_pair('{"a":1}', '{"a":')
    assert told(comparison) == [("/body", "body")]
    assert set(comparison.differences[0].shadow) == {"sha256", "bytes"}
    assert comparison.remarks[0].startswith("/body: no JSON on the shadow side: Expecting value")


def test_broken_json_on_both_sides_is_compared_as_text(json_pair, told):
    comparison = json_pair("{\na}", "{\nb}")
    assert told(comparison) == [("/body", "changed_value")]
    assert comparison.differences[0].primary == {"line": 2, "lines": 1, "text": "a}"}


def test_an_empty_json_body_against_a_document_is_missing_or_extra(json_pair):
    (found,) = json_pair('{"a":1}', "").differences
    assert (found.path, found.kind, found.primary, found.shadow) == ("/body", "missing", {"a": 1}, MISSING)
    assert json_pair("", "null").differences[0].kind == "extra"
    assert json_pair("", "").result is Result.MATCHED


def test_a_byte_order_mark_on_one_side_is_a_difference_and_does_not_hide_the_others(json_pair, told):
    assert told(json_pair(b'\xef\xbb\xbf{"a":1}', b'{"a":2}')) == [
        ("/body", "body"),
        ("/body/a", "changed_value"),
    ]
    assert told(json_pair(b'\xef\xbb\xbf{"a":1}', b'\xef\xbb\xbf{"a": 1}')) == []


def test_bytes_that_are_not_in_the_charset_are_compared_by_digest_with_the_reason(json_pair, told):
    comparison = json_pair(b'{"a":"\xe4"}', '{"a":"ä"}')
    assert told(comparison) == [("/body", "body")]
    assert comparison.remarks == ("/body: compared by digest: not utf-8 at byte 6 on the primary side",)


def test_a_named_charset_is_decoded(exchange):
    one = exchange('{"a":"ä"}'.encode("latin-1"), "application/json; charset=ISO-8859-1")
    other = exchange('{"a":"ä"}'.encode(), "application/json; charset=ISO-8859-1")
    same_text = exchange('{"a": "ä"}'.encode("latin-1"), "application/json; charset=ISO-8859-1")
    assert compare(one, other, Rules()).result is Result.DIFFERENT
    assert compare(one, same_text, Rules()).result is Result.MATCHED


def test_json_is_what_the_content_type_says_and_is_never_guessed(exchange, told):
    for content_type, kind in ((JSON, None), ("application/hal+json", None), (None, "body"), ("", "body")):
        comparison = compare(exchange(b"[1]", content_type), exchange(b"[ 1 ]", content_type), Rules())
        assert [found.kind for found in comparison.differences] == ([kind] if kind else [])


def test_a_redacted_value_equals_a_redacted_value(exchange):
    one = exchange(b'{"token":"abc"}', JSON, kept=b'{"token":"[redacted]"}', truncated=False)
    other = exchange(b'{"token":"xyz"}', JSON, kept=b'{"token":"[redacted]"}', truncated=False)
    comparison = compare(one, other, Rules())
    assert comparison.result is Result.MATCHED
    assert "redacted" in comparison.remarks[0]


def test_too_many_differences_are_counted_up_to_a_bound_and_the_comparison_says_so(json_pair):
    comparison = json_pair(json.dumps([0] * 300), json.dumps([1] * 300))
    assert (len(comparison.differences), comparison.differences_omitted) == (200, 100)
    assert [found.path for found in comparison.differences[:12:10]] == ["/body/0", "/body/10"]
    comparison = json_pair(json.dumps([0] * 20_000), json.dumps([1] * 20_000))
    assert (len(comparison.differences), comparison.differences_omitted) == (200, 9_800)
    assert comparison.incomparable == ("/body: more than 10000 differences; the rest was not looked at",)


def test_an_array_of_arrays_of_other_lengths_costs_no_more_than_its_size(monkeypatch):
    digested = 0

    class Counting(TreeReader):
        def _of_parts(self, node):
            nonlocal digested
            digested += 1
            return super()._of_parts(node)

    monkeypatch.setattr("mirrorproof_sidecar.compare.jsonwalk.TreeReader", Counting)
    wide = "1," * 1000
    sides = ("[" * 100 + wide + "1" + ",0]" * 100, "[" * 100 + wide + "2" + "]" * 100)
    found = Found(matcher_for(Rules(), "GET /"))
    walk(found.at("body"), *map(parse, sides), found)
    assert found.comparison().differences
    assert 0 < digested <= 200
