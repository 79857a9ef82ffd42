"""What the verdict rests on, counted by endpoint.

Knows the queries. Must not know limits, or what the numbers come to. Every query is answered from an index
and in groups, so that what it returns grows with the endpoints and not with the pairs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Integer, cast, func, select

from mirrorproof.decision import Role
from mirrorproof_sidecar.compare import Result
from mirrorproof_sidecar.judge import Durations, EndpointEvidence, Evidence, Sources
from mirrorproof_sidecar.pairing import Side, State
from mirrorproof_sidecar.store import schema

__all__ = ["endpoint_evidence", "sources"]

_NOT_PAIRABLE: Final = frozenset({State.NEW, State.SUPERSEDED})
_DROPPED: Final = ("dropped_queue_full", "dropped_unsent", "dropped_rejected")


def endpoint_evidence(connection: Connection, *, since_s: float | None = None) -> list[EndpointEvidence]:
    """The evidence of each endpoint, the one that was seen first before the others.

    With `since_s` (seconds since 1970, by the recorder's clock) only of what the recorder got from then on.
    """
    counts: defaultdict[str, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
    first_s: dict[str, float] = {}
    for key, name, number, earliest_s in (*_pairs(connection, since_s), *_exchanges(connection, since_s)):
        counts[key][name] += number
        first_s[key] = min(earliest_s, first_s.get(key, earliest_s))
    table = schema.pairs
    primary = _durations(connection, table.c.primary_bucket, since_s)
    shadow = _durations(connection, table.c.other_bucket, since_s)
    named = {row.id: row for row in connection.execute(select(schema.endpoints))}
    return [
        EndpointEvidence(
            key, named[key].service, named[key].method, named[key].route,
            Evidence(
                **counts[key], primary=primary.get(key, Durations()), shadow=shadow.get(key, Durations())
            ),
        )
        for key in sorted(counts.keys() & named.keys(), key=lambda one: (first_s.get(one, 0.0), one))
    ]  # fmt: skip


def sources(connection: Connection) -> Sources:
    """What the capturing processes counted since each began."""
    table = schema.sources
    total: defaultdict[str, int] = defaultdict(int)
    rows = connection.execute(
        select(table.c.role, table.c.name, func.sum(table.c.value)).group_by(table.c.role, table.c.name)
    )
    for role, name, value in rows:
        total[name] += int(value)
        if name == "seen" and role == Role.SHADOW.value:
            total["seen_by_shadow"] += int(value)
    return Sources(
        reporting=connection.execute(select(func.count(table.c.source.distinct()))).scalar_one(),
        seen=total["seen"], seen_by_shadow=total["seen_by_shadow"], captured=total["captured"],
        dropped=sum(total[name] for name in _DROPPED), unmarked=total["unmarked"],
        without_id=total["no_pair_id"], observer_errors=total["observer_errors"],
    )  # fmt: skip


_Counted = Iterator[tuple[str, str, int, float]]
"""Endpoint, the name of a count in `Evidence`, how many, and when the earliest came."""


def _pairs(connection: Connection, since_s: float | None) -> _Counted:
    table = schema.pairs
    what = (
        table.c.against, table.c.endpoint, table.c.result, table.c.primary_error, table.c.other_error,
        table.c.effects,
    )  # fmt: skip
    statement = select(*what, func.count().label("number"), func.min(table.c.received_s).label("first_s"))
    for row in connection.execute(_since(statement, table.c.received_s, since_s).group_by(*what)):
        for name in _names(row):
            yield row.endpoint, name, row.number, row.first_s


def _names(row: Any) -> Iterator[str]:
    """Which counts a group of pairs belongs to."""
    whole = row.result != Result.INCOMPARABLE.value
    answered = not row.primary_error and not row.other_error
    differing = row.result == Result.DIFFERENT.value
    if row.against != Side.SHADOW.value:
        if whole and answered:
            yield "control_answered"
            if differing and row.effects != "noise":
                yield "control_differing"
        return
    yield "pairs"
    yield "compared" if whole else "incomparable"
    if not whole:
        if answered:
            yield "unknown"
        if row.effects == "conflict":
            yield "conflicts"
        return
    if answered:
        yield "answered"
        if differing:
            yield "differing"
        if row.effects != "unknown":
            yield "effects_compared"
        if row.effects == "different":
            yield "effects_differing"
    elif row.primary_error and row.other_error:
        yield "both_failed"
    else:
        yield "primary_failed_alone" if row.primary_error else "shadow_failed_alone"


def _exchanges(connection: Connection, since_s: float | None) -> _Counted:
    table = schema.exchanges
    what = (table.c.endpoint, table.c.side, table.c.state)
    statement = select(
        *what, func.count().label("number"), func.min(table.c.received_s).label("first_s"),
        func.sum(cast(table.c.truncated, Integer)).label("truncated"),
        func.sum(cast(table.c.yielded, Integer)).label("yielded"),
    )  # fmt: skip
    for row in connection.execute(_since(statement, table.c.received_s, since_s).group_by(*what)):
        state = State(row.state)
        named = {"recorded": row.number, "truncated": int(row.truncated)}
        if row.side != Side.CONTROL.value and state not in _NOT_PAIRABLE:
            named[f"{row.side}_calls"] = row.number
            named[f"{row.side}_paired"] = row.number if state is State.PAIRED else 0
        if row.side == Side.SHADOW.value:
            named |= {"shadow_recorded": row.number, "yielded": int(row.yielded)}
        for name, number in named.items():
            yield row.endpoint, name, number, row.first_s


def _durations(
    connection: Connection, bucket: ColumnElement[int], since_s: float | None
) -> dict[str, Durations]:
    """How many durations each endpoint has in which bucket."""
    table = schema.pairs
    statement = select(table.c.endpoint, bucket, func.count()).where(
        table.c.against == Side.SHADOW.value, bucket.is_not(None)
    )
    rows = connection.execute(
        _since(statement, table.c.received_s, since_s).group_by(table.c.endpoint, bucket)
    )
    buckets: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    for key, edge_ns, number in rows:
        buckets[key].append((edge_ns, number))
    return {key: Durations.counted(found) for key, found in buckets.items()}


def _since(statement: Any, received_s: ColumnElement[float], since_s: float | None) -> Any:
    return statement if since_s is None else statement.where(received_s >= since_s)
