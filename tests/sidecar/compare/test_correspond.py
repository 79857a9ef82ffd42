"""v1's order 17 is v2's order 18 wherever it appears in the pair; nothing else is taken for a renamed id."""

from __future__ import annotations

import json

import pytest

from mirrorproof.exchange import Outcome
from mirrorproof_sidecar.compare import Cause, Rules, compare

U1, U2 = "0b7a5f1e-93b1-4b9d-8a53-6f3f0ad4c1aa", "e2c1d7a4-5b02-4f6e-9a77-1c2d3e4f5a6b"


@pytest.fixture
def compared(exchange):
    """What is told and what is hidden of two answers to a request that makes an order."""

    def compared(one, other, rules=None, headers=((), ()), effects=((), ()), **more):
        more = {"method": "POST", "path": "/orders", "status": 201} | more
        sides = [
            exchange(
                json.dumps(body).encode(), "application/json", headers=list(heads), effects=list(made), **more
            )
            for body, heads, made in zip((one, other), headers, effects, strict=True)
        ]
        found = compare(*sides, rules or Rules())
        return [d.path for d in found.differences], [(i.difference.path, i.by) for i in found.ignored]

    return compared


def hidden(*paths):
    return [], [(path, Cause.CORRESPONDENCE) for path in paths]


def test_the_id_of_what_was_made_is_renamed_everywhere(compared):
    found = compared(
        {"id": 17, "lines": [{"id": 101, "order_id": 17}, {"id": 102, "order_id": 17}],
         "links": {"self": "/orders/17", "pay": "/orders/17/pay?order_id=17"}, "text": "Order 17 is made"},
        {"id": 18, "lines": [{"id": 102, "order_id": 18}, {"id": 103, "order_id": 18}],
         "links": {"self": "/orders/18", "pay": "/orders/18/pay?order_id=18"}, "text": "Order 18 is made"},
        headers=([("location", "/orders/17")], [("location", "/orders/18")]),
    )  # fmt: skip
    assert found == hidden(
        "/body/id", "/body/lines/0/id", "/body/lines/0/order_id", "/body/lines/1/id",
        "/body/lines/1/order_id", "/body/links/pay", "/body/links/self", "/body/text", "/headers/location",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"id": U1}, {"id": U2}),
        ({"data": {"id": 17}}, {"data": {"id": 18}}),
        ({"order": {"id": 17}}, {"order": {"id": 18}}),
        ({"order_number": "ORD-1017"}, {"order_number": "ORD-1018"}),
        ({"id": "ord_k3J9x0LmQ2"}, {"id": "ord_Zp81aYt7Wd"}),
        ({"payment": {"id": 900}}, {"payment": {"id": 907}}),
    ],
)
def test_ids_of_several_kinds_are_renamed(compared, one, other):
    told, kept = compared(one, other)
    assert told == []
    assert [by for _, by in kept] == [Cause.CORRESPONDENCE]


@pytest.mark.parametrize(
    ("one", "other", "more"),
    [
        ({"quantity": 2}, {"quantity": 3}, {}),
        ({"id": 17, "quantity": 17}, {"id": 18, "quantity": 18}, {}),
        ({"id": 17, "text": "17 left"}, {"id": 18, "text": "18 left"}, {}),
        ({"price": 17}, {"price": 18}, {}),
        ({"customer_id": 5}, {"customer_id": 6}, {}),
        ({"customer": {"id": 5}}, {"customer": {"id": 6}}, {}),
        ({"slug": "red-shirt"}, {"slug": "blue-shirt"}, {}),
        ({"id": 17}, {"id": "18"}, {}),
        ({"id": "ORD-17"}, {"id": "INV-18"}, {}),
        ({"id": 17}, {"id": 0}, {}),
        ({"id": 17}, {"id": 18}, {"method": "GET", "status": 200}),
        ({"id": 17}, {"id": 18}, {"method": "PUT", "status": 200, "path": "/orders/17"}),
        ({"id": 17}, {"id": 18}, {"path": "/orders/17"}),
        ({"results": [{"id": 17}]}, {"results": [{"id": 18}]}, {"path": "/search", "status": 200}),
        ({"id": 17}, {"id": 18}, {"status": 409}),
        ({"id": 17, "order_id": 17}, {"id": 18, "order_id": 17}, {}),
        ({"id": 17, "lines": [{"order_id": 17}]}, {"id": 18, "lines": [{"order_id": 19}]}, {}),
        ({"lines": [{"id": 101}, {"id": 102}]}, {"lines": [{"id": 102}, {"id": 101}]}, {}),
    ],
)
def test_what_is_no_renamed_id_stays_a_difference(compared, one, other, more):
    told, _ = compared(one, other, **more)
    assert told


def test_a_renaming_that_does_not_hold_everywhere_hides_nothing(compared):
    told, kept = compared({"id": 17, "lines": [{"order_id": 17}]}, {"id": 18, "lines": [{"order_id": 17}]})
    assert (told, kept) == (["/body/id"], [])


def test_a_location_that_names_something_else_is_told(compared):
    told, _ = compared(
        {"id": 17}, {"id": 18}, headers=([("location", "/orders/17")], [("location", "/carts/18")])
    )
    assert told == ["/headers/location"]


def test_what_effects_inserted_on_both_sides_may_be_renamed(compared, effect):
    def made(digest):
        return [effect(digest, target="shipping_labels", summary="INSERT shipping_labels")]

    bodies = {"label_id": 7}, {"label_id": 9}
    assert compared(*bodies)[0] == ["/body/label_id"]
    assert compared(*bodies, effects=(made("a"), made("a")))[0] == []


def test_effects_are_the_same_but_for_renamed_ids(compared, effect):
    def made(order, total, target="POST https://pay/orders/{}/charges"):
        target, summary = target.format(order), f'{{"order_id": {order}, "total": {total}}}'
        return [
            effect(f"{order}{total}", Outcome.EXECUTED, kind="http.request", target=target, summary=summary)
        ]

    bodies = {"id": 17}, {"id": 18}
    assert compared(*bodies, effects=(made(17, 5), made(18, 5)))[0] == []
    assert len(compared(*bodies, effects=(made(17, 5), made(18, 6)))[0]) == 2
    assert len(compared(*bodies, effects=(made(17, 5), made(19, 5)))[0]) == 2
    same = "POST https://pay/charges"
    assert compared(*bodies, effects=(made(17, 5, same), made(18, 5, same)))[0] == []
    assert len(compared(*bodies, effects=(made(17, 5, same), made(18, 6, same)))[0]) == 1


def test_an_effect_that_does_not_show_all_of_itself_is_not_explained(compared, effect):
    def made(order, digest):
        return [effect(digest, summary=f"order_id={order}, card=[redacted]")]

    assert compared({"id": 17}, {"id": 18}, effects=(made(17, "a"), made(18, "b")))[0]


def test_rules_switch_it_off(compared):
    assert compared({"id": 17}, {"id": 18}, Rules(correspond=False))[0] == ["/body/id"]
