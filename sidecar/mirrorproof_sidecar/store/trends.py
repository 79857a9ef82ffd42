"""What a report draws: results over time, and how long both versions took.

Knows the queries and the JSON shape of `GET /v1/trends`. Must not know HTTP or pictures. What is answered is
bounded however much is stored.
"""

from __future__ import annotations

import math
from typing import Any, Final

from sqlalchemy import BigInteger, Connection, Integer, cast, func, select

from mirrorproof_sidecar.compare import Result
from mirrorproof_sidecar.judge import Durations
from mirrorproof_sidecar.pairing import Side
from mirrorproof_sidecar.store import schema

__all__ = ["trends"]

_SLICES: Final = 60
_BINS: Final = 48
_WIDTHS_S: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200)
_DAY_S: Final = 86_400


def trends(connection: Connection, endpoint: str | None = None) -> dict[str, Any]:
    """Of one endpoint, or of all of them."""
    return {"timeline": _timeline(connection, endpoint), "latency": _latency(connection, endpoint)}


def _timeline(connection: Connection, endpoint: str | None) -> dict[str, Any]:
    """Pairs by when the recorder got them, in at most `_SLICES` + 1 slices of one width; empty ones are left
    out."""
    table = schema.pairs
    wanted = _wanted(endpoint)
    first, last = connection.execute(
        select(func.min(table.c.received_s), func.max(table.c.received_s)).where(*wanted)
    ).one()
    if first is None:
        return {"slice_s": None, "slices": []}
    width_s = next((one for one in _WIDTHS_S if one * _SLICES >= last - first), None)
    if width_s is None:
        width_s = _DAY_S * math.ceil((last - first) / _DAY_S / _SLICES)
    # Whole numbers: where a database casts a fraction, one rounds it and the other cuts it off.
    number = cast(table.c.received_s * 1000, BigInteger) // (width_s * 1000)
    rows = connection.execute(
        select(
            number.label("slice"), table.c.result, func.count().label("pairs"),
            func.sum(cast(table.c.primary_error, Integer)).label("primary"),
            func.sum(cast(table.c.other_error, Integer)).label("shadow"),
        )
        .where(*wanted)
        .group_by(number, table.c.result)
        .order_by(number)
    )  # fmt: skip
    slices: dict[int, dict[str, Any]] = {}
    for row in rows:
        begin = int(row.slice) * width_s
        counts = slices.setdefault(
            begin,
            {"from_unix_s": begin, "pairs": 0, **{str(result): 0 for result in Result},
             "primary_errors": 0, "shadow_errors": 0},
        )  # fmt: skip
        counts["pairs"] += row.pairs
        counts[row.result] += row.pairs
        counts["primary_errors"] += int(row.primary)
        counts["shadow_errors"] += int(row.shadow)
    return {"slice_s": width_s, "slices": list(slices.values())}


def _latency(connection: Connection, endpoint: str | None) -> dict[str, Any]:
    """Both versions' durations where both answered, in bins of equal width in logarithm."""
    table = schema.pairs
    sides = {
        name: _durations(connection, column, endpoint)
        for name, column in (("primary", table.c.primary_bucket), ("shadow", table.c.other_bucket))
    }
    edges = [edge for durations in sides.values() for edge in durations.edges]
    if not edges:
        return {"edges_ms": [], "primary": [], "shadow": []}
    low, high = math.log(max(1, min(edges))), math.log(max(1, *edges) * 1.03)
    step = max((high - low) / _BINS, 1e-9)
    binned = {name: [0] * _BINS for name in sides}
    for name, durations in sides.items():
        for edge, count in zip(durations.edges, durations.counts, strict=True):
            at = int((math.log(max(1, edge)) - low) / step)
            binned[name][min(at, _BINS - 1)] += count
    return {
        "edges_ms": [round(math.exp(low + step * number) / 1e6, 4) for number in range(_BINS + 1)],
        **binned,
    }


def _durations(connection: Connection, bucket: Any, endpoint: str | None) -> Durations:
    rows = connection.execute(
        select(bucket, func.count()).where(*_wanted(endpoint), bucket.is_not(None)).group_by(bucket)
    )
    return Durations.counted((int(edge), number) for edge, number in rows)


def _wanted(endpoint: str | None) -> list[Any]:
    table = schema.pairs
    of_endpoint = [] if endpoint is None else [table.c.endpoint == endpoint]
    return [table.c.against == Side.SHADOW.value, *of_endpoint]
