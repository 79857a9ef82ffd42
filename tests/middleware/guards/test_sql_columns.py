"""Which column a value in a text of SQL belongs to, and which columns hold a table's keys."""

from __future__ import annotations

from typing import Any

import pytest

from mirrorproof.guards.sql.columns import key_columns, pieces_of

TEXTS: list[tuple[str, Any, dict[Any, str]]] = [
    ('UPDATE "orders" SET "note" = %s WHERE "orders"."id" = %s', ("a", 1), {0: "note", 1: "id"}),
    ("UPDATE orders SET note=$2, total = total + $3 WHERE id = $1", (1, "a", 2),
     {1: "note", 2: "total", 0: "id"}),
    ("DELETE FROM orders WHERE id NOT IN (%s, %s)", (1, 2), {0: "id", 1: "id"}),
    ("DELETE FROM orders WHERE id = ANY(%s) AND lower(note) = lower(%s)", ([1], "a"), {0: "id", 1: "note"}),
    ("UPDATE orders SET note = :note WHERE id = :id AND made > now()::date", {"note": 1, "id": 2},
     {"note": "note", "id": "id"}),
    ("UPDATE orders SET note = %(n)s WHERE id = %(i)s", {"n": 1, "i": 2}, {"n": "note", "i": "id"}),
    ("INSERT INTO items (order_id, note) VALUES (%s, %s), (%s, 'x')", (1, 2, 3),
     {0: "order_id", 1: "note", 2: "order_id"}),
    ("INSERT INTO items (a, order_id) VALUES (coalesce(?, 'a,b'), ?)", (1, 2), {0: "a", 1: "order_id"}),
    ('INSERT INTO "items" ("order_id", "note") SELECT * FROM UNNEST((%s)::integer[], (%s)::text[]) '
     'RETURNING "items"."id"', ([1], ["a"]), {0: "order_id", 1: "note"}),
    ("INSERT INTO items (id, note) VALUES (%s, %s) ON CONFLICT (id) DO UPDATE SET note = %s", (1, 2, 3),
     {0: "id", 1: "note", 2: "note"}),
    ("INSERT INTO items VALUES (%s)", (1,), {0: ""}),
    ("DELETE FROM orders WHERE note = 'what is it?' AND id = ?", (1,), {0: "id"}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "parameters", "expected"), TEXTS)
def test_a_parameter_belongs_to_the_column_that_it_stands_for(
    text: str, parameters: Any, expected: dict[Any, str]
) -> None:
    pieces = pieces_of(text, parameters)
    assert {piece.key: piece.column for piece in pieces if piece.key is not None} == expected


def test_a_number_belongs_to_a_column_too_and_the_text_stays_as_it_is() -> None:
    text = "UPDATE orders SET total = 1.5, note = 'a 7' WHERE id = 41 AND a1 > 3 -- 9"
    pieces = pieces_of(text, None)
    found = [(piece.text, piece.column) for piece in pieces if piece.column]
    assert found == [("41", "id"), ("3", "a1"), ("9", "a1")]
    assert "".join(piece.text for piece in pieces) == text


def test_a_long_text_is_left_as_it_is() -> None:
    text = "DELETE FROM orders WHERE id = %s" + " " * 10_000
    assert [piece.key for piece in pieces_of(text, (1,))] == [None]


def test_columns_that_refer_to_a_table_are_called_like_it() -> None:
    assert {"order_id", "shop_order_id", "orders_id", "order_ptr_id"} <= key_columns("public.shop_orders")
    assert "category_id" in key_columns("categories")
    assert "box_id" in key_columns("boxes")
    assert "id" not in key_columns("orders")
