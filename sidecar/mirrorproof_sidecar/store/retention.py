"""Deleting: what is too old, and what somebody asked to be forgotten. Must not know who asks."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Column, Connection, delete, or_, select

from mirrorproof_sidecar.store import schema
from mirrorproof_sidecar.store.schema import safe_text

__all__ = ["forget", "prune_endpoints", "sweep"]


def sweep(connection: Connection, *, before_s: float, limit: int) -> int:
    """Delete up to `limit` exchanges and as many pairs that came before `before_s`. How many they were."""
    old_pairs = _ids(connection, schema.pairs.c.id, schema.pairs.c.received_s, before_s, limit)
    old = _ids(connection, schema.exchanges.c.uid, schema.exchanges.c.received_s, before_s, limit)
    _delete_pairs(connection, old_pairs)
    _delete_exchanges(connection, old)
    connection.execute(delete(schema.sources).where(schema.sources.c.updated_s < before_s))
    return len(old) + len(old_pairs)


def prune_endpoints(connection: Connection) -> None:
    """Make room: endpoints that nothing is stored of any more are dropped."""
    table = schema.endpoints
    used = select(schema.exchanges.c.endpoint).union(select(schema.pairs.c.endpoint))
    connection.execute(delete(table).where(table.c.id.not_in(used)))


def forget(connection: Connection, pair: str) -> tuple[int, int]:
    """Delete all exchanges and pairs of a pair id, given as such or by the id of one of its pairs.

    Returns the numbers of exchanges and pairs that were deleted.
    """
    pairs, exchanges = schema.pairs, schema.exchanges
    named = connection.execute(select(pairs.c.pair_id).where(pairs.c.id == pair)).scalar_one_or_none()
    pair_id = named or safe_text(pair)
    uids = connection.execute(select(exchanges.c.uid).where(exchanges.c.pair_id == pair_id)).scalars().all()
    ids = (
        connection.execute(select(pairs.c.id).where(or_(pairs.c.pair_id == pair_id, pairs.c.id == pair)))
        .scalars()
        .all()
    )
    _delete_pairs(connection, ids)
    _delete_exchanges(connection, uids)
    return len(uids), len(ids)


def _ids(
    connection: Connection, column: Column[str], age: Column[float], before_s: float, limit: int
) -> Sequence[str]:
    return connection.execute(select(column).where(age < before_s).order_by(age).limit(limit)).scalars().all()


def _delete_pairs(connection: Connection, ids: Sequence[str]) -> None:
    for part in _parts(ids):
        connection.execute(delete(schema.differences).where(schema.differences.c.pair.in_(part)))
        connection.execute(delete(schema.ignored).where(schema.ignored.c.pair.in_(part)))
        connection.execute(delete(schema.pairs).where(schema.pairs.c.id.in_(part)))


def _delete_exchanges(connection: Connection, uids: Sequence[str]) -> None:
    for part in _parts(uids):
        connection.execute(delete(schema.effects).where(schema.effects.c.uid.in_(part)))
        connection.execute(delete(schema.exchanges).where(schema.exchanges.c.uid.in_(part)))


def _parts(ids: Sequence[str], size: int = 500) -> list[Sequence[str]]:
    # SQLite bounds the number of parameters of a statement.
    return [ids[at : at + size] for at in range(0, len(ids), size)]
