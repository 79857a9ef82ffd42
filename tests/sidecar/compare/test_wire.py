"""A comparison as plain data: bounded, storable, and honest about what was cut."""

from __future__ import annotations

import json
import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mirrorproof_sidecar.compare as public
from mirrorproof_sidecar.compare import (
    MISSING,
    Difference,
    DuplicateKeys,
    IgnoreRule,
    Kind,
    LongNumber,
    Rules,
    difference_to_wire,
    to_wire,
)
from mirrorproof_sidecar.compare.wire import MAX_VALUE_CHARS, storable

text = st.text(st.characters(codec=None), max_size=50) | st.just("x" * 2000) | st.just("\x00" * 500)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | text | st.binary(max_size=20) | st.decimals()
    | st.just(LongNumber(True, "9" * 5000)) | st.integers(10**600, 10**620),
    lambda inner: st.lists(inner) | st.dictionaries(text, inner)
    | st.lists(st.tuples(text, inner), max_size=3).map(lambda pairs: DuplicateKeys(tuple(pairs))),
    max_leaves=60,
)  # fmt: skip


def value_to_wire(value):
    return difference_to_wire(Difference("/body", Kind.CHANGED_VALUE, value, MISSING))["primary"]


@given(values)
def test_any_value_fits_its_bound_and_can_be_stored(value):
    wire = json.dumps(value_to_wire(value), ensure_ascii=True, allow_nan=False)
    assert len(wire) <= MAX_VALUE_CHARS
    assert storable(str(json.loads(wire))) == str(json.loads(wire))
    assert value_to_wire(json.loads(wire)) == json.loads(wire)


plain_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text("ab", max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("ab", max_size=2), inner),
    max_leaves=8,
)


@given(plain_values)
def test_a_small_plain_value_stays_as_it_is(value):
    if len(json.dumps(value)) < 500:
        assert value_to_wire(value) == value


def test_missing_is_a_key_left_out_and_null_is_not():
    wire = difference_to_wire(Difference("/body/a", Kind.EXTRA, MISSING, None))
    assert wire == {"path": "/body/a", "kind": "extra", "shadow": None}


@pytest.mark.parametrize(
    ("value", "wire"),
    [
        (2**53, 2**53),
        (2**53 + 1, {"$number": "9007199254740993"}),
        (Decimal("1e400"), {"$number": "1E+400"}),
        (math.nan, {"$number": "NaN"}),
        (-math.inf, {"$number": "-Infinity"}),
        (LongNumber(False, "1e99999999999999999999"), {"$number": "1e99999999999999999999"}),
        (b"\x00\xff", {"$bytes": "00ff"}),
        (DuplicateKeys((("a", 1), ("a", 2))), {"$pairs": [["a", 1], ["a", 2]]}),
        ("a\x00\ud800", "a\\u0000\\ud800"),
        (1.0, 1.0),
        (True, True),
    ],
)
def test_what_json_or_a_double_cannot_hold_is_spelt_out(value, wire):
    assert (value_to_wire(value), type(value_to_wire(value))) == (wire, type(wire))


def test_what_was_cut_is_marked():
    assert value_to_wire("x" * 2000) == "x" * (MAX_VALUE_CHARS - 8) + "…"
    assert value_to_wire(list(range(2000)))[-1] == "…"
    assert list(value_to_wire({str(number): number for number in range(2000)}))[-1] == "…"
    assert value_to_wire({"a": "x" * 2000, "b": 1})["…"] == "…"
    deep: object = 1
    for _ in range(400):
        deep = [deep]
    assert json.dumps(value_to_wire(deep)).count("[") == 30


def test_a_comparison_on_the_wire_says_everything(json_pair):
    rules = Rules((IgnoreRule("/body/at", reason="a\x00clock"),))
    wire = to_wire(
        json_pair(
            '{"at":1,"a\\u0000":1,"x":{"b":1,"b":2}}', '{"at":2,"a\\u0000":null,"x":{"b":1, "b":2}}', rules
        )
    )
    assert wire == {
        "result": "different",
        "differences": [{"path": "/body/a\\u0000", "kind": "changed_type", "primary": 1, "shadow": None}],
        "differences_omitted": 0,
        "ignored": [
            {
                "path": "/body/at", "kind": "changed_value", "primary": 1, "shadow": 2,
                "by": "rule", "rule": {"path": "/body/at", "reason": "a\\u0000clock"},
            }
        ],
        "ignored_omitted": 0,
        "incomparable": [],
        "remarks": ["/body/x: an object repeats a key (primary and shadow); its pairs count in order"],
    }  # fmt: skip


def test_the_public_names_are_these():
    assert public.__all__ == [
        "CONFLICT_WITH_PRIMARY", "DEFAULT_RULES", "MISSING", "Cause", "Comparison", "Context", "Difference",
        "DuplicateKeys", "IgnoreRule", "Ignored", "Kind", "LongNumber", "Missing", "NoiseKey", "Op", "Order",
        "OrderRule", "Result", "Rules", "ToleranceRule", "TransformRule", "compare", "difference_to_wire",
        "rule_id", "to_wire",
    ]  # fmt: skip
    assert all(hasattr(public, name) for name in public.__all__)
