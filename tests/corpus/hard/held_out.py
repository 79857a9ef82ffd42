"""Hand-written cases of the held-out part: other ideas than those of the tuning part."""

from __future__ import annotations

import base64
import json
from copy import deepcopy
from typing import Any

from ..answers import Act, Answer
from ..environment import TIMES, Env, Style
from ..labels import Part, Why
from ..marks import Bag, Marked, weave
from ..world import World
from .making import Cases, Made, acts, add, change, drop, header, lacks, put, reorder, status, write

__all__ = ["CASES"]

CASES = Cases(Part.HELD_OUT)
_add = CASES.add
_UUID = Style("camel", "uuid4", "iso_z")


def _fixed(**members: Any) -> Any:
    def make(world: World, env: Env) -> Made:
        return {
            **deepcopy(members),
            "trace": env.trace_id(),
            "server_time": env.now("epoch_ms"),
            "pod": env.host("core"),
        }

    return make


def _invoice(world: World, env: Env) -> Made:
    made = env.new_id(777, "inv")
    return Answer(
        {
            "invoice": made,
            "number": env.sequence(777).map(lambda n: f"2026-{n:05d}"),
            "pdf": weave("/invoices/", made, "/pdf"),
            "positions": [
                {"invoice": made, "position": n, "net": 1_000 * n, "taxes": [{"rate": 19, "amount": 190 * n}]}
                for n in (1, 2, 3)
            ],
            "issued": env.now(),
            "due": env.now(plus_s=14 * 86_400),
            "customer": {"id": 4_410, "name": "Zoë Müller"},
        },
        status=201,
        headers={"location": weave("https://api.example/invoices/", made)},
        effects=[
            Act("sql.insert", "invoices", {"id": made, "net": 6_000}, frozenset({"id"})),
            Act("sql.insert", "positions", {"invoice": made, "net": 1_000}, frozenset({"invoice"})),
            Act(
                "http.request",
                "POST https://tax.example/reports",
                {"invoice": made, "total": 7_140, "at": env.now("iso_z")},
            ),
            Act("queue.publish", "exchange billing", {"invoice": made, "event": "issued"}),
        ],
    )


_i = "booking", "POST /invoices"
_tax = "http.request/POST https:~1~1tax.example~1reports"
_add("an invoice, right", *_i, _invoice)
_add("an invoice with uuids, right", *_i, _invoice, style=_UUID)
_add("due at once", *_i, _invoice, put("due", lambda env: env.now(), "due now instead of in 14 days"))
_add("due in 13 days", *_i, _invoice, put("due", lambda env: env.now(plus_s=13 * 86_400), "a day too early"))
_add("issued tomorrow", *_i, _invoice, put("issued", lambda env: env.now(plus_s=86_400), "tomorrow's date"))
_add(
    "issued without milliseconds",
    *_i,
    _invoice,
    put("issued", lambda env: env.now("iso_z"), "another precision"),
)
_add("a position of an older invoice", *_i, _invoice, put("positions/2/invoice", 770, "another invoice's id"))
_add("a pdf of an older invoice", *_i, _invoice, put("pdf", "/invoices/770/pdf", "another invoice's file"))
_add(
    "a location of an older invoice",
    *_i,
    _invoice,
    header("location", "https://api.example/invoices/770", "another invoice"),
)
_add(
    "a location on another host",
    *_i,
    _invoice,
    change(
        "another host",
        lambda answer, env: answer.headers.update(
            location=weave("http://127.0.0.1:8000/invoices/", answer.tree["invoice"])
        ),
        ("header", "/headers/location"),
    ),
)
_add(
    "the taxman hears of another total",
    *_i,
    _invoice,
    write(2, "total", 7_141, "a cent more is reported", _tax),
)
_add(
    "the taxman hears of another invoice",
    *_i,
    _invoice,
    write(2, "invoice", 770, "an older invoice is reported", _tax),
)
_add(
    "the taxman hears of last month",
    *_i,
    _invoice,
    write(2, "at", lambda env: env.now("iso_z", -31 * 86_400), "a month ago", _tax),
)
_add("the taxman hears nothing", *_i, _invoice, lacks(2, "no report", _tax))
_add("nobody hears of it", *_i, _invoice, lacks(3, "no message", "queue.publish/exchange billing"))
_add(
    "everybody hears twice",
    *_i,
    _invoice,
    acts(
        "the message goes out twice",
        lambda effects, env: effects.append(effects[3]),
        "effect_extra",
        "queue.publish/exchange billing",
    ),
)
_add("the third position is missing", *_i, _invoice, drop("positions/2", "a position"))
_add(
    "positions in another order",
    *_i,
    _invoice,
    reorder(
        "positions",
        lambda rows: [rows[1], rows[0], rows[2]],
        "two positions swapped",
        ("missing", "/body/positions/*"),
        ("extra", "/body/positions/*"),
    ),
)
_add("a tax amount off by a cent", *_i, _invoice, put("positions/1/taxes/0/amount", 381, "a cent more"))
_add("the customer before this one", *_i, _invoice, put("customer/id", 4_409, "an existing id off by one"))
_add("a name misread", *_i, _invoice, put("customer/name", "ZoÃ« MÃ¼ller", "UTF-8 as Latin-1"))
_add("accepted instead of created", *_i, _invoice, status(202, "202 instead of 201"))
_add("no number", *_i, _invoice, put("number", None, "null", "changed_type"))
_add(
    "a number without its year",
    *_i,
    _invoice,
    change(
        "another notation",
        lambda answer, env: answer.tree.update(number="00778"),
        ("changed_value", "/body/number"),
    ),
)

_thing = _fixed(
    size=41,
    ratio=0.25,
    label="ÅNGSTRÖM",
    state="IN_PROGRESS",
    parent=None,
    path="/a/b",
    list=["x", "y", "z"],
    map={"k": 1},
    since="2025-11-30T23:59:59+01:00",
    day="2025-11-30",
    owner="0198f3c2-7d2b-7c44-9f0e-2f8d1f0a5b11",
    etag='W/"9a"',
    version=12,
    url="https://a.example/x?y=1&z=2",
    lat=48.137154,
    price="1200.00",
    unit="EUR",
    count="41",
    ids=[901, 902, 903],
)
_t = "devices", "GET /things/{id}"
for _name, _change in {
    "a size off by one": put("size", 42, "a count"),
    "a ratio in per cent": put("ratio", 25, "per cent", "changed_type"),
    "capitals lost": put("label", "Ångström", "another case"),
    "an enum with a dash": put("state", "IN-PROGRESS", "another spelling"),
    "an enum in camel case": put("state", "inProgress", "another spelling"),
    "a parent out of nothing": put("parent", 0, "0 instead of null", "changed_type"),
    "a path with a slash at its end": put("path", "/a/b/", "another path"),
    "a list's middle is missing": drop("list/1", "an item"),
    "a list's last twice": add("list/3", "z", "an item twice", ("extra", "/body/list/2")),
    "a list turned around": reorder(
        "list", lambda items: items[::-1], "turned around", ("changed_value", "/body/list/*")
    ),
    "a map with another key": change(
        "a key renamed",
        lambda answer, env: answer.tree.update(map={"K": 1}),
        ("missing", "/body/map/k"),
        ("extra", "/body/map/K"),
    ),
    "the same instant in another zone": put("since", "2025-11-30T22:59:59Z", "another zone's notation"),
    "an hour without a zone": put("since", "2025-11-30T23:59:59", "no zone"),
    "the day after": put("day", "2025-12-01", "a day more"),
    "another owner": put("owner", "0198f3c2-7d2b-7c44-9f0e-2f8d1f0a5b12", "the next owner"),
    "a version off by one": put("version", 13, "a version"),
    "parameters in another order": put("url", "https://a.example/x?z=2&y=1", "another order"),
    "a parameter escaped twice": put("url", "https://a.example/x?y=1&amp;z=2", "escaped for HTML"),
    "a coordinate with five digits": put("lat", 48.13715, "a digit lost"),
    "a price in thousands": put("price", "1,200.00", "another notation"),
    "pounds": put("unit", "GBP", "another currency"),
    "a count as a number": put("count", 41, "a number instead of text", "changed_type"),
    "ids in another order": reorder(
        "ids", lambda items: [items[0], items[2], items[1]], "two swapped", ("changed_value", "/body/ids/*")
    ),
    "another id among three": put("ids/1", 912, "another id"),
    "a fresh time in seconds": put("server_time", lambda env: env.now("epoch"), "s instead of ms"),
    "a clock of last week": put("server_time", lambda env: env.now("epoch_ms", -7 * 86_400), "a week ago"),
    "no trace": put("trace", None, "null", "changed_type"),
    "an empty trace": put("trace", "", "nothing"),
    "no pod": drop("pod", "no name"),
}.items():
    _add(_name, *_t, _thing, _change)
_add("a thing, right", *_t, _thing)


def _jwt(subject: str, lifetime: int, algorithm: str = "HS256") -> Any:
    def make(env: Env) -> Any:
        def part(data: Any) -> str:
            return base64.urlsafe_b64encode(json.dumps(data).encode()).rstrip(b"=").decode()

        claims = {
            "sub": subject,
            "iat": int(env.at_s),
            "exp": int(env.at_s) + lifetime,
            "jti": env.hex_token(8).value,
        }
        return Marked(
            f"{part({'alg': algorithm, 'typ': 'JWT'})}.{part(claims)}.{env.nonce(43).value}", Why.TOKEN
        )

    return make


def _token(world: World, env: Env) -> Made:
    return {"id_token": _jwt("u-17", 3600)(env), "expires_in": 3600, "token_type": "Bearer"}


_j = "auth", "POST /connect/token"
_add("a token, right", *_j, _token, raw=True)
_add(
    "a token for somebody else", *_j, _token, put("id_token", _jwt("u-18", 3600), "another subject"), raw=True
)
_add("a token that has ended", *_j, _token, put("id_token", _jwt("u-17", -60), "expired"), raw=True)
_add(
    "a token that is not signed",
    *_j,
    _token,
    put("id_token", _jwt("u-17", 3600, "none"), "no algorithm"),
    raw=True,
)
_add("a token that is no token", *_j, _token, put("id_token", "null", "the word null"), raw=True)


def _stored(world: World, env: Env) -> Made:
    made = Marked(env.id_by("uuid7", 0, ""), Why.RANDOM_ID)
    return {
        "id": made,
        "object_id": Marked(env.id_by("objectid", 0, ""), Why.RANDOM_ID),
        "copy_of": made,
        "root": made,
        "link": env.signed_url("https://blob.example/c/a.bin", signer="azure"),
        "other": env.signed_url("https://cdn.example/b.bin", signer="cloudfront"),
    }


_s = "storage", "POST /copies"
_add("a copy, right", *_s, _stored)
_add(
    "a uuid of version 4 instead of 7",
    *_s,
    _stored,
    put(
        "id",
        lambda env: env.uuid(),
        "another version",
        "changed_value",
        ("changed_value", "/body/copy_of"),
        ("changed_value", "/body/root"),
    ),
)
_add(
    "a copy of something else",
    *_s,
    _stored,
    put("copy_of", lambda env: env.id_by("uuid7", 0, ""), "another object"),
)
_add(
    "an object id of the year 1970",
    *_s,
    _stored,
    put("object_id", lambda env: "00000000" + env.id_by("objectid", 0, "")[8:], "no time"),
)
_add(
    "a link to another blob",
    *_s,
    _stored,
    put(
        "link",
        lambda env: env.signed_url("https://blob.example/d/a.bin", signer="azure"),
        "another container",
    ),
)
_add(
    "a link that may write",
    *_s,
    _stored,
    put(
        "link",
        lambda env: env.signed_url("https://blob.example/c/a.bin", signer="azure").map(
            lambda url: url.replace("sp=r&", "sp=rw&")
        ),
        "more rights",
    ),
)
_add(
    "a link that ends a year later",
    *_s,
    _stored,
    put("other", lambda env: env.signed_url("https://cdn.example/b.bin", 31_536_000, "cloudfront"), "a year"),
)


def _rows(w: World, e: Env) -> Made:
    return Answer([{"k": n, "v": f"v{n}", "t": e.now("iso_z")} for n in range(4)], "csv")


_add(
    "a value in a table, held out",
    "bank",
    "GET /t.csv",
    _rows,
    put("2/v", "v9", "a value", format="csv", shows=("v2", "v9")),
)
_add(
    "a row gone from a table, held out",
    "bank",
    "GET /t.csv",
    _rows,
    drop("1", "a row", format="csv", shows="v1"),
)


def _lines(w: World, e: Env) -> Made:
    return Answer([{"k": n, "v": {"w": n * 3}, "id": e.uuid()} for n in range(4)], "ndjson")


_add(
    "a value in a line, held out",
    "models",
    "GET /l.ndjson",
    _lines,
    put("2/v/w", 7, "a value", format="ndjson", shows=(6, 7)),
)
_add(
    "a line gone, held out", "models", "GET /l.ndjson", _lines, drop("1", "a line", format="ndjson", shows=3)
)
_add("lines, right", "models", "GET /l.ndjson", _lines)


def _tree(w: World, e: Env) -> Made:
    return Answer(
        {"r": {"@id": "7", "at": e.now("iso_milli"), "row": [{"@n": n, "#": f"t{n}"} for n in range(3)]}},
        "xml",
    )


_add(
    "a text in XML, held out",
    "bank",
    "GET /r.xml",
    _tree,
    put("r/row/1/#", "t9", "a text", format="xml", shows=("t1", "t9")),
)
_add(
    "an attribute in XML, held out",
    "bank",
    "GET /r.xml",
    _tree,
    put("r/@id", "8", "an attribute", format="xml", shows=("7", "8")),
)
_add(
    "an element gone from XML, held out",
    "bank",
    "GET /r.xml",
    _tree,
    drop("r/row/2", "an element", format="xml", shows="t2"),
)
_add("XML, right", "bank", "GET /r.xml", _tree)

# Noise that looks like a difference

_add(
    "midnight passes between the answers, held out",
    "calendar",
    "POST /days",
    lambda w, e: {
        "day": Marked(TIMES["iso_z"](e.at_s)[:10], Why.FRESH_TIME),
        "at": e.now("sql"),
        "note": w.word(),
    },
    at_s=1_770_163_199.7,
    later_s=0.5,
)
_add(
    "a set of scopes in another order",
    "talk",
    "GET /scopes",
    lambda w, e: {"scopes": e.bag(["a:read", "b:read", "c:write", "d:read"])},
)
_add(
    "a counter that moves",
    "talk",
    "GET /presence",
    lambda w, e: {"online": e.moving(311, 313), "typing": e.moving(0, 1)},
    moves=True,
)
_add(
    "ids that pass a thousand",
    "tickets",
    "POST /cards",
    lambda w, e: {
        "card": e.sequence(999),
        "short": e.sequence(999).map(lambda n: f"C{n}"),
        "url": weave("/c/", e.sequence(999), "-fix"),
    },
)
_add(
    "ids as keys, held out",
    "tickets",
    "POST /normalised",
    lambda w, e: {
        "byId": Marked({str(e.sequence(41).value): {"title": "x"}}, Why.SEQUENCE),
        "allIds": [e.sequence(41)],
    },
)
_add(
    "two new ids that sort the other way",
    "tickets",
    "POST /twins",
    lambda w, e: {
        "twins": Bag([{"id": e.uuid(), "side": side} for side in (("l", "r") if e.ahead else ("r", "l"))]),
        "n": 2,
    },
)
_add(
    "sums of floats, held out",
    "devices",
    "GET /sums",
    lambda w, e: {"total": e.jitter(98.7654321), "parts": [1.5, 2.25]},
)
_add(
    "an edge's headers, held out",
    "models",
    "GET /edge",
    lambda w, e: Answer(
        {"ok": True},
        headers={
            "x-vercel-id": weave("fra1::", e.nonce(5), "-", e.now("epoch_ms"), "-", e.hex_token(12)),
            "x-nf-request-id": Marked(e.id_by("ulid", 0, ""), Why.TRACE),
            "x-azure-ref": e.nonce(44),
            "fly-request-id": Marked(e.id_by("ulid", 0, "") + "-waw", Why.TRACE),
            "x-kong-proxy-latency": e.took_ms().map(str),
            "x-cache": Marked("HIT" if e.ahead else "MISS", Why.CACHE),
            "x-cache-hits": Marked(str(3 if e.ahead else 0), Why.CACHE),
            "cache-control": "no-cache",
        },
    ),
)
