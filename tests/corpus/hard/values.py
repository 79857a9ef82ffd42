"""Small differences in values, types and order beside real noise. Tuning part."""

from __future__ import annotations

import unicodedata
from copy import deepcopy
from typing import Any

from ..answers import Answer
from ..environment import Env
from ..labels import Part, Why
from ..marks import Bag, Marked
from ..world import World
from .making import Cases, Made, add, change, drop, put, reorder

__all__ = ["CASES"]

CASES = Cases(Part.TUNING)
_add = CASES.add


def _with_noise(**members: Any) -> Any:
    """A function that answers with these members and what every answer of the service has."""

    def make(world: World, env: Env) -> Made:
        return {
            **deepcopy(members),
            "meta": {"request_id": env.uuid(), "took_ms": env.took_ms(), "at": env.now()},
        }

    return make


def _rows(world: World, env: Env) -> Made:
    rows = [
        {"id": 70 + number, "name": f"Row {number}", "rank": number, "score": 90.5 - number}
        for number in range(6)
    ]
    return {"rows": rows, "total": 6, "meta": {"request_id": env.uuid(), "at": env.now()}}


_case = "search", "GET /rows"
_add("a count off by one", *_case, _rows, put("total", 7, "a total off by one"))
_add("the last item is missing, the total says six", *_case, _rows, drop("rows/5", "the last item"))
_add("the first item is missing", *_case, _rows, drop("rows/0", "the first item"))
_add(
    "an item more in the middle",
    *_case,
    _rows,
    add("rows/3", {"id": 99, "name": "Row x", "rank": 9, "score": 1.5}, "an item more", shows=None),
)
_add(
    "descending instead of ascending",
    *_case,
    _rows,
    reorder("rows", lambda rows: rows[::-1], "the other way round", ("changed_value", "/body/rows/**")),
)
_add(
    "the first row moved to the end",
    *_case,
    _rows,
    reorder("rows", lambda rows: [*rows[1:], rows[0]], "one row moved"),
)
_add(
    "two neighbours swapped",
    *_case,
    _rows,
    reorder("rows", lambda rows: [rows[1], rows[0], *rows[2:]], "two rows swapped"),
)
_add(
    "two scores swapped",
    *_case,
    _rows,
    put("rows/1/score", 88.5, "the third row's score"),
    put("rows/2/score", 89.5, "the second row's score"),
)
_add(
    "a row and its score: one gone, one changed",
    *_case,
    _rows,
    put("rows/0/score", 90.4, "a tenth less"),
    drop("rows/5", "the last row"),
)
_add(
    "an item changed and another inserted before it",
    *_case,
    _rows,
    change(
        "a row is renamed",
        lambda answer, env: answer.tree["rows"][4].update(name="Row four"),
        ("changed_value", "/body/rows/4/name"),
        ("changed_value", "/body/rows/5/name"),
    ),
    add("rows/1", {"id": 98, "name": "New", "rank": 8, "score": 2.5}, "a row more"),
)

_money = _with_noise(
    amount=1999, price=19.99, currency="EUR", rate=0.19, formatted="1,234.56", lines=[1, 1, 2]
)
_add("a cent", "payments", "GET /quotes/{id}", _money, put("price", 19.98, "a cent less"))
_add("a cent in cents", "payments", "GET /quotes/{id}", _money, put("amount", 2000, "a cent more"))
_add("a rounded price", "payments", "GET /quotes/{id}", _money, put("price", 20.0, "rounded up"))
_add(
    "another currency",
    "payments",
    "GET /quotes/{id}",
    _money,
    put("currency", "USD", "dollars instead of euros"),
)
_add(
    "a currency in lower case", "payments", "GET /quotes/{id}", _money, put("currency", "eur", "another case")
)
_add("per cent", "payments", "GET /quotes/{id}", _money, put("rate", 19.0, "per cent instead of a share"))
_add(
    "a decimal comma", "payments", "GET /quotes/{id}", _money, put("formatted", "1.234,56", "another locale")
)
_add(
    "a repeated item lost",
    "payments",
    "GET /quotes/{id}",
    _money,
    drop("lines/1", "one of two equal items", ("missing", "/body/lines/0")),
)
_add(
    "a price as text",
    "payments",
    "GET /quotes/{id}",
    _money,
    put("price", "19.99", "a number as text", "changed_type"),
)
_add(
    "an amount as a float",
    "payments",
    "GET /quotes/{id}",
    _money,
    put("amount", 1999.0, "1999.0", "changed_type"),
)

_person = _with_noise(
    name="José Müller",
    bio="Likes “tea”.",
    email="a@example.org",
    tags=["b", "a"],
    age=41,
    note="x ",
    address=None,
    phones=[],
    flags={},
    verified=True,
    motto="Tom & Jerry",
    bytes="aGVsbG8=",
)
_add(
    "an encoding error",
    "auth",
    "GET /people/{id}",
    _person,
    put("name", "JosÃ© MÃ¼ller", "UTF-8 read as Latin-1"),
)
_add("question marks", "auth", "GET /people/{id}", _person, put("name", "Jos? M?ller", "letters lost"))
_add(
    "letters taken apart",
    "auth",
    "GET /people/{id}",
    _person,
    put("name", unicodedata.normalize("NFD", "José Müller"), "another normal form"),
)
_add(
    "escaped for HTML", "auth", "GET /people/{id}", _person, put("motto", "Tom &amp; Jerry", "escaped twice")
)
_add(
    "straight quotes",
    "auth",
    "GET /people/{id}",
    _person,
    put("bio", 'Likes "tea".', "other quotation marks"),
)
_add("a blank at the end", "auth", "GET /people/{id}", _person, put("note", "x", "trimmed"))
_add("null and nothing", "auth", "GET /people/{id}", _person, drop("address", "left out instead of null"))
_add(
    "null and an empty text",
    "auth",
    "GET /people/{id}",
    _person,
    put("address", "", "empty instead of null", "changed_type"),
)
_add(
    "an empty array and null",
    "auth",
    "GET /people/{id}",
    _person,
    put("phones", None, "null", "changed_type"),
)
_add(
    "an empty object and an empty array",
    "auth",
    "GET /people/{id}",
    _person,
    put("flags", [], "PHP's way", "changed_type"),
)
_add(
    "true as text",
    "auth",
    "GET /people/{id}",
    _person,
    put("verified", "true", "text instead of a flag", "changed_type"),
)
_add(
    "one instead of true",
    "auth",
    "GET /people/{id}",
    _person,
    put("verified", 1, "a number instead of a flag", "changed_type"),
)
_add(
    "sorted tags",
    "auth",
    "GET /people/{id}",
    _person,
    reorder("tags", lambda tags: tags[::-1], "sorted", ("changed_value", "/body/tags/*")),
)
_add(
    "cut in the middle of a word",
    "auth",
    "GET /people/{id}",
    _person,
    put("bio", "Likes “te", "a text cut short"),
)
_add(
    "other padding of base64", "auth", "GET /people/{id}", _person, put("bytes", "aGVsbG8", "without padding")
)

_place = _with_noise(
    lonlat=[13.404954, 52.520008],
    distance=1234.5678901234567,
    score=0.8312,
    big=9_007_199_254_740_993,
    ratio=1e-7,
    zip="01067",
)
_add(
    "latitude and longitude swapped",
    "geo",
    "GET /places/{id}",
    _place,
    reorder(
        "lonlat", lambda pair: pair[::-1], "the two coordinates swapped", ("changed_value", "/body/lonlat/*")
    ),
)
_add("digits lost", "geo", "GET /places/{id}", _place, put("distance", 1234.57, "rounded to two places"))
_add("a score a little lower", "geo", "GET /places/{id}", _place, put("score", 0.8311, "another score"))
_add(
    "an integer beyond a double",
    "geo",
    "GET /places/{id}",
    _place,
    put("big", 9_007_199_254_740_992, "the last digit"),
)
_add("a small number as zero", "geo", "GET /places/{id}", _place, put("ratio", 0.0, "underflow"))
_add(
    "a postal code as a number",
    "geo",
    "GET /places/{id}",
    _place,
    put("zip", 1067, "a leading zero lost", "changed_type"),
)
_add(
    "a postal code without its zero",
    "geo",
    "GET /places/{id}",
    _place,
    put("zip", "1067", "a leading zero lost"),
)
_add(
    "duration in seconds instead of milliseconds",
    "search",
    "GET /timing",
    lambda w, e: {"took": e.took_ms(), "hits": 3},
    put("took", 0.013, "seconds as a float", "changed_type"),
)
_add(
    "a negative duration",
    "search",
    "GET /timing/negative",
    lambda w, e: {"took": e.took_ms(), "hits": 3},
    put("took", -1, "no duration at all"),
)
_add(
    "a link to a local host",
    "feed",
    "GET /links",
    lambda w, e: {"next": "https://api.feed.example/timeline?page=2", "served_by": e.host("feed")},
    put("next", "http://10.2.3.4:8080/timeline?page=2", "a link that nobody outside can follow"),
)
_add(
    "a link by http",
    "feed",
    "GET /links/plain",
    lambda w, e: {"avatar": "https://img.feed.example/1.png", "served_by": e.host("feed")},
    put("avatar", "http://img.feed.example/1.png", "another scheme"),
)
_add(
    "a link with a doubled slash",
    "feed",
    "GET /links/slash",
    lambda w, e: {"self": "https://api.feed.example/v1/posts/7", "at": e.now()},
    put("self", "https://api.feed.example//v1/posts/7", "a doubled slash"),
)
_add(
    "another version in a link",
    "feed",
    "GET /links/version",
    lambda w, e: {"self": "https://api.feed.example/v1/posts/7", "at": e.now()},
    put("self", "https://api.feed.example/v2/posts/7", "the path of v2"),
)
_add(
    "an error's text in place of data",
    "graphql",
    "POST /query",
    lambda w, e: {"data": {"user": {"id": "VXNlcjox", "name": "Ada"}}, "extensions": {"requestId": e.uuid()}},
    put("data/user", None, "null", "changed_type"),
    add("errors", [{"message": "Cannot read properties of undefined (reading 'id')"}], "errors"),
)

# Noise that looks like a difference

_add(
    "a sum in another order",
    "payments",
    "GET /sums",
    lambda w, e: {
        "sum": Marked(0.1 + 0.2 + 0.3 if not e.ahead else 0.1 + (0.2 + 0.3), Why.FLOAT),
        "count": 3,
    },
)
_add(
    "a mean in another order",
    "metrics",
    "GET /means",
    lambda w, e: {
        "mean": Marked(48.733333333333334 if not e.ahead else 48.73333333333333, Why.FLOAT),
        "n": 15,
    },
)
_add(
    "somebody bought one in between",
    "shop",
    "GET /stock/{sku}",
    lambda w, e: {"sku": "A-7", "available": e.moving(41, 40), "reserved": e.moving(3, 4), "at": e.now()},
    moves=True,
)
_add(
    "a new comment in between",
    "feed",
    "GET /threads/{id}",
    lambda w, e: {
        "thread": 7,
        "comments": Marked(
            [{"id": 1, "text": "First"}, *([{"id": 2, "text": "Second"}] if e.has_moved else [])],
            Why.MOVED,
            alone=True,
        ),
        "count": e.moving(1, 2),
    },
    moves=True,
)
_add(
    "a set in another order",
    "auth",
    "GET /roles",
    lambda w, e: {"roles": e.bag(["admin", "editor", "viewer", "billing", "support"]), "user": 7},
)
_add(
    "members in another order, with blanks",
    "shop",
    "GET /config",
    lambda w, e: {
        key: {"on": True, "limit": 5, "who": "alle Bürger"}
        for key in (("a", "b", "c") if not e.ahead else ("c", "a", "b"))
    },
)
_add(
    "a pid and memory",
    "metrics",
    "GET /debug/vars",
    lambda w, e: Answer(
        {
            "pid": Marked(e.random.randint(2, 400), Why.PROCESS, alone=True),
            "rss_mb": Marked(e.random.randint(80, 90), Why.PROCESS, alone=True),
            "workers": 4,
            "version": "2.1",
        }
    ),
)
_add(
    "a recommendation drawn by lot",
    "shop",
    "GET /recommendations",
    lambda w, e: {
        "for": 7,
        "banner": Marked(e.random.choice(["spring", "garden", "kitchen", "outdoor"]), Why.NONCE, alone=True),
        "items": Bag(e.random.sample(["a-1", "b-2", "c-3", "d-4"], 4)),
    },
)
