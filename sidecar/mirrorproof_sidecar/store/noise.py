"""What the store knows of noise: how often each field differed, against the control and against v2.

Knows the queries. Must not know what makes a field noise.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, and_, distinct, func, select

from mirrorproof_sidecar.compare import Cause
from mirrorproof_sidecar.judge.noise import Source, Tally
from mirrorproof_sidecar.store import schema

__all__ = ["load_tally"]

_MAX_FIELDS: Final = 5000


def load_tally(connection: Connection) -> Tally:
    """The counts of all pairs that are stored. Of each side, the fields that differ most often."""
    tally = Tally()
    pairs = schema.pairs
    counted = select(pairs.c.endpoint, pairs.c.against, func.count()).group_by(
        pairs.c.endpoint, pairs.c.against
    )
    for endpoint, against, number in connection.execute(counted):
        tally.pairs[endpoint, Source(against)] += number
    _count_differences(connection, tally)
    _count_hidden(connection, tally)
    return tally


def _count_differences(connection: Connection, tally: Tally) -> None:
    table = schema.differences
    number = func.count(distinct(table.c.pair))
    for source in (Source.CONTROL, Source.SHADOW):
        rows = connection.execute(
            select(table.c.endpoint, table.c.pattern, table.c.kind, number)
            .where(table.c.against == source.value)
            .group_by(table.c.endpoint, table.c.pattern, table.c.kind)
            .order_by(number.desc(), table.c.endpoint, table.c.pattern, table.c.kind)
            .limit(_MAX_FIELDS)
        )
        for endpoint, pattern, kind, pairs in rows:
            tally.count((endpoint, pattern, kind), source, pairs)


def _count_hidden(connection: Connection, tally: Tally) -> None:
    """What is hidden as noise differs all the same: it counts for v2's rate, or that would fall to
    nothing."""
    table = schema.ignored
    number = func.count(distinct(table.c.pair))
    rows = connection.execute(
        select(table.c.endpoint, table.c.pattern, table.c.name, number)
        .where(and_(table.c.by == Cause.NOISE.value, table.c.against == Source.SHADOW.value))
        .group_by(table.c.endpoint, table.c.pattern, table.c.name)
        .order_by(number.desc(), table.c.endpoint, table.c.pattern, table.c.name)
        .limit(_MAX_FIELDS)
    )
    for endpoint, pattern, name, pairs in rows:
        tally.count((endpoint, pattern, name), Source.SHADOW, pairs)
