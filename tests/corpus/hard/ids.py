"""Ids that refer to the wrong thing and look renamed, and renamed ones that look wrong. Tuning part."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

from ..answers import Act, Answer
from ..environment import Env, Style
from ..labels import Part, Why
from ..marks import Bag, Marked, weave
from ..world import World
from .making import Cases, Made, acts, change, drop, header, put, write

__all__ = ["CASES"]

CASES = Cases(Part.TUNING)
_add = CASES.add
_UUID = Style("snake", "uuid4", "iso_milli")
_NIL = "00000000-0000-0000-0000-000000000000"


def _with(draw: Callable[[Env], Any], make: Callable[[Any], Made]) -> Callable[[World, Env], Made]:
    """A function that answers with one drawn value in several places."""
    return lambda world, env: make(draw(env))


def _order(world: World, env: Env) -> Made:
    order = env.new_id(1_017)
    lines = [
        {"line": number, "order_id": order, "sku": f"SKU-{number}", "qty": world.number(1, 9)}
        for number in (1, 2, 3)
    ]
    return Answer(
        {
            "id": order,
            "customer_id": 88,
            "lines": lines,
            "self": weave("/orders/", order),
            "created_at": env.now(),
        },
        status=201,
        headers={"location": weave("/orders/", order)},
        effects=[
            Act("sql.insert", "orders", {"id": order, "customer_id": 88}, frozenset({"id"})),
            Act("http.request", "POST https://books.example/entries", {"order": order, "amount": 4_200}),
        ],
    )


def _pair_of_new(world: World, env: Env) -> Made:
    first, second = env.new_id(210), env.new_id(212)
    return {
        "source": {"id": first, "role": "source"},
        "target": {"id": second, "role": "target"},
        "edges": [{"from": first, "to": second, "weight": 3}, {"from": second, "to": first, "weight": 5}],
        "root": first,
    }


_add(
    "a line that belongs to another order",
    "shop",
    "POST /orders/lines",
    _order,
    put("lines/1/order_id", lambda env: 1_011, "an id of another order"),
)
_add(
    "the location of another order",
    "shop",
    "POST /orders/location",
    _order,
    header("location", "/orders/1011", "a location that is not the new order's"),
)
_add(
    "another service hears of another order",
    "shop",
    "POST /orders/books",
    _order,
    write(
        1,
        "order",
        1_011,
        "an effect that names another order",
        "http.request/POST https:~1~1books.example~1entries",
    ),
)
_add(
    "a quantity that differs as the ids do",
    "shop",
    "POST /orders/quantity",
    lambda w, e: {
        "id": e.new_id(1_017),
        "ref": weave("O-", e.sequence(1_017)),
        "customer_id": 88,
        "quantity": 17,
        "page": 3,
    },
    put("quantity", 18, "a count off by one beside ids off by one"),
)
_add(
    "a quantity that is renamed by accident",
    "shop",
    "POST /orders/accident",
    lambda w, e: {
        "id": e.new_id(17),
        "items": [{"order": e.sequence(17), "quantity": 17, "sku": "A"}],
        "total": 510,
    },
    put("items/0/quantity", 18, "17 pieces became 18, just as id 17 became 18"),
)
_add(
    "two new objects that refer to each other the wrong way",
    "graphql",
    "POST /links",
    _pair_of_new,
    put(
        "edges/1/from",
        lambda env: 210 + env.ahead,
        "an edge from the wrong end",
        "changed_value",
        ("changed_value", "/body/edges/1/to"),
    ),
    style=Style("snake", "sequence", "iso_z"),
)
_add(
    "two new objects with one id",
    "graphql",
    "POST /links/same",
    _pair_of_new,
    put("target/id", lambda env: 210 + env.ahead, "the second object has the first one's id"),
)
_add(
    "uuids that refer to each other the wrong way",
    "graphql",
    "POST /links/uuid",
    _pair_of_new,
    change(
        "the root is the target",
        lambda answer, env: answer.tree.update(root=answer.tree["target"]["id"]),
        ("changed_value", "/body/root"),
    ),
    style=_UUID,
)
_add(
    "one request id in two places, and two",
    "search",
    "GET /documents/{id}",
    _with(
        lambda e: e.uuid(),
        lambda one: {
            "meta": {"query_id": one},
            "links": {"explain": weave("/explain/", one)},
            "debug": {"query": one},
            "hits": 3,
        },
    ),
    put(
        "debug/query",
        lambda env: env.uuid().map(lambda value: "7" + value[1:]),
        "another id than in the two other places",
        "changed_value",
        ("changed_value", "/body/meta/query_id"),
        ("changed_value", "/body/links/explain"),
    ),
)
_add(
    "a nil uuid",
    "auth",
    "POST /devices",
    lambda w, e: {"device": e.uuid(), "owner": w.uuid(), "registered_at": e.now()},
    put("device", _NIL, "the nil UUID instead of a new one"),
)
_add(
    "an empty id",
    "auth",
    "POST /devices/empty",
    lambda w, e: {"device": e.uuid(), "owner": w.uuid(), "registered_at": e.now()},
    put("device", "", "an empty text instead of an id"),
)
_add(
    "a number instead of a uuid",
    "auth",
    "POST /devices/number",
    lambda w, e: {"device": e.uuid(), "owner": w.uuid(), "registered_at": e.now()},
    put("device", 1, "a number instead of a UUID", "changed_type"),
)
_add(
    "the word undefined instead of an id",
    "auth",
    "POST /devices/undefined",
    lambda w, e: {"device": e.uuid(), "link": weave("/devices/", e.uuid()), "registered_at": e.now()},
    put("link", "/devices/undefined", "a link to nowhere"),
)
_add(
    "a uuid without dashes",
    "auth",
    "POST /devices/hex",
    lambda w, e: {"device": e.uuid(), "owner": w.uuid()},
    put("device", lambda env: env.hex_token(32), "32 digits without dashes: another notation"),
)
_add(
    "a ulid from 1970",
    "payments",
    "POST /transfers",
    lambda w, e: {
        "transfer": Marked(e.id_by("ulid", 0, ""), Why.RANDOM_ID),
        "amount": w.cents(),
        "currency": "EUR",
    },
    put(
        "transfer",
        lambda env: "0000" + env.id_by("ulid", 0, "")[4:],
        "its time is in 1970: seconds taken for milliseconds",
    ),
)
_add(
    "an existing object's uuid differs",
    "shop",
    "GET /orders/{id}/owner",
    lambda w, e: {"order": 17, "owner_id": "3f2b8c4e-9a1d-4f0b-8e77-1c2d3e4f5a6b", "seen_at": e.now()},
    put("owner_id", "b1946ac9-2492-4d23-86a3-d17d04c88a01", "another owner of an old order"),
    style=_UUID,
)
_add(
    "an existing object's number differs",
    "shop",
    "GET /orders/{id}/cart",
    lambda w, e: {
        "order": 17,
        "cart_id": 4_401,
        "seen_at": e.now(),
        "lines": [{"sku": "A", "product_id": 71}, {"sku": "B", "product_id": 72}],
    },
    put("cart_id", 4_402, "the next cart"),
)
_add(
    "billing and shipping address swapped",
    "shop",
    "GET /orders/{id}/addresses",
    lambda w, e: {
        "billing": {"address_id": 301, "kind": "billing"},
        "shipping": {"address_id": 302, "kind": "shipping"},
        "at": e.now(),
    },
    put("billing/address_id", 302, "the shipping address's id"),
    put("shipping/address_id", 301, "the billing address's id"),
)
_add(
    "a large id rounded as a double",
    "feed",
    "GET /posts/{id}",
    lambda w, e: {"id": 1_234_567_890_123_456_789, "text": w.sentence(), "fetched": e.now()},
    put("id", 1_234_567_890_123_456_800, "the last digits are lost"),
)
_add(
    "a trace of zeros",
    "metrics",
    "GET /traces/last",
    lambda w, e: {"trace_id": e.trace_id(), "spans": w.number(2, 30), "ok": True},
    put("trace_id", "0" * 32, "an invalid trace id"),
)
_add(
    "a token of half the length",
    "auth",
    "POST /reset",
    lambda w, e: {"ticket": e.hex_token(64), "sent": True},
    put("ticket", lambda env: env.hex_token(32), "128 bits instead of 256"),
)


def _cursor(position: int, env: Env) -> Any:
    inside = json.dumps({"after": position, "t": int(env.at_s * 1000)})
    return Marked(base64.b64encode(inside.encode()).decode(), Why.CURSOR)


_add(
    "a cursor at another position",
    "feed",
    "GET /timeline/page",
    lambda w, e: {"ids": [71, 72, 73], "next": _cursor(73, e), "has_more": True},
    put("next", lambda env: _cursor(75, env), "the next page would leave two out"),
)
_add(
    "no cursor",
    "feed",
    "GET /timeline/last",
    lambda w, e: {"ids": [71, 72, 73], "next": _cursor(73, e), "has_more": True},
    put("next", None, "null instead of a cursor", "changed_type"),
)
_add(
    "a signed link to another document",
    "shop",
    "GET /invoices/{id}/file",
    lambda w, e: {
        "invoice": 1_017,
        "url": e.signed_url("https://files.example/invoices/1017.pdf"),
        "bytes": 40_112,
    },
    put(
        "url",
        lambda env: env.signed_url("https://files.example/invoices/1018.pdf"),
        "another customer's invoice",
    ),
)
_add(
    "a signed link that ends too soon",
    "shop",
    "GET /invoices/{id}/short",
    lambda w, e: {
        "invoice": 1_017,
        "url": e.signed_url("https://files.example/invoices/1017.pdf"),
        "bytes": 40_112,
    },
    put(
        "url",
        lambda env: env.signed_url("https://files.example/invoices/1017.pdf", 9),
        "nine seconds instead of 15 minutes",
    ),
)
_add(
    "a link that is no longer signed",
    "shop",
    "GET /invoices/{id}/open",
    lambda w, e: {
        "invoice": 1_017,
        "url": e.signed_url("https://files.example/invoices/1017.pdf", signer="gcs"),
        "bytes": 40_112,
    },
    put("url", "https://files.example/invoices/1017.pdf", "a link for everybody"),
)
_add(
    "another customer is deleted elsewhere",
    "admin",
    "DELETE /customers/{id}",
    lambda w, e: Answer(
        {"deleted": 4_401, "at": e.now()},
        effects=[
            Act("http.request", "DELETE https://crm.example/customers/4401", {}),
            Act("sql.delete", "customers", {"id": 4_401}),
        ],
    ),
    acts(
        "another customer's record is deleted",
        lambda effects, env: effects.__setitem__(
            0, Act("http.request", "DELETE https://crm.example/customers/4402", {})
        ),
        "effect_missing",
        "http.request/DELETE https:~1~1crm.example~1customers~14401",
    ),
    acts(
        "a record that v1 leaves alone",
        lambda effects, env: None,
        "effect_extra",
        "http.request/DELETE https:~1~1crm.example~1customers~14402",
    ),
)
_add(
    "a new object without its id",
    "shop",
    "POST /orders/noid",
    _order,
    drop("id", "no id"),
)

# Noise that looks like a difference

_add(
    "ids with another number of digits",
    "shop",
    "POST /orders/digits",
    lambda w, e: {
        "id": e.new_id(9_999),
        "number": e.sequence(9_999).map(lambda n: f"ORD-2026-{n:06d}"),
        "total": 100,
    },
)
_add("new ids far apart", "shop", "POST /orders/far", _order, ahead=4_802)
_add(
    "an id that is a key",
    "graphql",
    "POST /entities",
    _with(
        lambda e: e.sequence(17),
        lambda one: {
            "entities": Marked(
                {str(one.value): {"id": one.value, "type": "user", "name": "Ada"}}, Why.SEQUENCE
            ),
            "result": one,
            "count": 1,
        },
    ),
)
_add(
    "an id in a sentence",
    "webhook",
    "POST /tickets",
    _with(
        lambda e: e.sequence(8_120),
        lambda one: {
            "ticket": one,
            "message": weave("Ticket #", one, " was opened; please quote #", one, " when you write."),
            "mail": weave("support+", one, "@example.org"),
            "priority": "high",
        },
    ),
)
_add(
    "an effect's target that holds a new id",
    "admin",
    "POST /exports",
    _with(
        lambda e: e.uuid(),
        lambda one: Answer(
            {"export": one, "state": "queued", "rows": 31},
            effects=[
                Act("s3.put", weave("exports/", one, ".csv"), {"bytes": 9_120}),
                Act("http.request", weave("PUT https://jobs.example/exports/", one), {"state": "queued"}),
            ],
        ),
    ),
)
_add(
    "three new ids of one sequence",
    "admin",
    "POST /import",
    lambda w, e: {
        "rows": [{"row": number, "id": e.sequence(500 + number), "ok": True} for number in range(3)],
        "first": e.sequence(500),
        "last": e.sequence(502),
    },
)
_add(
    "a digest of what is volatile",
    "auth",
    "POST /uploads",
    lambda w, e: {
        "upload": e.uuid(),
        "checksum": Marked(e.hex_token(64).value, Why.NONCE, alone=True),
        "bytes": 1_204,
    },
)
_add(
    "a stable random order of two new rows",
    "admin",
    "POST /import/two",
    lambda w, e: {
        "ids": Bag(sorted((e.uuid(), e.uuid()), key=lambda each: each.value), alone=False),
        "count": 2,
    },
)
