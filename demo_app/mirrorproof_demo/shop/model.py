"""The shop's tables and its goods.

Each row that a request writes carries `written_by`, and the database fills it in, from what the
connection calls itself: no statement of the shop's names its version, so the statements of both releases
are alike, and the count of who wrote what depends on nothing but the database.

Knows tables. Must not know connections or HTTP.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Column, DateTime, Integer, MetaData, String, Table, func
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

__all__ = ["GOODS", "WRITTEN", "cart_lines", "items", "mail_queue", "metadata", "orders", "writer"]


class writer(FunctionElement[str]):  # noqa: N801 - reads as the SQL function that it is
    """What the connection that writes calls itself: `v1` or `v2`."""

    type = String()
    inherit_cache = True


@compiles(writer, "postgresql")
def _writer_postgresql(element: writer, compiler: Any, **options: Any) -> str:
    return "current_setting('application_name')"


@compiles(writer, "sqlite")
def _writer_sqlite(element: writer, compiler: Any, **options: Any) -> str:
    return "shop_version()"  # see shop.database: each connection brings its own


def _written_by() -> Column[str]:
    return Column("written_by", String, server_default=writer(), nullable=False)


metadata: Final = MetaData()

items: Final = Table(
    "items",
    metadata,
    Column("sku", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("price_cents", Integer, nullable=False),
    Column("stock", Integer, nullable=False),
)

cart_lines: Final = Table(
    "cart_lines",
    metadata,
    Column("cart", String, primary_key=True),
    Column("sku", String, primary_key=True),
    Column("quantity", Integer, nullable=False),
    _written_by(),
)

orders: Final = Table(
    "orders",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("reference", String, nullable=False),
    Column("total_cents", Integer, nullable=False),
    Column("placed_at", DateTime(timezone=True), server_default=func.current_timestamp(), nullable=False),
    _written_by(),
)

mail_queue: Final = Table(
    "mail_queue",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("recipient", String, nullable=False),
    Column("template", String, nullable=False),
    Column("reference", String, nullable=False),
    _written_by(),
)

WRITTEN: Final = (cart_lines, orders, mail_queue)
"""The tables that requests write to."""

GOODS: Final = tuple(
    {"sku": sku, "name": name, "price_cents": price_cents, "stock": stock}
    for sku, name, price_cents, stock in (
        ("tea-01", "Green tea, 100 g", 649, 120),
        ("tea-02", "Black tea, 250 g", 1175, 80),
        ("mug-01", "Stoneware mug", 1290, 34),
        ("mug-02", "Glass mug, double wall", 1745, 21),
        ("pot-01", "Cast iron pot", 5490, 7),
        ("jar-01", "Tea jar, airtight", 895, 55),
        ("spn-01", "Measuring spoon", 433, 200),
        ("flt-01", "Paper filters, 100", 387, 310),
    )
)
