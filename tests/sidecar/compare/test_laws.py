"""The laws that every comparison keeps, whatever it is given."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from decimal import Decimal

import brotli
import msgspec
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from mirrorproof.exchange import Outcome
from mirrorproof_sidecar.compare import (
    DEFAULT_RULES,
    IgnoreRule,
    Kind,
    Result,
    Rules,
    compare,
    to_wire,
)
from mirrorproof_sidecar.compare.content import decode
from mirrorproof_sidecar.compare.wire import storable

SCALARS = [
    "1", "1.0", "1.00", "1e0", "10e-1", '"1"', "true", "false", "null", "0", "-0", "0.0", "-0.0", "NaN",
    "-Infinity", "1e400", "1e401", "10e399", "0.1", "0.10", "0.1000000000000000055511151231257827",
    "18446744073709551616", "18446744073709551617", "9007199254740993", "9007199254740993.0",
    "9007199254740992.0", '""', '"\\u0000"', '"\\ud800"', '"\\ud801"', '"[redacted]"', "9" * 700,
    "9" * 699 + "8", "1e99999999999999999999", "{}", "[]",
]  # fmt: skip
KEYS = ["a", "b", "", "a/b", "~", "*", "0", "\\u0000", "\\ud800", "ä", "k" * 700]
TYPES = [
    "application/json", "application/problem+json", "text/plain", "text/html; charset=latin-1",
    "text/plain; charset=utf-16", "application/json; charset=nonsense", "image/png", "", None,
]  # fmt: skip
CODINGS = ["gzip", "deflate", "br", "zstd", "gzip, br", "identity", "snappy", None]

json_texts = st.recursive(
    st.sampled_from(SCALARS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=5).map(lambda items: f"[{','.join(items)}]"),
        st.lists(st.tuples(st.sampled_from(KEYS), inner), max_size=5).map(
            lambda pairs: "{" + ",".join(f'"{key}":{value}' for key, value in pairs) + "}"
        ),
    ),
    max_leaves=12,
)
effects = st.lists(
    st.builds(
        dict,
        digest=st.sampled_from("abc"),
        outcome=st.sampled_from(list(Outcome)[:3]),
        kind=st.sampled_from(["sql.insert", "http.request"]),
        target=st.sampled_from(["orders", "POST https://pay/~1/x", ""]),
    ),
    max_size=5,
)
headers = st.lists(
    st.tuples(st.sampled_from(["set-cookie", "x-a", "date", "X-A", "a/b", ""]), st.sampled_from("12\x00")),
    max_size=5,
)


def _near(text: str, old: str, new: str) -> tuple[str, str]:
    """`text` and the same with one scalar replaced by another."""
    return text, re.sub(rf"(?<![^\[,:]){re.escape(old)}(?![^\],}}])", lambda _: new, text, count=1)


json_pairs = st.one_of(
    st.tuples(json_texts, json_texts),
    st.builds(_near, json_texts, st.sampled_from(SCALARS), st.sampled_from(SCALARS)),
)


def encoded(body: bytes, coding: str | None) -> bytes:
    encode = {
        "gzip": gzip.compress, "deflate": zlib.compress, "br": brotli.compress, "zstd": zstandard.compress,
        "gzip, br": lambda plain: brotli.compress(gzip.compress(plain)),
    }.get(coding or "")  # fmt: skip
    return encode(body) if encode else body


@st.composite
def sides(draw, bodies=st.one_of(json_texts.map(str.encode), st.binary(max_size=40))):  # noqa: B008
    """The arguments of `make_exchange` for one side of a pair, in all the ways that a capture can be."""
    coding = draw(st.sampled_from(CODINGS))
    body = draw(bodies)
    body = encoded(body, coding) if draw(st.booleans()) else body
    more = {"headers": draw(headers) + ([("content-encoding", coding)] if coding else [])}
    if draw(st.booleans()):
        more["kept"] = body[: draw(st.integers(0, 20))]
    if draw(st.booleans()):
        more["sha256"] = ""
    if draw(st.integers(0, 5)) == 0:
        more["error"] = draw(st.sampled_from(["ValueError", "TimeoutError"]))
    return {
        "body": body,
        "content_type": draw(st.sampled_from(TYPES)),
        "status": draw(st.sampled_from([200, 500])),
        "notes": draw(st.lists(st.sampled_from(["effects_unobserved", "yielded", "other"]), max_size=1)),
        "effects": draw(effects),
        **more,
    }


def built(exchange, effect, side):
    return exchange(**side | {"effects": [effect(**one) for one in side["effects"]]})


def strings(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)


SWAPPED = {
    Kind.MISSING: Kind.EXTRA,
    Kind.EXTRA: Kind.MISSING,
    Kind.EFFECT_MISSING: Kind.EFFECT_EXTRA,
    Kind.EFFECT_EXTRA: Kind.EFFECT_MISSING,
}


def shown(differences, swap=False):
    """Comparable by text: values are told apart as strictly as they are shown."""
    if swap:
        turned = [(one.path, SWAPPED.get(one.kind, one.kind), one.shadow, one.primary) for one in differences]
    else:
        turned = [(one.path, one.kind, one.primary, one.shadow) for one in differences]
    return sorted(tuple(map(repr, one)) for one in turned)


@given(sides())
def test_an_exchange_does_not_differ_from_itself(exchange, effect, side):
    one = built(exchange, effect, side)
    copy = msgspec.msgpack.decode(msgspec.msgpack.encode(one), type=type(one))
    comparison = compare(one, copy, Rules())
    assert comparison.differences == comparison.ignored == ()


@given(json_texts)
def test_a_json_body_whose_digest_is_not_known_matches_itself(exchange, text):
    one = exchange(text.encode(), "application/json", sha256="")
    two = exchange(b" " + text.encode(), "application/json", sha256="")
    assert compare(one, one, Rules()).result is Result.MATCHED
    assert compare(one, two, Rules()).result is Result.MATCHED


@settings(max_examples=300)
@given(sides(), sides())
def test_swapping_the_sides_swaps_each_difference_and_moves_none(exchange, effect, one, other):
    one, other = built(exchange, effect, one), built(exchange, effect, other)
    there, back = compare(one, other, DEFAULT_RULES), compare(other, one, DEFAULT_RULES)
    assert shown(there.differences) == shown(back.differences, swap=True)
    assert shown(i.difference for i in there.ignored) == shown(
        (i.difference for i in back.ignored), swap=True
    )
    assert [(i.by, i.name) for i in there.ignored] == [(i.by, i.name) for i in back.ignored]
    assert there.result is back.result
    assert len(there.incomparable) == len(back.incomparable)
    assert len(there.remarks) == len(back.remarks)


@given(sides(), sides())
def test_the_result_depends_on_nothing_but_the_arguments(exchange, effect, one, other):
    one, other = built(exchange, effect, one), built(exchange, effect, other)
    assert repr(compare(one, other, DEFAULT_RULES)) == repr(compare(one, other, DEFAULT_RULES))


@settings(max_examples=300)
@given(
    st.binary(max_size=200), st.binary(max_size=200), st.sampled_from(TYPES), st.text(max_size=30),
    st.sampled_from(CODINGS),
)  # fmt: skip
def test_no_two_byte_strings_of_any_type_raise_and_all_that_is_said_can_be_stored(
    exchange, one, other, sort, odd_type, coding
):
    extra = [("content-encoding", coding)] if coding else []
    left = exchange(one, sort, headers=extra)
    for content_type in (sort, odd_type):
        comparison = compare(left, exchange(other, content_type, headers=extra), DEFAULT_RULES)
        assert all(storable(text) == text for text in strings(to_wire(comparison)))
        assert json.dumps(to_wire(comparison), ensure_ascii=True, allow_nan=False)


def _meaning(text: str):
    """An oracle written in another way: numbers as tagged decimals, objects as sorted or tagged pairs."""

    def pairs(found):
        keys = [key for key, _ in found]
        return (
            ("pairs", tuple(found))
            if len(set(keys)) < len(keys)
            else ("object", tuple(sorted(found, key=lambda p: p[0])))
        )

    def fraction(number):
        if "e99999" in number:
            return ("huge", number)
        sign, digits, exponent = Decimal(number).as_tuple()
        whole = int("".join(map(str, digits)))
        if whole == 0:
            return ("fraction", 0, 0, 0)
        while whole % 10 == 0:
            whole, exponent = whole // 10, exponent + 1
        return ("fraction", sign, whole, exponent)

    def tag(value):
        if isinstance(value, tuple) and value[0] in {"object", "pairs"}:
            return (value[0], tuple((key, tag(item)) for key, item in value[1]))
        if isinstance(value, list):
            return ("array", tuple(map(tag, value)))
        return value if isinstance(value, tuple) else (type(value).__name__, value)

    return tag(
        json.loads(
            text,
            object_pairs_hook=pairs,
            parse_float=fraction,
            parse_int=lambda number: ("integer", number.replace("-0", "0")),
            parse_constant=lambda name: ("constant", name),
        )
    )


@settings(max_examples=500)
@given(json_pairs)
def test_two_json_texts_match_exactly_if_an_independent_reading_says_so(json_pair, texts):
    one, other = texts
    matched = json_pair(one, other).result is Result.MATCHED
    assert matched == (_meaning(one) == _meaning(other))


@settings(max_examples=300)
@given(json_pairs, st.randoms())
def test_a_rule_hides_exactly_what_it_names_and_lists_it(json_pair, texts, random):
    one, other = texts
    without = json_pair(one, other)
    if not without.differences:
        return
    named = random.choice(without.differences).path
    if "*" in named or len(named) > 500:
        return
    rule = IgnoreRule(named, reason="because")
    under = json_pair(one, other, Rules((rule,)))
    hidden = [ignored.difference for ignored in under.ignored]
    assert {(ignored.name, ignored.reason) for ignored in under.ignored} == {(named, "because")}
    assert shown(hidden) == shown(found for found in without.differences if found.path == named)
    assert shown(under.differences) == shown(found for found in without.differences if found.path != named)


@given(json_pairs)
def test_a_rule_for_everything_hides_everything_and_lists_it(json_pair, texts):
    one, other = texts
    without, under = json_pair(one, other), json_pair(one, other, Rules((IgnoreRule("/**"),)))
    assert under.result is Result.MATCHED
    assert shown(ignored.difference for ignored in under.ignored) == shown(without.differences)


@given(json_texts, json_texts, st.integers(0, 5), st.integers(0, 5))
def test_an_item_put_into_an_array_is_one_extra(json_pair, item, other, before, behind):
    items = [other] * before + [item] * behind
    more = [*items[:before], '"new"', *items[before:]]
    comparison = json_pair(f"[{','.join(items)}]", f"[{','.join(more)}]")
    assert [(found.path, found.kind) for found in comparison.differences] == [(f"/body/{before}", Kind.EXTRA)]


@given(st.binary(max_size=300))
def test_decoding_what_was_decoded_changes_nothing(body):
    once = decode(zlib.compress(body), ("deflate",), whole=True)
    assert once == body == decode(once, (), whole=True)


@given(sides(), sides())
def test_the_wire_form_is_the_same_when_it_is_made_again_from_itself(exchange, effect, one, other):
    wire = to_wire(compare(built(exchange, effect, one), built(exchange, effect, other), Rules()))
    assert json.loads(json.dumps(wire, allow_nan=False)) == wire
