"""The summary: what was compared, what came of it, and what is missing.

Knows the queries and the JSON shape of `GET /v1/summary` and `…/fields`. Must not know HTTP.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final

from sqlalchemy import Connection, Integer, cast, distinct, func, select

from mirrorproof_sidecar.compare import CONFLICT_WITH_PRIMARY, Result
from mirrorproof_sidecar.pairing import Side, State
from mirrorproof_sidecar.store import schema
from mirrorproof_sidecar.store.fields import field_rows, field_view, hidden_rows

__all__ = ["fields", "summary"]

_MAX_EFFECTS: Final = 100
_PERCENTS: Final = (50, 95)
_RESULTS: Final = tuple(result.value for result in Result)
_EVERYWHERE: Final = ""
"""Stands for the id of an endpoint where all of them are meant."""


def summary(connection: Connection) -> dict[str, Any]:
    """Everything that the recorder knows, in numbers."""
    names = {row.id: row for row in connection.execute(select(schema.endpoints))}
    figures = _pair_figures(connection)
    held = _held(connection)
    ids = sorted({*figures, *held} & names.keys(), key=lambda key: (-figures[key]["pairs"], key))
    return {
        "totals": figures[_EVERYWHERE],
        "completeness": held[_EVERYWHERE] | _reported(connection) | _own_counters(connection),
        "endpoints": [
            {"id": key, "service": names[key].service, "method": names[key].method, "route": names[key].route}
            | figures[key]
            | {"completeness": held[key]}
            for key in ids
        ],
        "differences": field_rows(field_view(connection), names, figures),
        "ignored": hidden_rows(connection),
        "effects": _effects(connection),
    }


def fields(connection: Connection, endpoint: str) -> dict[str, Any] | None:
    """The differences of one endpoint by path pattern and kind; `None` if there is no such endpoint."""
    table = schema.endpoints
    named = connection.execute(select(table).where(table.c.id == endpoint)).one_or_none()
    if named is None:
        return None
    figures = _pair_figures(connection)
    view = field_view(connection, endpoint)
    mine = figures[endpoint]
    return {
        "id": endpoint, "service": named.service, "method": named.method, "route": named.route,
        "pairs": mine["pairs"], "control_pairs": mine["control"]["pairs"],
        "fields": field_rows(view, {endpoint: named}, figures),
        "omitted": view.omitted.count if view.omitted else 0,
        "ignored": hidden_rows(connection, endpoint),
    }  # fmt: skip


def _empty_figures() -> dict[str, Any]:
    zero = dict.fromkeys(("pairs", *_RESULTS), 0)
    side = {"p50_ms": None, "p95_ms": None, "errors": 0, "error_rate": None}
    return {**zero, "primary": dict(side), "shadow": dict(side), "control": dict(zero)}


def _pair_figures(connection: Connection) -> defaultdict[str, dict[str, Any]]:
    """Results, latencies and errors of the pairs, by endpoint and everywhere."""
    table = schema.pairs
    figures: defaultdict[str, dict[str, Any]] = defaultdict(_empty_figures)
    rows = connection.execute(
        select(
            table.c.against, table.c.endpoint, table.c.result, func.count().label("number"),
            func.sum(cast(table.c.primary_error, Integer)).label("primary_errors"),
            func.sum(cast(table.c.other_error, Integer)).label("other_errors"),
        ).group_by(table.c.against, table.c.endpoint, table.c.result)
    )  # fmt: skip
    for row in rows:
        for key in (row.endpoint, _EVERYWHERE):
            shadow = row.against == Side.SHADOW.value
            counts = figures[key] if shadow else figures[key]["control"]
            counts["pairs"] += row.number
            counts[row.result] += row.number
            if shadow:
                figures[key]["primary"]["errors"] += row.primary_errors
                figures[key]["shadow"]["errors"] += row.other_errors
    for figure in figures.values():
        for side in ("primary", "shadow"):
            if figure["pairs"]:
                figure[side]["error_rate"] = _share(figure[side]["errors"], figure["pairs"])
    _ = figures[_EVERYWHERE]
    for side, column in (("primary", table.c.primary_ns), ("shadow", table.c.other_ns)):
        for by_endpoint in (True, False):
            _add_percentiles(connection, figures, side, column, by_endpoint)
    return figures


def _add_percentiles(
    connection: Connection, figures: Mapping[str, dict[str, Any]], side: str, column: Any, by_endpoint: bool
) -> None:
    """Percentiles by the nearest rank, of all pairs: neither database would interpolate the same way."""
    table = schema.pairs
    group = [table.c.endpoint] if by_endpoint else None
    ranked = (
        select(
            table.c.endpoint,
            column.label("value"),
            func.row_number().over(partition_by=group, order_by=column).label("rank"),
            func.count().over(partition_by=group).label("number"),
        )
        .where(table.c.against == Side.SHADOW.value)
        .subquery()
    )
    for percent in _PERCENTS:
        nearest = (ranked.c.number * percent + 99) // 100
        chosen = select(ranked.c.endpoint, ranked.c.value).where(ranked.c.rank == nearest)
        for row in connection.execute(chosen):
            figure = figures[row.endpoint if by_endpoint else _EVERYWHERE]
            figure[side][f"p{percent}_ms"] = round(row.value / 1e6, 3)


def _empty_held() -> dict[str, Any]:
    def sides() -> dict[str, int]:
        return {side.value: 0 for side in Side}

    return {
        "recorded": sides(), "paired": sides(), "waiting": sides(), "unpaired": sides(),
        "ambiguous": sides(), "superseded": sides(),
        "expired": 0, "truncated": 0, "yielded": 0, CONFLICT_WITH_PRIMARY: 0,
        "effects_suppressed": 0,
    }  # fmt: skip


def _held(connection: Connection) -> defaultdict[str, dict[str, Any]]:
    """What became of the exchanges in the store, by endpoint and everywhere."""
    table = schema.exchanges
    held: defaultdict[str, dict[str, Any]] = defaultdict(_empty_held)
    _ = held[_EVERYWHERE]
    rows = connection.execute(
        select(
            table.c.endpoint, table.c.side, table.c.state, func.count().label("number"),
            func.sum(cast(table.c.truncated, Integer)).label("truncated"),
            func.sum(cast(table.c.yielded, Integer)).label("yielded"),
            func.sum(table.c.suppressed).label("suppressed"),
        ).group_by(table.c.endpoint, table.c.side, table.c.state)
    )  # fmt: skip
    for row in rows:
        state = State.WAITING if row.state == State.NEW.value else State(row.state)
        for key in (row.endpoint, _EVERYWHERE):
            counts = held[key]
            counts["recorded"][row.side] += row.number
            counts[state.value][row.side] += row.number
            counts["expired"] += row.number if state.expired else 0
            counts["truncated"] += row.truncated
            counts["yielded"] += row.yielded
            counts["effects_suppressed"] += row.suppressed
    for endpoint, number in _conflicts(connection):
        for key in (endpoint, _EVERYWHERE):
            held[key][CONFLICT_WITH_PRIMARY] += number
    return held


def _conflicts(connection: Connection) -> Iterable[tuple[str, int]]:
    """Pairs in which v1 was first with the change that the shadow's database then refused, by endpoint."""
    table = schema.pairs
    rows = connection.execute(
        select(table.c.endpoint, func.count())
        .where(
            table.c.against == Side.SHADOW.value,
            table.c.result == Result.INCOMPARABLE.value,
            table.c.reason.contains(CONFLICT_WITH_PRIMARY, autoescape=True),
        )
        .group_by(table.c.endpoint)
    )
    return [(endpoint, number) for endpoint, number in rows]


def _reported(connection: Connection) -> dict[str, Any]:
    """What the capturing processes have counted themselves."""
    table = schema.sources
    rows = connection.execute(
        select(table.c.role, table.c.name, func.sum(table.c.value)).group_by(table.c.role, table.c.name)
    )
    by_role: defaultdict[str, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
    total: defaultdict[str, int] = defaultdict(int)
    for role, name, value in rows:
        by_role[role][name] += int(value)
        total[name] += int(value)
    return {
        "sources": connection.execute(select(func.count(distinct(table.c.source)))).scalar_one(),
        "seen": {role: counts["seen"] for role, counts in sorted(by_role.items())},
        "captured": {role: counts["captured"] for role, counts in sorted(by_role.items())},
        "dropped": {
            "queue_full": total["dropped_queue_full"],
            "unsent": total["dropped_unsent"],
            "rejected": total["dropped_rejected"],
        },
        "refused": {"malformed": total["refused_malformed"], "untrusted": total["refused_untrusted"]},
        "unmarked": total["unmarked"],
        "mark_ignored": total["mark_ignored"],
        "sampled_out": total["sampled_out"],
        "no_pair_id": total["no_pair_id"],
        "body_overrun": total["body_overrun"],
        "effects_lost": total["effects_lost"],
        "effects_outside": total["effects_outside"],
        "effects_late": total["effects_late"],
        "observer_errors": total["observer_errors"],
    }


def _own_counters(connection: Connection) -> dict[str, int]:
    counted = {row.name: row.value for row in connection.execute(select(schema.counters))}
    return {name: counted.get(name, 0) for name in ("duplicates", "revised", "revoked")}


def _effects(connection: Connection) -> list[dict[str, Any]]:
    table = schema.effects
    number = func.sum(table.c.count).label("number")
    columns = (table.c.side, table.c.kind, table.c.target, table.c.outcome)
    rows = connection.execute(
        select(*columns, number).group_by(*columns).order_by(number.desc(), *columns).limit(_MAX_EFFECTS)
    )
    return [
        {
            "side": row.side, "kind": row.kind, "target": row.target, "outcome": row.outcome,
            "count": int(row.number),
        }
        for row in rows
    ]  # fmt: skip


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None
