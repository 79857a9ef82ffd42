"""Looking at pairs: a page of them, or one with both sides. Knows rows and their JSON shape, not HTTP."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, exists, or_, select, tuple_

from mirrorproof.exchange import Exchange, Response
from mirrorproof_sidecar.compare.content import codings, decode
from mirrorproof_sidecar.store import schema
from mirrorproof_sidecar.store.fields import difference_values
from mirrorproof_sidecar.store.settling import load_exchanges

__all__ = ["PairFilter", "one_pair", "page_of_pairs"]

_CURSOR = re.compile(r"([0-9]{1,19})-([0-9a-f]{32})")


@dataclass(frozen=True, slots=True)
class PairFilter:
    """Which pairs; `endpoint` is an id or `POST /orders`, `path` a path or a pattern of one, `cursor` the
    last page's `next`."""

    endpoint: str | None = None
    result: str | None = None
    path: str | None = None
    kind: str | None = None
    pair_id: str | None = None
    against: str = "shadow"
    cursor: str | None = None
    limit: int = 50

    def __post_init__(self) -> None:
        if self.cursor is not None and not _CURSOR.fullmatch(self.cursor):
            raise ValueError("`cursor` is not one that an earlier page gave as `next`")


def page_of_pairs(connection: Connection, wanted: PairFilter) -> dict[str, Any]:
    """A page of pairs, the latest first, and the cursor of the next, `null` on the last."""
    table, named = schema.pairs, schema.endpoints
    statement = (
        select(table, named.c.service, named.c.method, named.c.route)
        .join(named, named.c.id == table.c.endpoint, isouter=True)
        .where(*_conditions(wanted))
        .order_by(table.c.started_ns.desc(), table.c.id.desc())
        .limit(wanted.limit + 1)
    )
    rows = connection.execute(statement).all()
    page = rows[: wanted.limit]
    more = len(rows) > wanted.limit
    return {
        "pairs": [_pair(row) for row in page],
        "next": f"{page[-1].started_ns}-{page[-1].id}" if more else None,
    }


def one_pair(connection: Connection, pair: str) -> dict[str, Any] | None:
    """A pair with both exchanges and their differences; `None` if there is none of that id."""
    table, named = schema.pairs, schema.endpoints
    row = connection.execute(
        select(table, named.c.service, named.c.method, named.c.route)
        .join(named, named.c.id == table.c.endpoint, isouter=True)
        .where(table.c.id == pair)
    ).one_or_none()
    if row is None:
        return None
    found = load_exchanges(connection, (row.primary_uid, row.other_uid))
    differences = schema.differences
    rows = connection.execute(
        select(differences).where(differences.c.pair == pair).order_by(differences.c.id)
    )
    hidden = schema.ignored
    rules = connection.execute(select(hidden).where(hidden.c.pair == pair).order_by(hidden.c.pattern))
    return _pair(row) | {
        "primary_exchange": _exchange(found.get(row.primary_uid)),
        "shadow_exchange": _exchange(found.get(row.other_uid)),
        "found": [
            {"path": d.path, "kind": d.kind} | difference_values(d.primary_json, d.other_json) for d in rows
        ],
        "hidden": [
            {"path": r.pattern, "by": r.by, "name": r.name, "reason": r.reason, "count": r.count}
            for r in rules
        ],
    }


def _conditions(wanted: PairFilter) -> list[Any]:
    table, found = schema.pairs, schema.differences
    conditions: list[Any] = [table.c.against == wanted.against]
    if wanted.endpoint is not None:
        conditions += _of_endpoint(wanted.endpoint)
    for name in ("result", "pair_id"):
        value = getattr(wanted, name)
        if value is not None:
            conditions.append(table.c[name] == value)
    if wanted.path is not None or wanted.kind is not None:
        inner = [found.c.pair == table.c.id]
        if wanted.path is not None:
            inner.append(or_(found.c.path == wanted.path, found.c.pattern == wanted.path))
        if wanted.kind is not None:
            inner.append(found.c.kind == wanted.kind)
        conditions.append(exists().where(*inner))
    if wanted.cursor is not None and (match := _CURSOR.fullmatch(wanted.cursor)):
        after = (min(int(match[1]), 2**63 - 1), match[2])
        conditions.append(tuple_(table.c.started_ns, table.c.id) < after)
    return conditions


def _of_endpoint(endpoint: str) -> list[Any]:
    method, space, route = endpoint.partition(" ")
    if not space:
        return [schema.pairs.c.endpoint == endpoint]
    named = schema.endpoints
    return [named.c.method == method.upper(), named.c.route == route.strip()]


def _pair(row: Row[Any]) -> dict[str, Any]:
    return {
        "id": row.id, "pair_id": row.pair_id, "endpoint": row.endpoint, "service": row.service,
        "method": row.method, "route": row.route, "against": row.against, "result": row.result,
        "reason": row.reason, "started_unix_ns": row.started_ns,
        "primary": {
            "status": row.primary_status, "duration_ms": round(row.primary_ns / 1e6, 3),
            "failed": row.primary_error,
        },
        "shadow": {
            "status": row.other_status, "duration_ms": round(row.other_ns / 1e6, 3),
            "failed": row.other_error,
        },
        "differences": row.differences, "ignored": row.ignored,
    }  # fmt: skip


def _exchange(exchange: Exchange | None) -> dict[str, Any] | None:
    if exchange is None:
        return None
    shown: dict[str, Any] = msgspec.to_builtins(exchange)
    if exchange.response is not None:
        del shown["response"]["body"]
        shown["response"] |= _body(exchange.response)
    return shown


def _body(response: Response) -> dict[str, str]:
    """The body as text where it is text, without its content codings, else as Base64 of what was captured."""
    applied = codings([value for name, value in response.headers if name == "content-encoding"])
    try:
        content = decode(response.body, applied, whole=not response.truncated) if applied else response.body
        return {"body_text": content.decode()}
    except ValueError:
        return {"body_base64": base64.b64encode(response.body).decode()}
