"""The shop's questions to its database and its writes, a function each.

Knows SQL through SQLAlchemy. Must not know HTTP or JSON.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Executable, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from mirrorproof_demo.shop.model import cart_lines, items, mail_queue, orders

__all__ = ["Item", "Line", "cart", "find_order", "item", "list_items", "place_order", "put_line", "search"]


@dataclass(frozen=True, slots=True)
class Item:
    """Goods as the catalogue has them."""

    sku: str
    name: str
    price_cents: int
    stock: int


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a cart."""

    sku: str
    quantity: int
    price_cents: int

    @property
    def sum_cents(self) -> int:
        """What the line costs, without tax."""
        return self.quantity * self.price_cents


@dataclass(frozen=True, slots=True)
class PlacedOrder:
    """An order as it stands in the database."""

    id: int
    reference: str
    total_cents: int
    placed_at: datetime


async def list_items(connection: AsyncConnection) -> list[Item]:
    """All goods, by sku."""
    return await _items(connection, select(items).order_by(items.c.sku))


async def item(connection: AsyncConnection, sku: str) -> Item | None:
    """One of the goods."""
    found = await _items(connection, select(items).where(items.c.sku == sku))
    return found[0] if found else None


async def search(connection: AsyncConnection, words: str, pause_s: float) -> list[Item]:
    """Goods whose name holds `words`. `pause_s` makes the query itself that much slower."""
    if pause_s:
        await connection.execute(select(func.pg_sleep(pause_s)))
    matching = select(items).where(items.c.name.icontains(words, autoescape=True))
    return await _items(connection, matching.order_by(items.c.sku))


async def put_line(connection: AsyncConnection, cart_id: str, sku: str, quantity: int) -> None:
    """Set a line of a cart. Twice the same is once."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    line = insert(cart_lines).values(cart=cart_id, sku=sku, quantity=quantity)
    changed = {"quantity": line.excluded.quantity, "written_by": line.excluded.written_by}
    await connection.execute(line.on_conflict_do_update(index_elements=["cart", "sku"], set_=changed))


async def cart(connection: AsyncConnection, cart_id: str) -> list[Line]:
    """A cart's lines, by sku."""
    wanted = (
        select(cart_lines.c.sku, cart_lines.c.quantity, items.c.price_cents)
        .join(items, items.c.sku == cart_lines.c.sku)
        .where(cart_lines.c.cart == cart_id)
        .order_by(cart_lines.c.sku)
    )
    return [Line(*row) for row in await connection.execute(wanted)]


async def place_order(
    connection: AsyncConnection, reference: str, total_cents: int, recipient: str
) -> PlacedOrder:
    """Store an order and queue its mail."""
    order = orders.insert().values(reference=reference, total_cents=total_cents)
    row = (await connection.execute(order.returning(*_ORDER))).one()
    mail = mail_queue.insert().values(recipient=recipient, template="order-placed", reference=reference)
    await connection.execute(mail)
    return _placed(row)


async def find_order(connection: AsyncConnection, order_id: int) -> PlacedOrder | None:
    """An order by its number."""
    row = (await connection.execute(select(*_ORDER).where(orders.c.id == order_id))).one_or_none()
    return None if row is None else _placed(row)


_ORDER = (orders.c.id, orders.c.reference, orders.c.total_cents, orders.c.placed_at)


def _placed(row: Any) -> PlacedOrder:
    return PlacedOrder(*row)


async def _items(connection: AsyncConnection, wanted: Executable) -> list[Item]:
    rows: Iterable[Any] = await connection.execute(wanted)
    return [Item(*row) for row in rows]
