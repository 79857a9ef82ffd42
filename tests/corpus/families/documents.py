"""Documents: HTML pages, CSV exports, XML and SOAP, forms and multipart."""

from __future__ import annotations

from html import escape
from typing import Any

from ..answers import Act, Answer
from ..building import Service
from ..environment import Env
from ..marks import weave
from ..world import World

__all__ = ["SERVICES"]

html = Service("html", raw=True)
csv = Service("csv")
xml = Service("xml")
form = Service("form")
SERVICES = (html, csv, xml, form)


def _page(tree: dict[str, Any]) -> str:
    rows = "\n".join(
        f'      <tr><td>{escape(str(row["name"]))}</td><td class="price">{row["price"]}</td>'
        f'<td><a href="{escape(str(row["url"]))}">View</a></td></tr>'
        for row in tree["rows"]
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <title>{escape(str(tree["title"]))}</title>
  <meta name="csrf-token" content="{tree["csrf"]}">
  <link rel="stylesheet" href="/static/app.css?v=41">
  <script nonce="{tree["nonce"]}">window.config = {{"locale": "en"}};</script>
</head>
<body>
  <nav><a href="/">Home</a> <a href="/account">{escape(str(tree["user"]))}</a></nav>
  <main>
    <h1>{escape(str(tree["title"]))}</h1>
    <p id="count">{tree["count"]} results</p>
    <table>
{rows}
    </table>
    <form method="post" action="/search">
      <input type="hidden" name="authenticity_token" value="{tree["csrf"]}">
      <input name="q" value="{escape(str(tree["query"]))}"><button>Search</button></form>
  </main>
  <footer>Rendered at {tree["rendered"]} by {tree["host"]}</footer>
</body>
</html>
"""


@html.on("GET", "/catalog")
def page(world: World, env: Env) -> Answer:
    """A page with a CSRF token, a script's nonce, and who made it when."""
    rows = [
        {
            "name": world.product() + f" {number}",
            "price": f"{world.cents() / 100:.2f}",
            "url": f"https://shop.example/p/{world.slug()}",
        }
        for number in range(world.number(3, 9))
    ]
    tree = {
        "title": f"{world.word().title()} & {world.word()} offers",
        "csrf": env.hex_token(64),
        "nonce": env.nonce(22),
        "user": world.person(),
        "count": world.number(100, 999),
        "rows": rows,
        "query": world.word(),
        "rendered": env.now("iso_z"),
        "host": env.host("web"),
    }
    return Answer(
        tree,
        "html",
        path="/catalog",
        render=_page,
        headers={
            "cache-control": "private, no-cache",
            "vary": "Cookie",
            "content-encoding": "gzip",
            "content-security-policy": tree["nonce"].map(
                lambda nonce: f"script-src 'nonce-{nonce}' 'strict-dynamic'"
            ),
            "set-cookie": weave("_session=", env.nonce(60), "; path=/; HttpOnly; SameSite=Lax"),
        },
    )


def _article(tree: dict[str, Any]) -> str:
    parts = "".join(f"<p>{escape(str(each))}</p>\n" for each in tree["paragraphs"])
    return (
        f'<article data-id="{tree["id"]}">\n<h2>{escape(str(tree["title"]))}</h2>\n'
        '<p class="by">'
        f"by {escape(str(tree['author']))}, "
        f'<time datetime="{tree["published"]}">{tree["published"]}</time></p>\n{parts}'
        f'<p class="views">{tree["comments"]} comments</p>\n'
        f'<img src="{escape(str(tree["image"]))}" alt="">\n</article>\n'
    )


@html.on("GET", "/articles/{id}")
def article(world: World, env: Env) -> Answer:
    """A fragment, as htmx or Turbo ask for it."""
    tree = {
        "id": world.number(1, 9_000),
        "title": world.sentence(5),
        "author": world.person(),
        "published": env.stored(world.past(), "iso_z"),
        "paragraphs": [world.sentence(world.number(8, 20)) for _ in range(world.number(2, 5))],
        "comments": world.number(0, 90),
        "image": env.signed_url("https://img.example/a.jpg", signer=world.one("s3", "cloudfront")),
    }
    return Answer(
        tree,
        "html",
        path=f"/articles/{tree['id']}",
        render=_article,
        headers={"cache-control": "max-age=0", "etag": env.etag_of(tree["id"])},
    )


@csv.on("GET", "/exports/orders.csv")
def orders(world: World, env: Env) -> Answer:
    """Orders, one a row."""
    tree = [
        {
            "order_id": world.number(10_000, 99_999),
            "customer": world.person(),
            "status": world.one("paid", "shipped", "refunded"),
            "total": f"{world.cents() / 100:.2f}",
            "currency": world.one("EUR", "USD"),
            "placed_at": env.stored(world.past(), "sql"),
            "note": world.sentence(4),
        }
        for _ in range(world.number(3, 14))
    ]
    return Answer(
        tree,
        "csv",
        path="/exports/orders.csv",
        headers={
            "content-disposition": weave('attachment; filename="orders-', env.now("compact"), '.csv"'),
            "cache-control": "no-store",
        },
    )


@csv.on("GET", "/exports/stock.csv")
def stock(world: World, env: Env) -> Answer:
    """Stock, each row stamped with the time of the export."""
    tree = [
        {
            "sku": f"SKU-{number:04d}",
            "name": world.product(),
            "quantity": world.number(0, 900),
            "warehouse": world.city()[0],
            "unit_price": f"{world.cents() / 100:.2f}",
            "exported_at": env.now("iso_z"),
        }
        for number in range(world.number(3, 10))
    ]
    return Answer(tree, "csv", path="/exports/stock.csv", headers={"cache-control": "no-store"})


@xml.on("GET", "/{bucket}")
def bucket(world: World, env: Env) -> Answer:
    """A bucket's contents, the way of S3."""
    keys = [
        {
            "Key": f"{world.word()}/{world.slug()}.parquet",
            "LastModified": env.stored(world.past(), "iso_milli"),
            "ETag": f'"{world.sha()[:32]}"',
            "Size": world.number(100, 9_000_000),
            "StorageClass": world.one("STANDARD", "GLACIER"),
        }
        for _ in range(world.number(2, 8))
    ]
    tree = {
        "ListBucketResult": {
            "@xmlns": "http://s3.amazonaws.com/doc/2006-03-01/",
            "Name": world.slug(),
            "Prefix": "",
            "KeyCount": len(keys) + 40,
            "MaxKeys": 1000,
            "IsTruncated": world.chance(0.5),
            "Contents": keys,
        }
    }
    return Answer(
        tree,
        "xml",
        path="/" + world.word(),
        headers={"x-amz-request-id": env.hex_token(16).map(str.upper), "x-amz-id-2": env.nonce(40)},
    )


@xml.on("POST", "/soap/booking")
def soap(world: World, env: Env) -> Answer:
    """A SOAP answer with a message id and a security timestamp."""
    amount = f"{world.cents() / 100:.2f}"
    made = env.sequence(world.number(100_000, 900_000))
    tree = {
        "soap:Envelope": {
            "@xmlns:soap": "http://schemas.xmlsoap.org/soap/envelope/",
            "@xmlns:wsa": "http://www.w3.org/2005/08/addressing",
            "soap:Header": {
                "wsa:MessageID": weave("urn:uuid:", env.uuid()),
                "wsa:RelatesTo": "urn:uuid:" + world.uuid(),
                "Timestamp": {"Created": env.now("iso_milli"), "Expires": env.now("iso_milli", 300)},
            },
            "soap:Body": {
                "CreateBookingResponse": {
                    "@xmlns": "http://booking.example/v2",
                    "Status": "CONFIRMED",
                    "Reference": made,
                    "Passenger": [
                        {
                            "@seq": number,
                            "Name": world.person(),
                            "Seat": f"{world.number(1, 40)}{world.one('A', 'C', 'F')}",
                        }
                        for number in range(1, world.number(2, 5))
                    ],
                    "Total": {"@currency": world.one("EUR", "USD"), "#": amount},
                    "Voucher": weave("BK", made),
                }
            },
        }
    }
    return Answer(
        tree,
        "xml",
        path="/soap/booking",
        content_type="text/xml; charset=utf-8",
        effects=[
            Act("sql.insert", "bookings", {"reference": made, "total": amount}, frozenset({"reference"}))
        ],
    )


@xml.on("GET", "/feed.atom")
def atom(world: World, env: Env) -> Answer:
    """An Atom feed (RFC 4287), updated now."""
    entries = [
        {
            "id": "urn:uuid:" + world.uuid(),
            "title": world.sentence(5),
            "updated": env.stored(world.past(), "iso_z"),
            "author": {"name": world.person()},
            "link": {"@href": f"https://blog.example/{world.slug()}"},
            "summary": world.sentence(10),
        }
        for _ in range(world.number(2, 6))
    ]
    tree = {
        "feed": {
            "@xmlns": "http://www.w3.org/2005/Atom",
            "title": world.sentence(3),
            "id": "urn:uuid:" + world.uuid(),
            "updated": env.now("iso_z"),
            "generator": {"@version": "4.2", "#": "Feedmaker"},
            "entry": entries,
        }
    }
    return Answer(
        tree,
        "xml",
        path="/feed.atom",
        content_type="application/atom+xml",
        headers={"cache-control": "public, max-age=300"},
    )


@form.on("POST", "/nvp")
def nvp(world: World, env: Env) -> Answer:
    """Name-value pairs, as old payment interfaces answer."""
    tree = {
        "ACK": "Success",
        "CORRELATIONID": env.hex_token(13),
        "TIMESTAMP": env.now("iso_z"),
        "VERSION": "204.0",
        "BUILD": "58807128",
        "AMT": f"{world.cents() / 100:.2f}",
        "CURRENCYCODE": world.one("EUR", "USD"),
        "PAYMENTSTATUS": world.one("Completed", "Pending"),
        "COUNTRYCODE": world.city()[1],
        "FIRSTNAME": world.person().split()[0],
        "L_NAME0": world.product(),
        "L_QTY0": world.number(1, 9),
        "TRANSACTIONID": env.hex_token(17).map(str.upper),
        "NOTE": world.sentence(5),
    }
    return Answer(
        tree,
        "form",
        path="/nvp",
        headers={"cache-control": "max-age=0"},
        effects=[
            Act("sql.insert", "transactions", {"amount": tree["AMT"], "currency": tree["CURRENCYCODE"]})
        ],
    )


@form.on("POST", "/batch")
def batch(world: World, env: Env) -> Answer:
    """Several answers in one, as parts."""
    made = env.new_id(world.number(100, 9_000), "doc")
    tree = {
        "boundary": env.hex_token(32).map(lambda value: "batch_" + value),
        "parts": [
            {"name": "status", "content": world.one("accepted", "queued")},
            {
                "name": "document",
                "content": {
                    "id": made,
                    "title": world.sentence(4),
                    "pages": world.number(1, 90),
                    "created_at": env.now(),
                    "href": weave("https://docs.example/d/", made),
                },
            },
            {"name": "summary", "content": world.sentence(12)},
            {
                "name": "figures",
                "content": {
                    "words": world.number(100, 9_000),
                    "language": world.one("en", "de"),
                    "price": world.cents() / 100,
                },
            },
        ],
    }
    return Answer(
        tree,
        "multipart",
        path="/batch",
        effects=[Act("sql.insert", "documents", {"id": made, "pages": 3}, frozenset({"id"}))],
    )
