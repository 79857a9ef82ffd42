"""Fields from the store: what differs, what is hidden, where, how often, when and for example.

Knows the queries and the JSON shape of a field, in `GET /v1/summary` and `…/fields`. Must not know HTTP, or
how a view stays small.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, distinct, func, select

from mirrorproof_sidecar.fields import COUNTS, MAX_EXAMPLES, Example, Field, FieldView, Tally
from mirrorproof_sidecar.pairing import Side
from mirrorproof_sidecar.store import schema

__all__ = ["difference_values", "field_rows", "field_view", "hidden_rows"]

CONTROL: Final = "control"
_MAX_FIELDS: Final = 100
_MAX_HIDDEN: Final = 100
_READ_AT_ONCE: Final = 1000


def field_view(connection: Connection, endpoint: str | None = None) -> FieldView:
    """The view of one endpoint, or of all: what counts, what is hidden by which cause, and what differs
    between v1 and its control."""
    view = FieldView()
    for one, tally in (*_differing(connection, endpoint), *_hidden(connection, endpoint)):
        view.add(one, tally)
    return view


def field_rows(
    view: FieldView, names: Mapping[str, Row[Any]], figures: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The fields that count as plain data, those in most pairs first. `figures` has the pairs by endpoint."""
    rows = list(view.rows())
    hidden: dict[tuple[str, str], dict[str, int]] = {}
    noise: dict[Field, int] = {}
    for one, tally in rows:
        if one.by == CONTROL:
            noise[one._replace(by=COUNTS)] = tally.pairs
        elif one.by != COUNTS:
            hidden.setdefault((one.endpoint, one.path), {})[one.by] = tally.pairs
    shown = [(one, tally) for one, tally in rows if one.by == COUNTS and one.endpoint in names]
    return [
        _endpoint(names[one.endpoint])
        | {"path": one.path, "kind": one.kind, "folded": view.folded(one.endpoint, one.path)}
        | _counted(tally, figures[one.endpoint]["pairs"])
        | {
            "noise_share": _share(noise.get(one, 0), figures[one.endpoint]["control"]["pairs"]),
            "hidden": {
                cause: _share(pairs, figures[one.endpoint]["pairs"])
                for cause, pairs in sorted(hidden.get((one.endpoint, one.path), {}).items())
            },
            "example": _example(tally.examples[0]),
            "examples": [_example(example) for example in tally.examples],
        }
        for one, tally in shown[:_MAX_FIELDS]
    ]


def hidden_rows(connection: Connection, endpoint: str | None = None) -> list[dict[str, Any]]:
    """What is hidden by path, cause, name and reason, the most frequent first."""
    table, pairs = schema.ignored, schema.pairs
    number = func.count(distinct(table.c.pair)).label("pairs")
    columns = (table.c.pattern, table.c.by, table.c.name, table.c.reason)
    rows = connection.execute(
        select(
            *columns, func.sum(table.c.count).label("number"), number,
            func.min(pairs.c.received_s).label("first_s"), func.max(pairs.c.received_s).label("last_s"),
        )
        .join(pairs, pairs.c.id == table.c.pair)
        .where(*_wanted(table, Side.SHADOW, endpoint))
        .group_by(*columns)
        .order_by(number.desc(), *columns)
        .limit(_MAX_HIDDEN)
    )  # fmt: skip
    return [
        {
            "path": row.pattern, "by": row.by, "name": row.name, "reason": row.reason,
            "count": int(row.number), "pairs": row.pairs,
            "first_seen_unix_s": round(row.first_s, 3), "last_seen_unix_s": round(row.last_s, 3),
        }
        for row in rows
    ]  # fmt: skip


def difference_values(primary_json: str | None, other_json: str | None) -> dict[str, Any]:
    """`primary` and `shadow`; a side that has nothing there is left out, so that it is no JSON null."""
    sides = {"primary": primary_json, "shadow": other_json}
    return {side: msgspec.json.decode(text) for side, text in sides.items() if text is not None}


def _differing(connection: Connection, endpoint: str | None) -> Iterator[tuple[Field, Tally]]:
    for side, by in ((Side.SHADOW, COUNTS), (Side.CONTROL, CONTROL)):
        yield from _differing_from(connection, side, by, endpoint)


def _differing_from(
    connection: Connection, side: Side, by: str, endpoint: str | None
) -> Iterator[tuple[Field, Tally]]:
    table, pairs = schema.differences, schema.pairs
    names = (table.c.endpoint, table.c.pattern, table.c.kind)
    in_pair = (
        select(
            *names, table.c.pair, pairs.c.received_s, func.count().label("number"),
            func.min(table.c.id).label("least"),
        )
        .join(pairs, pairs.c.id == table.c.pair)
        .where(*_wanted(table, side, endpoint))
        .group_by(*names, table.c.pair, pairs.c.received_s)
        .subquery()
    )  # fmt: skip
    field = (in_pair.c.endpoint, in_pair.c.pattern, in_pair.c.kind)
    ranked = select(
        in_pair,
        func.row_number().over(partition_by=field, order_by=in_pair.c.pair).label("rank"),
        func.count().over(partition_by=field).label("pairs"),
        func.sum(in_pair.c.number).over(partition_by=field).label("total"),
        func.min(in_pair.c.received_s).over(partition_by=field).label("first_s"),
        func.max(in_pair.c.received_s).over(partition_by=field).label("last_s"),
    ).subquery()  # fmt: skip
    rows = connection.execute(
        select(ranked, table.c.path, table.c.primary_json, table.c.other_json)
        .join(table, table.c.id == ranked.c.least)
        .where(ranked.c.rank <= MAX_EXAMPLES)
        .order_by(ranked.c.endpoint, ranked.c.pattern, ranked.c.kind, ranked.c.rank)
        .execution_options(yield_per=_READ_AT_ONCE)
    )
    found: list[Row[Any]] = []
    for row in rows:
        if row.rank == 1 and found:
            yield _field(found, by)
            found = []
        found.append(row)
    if found:
        yield _field(found, by)


def _field(rows: Sequence[Row[Any]], by: str) -> tuple[Field, Tally]:
    """One field of the rows of its examples, each of which has all of its figures."""
    first = rows[0]
    examples = tuple(
        Example(row.pair, row.path, difference_values(row.primary_json, row.other_json)) for row in rows
    )
    tally = Tally(int(first.total), first.pairs, first.first_s, first.last_s, examples)
    return Field(first.endpoint, first.pattern, first.kind, by), tally


def _hidden(connection: Connection, endpoint: str | None) -> Iterator[tuple[Field, Tally]]:
    table, pairs = schema.ignored, schema.pairs
    columns = (table.c.endpoint, table.c.pattern, table.c.by)
    rows = connection.execute(
        select(
            *columns, func.sum(table.c.count).label("number"),
            func.count(distinct(table.c.pair)).label("pairs"),
            func.min(pairs.c.received_s).label("first_s"), func.max(pairs.c.received_s).label("last_s"),
        )
        .join(pairs, pairs.c.id == table.c.pair)
        .where(*_wanted(table, Side.SHADOW, endpoint))
        .group_by(*columns)
        .execution_options(yield_per=_READ_AT_ONCE)
    )  # fmt: skip
    for row in rows:
        tally = Tally(int(row.number), row.pairs, row.first_s, row.last_s)
        yield Field(row.endpoint, row.pattern, "", row.by), tally


def _wanted(table: Any, side: Side, endpoint: str | None) -> list[ColumnElement[bool]]:
    of_endpoint = [] if endpoint is None else [table.c.endpoint == endpoint]
    return [table.c.against == side.value, *of_endpoint]


def _endpoint(named: Row[Any]) -> dict[str, Any]:
    return {"endpoint": named.id, "service": named.service, "method": named.method, "route": named.route}


def _counted(tally: Tally, pairs: int) -> dict[str, Any]:
    return {
        "count": tally.count, "pairs": tally.pairs, "share": _share(tally.pairs, pairs),
        "first_seen_unix_s": round(tally.first_s, 3), "last_seen_unix_s": round(tally.last_s, 3),
    }  # fmt: skip


def _example(example: Example) -> dict[str, Any]:
    return {"pair": example.pair, "path": example.path, **example.values}


def _share(part: int, whole: int) -> float | None:
    return min(1.0, round(part / whole, 4)) if whole else None
