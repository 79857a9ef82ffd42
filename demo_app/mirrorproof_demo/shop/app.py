"""The shop's HTTP: catalogue, carts, orders.

Knows requests and answers. Must not know which release it is (it asks `Release`) or that it may be
mirrored: nothing here treats a mirrored request otherwise.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from mirrorproof_demo.shop import store
from mirrorproof_demo.shop.outside import PaymentError, Payments, append_to_pick_list
from mirrorproof_demo.shop.releases import Release

__all__ = ["Shop", "create_app"]


@dataclass(frozen=True, slots=True)
class Shop:
    """What the shop is made of."""

    release: Release
    engine: AsyncEngine
    payments: Payments
    pick_list: Path


def create_app(shop: Shop) -> Starlette:
    """The shop as an ASGI application. It closes what `shop` holds when it shuts down."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await shop.payments.close()
        await shop.engine.dispose()

    def bound(handler: Callable[[Shop, Request], Awaitable[JSONResponse]]) -> Any:
        async def endpoint(request: Request) -> JSONResponse:
            answer = await handler(shop, request)
            answer.headers["x-served-by"] = f"shop-{shop.release.version}-{_INSTANCE}"
            answer.headers["x-answer-id"] = secrets.token_hex(8)
            return answer

        return endpoint

    routes = [
        Route("/catalogue", bound(list_catalogue)),
        Route("/catalogue/{sku}", bound(show_item)),
        Route("/search", bound(search)),
        Route("/carts/{cart}/items/{sku}", bound(put_item), methods=["PUT"]),
        Route("/carts/{cart}", bound(show_cart)),
        Route("/orders", bound(place_order), methods=["POST"]),
        Route("/orders/{order:int}", bound(show_order)),
    ]
    return Starlette(routes=routes, lifespan=lifespan, exception_handlers={HTTPException: _told})


_INSTANCE = secrets.token_hex(3)


async def list_catalogue(shop: Shop, request: Request) -> JSONResponse:
    """All goods."""
    async with shop.engine.connect() as connection:
        goods = await store.list_items(connection)
    listed = {"generated_at": _now(), "items": [_shown(shop.release, item) for item in goods]}
    return JSONResponse(listed, headers=dict(shop.release.catalogue_headers))


async def show_item(shop: Shop, request: Request) -> JSONResponse:
    """One of the goods."""
    async with shop.engine.connect() as connection:
        item = await store.item(connection, request.path_params["sku"])
    if item is None:
        raise HTTPException(404, "no such goods")
    return JSONResponse(_shown(shop.release, item))


async def search(shop: Shop, request: Request) -> JSONResponse:
    """Goods by a word of their name."""
    words = request.query_params.get("q", "")
    async with shop.engine.connect() as connection:
        hits = await store.search(connection, words, shop.release.search_pause_s)
    return JSONResponse({"query": words, "hits": [{"sku": hit.sku, "name": hit.name} for hit in hits]})


async def put_item(shop: Shop, request: Request) -> JSONResponse:
    """Set a line of a cart. The answer speaks of this line alone."""
    cart, sku = request.path_params["cart"], request.path_params["sku"]
    quantity = (await _json(request)).get("quantity")
    if not isinstance(quantity, int) or not 1 <= quantity <= 99:
        raise HTTPException(422, "quantity has to be a whole number from 1 to 99")
    async with shop.engine.begin() as connection:
        if await store.item(connection, sku) is None:
            raise HTTPException(404, "no such goods")
        await store.put_line(connection, cart, sku, quantity)
    return JSONResponse({"cart": cart, "sku": sku, "quantity": quantity})


async def show_cart(shop: Shop, request: Request) -> JSONResponse:
    """A cart with its sum, without tax."""
    async with shop.engine.connect() as connection:
        lines = await store.cart(connection, request.path_params["cart"])
    listed = [{"sku": line.sku, "quantity": line.quantity, "sum": _money(line.sum_cents)} for line in lines]
    subtotal = _money(sum(line.sum_cents for line in lines))
    shown: dict[str, Any] = {"lines": listed, "subtotal": subtotal}
    if shop.release.sends_null_discount:
        shown["discount"] = None
    return JSONResponse(shown)


async def place_order(shop: Shop, request: Request) -> JSONResponse:
    """Pay for a cart, store the order, queue its mail, tell the warehouse. The cart stays as it is."""
    wanted = await _json(request)
    reference, email = str(wanted.get("cart")), str(wanted.get("email"))
    async with shop.engine.connect() as connection:
        lines = await store.cart(connection, reference)
    if not lines:
        raise HTTPException(409, "the cart is empty")
    total_cents = shop.release.total_cents(line.sum_cents for line in lines)
    try:
        payment = await shop.payments.charge(reference, _money(total_cents))
    except PaymentError as error:
        raise HTTPException(502, "the payment did not go through") from error
    async with shop.engine.begin() as connection:
        order = await store.place_order(connection, reference, total_cents, email)
    append_to_pick_list(shop.pick_list, shop.release.version, reference, lines)
    extra = {"payment": {"id": payment, "status": "approved"}, "receipt": secrets.token_hex(8)}
    return JSONResponse({**_order(order), **extra}, status_code=201)


async def show_order(shop: Shop, request: Request) -> JSONResponse:
    """An order as it was placed."""
    async with shop.engine.connect() as connection:
        order = await store.find_order(connection, request.path_params["order"])
    if order is None:
        raise HTTPException(404, "no such order")
    return JSONResponse(_order(order))


def _shown(release: Release, item: store.Item) -> dict[str, Any]:
    price = _money(item.price_cents)
    return {"sku": item.sku, "name": item.name, "price": price, release.stock_field: item.stock}


def _order(order: store.PlacedOrder) -> dict[str, Any]:
    placed_at = order.placed_at.isoformat(timespec="milliseconds")
    total = _money(order.total_cents)
    return {"id": order.id, "reference": order.reference, "total": total, "placed_at": placed_at}


def _money(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


async def _json(request: Request) -> dict[str, Any]:
    try:
        body = await request.json()
    except ValueError as error:
        raise HTTPException(400, "the body is no JSON") from error
    if not isinstance(body, dict):
        raise HTTPException(400, "the body has to be a JSON object")
    return body


async def _told(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HTTPException):
        raise error
    return JSONResponse({"error": error.detail}, status_code=error.status_code)
