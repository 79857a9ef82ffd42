"""Differences in documents and streams, and other ways to write the same. Tuning part."""

from __future__ import annotations

from typing import Any

from ..answers import Answer
from ..environment import Env
from ..labels import Part, Why
from ..marks import Marked, plain
from ..world import World
from .making import Cases, Made, add, change, drop, header, put

__all__ = ["CASES"]

CASES = Cases(Part.TUNING)
_add = CASES.add
_BODY = "/body/**"


def _text(format: str, text: str, content_type: str = "", **marks: Any) -> Any:
    """A function that answers with a text in which `{name}` stands for a marked value."""

    def make(world: World, env: Env) -> Made:
        values = {name: value(env) if callable(value) else value for name, value in marks.items()}
        tree = {"text": text, **values}
        return Answer(tree, format, render=_filled, content_type=content_type)

    return make


def _filled(tree: Any) -> str:
    text = plain(tree["text"])
    for name, value in tree.items():
        text = text.replace("{" + name + "}", str(value))
    return text


def _edit(old: str, new: str, what: str, *kinds: str, shows: tuple[Any, Any] = (None, None)) -> Any:
    """v2 writes `new` where v1 writes `old`: a true difference."""

    def spoil(answer: Answer, env: Env) -> None:
        assert old in answer.tree["text"], old
        answer.tree["text"] = answer.tree["text"].replace(old, new, 1)

    return change(what, spoil, *((kind, _BODY) for kind in kinds or ("changed_value",)), shows=shows)


def _other(first: str, second: str, format: str, content_type: str = "") -> Any:
    """The same content written in two ways: noise."""

    def make(world: World, env: Env) -> Made:
        text = Marked(second if env.ahead else first, Why.FORM)
        return Answer({"text": text}, format, render=_filled, content_type=content_type)

    return make


_PAGE = """<!doctype html><html><head><title>Cart</title><meta name="csrf-token" content="{csrf}">
<script nonce="{nonce}" src="https://cdn.example/app.js"></script></head>
<body><h1>Your cart</h1><ul><li class="item">Cups <b>19.99</b></li><li class="item">Lamp <b>45.00</b></li>
<li class="item">Mat <b>12.50</b></li></ul><p>Total: <span id="total">77.49</span> EUR</p>
<form action="/checkout" method="post"><input type="hidden" name="csrf" value="{csrf}"><button>Buy</button>
</form><a href="https://shop.example/terms">Terms</a><!-- rendered {at} --></body></html>
"""
_page = _text(
    "html", _PAGE, csrf=lambda e: e.hex_token(), nonce=lambda e: e.nonce(), at=lambda e: e.now("iso_z")
)
_h = "html", "GET /cart.html"
_add("a cent on a page", *_h, _page, _edit("77.49", "77.50", "a total", shows=("77.49", "77.50")), raw=True)
_add(
    "an item missing on a page",
    *_h,
    _page,
    _edit('<li class="item">Mat <b>12.50</b></li>', "", "a list item", "missing", shows=("12.50", None)),
    raw=True,
)
_add(
    "a form that posts elsewhere",
    *_h,
    _page,
    _edit("/checkout", "/checkout-v2", "another action", shows=("/checkout", "/checkout-v2")),
    raw=True,
)
_add(
    "a script from another host",
    *_h,
    _page,
    _edit("cdn.example", "cdn.evil.example", "another host", shows=("cdn.example", "cdn.evil.example")),
    raw=True,
)
_add("a script without its nonce", *_h, _page, _edit(' nonce="{nonce}"', "", "no nonce", "missing"), raw=True)
_add(
    "a page without its CSRF field",
    *_h,
    _page,
    _edit('<input type="hidden" name="csrf" value="{csrf}">', "", "no hidden field", "missing"),
    raw=True,
)
_add(
    "escaped twice on a page",
    *_h,
    _page,
    _edit("Your cart", "Your &amp;amp; cart", "a heading", shows=("Your cart", "Your &amp; cart")),
    raw=True,
)
_add(
    "a link by http on a page",
    *_h,
    _page,
    _edit(
        'href="https://shop',
        'href="http://shop',
        "a link",
        shows=("https://shop.example/terms", "http://shop.example/terms"),
    ),
    raw=True,
)
_add("a page without differences but noise", *_h, _page, raw=True)
_add(
    "attributes in another order",
    *_h,
    _other('<p class="a" id="b">Text</p>', '<p id="b" class="a">Text</p>', "html"),
    raw=True,
)
_add(
    "white space between tags",
    *_h,
    _other("<ul><li>One</li><li>Two</li></ul>", "<ul>\n  <li>One</li>\n  <li>Two</li>\n</ul>", "html"),
    raw=True,
)
_add(
    "another way to quote on a page",
    *_h,
    _other("<p title='x'>Caf&eacute;</p>", '<p title="x">Café</p>', "html"),
    raw=True,
)

_XML = """<?xml version="1.0"?>
<invoice id="7" xmlns="urn:x"><created>{at}</created><line sku="A" qty="2">Cups</line>
<line sku="B" qty="1">Lamp &amp; shade</line>
<total currency="EUR">77.49</total><uuid>{id}</uuid></invoice>"""
_invoice = _text("html", _XML, "application/xml", at=lambda e: e.now("iso_z"), id=lambda e: e.uuid())
_x = "xml", "GET /invoice.xml"
_add("a cent in XML", *_x, _invoice, _edit("77.49", "77.48", "a total", shows=("77.49", "77.48")))
_add("an attribute in XML", *_x, _invoice, _edit('qty="2"', 'qty="3"', "a quantity", shows=("2", "3")))
_add("a currency in XML", *_x, _invoice, _edit("EUR", "USD", "a currency", shows=("EUR", "USD")))
_add(
    "an element missing in XML",
    *_x,
    _invoice,
    _edit(
        '<line sku="B" qty="1">Lamp &amp; shade</line>',
        "",
        "a line",
        "missing",
        "changed_type",
        shows=("Lamp & shade", None),
    ),
)
_add(
    "an attribute missing in XML",
    *_x,
    _invoice,
    _edit(' currency="EUR"', "", "a currency", "missing", "changed_type", shows=("EUR", None)),
)
_add(
    "a day off in XML",
    *_x,
    _invoice,
    change(
        "a fresh time of yesterday",
        lambda answer, env: answer.tree.update(at=env.now("iso_z", -86_400)),
        ("changed_value", _BODY),
    ),
)
_add(
    "a nil uuid in XML",
    *_x,
    _invoice,
    change(
        "no id",
        lambda answer, env: answer.tree.update(id="00000000-0000-0000-0000-000000000000"),
        ("changed_value", _BODY),
        shows=(None, "00000000-0000-0000-0000-000000000000"),
    ),
)
_add(
    "attributes in another order in XML",
    *_x,
    _other('<a x="1" y="2"/>', '<a y="2" x="1"></a>', "html", "application/xml"),
)
_add(
    "indented XML",
    *_x,
    _other("<a><b>1</b><c>2</c></a>", "<a>\n  <b>1</b>\n  <c>2</c>\n</a>", "html", "application/xml"),
)
_add(
    "CDATA and escapes",
    *_x,
    _other("<a><![CDATA[x & y]]></a>", "<a>x &amp; y</a>", "html", "application/xml"),
)

_CSV = 'id,name,price,at\r\n1,Cups,19.99,{at}\r\n2,"Lamp, tall",45.00,{at}\r\n3,Mat,12.50,{at}\r\n'
_table = _text("text", _CSV, "text/csv; charset=utf-8", at=lambda e: e.now("iso_z"))
_c = "csv", "GET /prices.csv"
_add("a cent in a table", *_c, _table, _edit("45.00", "45.01", "a price", shows=("45.00", "45.01")))
_add(
    "a row missing in a table",
    *_c,
    _table,
    _edit("3,Mat,12.50,{at}\r\n", "", "the last row", "missing", shows=("Mat", None)),
)
_add(
    "a row more in a table",
    *_c,
    _table,
    _edit("2,", "9,Nut,0.10,{at}\r\n2,", "a row", "extra", shows=(None, "Nut")),
)
_add(
    "another name of a column",
    *_c,
    _table,
    _edit("price", "Price", "a column's name", "missing", "extra", "changed_value"),
)
_add(
    "a decimal comma in a table",
    *_c,
    _table,
    _edit("19.99", '"19,99"', "another locale", shows=("19.99", "19,99")),
)
_add(
    "other quotes and line ends in a table",
    *_c,
    _other("a,b\r\n1,x\r\n", 'a,b\n"1","x"\n', "text", "text/csv"),
)


def _lines(world: World, env: Env) -> Made:
    tree = [
        {"n": number, "kind": "tick", "value": 10 * number, "at": env.now(plus_s=number)}
        for number in range(5)
    ]
    return Answer(tree, "ndjson")


def _stream(world: World, env: Env) -> Made:
    tree: list[dict[str, Any]] = [
        {"event": "tick", "id": str(7 + number), "data": {"value": 10 * number, "at": env.now()}}
        for number in range(4)
    ]
    return Answer([*tree, {"event": "done", "data": "[DONE]"}], "sse", headers={"cache-control": "no-cache"})


_n = "ndjson", "GET /ticks"
_add("a line missing in a stream", *_n, _lines, drop("2", "a line", format="ndjson", shows=20))
_add("the last line missing", *_n, _lines, drop("4", "the last line", format="ndjson", shows=40))
_add("a value in a line", *_n, _lines, put("3/value", 31, "a value", format="ndjson", shows=(30, 31)))
_add(
    "a type in a line",
    *_n,
    _lines,
    put("3/value", "30", "text", "changed_type", format="ndjson", shows=(30, "30")),
)
_add("an event missing", "sse", "GET /ticks", _stream, drop("1", "an event", format="sse", shows=10))
_add("no last event", "sse", "GET /ticks", _stream, drop("4", "the last event", format="sse", shows="[DONE]"))
_add(
    "another event name",
    "sse",
    "GET /ticks",
    _stream,
    put("2/event", "tock", "a name", format="sse", shows=("tick", "tock")),
)
_add(
    "another id of an event",
    "sse",
    "GET /ticks",
    _stream,
    put("2/id", "10", "an id", format="sse", shows=("9", "10")),
)
_add(
    "a value in an event",
    "sse",
    "GET /ticks",
    _stream,
    put("2/data/value", 21, "a value", format="sse", shows=(20, 21)),
)
_add(
    "comments that keep a stream alive",
    "sse",
    "GET /ticks/alive",
    _other(
        "data: 1\n\ndata: 2\n\n", ": ping\n\ndata: 1\n\n: ping\n\ndata:2\n\n", "text", "text/event-stream"
    ),
)

_METRICS = """# HELP orders Orders.
# TYPE orders gauge
orders{state="open"} 41
orders{state="paid"} 1027
# TYPE exported_at gauge
exported_at {at}
"""
_m = "metrics", "GET /metrics"
_figures = _text("text", _METRICS, "text/plain; version=0.0.4", at=lambda e: e.now("epoch"))
_add("a sample's value", *_m, _figures, _edit("1027", "1026", "a count", shows=("1027", "1026")))
_add(
    "a sample missing",
    *_m,
    _figures,
    _edit(
        'orders{state="open"} 41\n', "", "a sample", "missing", "changed_value", shows=('state="open"', None)
    ),
)
_add(
    "another type of a metric",
    *_m,
    _figures,
    _edit("TYPE orders gauge", "TYPE orders counter", "a type", shows=("gauge", "counter")),
)
_add(
    "an old time in a metric",
    *_m,
    _figures,
    change(
        "an export of yesterday",
        lambda answer, env: answer.tree.update(at=env.now("epoch", -90_000)),
        ("changed_value", _BODY),
    ),
)


def _form(world: World, env: Env) -> Made:
    return Answer(
        {
            "ACK": "Success",
            "AMT": "10.00",
            "TIMESTAMP": env.now("iso_z"),
            "CORRELATIONID": env.hex_token(13),
            "MSG": "paid in full",
        },
        "form",
    )


_f = "form", "POST /nvp2"
_add(
    "a cent in a form", *_f, _form, put("AMT", "10.01", "an amount", format="form", shows=("10.00", "10.01"))
)
_add(
    "an acknowledgement in a form",
    *_f,
    _form,
    put("ACK", "SuccessWithWarning", "a state", format="form", shows=("Success", "SuccessWithWarning")),
)
_add("a field missing in a form", *_f, _form, drop("MSG", "a field", format="form", shows="paid in full"))
_add("a field more in a form", *_f, _form, add("L_ERR", "10486", "a field", format="form", shows="10486"))
_add(
    "blanks written in another way",
    *_f,
    _other("a=x+y&b=%7E", "a=x%20y&b=~", "text", "application/x-www-form-urlencoded"),
)


def _packed(world: World, env: Env) -> Made:
    return Answer(
        {"id": 7, "score": 1.5, "items": ["a", "b"], "at": env.now("epoch_ms"), "session": env.uuid()},
        "msgpack",
    )


_p = "packed", "GET /state"
_add(
    "a value in MessagePack", *_p, _packed, put("score", 1.75, "a score", format="msgpack", shows=(1.5, 1.75))
)
_add(
    "an integer in MessagePack",
    *_p,
    _packed,
    put("score", 1, "a type", "changed_type", format="msgpack", shows=(1.5, 1)),
)
_add("an item missing in MessagePack", *_p, _packed, drop("items/1", "an item", format="msgpack", shows="b"))
_add("a member missing in MessagePack", *_p, _packed, drop("id", "a member", format="msgpack", shows=7))

_note = _text(
    "text",
    "Hello Ada,\nyour order 71 ships on Monday.\nTracking: {code}\nBye\n",
    code=lambda e: e.hex_token(16),
)
_t = "webhook", "GET /mails/{id}.txt"
_add("a word in a text", *_t, _note, _edit("Monday", "Sunday", "a day", shows=("Monday", "Sunday")))
_add(
    "a line missing in a text",
    *_t,
    _note,
    _edit("Bye\n", "", "the last line", "missing", "changed_value", shows=("Bye", None)),
)
_add(
    "JSON that says it is text",
    "shop",
    "GET /wrongtype",
    lambda w, e: Answer({"a": 1, "at": e.now()}),
    header("x-content-type-options", "nosniff", "a header more"),
)
