"""Stored pairs, to be compared again: a piece of them at a time, and writing down what came of it.

Knows rows. Must not know how pairs are compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, select, tuple_, update

from mirrorproof_sidecar.compare import Cause, Result
from mirrorproof_sidecar.finding import Finding
from mirrorproof_sidecar.pairing import Match, Side
from mirrorproof_sidecar.store import schema
from mirrorproof_sidecar.store.findings import difference_rows, ignored_rows, pair_row
from mirrorproof_sidecar.store.settling import load_exchanges, pair_id_of

__all__ = ["StoredPair", "count_pairs", "load_pairs", "rewrite"]

_RENEWED = (
    "result", "reason", "differences", "ignored", "effects", "primary_bucket", "other_bucket",
)  # fmt: skip
_At = tuple[float, str]
"""Where a piece ended: time and id of its last pair."""


@dataclass(frozen=True, slots=True)
class StoredPair:
    """A pair as it was found: its two exchanges (`finding` without a comparison, `None` where one of them was
    deleted), its result, the fields that differ, and the places hidden because the state had moved."""

    id: str
    at: _At
    endpoint: str
    finding: tuple[Match, str, Any, Any] | None
    result: Result
    fields: frozenset[tuple[str, str]]
    moved: frozenset[str]


def count_pairs(connection: Connection) -> int:
    """How many pairs there are."""
    return connection.execute(select(func.count()).select_from(schema.pairs)).scalar_one()


def load_pairs(connection: Connection, after: _At, limit: int) -> list[StoredPair]:
    """Up to `limit` pairs behind `after`, in the order in which the recorder got them."""
    table = schema.pairs
    rows = connection.execute(
        select(table)
        .where(tuple_(table.c.received_s, table.c.id) > after)
        .order_by(table.c.received_s, table.c.id)
        .limit(limit)
    ).all()
    ids = [row.id for row in rows]
    exchanges = load_exchanges(connection, [uid for row in rows for uid in (row.primary_uid, row.other_uid)])
    fields: dict[str, set[tuple[str, str]]] = {one: set() for one in ids}
    moved: dict[str, set[str]] = {one: set() for one in ids}
    found, hidden = schema.differences, schema.ignored
    for row in connection.execute(select(found).where(found.c.pair.in_(ids))):
        fields[row.pair].add((row.pattern, row.kind))
    by_moving = select(hidden).where(hidden.c.pair.in_(ids), hidden.c.by == Cause.MOVED.value)
    for row in connection.execute(by_moving):
        moved[row.pair].add(row.pattern)
    pairs = []
    for row in rows:
        primary, other = exchanges.get(row.primary_uid), exchanges.get(row.other_uid)
        match = Match(row.primary_uid, row.other_uid, Side(row.against))
        whole = None if primary is None or other is None else (match, row.key, primary, other)
        pairs.append(
            StoredPair(
                row.id, (row.received_s, row.id), row.endpoint, whole, Result(row.result),
                frozenset(fields[row.id]), frozenset(moved[row.id]),
            )
        )  # fmt: skip
    return pairs


def rewrite(connection: Connection, findings: Sequence[Finding]) -> int:
    """Write down what was found of pairs that are still there. How many those are."""
    table = schema.pairs
    by_id = {pair_id_of(finding.match): finding for finding in findings}
    there = connection.execute(
        select(table.c.id).where(table.c.id.in_(by_id)).order_by(table.c.id).with_for_update()
    )
    ids = list(there.scalars())
    if not ids:
        return 0
    renewed = [pair_row(one, by_id[one]) for one in ids]
    statement = update(table).where(table.c.id == bindparam("b_id"))
    connection.execute(
        statement.values({name: bindparam(f"b_{name}") for name in _RENEWED}),
        [{"b_id": row["id"], **{f"b_{name}": row[name] for name in _RENEWED}} for row in renewed],
    )
    for rows, make in ((schema.differences, difference_rows), (schema.ignored, ignored_rows)):
        connection.execute(delete(rows).where(rows.c.pair.in_(ids)))
        more = [row for one in ids for row in make(one, by_id[one])]
        if more:
            connection.execute(rows.insert(), more)
    return len(ids)
