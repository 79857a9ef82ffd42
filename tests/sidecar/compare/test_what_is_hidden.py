"""What the judges hide: consistently, symmetrically, and never too much at once."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from mirrorproof_sidecar.compare import Cause, Context, Kind, Rules, compare
from mirrorproof_sidecar.endpoints import endpoint_of

U = ["0b7a5f1e-93b1-4b9d-8a53-6f3f0ad4c1aa", "e2c1d7a4-5b02-4f6e-9a77-1c2d3e4f5a6b",
     "c4cc87c8-6387-4dcd-a5bf-abaf5232490d"]  # fmt: skip
JSON = "application/json"


def hidden_and_told(exchange, one, other, **more):
    sides = [exchange(json.dumps(body).encode(), JSON, **more) for body in (one, other)]
    found = compare(*sides, Rules())
    return [d.path for d in found.differences], [i.difference.path for i in found.ignored]


def test_a_token_that_stands_for_two_is_told_where_most_places_say_otherwise(exchange):
    one = {"request_id": U[0], "trace": {"request_id": U[0]}, "error": {"request_id": U[0]}}
    other = {"request_id": U[1], "trace": {"request_id": U[1]}, "error": {"request_id": U[2]}}
    told, hidden = hidden_and_told(exchange, one, other)
    assert (told, hidden) == (["/body/error/request_id"], ["/body/request_id", "/body/trace/request_id"])


def test_tokens_that_changed_places_were_not_made_anew(exchange):
    told, _ = hidden_and_told(exchange, {"nonce": U[0], "csrf": U[1]}, {"nonce": U[1], "csrf": U[0]})
    assert told == ["/body/csrf", "/body/nonce"]


def learnt(exchange, one, other, path, content_type=JSON):
    endpoint = endpoint_of("shop", "GET", "/orders/7", None).id
    context = Context(noise={(endpoint, path, Kind.CHANGED_VALUE): "differs"})
    return compare(exchange(one, content_type), exchange(other, content_type), Rules(), context=context)


def test_noise_hides_a_field_and_never_a_whole_body(exchange):
    assert not learnt(exchange, b'{"a":"x"}', b'{"a":"y"}', "/body/a").differences
    assert learnt(exchange, b"x\n", b"y\n", "/body", "text/plain").differences


def test_noise_hides_no_value_of_another_sort(exchange):
    drawn, half, word = b'{"a":"9f2c4e1ab77d03e5"}', b'{"a":"9f2c4e1a"}', b'{"a":"undefined"}'
    assert not learnt(exchange, drawn, b'{"a":"03bd91fe6c2a88f1"}', "/body/a").differences
    assert learnt(exchange, drawn, half, "/body/a").differences
    assert learnt(exchange, drawn, word, "/body/a").differences


values = st.one_of(
    st.integers(1, 4), st.sampled_from([17, 18, 1703, 1704, *U, "/orders/17", "/orders/18"]),
    st.sampled_from(["ORD-1017", "ORD-1018", "Order 17", "Order 18", "Q29tbWVudDo2NDc4", "Q29tbWVudDo2NDgx"]),
)  # fmt: skip
names = st.sampled_from(
    ["id", "order_id", "customer_id", "quantity", "payment", "href", "ref", "text", "nonce"]
)
trees = st.dictionaries(
    names, st.one_of(values, st.lists(st.dictionaries(names, values, max_size=3), max_size=3)), max_size=5
)
effects = st.lists(
    st.tuples(st.sampled_from(["sql.insert", "http.request"]),
              st.sampled_from(["orders", "POST /x/17", "POST /x/18"]),
              st.sampled_from(["id=17", "id=18", "order_id=17", "total=17", "total=18"])),
    max_size=3,
)  # fmt: skip


@given(
    trees,
    trees,
    effects,
    effects,
    st.sampled_from(["POST", "GET"]),
    st.sampled_from(["/orders", "/import", "/x"]),
)
def test_swapping_the_sides_hides_the_same(exchange, effect, one, other, made, its_made, method, path):
    sides = [
        exchange(
            json.dumps(body).encode(), JSON, method=method, path=path,
            effects=[effect(f"{n}{line}", kind=kind, target=target, summary=line)
                     for n, (kind, target, line) in enumerate(written)],
        )
        for body, written in ((one, made), (other, its_made))
    ]  # fmt: skip
    swap = {Kind.MISSING: Kind.EXTRA, Kind.EXTRA: Kind.MISSING, Kind.EFFECT_MISSING: Kind.EFFECT_EXTRA,
            Kind.EFFECT_EXTRA: Kind.EFFECT_MISSING}  # fmt: skip
    found, mirrored = compare(*sides, Rules()), compare(*sides[::-1], Rules())
    told = {(d.path, d.kind) for d in found.differences}
    assert told == {(d.path, swap.get(d.kind, d.kind)) for d in mirrored.differences}
    assert not compare(sides[0], sides[0], Rules()).differences
    assert all(i.by in (Cause.SHAPE, Cause.CORRESPONDENCE) and i.name and i.reason for i in found.ignored)
