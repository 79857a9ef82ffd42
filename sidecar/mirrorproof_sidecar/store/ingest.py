"""Taking a batch into the store. Knows rows. Must not know pairing, or what a batch came in on."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, case, func, literal, select
from sqlalchemy.dialects import postgresql, sqlite

from mirrorproof.decision import Mode, Role
from mirrorproof.exchange import Batch, Exchange, Outcome, SourceReport
from mirrorproof_sidecar.endpoints import OTHER_ROUTE, Endpoint, endpoint_asked, template_of
from mirrorproof_sidecar.pairing import Side, State
from mirrorproof_sidecar.store import schema
from mirrorproof_sidecar.store.schema import safe_text

__all__ = ["Ingested", "digest", "ingest", "key_of", "side_of", "uid_of", "upsert"]

_MAX_PATIENCE: Final = 10
"""A key that never falls quiet is settled after this many times `settle_s`."""

_MAX_EFFECT_ROWS: Final = 50
_MAX_COUNT: Final = 2**48
"""Of one counter of one source: SQLite's sum over all of them must not overflow."""


@dataclass(frozen=True, slots=True)
class Ingested:
    """What became of a batch; `keys` is how many requests now wait to be settled because of it."""

    accepted: int
    duplicates: int
    keys: int
    by_side: dict[Side, int]


def ingest(
    connection: Connection, batch: Batch, *, now_s: float, settle_s: float, max_endpoints: int
) -> Ingested:
    """Store what is new in `batch`. An exchange that is known already changes nothing."""
    unique = {uid_of(exchange.exchange_id): exchange for exchange in batch.exchanges}
    endpoints = _endpoints(connection, unique.values(), max_endpoints)
    rows = [_row(uid, exchange, endpoints[id(exchange)], now_s) for uid, exchange in sorted(unique.items())]
    new = _insert_new(connection, rows)
    effects = [row for uid in sorted(new) for row in _effect_rows(uid, unique[uid])]
    if effects:
        connection.execute(schema.effects.insert(), effects)
    keys = {row["key"] for row in rows if row["uid"] in new}
    _schedule(connection, keys, now_s, settle_s)
    if batch.source is not None:
        _merge_source(connection, batch.source, now_s)
    by_side = Counter(side_of(unique[uid]) for uid in new)
    return Ingested(len(new), len(batch.exchanges) - len(new), len(keys), dict(by_side))


def upsert(connection: Connection, table: Any) -> Any:
    """An INSERT that knows ON CONFLICT, in the connection's dialect."""
    module: Any = sqlite if connection.dialect.name == "sqlite" else postgresql
    return module.insert(table)


def digest(*parts: str) -> str:
    """32 hex digits, different for different parts wherever they are cut."""
    state = hashlib.sha256()
    for part in parts:
        encoded = part.encode("utf-8", "surrogatepass")
        state.update(len(encoded).to_bytes(8, "big") + encoded)
    return state.hexdigest()[:32]


def uid_of(exchange_id: str) -> str:
    """The key of an exchange in the store."""
    return digest("exchange", exchange_id)


def key_of(exchange: Exchange) -> str:
    """What has to agree before two exchanges can pair."""
    return digest("key", exchange.pair_id, exchange.service, exchange.request.method, exchange.request.path)


def side_of(exchange: Exchange) -> Side:
    """A live request is the primary's, whoever answered it."""
    if exchange.mode is Mode.LIVE:
        return Side.PRIMARY
    return Side.CONTROL if exchange.role is Role.CONTROL else Side.SHADOW


def _row(uid: str, exchange: Exchange, endpoint: str, now_s: float) -> dict[str, Any]:
    outcomes = Counter(effect.outcome for effect in exchange.effects)
    body = exchange.request.body_sha256
    return {
        "uid": uid,
        "key": key_of(exchange),
        "pair_id": safe_text(exchange.pair_id),
        "endpoint": endpoint,
        "side": side_of(exchange).value,
        "state": State.NEW.value,
        "attempt": exchange.attempt,
        "started_ns": exchange.started_unix_ns,
        "received_s": now_s,
        "query_digest": digest("query", exchange.request.query),
        "body_digest": None if body is None else digest("body", body),
        "truncated": exchange.response is not None and exchange.response.truncated,
        "yielded": exchange.yielded,
        "suppressed": outcomes[Outcome.SUPPRESSED],
        "blob": msgspec.msgpack.encode(exchange),
    }


def _insert_new(connection: Connection, rows: Sequence[dict[str, Any]]) -> set[str]:
    if not rows:
        return set()
    statement = upsert(connection, schema.exchanges).on_conflict_do_nothing()
    return set(connection.execute(statement.returning(schema.exchanges.c.uid), rows).scalars())


def _effect_rows(uid: str, exchange: Exchange) -> Iterable[dict[str, Any]]:
    side = side_of(exchange).value
    counts = Counter((e.kind, template_of(e.target), e.outcome) for e in exchange.effects)
    for (kind, target, outcome), count in counts.most_common(_MAX_EFFECT_ROWS):
        yield {
            "uid": uid, "side": side, "kind": safe_text(kind, 100), "target": safe_text(target, 300),
            "outcome": outcome.value, "count": count,
        }  # fmt: skip


def _endpoints(connection: Connection, exchanges: Iterable[Exchange], bound: int) -> dict[int, str]:
    """The endpoint's id of each exchange (by `id()`); new ones are added while there is room."""
    table = schema.endpoints
    wanted: dict[int, Endpoint] = {id(exchange): _readable_endpoint(exchange) for exchange in exchanges}
    by_id = {endpoint.id: endpoint for endpoint in wanted.values()}
    known = set(connection.execute(select(table.c.id).where(table.c.id.in_(by_id))).scalars())
    new = sorted(by_id.keys() - known)
    room = 0
    if new:
        room = max(0, bound - connection.execute(select(func.count()).select_from(table)).scalar_one())
    folded = {unlucky: Endpoint(by_id[unlucky].service, "*", OTHER_ROUTE) for unlucky in new[room:]}
    adding = {
        endpoint.id: endpoint for endpoint in (*(by_id[lucky] for lucky in new[:room]), *folded.values())
    }
    if adding:
        rows = [
            {"id": key, "service": e.service, "method": e.method, "route": e.route}
            for key, e in sorted(adding.items())
        ]
        connection.execute(upsert(connection, table).on_conflict_do_nothing(), rows)
    return {key: folded.get(endpoint.id, endpoint).id for key, endpoint in wanted.items()}


def _readable_endpoint(exchange: Exchange) -> Endpoint:
    endpoint = endpoint_asked(exchange)
    return Endpoint(safe_text(endpoint.service), safe_text(endpoint.method), safe_text(endpoint.route))


def _schedule(connection: Connection, keys: Iterable[str], now_s: float, settle_s: float) -> None:
    table = schema.pending
    rows = [
        # `arrivals` starts at the time, so that a key which comes again never repeats a number.
        {"key": key, "arrivals": int(now_s * 1e6), "fresh": True, "since_s": now_s, "due_s": now_s + settle_s}
        for key in sorted(keys)
    ]
    if not rows:
        return
    statement = upsert(connection, table)
    latest_s = table.c.since_s + literal(_MAX_PATIENCE * settle_s)
    due_s = statement.excluded.due_s
    statement = statement.on_conflict_do_update(
        index_elements=["key"],
        set_={
            "arrivals": table.c.arrivals + 1,
            "fresh": True,
            "since_s": case((table.c.fresh, table.c.since_s), else_=statement.excluded.since_s),
            "due_s": case((table.c.fresh & (latest_s < due_s), latest_s), else_=due_s),
        },
    )
    connection.execute(statement, rows)


def _merge_source(connection: Connection, report: SourceReport, now_s: float) -> None:
    table = schema.sources
    rows = [
        {
            "source": digest("source", report.source_id), "name": safe_text(name, 64),
            "service": safe_text(report.service), "version": safe_text(report.version),
            "role": report.role.value, "value": min(value, _MAX_COUNT), "updated_s": now_s,
        }
        for name, value in sorted(report.counters.items())[:64]
    ]  # fmt: skip
    if not rows:
        return
    statement = upsert(connection, table)
    greater = case((table.c.value > statement.excluded.value, table.c.value), else_=statement.excluded.value)
    statement = statement.on_conflict_do_update(
        index_elements=["source", "name"], set_={"value": greater, "updated_s": statement.excluded.updated_s}
    )
    connection.execute(statement, rows)
