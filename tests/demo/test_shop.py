"""The shop: what both releases do, what only v2 does, and that asking twice changes nothing."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, event

from mirrorproof_demo import payments
from mirrorproof_demo.shop.app import Shop, create_app
from mirrorproof_demo.shop.database import open_app_engine
from mirrorproof_demo.shop.model import GOODS
from mirrorproof_demo.shop.outside import Payments
from mirrorproof_demo.shop.releases import RELEASES
from mirrorproof_demo.witness import count_writes, prepare_database

V1, V2 = RELEASES["v1"], RELEASES["v2"]
OpenShop = Callable[..., Awaitable[httpx.AsyncClient]]


@pytest.fixture
def database(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    prepare_database(url)
    return url


@pytest.fixture
async def open_shop(database: str, tmp_path: Path) -> AsyncIterator[OpenShop]:
    """Opens a release of the shop on the one database; returns a client of it."""
    async with AsyncExitStack() as stack:

        async def opened(
            version: str, transport: httpx.AsyncBaseTransport | None = None
        ) -> httpx.AsyncClient:
            transport = transport or httpx.ASGITransport(payments.create_app())
            shop = Shop(
                release=RELEASES[version],
                engine=open_app_engine(database, version),
                payments=Payments("http://payments", version, transport),
                pick_list=tmp_path / "picklist.jsonl",
            )
            stack.push_async_callback(shop.engine.dispose)
            stack.push_async_callback(shop.payments.close)
            client = httpx.AsyncClient(
                transport=httpx.ASGITransport(create_app(shop)), base_url="http://shop"
            )
            return await stack.enter_async_context(client)

        yield opened


async def fill(shop: httpx.AsyncClient, cart: str = "c1") -> None:
    for sku in ("tea-01", "tea-02"):
        assert (await shop.put(f"/carts/{cart}/items/{sku}", json={"quantity": 1})).status_code == 200


async def test_a_customer_finds_orders_and_sees_the_order(open_shop: OpenShop) -> None:
    shop = await open_shop("v1")
    listed = (await shop.get("/catalogue")).json()
    assert [item["sku"] for item in listed["items"]] == sorted(item["sku"] for item in GOODS)
    assert (await shop.get("/search", params={"q": "mug"})).json()["hits"][0]["name"] == "Stoneware mug"
    await fill(shop)
    cart = (await shop.get("/carts/c1")).json()
    assert (cart["subtotal"], cart["discount"]) == ("18.24", None)
    placed = await shop.post("/orders", json={"cart": "c1", "email": "a@shop.example"})
    assert (placed.status_code, placed.json()["total"]) == (201, "21.71")
    shown = (await shop.get(f"/orders/{placed.json()['id']}")).json()
    assert shown == {key: placed.json()[key] for key in ("id", "reference", "total", "placed_at")}


async def test_v2_does_otherwise_just_what_its_release_says(open_shop: OpenShop) -> None:
    v1, v2 = await open_shop("v1"), await open_shop("v2")
    await fill(v1)
    one, other = (await v1.get("/catalogue/tea-01")).json(), (await v2.get("/catalogue/tea-01")).json()
    assert (one["stock"], "in_stock" in one) == (120, False)
    assert (other["in_stock"], "stock" in other) == (120, False)
    listed = await v2.get("/catalogue")
    assert listed.headers["x-catalogue-revision"] == "7"
    assert "x-catalogue-revision" not in (await v1.get("/catalogue")).headers
    assert "discount" not in (await v2.get("/carts/c1")).json()
    order = {"cart": "c1", "email": "a@shop.example"}
    totals = [(await shop.post("/orders", json=order)).json()["total"] for shop in (v1, v2)]
    assert totals == ["21.71", "21.70"]


async def test_both_versions_have_noise_that_differs_with_every_answer(open_shop: OpenShop) -> None:
    shop = await open_shop("v1")
    first, second = [(await shop.get("/catalogue/tea-01")).headers for _ in range(2)]
    assert first["x-answer-id"] != second["x-answer-id"]
    assert first["x-served-by"].startswith("shop-v1-")


async def test_setting_a_cart_line_twice_is_setting_it_once(open_shop: OpenShop) -> None:
    v1, v2 = await open_shop("v1"), await open_shop("v2")
    answers = [await shop.put("/carts/c1/items/mug-01", json={"quantity": 2}) for shop in (v1, v2, v1, v2)]
    assert len({answer.text for answer in answers}) == 1
    assert (await v1.get("/carts/c1")).json()["lines"] == [{"sku": "mug-01", "quantity": 2, "sum": "25.80"}]


async def test_ordering_leaves_the_cart_as_it_was(open_shop: OpenShop) -> None:
    shop = await open_shop("v1")
    await fill(shop)
    before = (await shop.get("/carts/c1")).json()
    await shop.post("/orders", json={"cart": "c1", "email": "a@shop.example"})
    assert (await shop.get("/carts/c1")).json() == before


async def test_every_write_says_which_version_it_was(
    open_shop: OpenShop, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in ("v1", "v2"):
        shop = await open_shop(version)
        await fill(shop, f"c-{version}")
        await shop.post("/orders", json={"cart": f"c-{version}", "email": "a@shop.example"})
    monkeypatch.setattr("mirrorproof_demo.witness.get_json", lambda url: {"v1": 1, "v2": 1})
    writes = count_writes(database, "http://payments", tmp_path / "picklist.jsonl")
    assert writes.places == {
        "rows in cart_lines": {"v1": 2, "v2": 2},
        "rows in orders": {"v1": 1, "v2": 1},
        "rows in mail_queue": {"v1": 1, "v2": 1},
        "payments": {"v1": 1, "v2": 1},
        "pick-list lines": {"v1": 1, "v2": 1},
    }
    assert writes.by("v2") == 6


async def test_the_payment_service_counts_its_callers() -> None:
    transport = httpx.ASGITransport(payments.create_app())
    for version in ("v1", "v2", "v2"):
        await Payments("http://payments", version, transport).charge("c1", "1.00")
    async with httpx.AsyncClient(transport=transport, base_url="http://payments") as client:
        assert (await client.get("/payments/count")).json() == {"v1": 1, "v2": 2}


async def test_a_pick_list_line_names_the_goods(open_shop: OpenShop, tmp_path: Path) -> None:
    shop = await open_shop("v1")
    await fill(shop)
    await shop.post("/orders", json={"cart": "c1", "email": "a@shop.example"})
    (line,) = (tmp_path / "picklist.jsonl").read_text(encoding="utf-8").splitlines()
    goods = {"tea-01": 1, "tea-02": 1}
    assert json.loads(line) == {"reference": "c1", "goods": goods, "written_by": "v1"}


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/catalogue/none-such", None, 404),
        ("GET", "/orders/4711", None, 404),
        ("PUT", "/carts/c1/items/none-such", b'{"quantity": 1}', 404),
        ("PUT", "/carts/c1/items/tea-01", b'{"quantity": 0}', 422),
        ("PUT", "/carts/c1/items/tea-01", b'{"quantity": "1"}', 422),
        ("PUT", "/carts/c1/items/tea-01", b"{}", 422),
        ("PUT", "/carts/c1/items/tea-01", b"[1]", 400),
        ("PUT", "/carts/c1/items/tea-01", b"\xff{", 400),
        ("POST", "/orders", b'{"cart": "empty", "email": "a@shop.example"}', 409),
    ],
)
async def test_what_cannot_be_done_is_refused(
    open_shop: OpenShop, method: str, path: str, body: bytes | None, status: int
) -> None:
    answer = await (await open_shop("v1")).request(method, path, content=body)
    assert (answer.status_code, list(answer.json())) == (status, ["error"])


def _refusing(request: httpx.Request) -> httpx.Response:
    return httpx.Response(402)


def _declining(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, json={"status": "declined"})


def _broken(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused")


@pytest.mark.parametrize("answer", [_refusing, _declining, _broken])
async def test_an_order_that_is_not_paid_is_not_placed(
    open_shop: OpenShop, tmp_path: Path, answer: Callable[[httpx.Request], httpx.Response]
) -> None:
    shop = await open_shop("v1", httpx.MockTransport(answer))
    await fill(shop)
    assert (await shop.post("/orders", json={"cart": "c1", "email": "a@shop.example"})).status_code == 502
    assert not (tmp_path / "picklist.jsonl").exists()


def test_the_two_releases_differ_in_every_behaviour() -> None:
    for field in dataclasses.fields(V1):
        assert getattr(V1, field.name) != getattr(V2, field.name), field.name


def test_the_first_basket_shows_the_rounding_bug() -> None:
    lines = [649, 1175]
    assert (V1.total_cents(lines), V2.total_cents(lines)) == (2171, 2170)


@given(st.lists(st.integers(1, 50_000), min_size=1, max_size=2))
def test_the_rounding_bug_is_worth_a_cent_at_most(lines: list[int]) -> None:
    assert abs(V1.total_cents(lines) - V2.total_cents(lines)) <= 1


@given(st.integers(1, 50_000))
def test_an_order_of_one_line_is_never_off(line: int) -> None:
    assert V1.total_cents([line]) == V2.total_cents([line])


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("sqlite:///x.db", "sqlite+aiosqlite"),
        ("postgresql://u@h/d", "postgresql+asyncpg"),
        ("postgres://u@h/d", "postgresql+asyncpg"),
        ("postgresql+psycopg://u@h/d", "postgresql+psycopg"),
        ("postgresql+psycopg2://u@h/d", "postgresql+asyncpg"),
    ],
)
def test_a_database_url_gets_a_driver_that_fits(url: str, driver: str) -> None:
    from mirrorproof_demo.shop.database import app_url

    assert app_url(url).drivername == driver


def test_another_database_is_refused_with_a_remedy() -> None:
    from mirrorproof_demo.shop.database import app_url

    with pytest.raises(ValueError, match=r"mysql.*sqlite:/// or postgresql://"):
        app_url("mysql://u@h/d")


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_a_database_that_cannot_be_shared_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="needs a file"):
        prepare_database(url)


def test_a_file_that_is_already_there_is_left_alone(tmp_path: Path) -> None:
    mine = tmp_path / "mine.db"
    mine.write_text("precious")
    with pytest.raises(ValueError, match="already there"):
        prepare_database(f"sqlite:///{mine}")
    assert mine.read_text() == "precious"


async def test_the_statements_of_the_two_versions_are_alike(open_shop: OpenShop) -> None:
    """What is written is stamped by the database; or every write of v2's would differ from v1's."""
    said: dict[str, list[Any]] = {"v1": [], "v2": []}
    for version, statements in said.items():
        shop = await open_shop(version)

        @event.listens_for(Engine, "before_cursor_execute")
        def listen(connection: Any, cursor: Any, statement: Any, parameters: Any, *rest: Any) -> None:
            statements.append((statement, parameters))  # noqa: B023 - removed within the turn

        try:
            await shop.put("/carts/c1/items/mug-01", json={"quantity": 1})  # one line: nothing to round
            await shop.post("/orders", json={"cart": "c1", "email": "a@shop.example"})
        finally:
            event.remove(Engine, "before_cursor_execute", listen)
    assert said["v1"] == said["v2"]
    assert len([statement for statement, _ in said["v1"] if statement.startswith("INSERT")]) == 3
