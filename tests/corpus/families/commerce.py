"""A shop and a payment service: JSON with money, references, pages, effects in a database and elsewhere."""

from __future__ import annotations

from typing import Any

from ..answers import Act, Answer
from ..building import Service
from ..environment import Env
from ..marks import weave
from ..world import World

__all__ = ["SERVICES"]

shop = Service("shop")
payments = Service("payments")
SERVICES = (shop, payments)


def _product(world: World, env: Env) -> dict[str, Any]:
    product = world.stored_id(env.style.ids, "prod")
    cents = world.cents()
    return {
        "id": product,
        "name": world.product(),
        "description": world.sentence(8),
        "price": {
            "amount": cents,
            "currency": world.one("EUR", "USD", "GBP"),
            "formatted": f"{cents / 100:.2f}",
        },
        "status": world.one("active", "draft", "archived"),
        "stock": world.number(0, 400),
        "tags": world.tags(),
        "rating": round(world.random.uniform(1, 5), 1),
        "image_url": f"https://cdn.shop.example/p/{world.slug()}.jpg",
        "taxable": world.chance(0.7),
        "created_at": env.stored(world.past()),
        "updated_at": env.stored(world.past(40)),
    }


@shop.on("GET", "/v1/products")
def list_products(world: World, env: Env) -> Answer:
    """A page of a catalogue."""
    count = world.number(3, 12)
    total = count + world.number(0, 300)
    tree = {
        "data": [_product(world, env) for _ in range(count)],
        "meta": {"total": total, "page": 1, "per_page": count, "request_id": env.request_id()},
        "links": {
            "self": "https://api.shop.example/v1/products?page=1",
            "next": "https://api.shop.example/v1/products?page=2",
        },
    }
    return Answer(
        tree,
        path="/v1/products",
        query="page=1",
        headers={
            "cache-control": "public, max-age=60",
            "etag": env.etag_of(total, count),
            "vary": "Accept-Encoding",
            "content-encoding": "gzip",
            "x-ratelimit-limit": "600",
            "x-ratelimit-remaining": env.sequence(500).map(lambda left: str(1000 - left)),
        },
    )


@shop.on("GET", "/v1/products/{id}")
def get_product(world: World, env: Env) -> Answer:
    """One product, with what moves: its views."""
    tree = _product(world, env)
    views = world.number(100, 90_000)
    tree |= {
        "variants": [
            {
                "sku": f"{world.word()[:3].upper()}-{world.number(100, 999)}",
                "size": size,
                "stock": world.number(0, 50),
                "price": world.cents(),
            }
            for size in ("S", "M", "L")
        ],
        "views": env.moving(views, views + 1),
        "seller": {
            "id": world.stored_id(env.style.ids, "sel"),
            "name": world.person(),
            "verified": world.chance(0.5),
        },
    }
    return Answer(
        tree,
        path=f"/v1/products/{tree['id']}",
        headers={
            "cache-control": "private, max-age=0",
            "last-modified": env.stored(world.past(), "rfc1123"),
            "x-served-by": env.host("catalog"),
        },
    )


@shop.on("POST", "/v1/orders")
def create_order(world: World, env: Env) -> Answer:
    """An order: the id goes everywhere, into links, items, headers and effects."""
    order = env.new_id(world.number(5_000, 90_000), "ord")
    customer = world.stored_id(env.style.ids, "cus")
    items, total = [], 0
    for number in range(world.number(1, 4)):
        quantity, cents = world.number(1, 5), world.cents()
        total += quantity * cents
        items.append(
            {
                "line": number + 1,
                "order_id": order,
                "product_id": world.stored_id(env.style.ids, "prod"),
                "name": world.product(),
                "quantity": quantity,
                "unit_price": cents,
                "total": quantity * cents,
            }
        )
    path = weave("/v1/orders/", order)
    currency = world.one("EUR", "USD")
    tree = {
        "id": order,
        "object": "order",
        "status": "pending",
        "customer_id": customer,
        "currency": currency,
        "items": items,
        "total_amount": total,
        "note": world.sentence(6),
        "created_at": env.now(),
        "expires_at": env.now(plus_s=1800),
        "links": {
            "self": weave("https://api.shop.example", path),
            "pay": weave("https://api.shop.example", path, "/pay"),
        },
        "shipping": {
            "method": world.one("standard", "express"),
            "city": world.city()[0],
            "free": world.chance(0.3),
        },
    }
    effects = [
        Act(
            "sql.insert",
            "orders",
            {
                "id": order,
                "customer_id": customer,
                "total_amount": total,
                "currency": currency,
                "created_at": env.now("sql"),
            },
            frozenset({"id", "created_at"}),
        ),
        *(
            Act(
                "sql.insert",
                "order_items",
                {"order_id": order, "product_id": each["product_id"], "quantity": each["quantity"]},
                frozenset({"order_id"}),
            )
            for each in items
        ),
        Act(
            "queue.publish",
            "topic orders.created",
            {"order_id": order, "total": total, "at": env.now("epoch_ms")},
        ),
    ]
    return Answer(
        tree,
        status=201,
        path="/v1/orders",
        effects=effects,
        headers={"location": path, "cache-control": "no-store"},
    )


@shop.on("GET", "/v1/cart")
def get_cart(world: World, env: Env) -> Answer:
    """A cart, its sums computed with floats."""
    lines = [
        {
            "sku": f"SKU-{world.number(1000, 9999)}",
            "title": world.product(),
            "qty": world.number(1, 3),
            "unit_price": world.cents() / 100,
        }
        for _ in range(world.number(2, 6))
    ]
    subtotal = round(sum(line["qty"] * line["unit_price"] for line in lines), 2)
    tree = {
        "cart_id": world.stored_id(env.style.ids, "cart"),
        "lines": lines,
        "subtotal": subtotal,
        "tax": round(subtotal * 0.19, 2),
        "total": round(subtotal * 1.19, 2),
        "currency": "EUR",
        "weight_kg": env.jitter(round(world.random.uniform(0.2, 9), 3)),
        "coupon": world.one(None, "WINTER10", "FREESHIP"),
        "priced_at": env.now(),
        "reserved_until": env.now(plus_s=900),
        "item_count": sum(line["qty"] for line in lines),
    }
    return Answer(tree, path="/v1/cart", headers={"cache-control": "no-store"})


@shop.on("DELETE", "/v1/orders/{id}")
def cancel_order(world: World, env: Env) -> Answer:
    """A cancelled order."""
    order = world.stored_id(env.style.ids, "ord")
    refund = env.new_id(world.number(100, 4_000), "re")
    amount = world.cents()
    tree = {
        "id": order,
        "status": "cancelled",
        "cancelled_at": env.now(),
        "refund": {
            "id": refund,
            "amount": amount,
            "currency": "EUR",
            "status": "pending",
            "receipt": weave("https://api.shop.example/v1/refunds/", refund),
            "trace": env.trace_id(),
        },
        "restocked": world.number(1, 5),
        "reason": world.one("requested_by_customer", "duplicate", "fraud"),
        "history": [
            {"event": "refund_opened", "ref": refund, "at": env.now()},
            {"event": "order_placed", "ref": order, "at": env.stored(world.past(20))},
        ],
    }
    effects = [
        Act(
            "sql.update",
            "orders",
            {"status": "cancelled", "id": order, "cancelled_at": env.now("sql")},
            frozenset({"cancelled_at"}),
        ),
        Act("sql.insert", "refunds", {"id": refund, "order_id": order, "amount": amount}, frozenset({"id"})),
        Act(
            "http.request",
            "POST https://pay.example/v1/refunds",
            {"amount": amount, "idempotency": env.uuid()},
        ),
    ]
    return Answer(tree, path=f"/v1/orders/{order}", effects=effects, headers={"cache-control": "no-store"})


def _charge(world: World, env: Env) -> dict[str, Any]:
    return {
        "id": world.stored_id("prefixed", "ch"),
        "object": "charge",
        "amount": world.cents(),
        "amount_refunded": 0,
        "currency": world.one("eur", "usd", "gbp"),
        "captured": world.chance(0.8),
        "created": int(world.past()),
        "customer": world.stored_id("prefixed", "cus"),
        "description": world.sentence(5),
        "outcome": {
            "network_status": "approved_by_network",
            "risk_level": "normal",
            "risk_score": world.number(1, 60),
            "type": "authorized",
        },
        "status": world.one("succeeded", "pending", "failed"),
        "livemode": False,
        "metadata": {"order": str(world.number(1000, 9999)), "channel": world.one("web", "app")},
        "receipt_url": f"https://pay.example/receipts/{world.slug()}",
    }


@payments.on("GET", "/v1/charges")
def list_charges(world: World, env: Env) -> Answer:
    """A list object with `has_more`."""
    count = world.number(2, 10)
    tree = {
        "object": "list",
        "url": "/v1/charges",
        "has_more": world.chance(0.5),
        "data": [_charge(world, env) for _ in range(count)],
    }
    return Answer(
        tree,
        path="/v1/charges",
        query=f"limit={count}",
        headers={
            "request-id": env.request_id(),
            "cache-control": "no-cache, no-store",
            "stripe-version": "2024-06-20",
        },
    )


@payments.on("POST", "/v1/payment_intents")
def create_intent(world: World, env: Env) -> Answer:
    """A payment intent: the same id in three places and a client secret made of it."""
    intent = Env.new_id(env, world.number(100, 9_000), "pi") if env.style.ids == "sequence" else env.uuid()
    intent = intent.map(lambda value: f"pi_{str(value).replace('-', '')}")
    amount = world.cents()
    tree = {
        "id": intent,
        "object": "payment_intent",
        "amount": amount,
        "amount_capturable": 0,
        "currency": "eur",
        "client_secret": weave(intent, "_secret_", env.nonce(16)),
        "created": env.now("epoch"),
        "status": "requires_confirmation",
        "capture_method": "automatic",
        "livemode": False,
        "payment_method_types": ["card", "link", "sepa_debit"],
        "next_action": {"type": "redirect_to_url", "url": weave("https://pay.example/3ds/", intent)},
        "metadata": {"intent": intent, "cart": str(world.number(100, 999))},
        "latest_charge": None,
        "receipt_email": world.email(),
    }
    effects = [
        Act("sql.insert", "payment_intents", {"id": intent, "amount": amount}, frozenset({"id"})),
        Act(
            "http.request",
            "POST https://acquirer.example/authorize",
            {"amount": amount, "currency": "EUR", "merchant_reference": intent},
        ),
        Act("redis.set", weave("key intent:", intent), {"amount": amount, "ttl": 3600}),
    ]
    return Answer(
        tree,
        path="/v1/payment_intents",
        effects=effects,
        headers={
            "request-id": env.request_id(),
            "idempotency-key": world.uuid(),
            "cache-control": "no-cache, no-store",
        },
    )


@payments.on("GET", "/v1/balance")
def balance(world: World, env: Env) -> Answer:
    """A balance."""
    tree = {
        "object": "balance",
        "available": [
            {
                "amount": world.number(-5_000, 900_000),
                "currency": each,
                "source_types": {"card": world.cents(), "bank_account": 0},
            }
            for each in ("eur", "usd", "gbp")
        ],
        "pending": [{"amount": world.number(0, 90_000), "currency": "eur"}],
        "as_of": env.now(),
        "livemode": True,
    }
    return Answer(
        tree, path="/v1/balance", headers={"request-id": env.request_id(), "cache-control": "no-store"}
    )


@payments.on("POST", "/v1/charges")
def declined(world: World, env: Env) -> Answer:
    """A declined charge."""
    tree = {
        "error": {
            "code": "card_declined",
            "decline_code": world.one("insufficient_funds", "expired_card"),
            "type": "card_error",
            "message": "Your card was declined.",
            "charge": env.uuid().map(lambda value: "ch_" + value.replace("-", "")),
            "doc_url": "https://docs.pay.example/error-codes#card-declined",
            "param": "source",
            "request_log_url": weave("https://dashboard.pay.example/logs/", env.request_id()),
        }
    }
    return Answer(
        tree,
        status=402,
        path="/v1/charges",
        headers={"request-id": env.request_id()},
        effects=[Act("sql.insert", "attempts", {"code": "card_declined", "amount": world.cents()})],
    )
