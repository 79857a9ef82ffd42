"""How an example is shown: the part that differs, in bounds, and nothing that a terminal obeys."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorproof_sidecar.examples import shown

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.mark.parametrize(
    ("example", "expected"),
    [
        ({"primary": 1.5, "shadow": None}, ("1.5", "null")),
        ({"primary": "1", "shadow": 1}, ('"1"', "1")),
        ({"primary": "here"}, ('"here"', "(nothing)")),
        ({"shadow": None}, ("(nothing)", "null")),
        ({"primary": "é\x1b", "shadow": "\u202e"}, ('"é\\u001b"', '"\N{REPLACEMENT CHARACTER}"')),
    ],
)
def test_short_values_are_shown_whole(example: dict[str, Any], expected: tuple[str, str]) -> None:
    assert shown(example) == expected


def test_long_values_are_shown_from_shortly_before_they_part_ways() -> None:
    alike = "insert into orders " + "x" * 100
    assert shown({"primary": f"{alike}1", "shadow": f"{alike}2"}) == ('…xxxxxxxxxxxx1"', '…xxxxxxxxxxxx2"')
    one, other = shown({"primary": f"1{alike}", "shadow": f"2{alike}"})
    assert (one[:9], other[:9]) == ('"1insert ', '"2insert ')
    assert one[-1] == other[-1] == "…"


def test_an_effect_is_its_summary_and_its_digest_where_redaction_made_summaries_equal() -> None:
    primary = {"summary": "insert into mails", "outcome": "executed"}
    shadow = {"summary": "insert into mails", "outcome": "suppressed"}
    place = {"path": "/effects/sql.insert/mails/0"}

    assert shown(place | {"primary": primary}) == ("insert into mails", "(nothing)")
    redacted = {"primary": primary | {"digest": "a" * 64}, "shadow": shadow | {"digest": "b" * 64}}
    assert shown(place | redacted) == ("insert into mails #aaaaaaaaaaaa", "insert into mails #bbbbbbbbbbbb")
    body = {"path": "/body", "primary": {"summary": 1, "outcome": 2}}
    assert shown(body)[0] == '{"summary": 1, "outcome": 2}'


@given(primary=JSON, shadow=JSON, width=st.integers(20, 120))
def test_it_keeps_to_its_width_and_obeys_no_stranger(primary: Any, shadow: Any, width: int) -> None:
    both = shown({"primary": primary, "shadow": shadow}, width)

    assert all(len(text) <= width and text.isprintable() for text in both)
    assert both[::-1] == shown({"primary": shadow, "shadow": primary}, width)
