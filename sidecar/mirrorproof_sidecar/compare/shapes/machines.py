"""Names of the machine that answered, and how long the answer took: no two answers agree in these.

Pure. Knows the notations of hosts and of spans of time. Must not know where a value stood.
"""

from __future__ import annotations

import re
from decimal import Decimal
from ipaddress import ip_address
from typing import Any, Final

from mirrorproof_sidecar.compare.shapes.names import Name
from mirrorproof_sidecar.compare.shapes.times import Moment

__all__ = ["durations_alike", "machines_alike", "pods_alike"]

_MAX_CHARS: Final = 255
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?")
_POD = re.compile(r"(?P<of>[a-z0-9][a-z0-9-]*?)(?:-[a-z0-9]{6,10})?-(?P<end>[a-z0-9]{5}|\d{1,4})")
_REPLICA = re.compile(
    r"([a-z0-9](?:[a-z0-9-]*[a-z0-9])?)-[bcdfghjklmnpqrstvwxz2456789]{8,10}-[bcdfghjklmnpqrstvwxz2456789]{5}"
)
_SPAN = re.compile(r"(\d+)(?:\.(\d+))?( ?)(ns|us|µs|ms|s|sec|seconds|milliseconds)?")
_UNITS_S: Final = {
    "ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "milliseconds": 1e-3, "s": 1.0, "sec": 1.0,
    "seconds": 1.0,
}  # fmt: skip
_SLACK_S: Final = 0.1
"""Both clocks may be read in other places than the answer's: what is shorter is nobody's fault."""


def pods_alike(one: str, other: str) -> bool:
    """Whether both are names of pods of one Deployment, which say so themselves (Kubernetes' alphabet)."""
    mine, its = _REPLICA.fullmatch(one), _REPLICA.fullmatch(other)
    return bool(mine and its and mine[1] == its[1]) and max(len(one), len(other)) <= _MAX_CHARS


def machines_alike(one: str, other: str) -> str | None:
    """What two names of machines have in common; `None` where they are not of one sort."""
    if max(len(one), len(other)) > _MAX_CHARS:
        return None
    sorts = [_sort(text) for text in (one, other)]
    if sorts[0] is None or sorts[0] != sorts[1]:
        return None
    return f"each names the {sorts[0][0]} that answered"


def _sort(text: str) -> tuple[str, ...] | None:
    host, colon, port = text.rpartition(":")
    if colon and port.isdecimal() and ":" not in host:
        sort = _sort(host)
        return None if sort is None else (*sort, port)
    try:
        return ("address", str(ip_address(text).version))
    except ValueError:
        pass
    first, *domain = text.split(".")
    if not all(_LABEL.fullmatch(label) for label in (first, *domain)):
        return None
    # A machine is numbered or named by chance; `eu` and `us`, `blue` and `green` are words with a meaning.
    if not _POD.fullmatch(first) and not re.search(r"\d", first):
        return None
    return ("machine", *domain)


def durations_alike(one: Any, other: Any, name: Name, moments: tuple[Moment, Moment]) -> str | None:
    """Whether both are how long something took that the answers can have waited for."""
    if not name.duration:
        return None
    spans = [_span(value) for value in (one, other)]
    if spans[0] is None or spans[1] is None or spans[0][1] != spans[1][1]:
        return None
    for (amount, _, unit_s), moment in zip((spans[0], spans[1]), moments, strict=True):
        # Where neither value nor name tells the unit, it is taken for milliseconds.
        span_s = amount * (unit_s or name.unit_s or 1e-3)
        if span_s > moment.end_s - moment.start_s + _SLACK_S:
            return None
    return "each took this long, and no longer than its answer"


def _span(value: Any) -> tuple[float, str, float | None] | None:
    """Amount, notation, seconds of its unit."""
    if type(value) is Decimal and not value.is_finite():
        return None
    if type(value) in (int, float, Decimal) and 0 <= value < 1e15:
        return float(value), "integer" if type(value) is int else "number", None
    if type(value) is not str or len(value) > 40:
        return None
    found = _SPAN.fullmatch(value)
    if found is None:
        return None
    whole, fraction, blank, unit = found.groups()
    notation = f"{'fraction' if fraction else 'whole'}{blank}{unit or ''}"
    return float(f"{whole}.{fraction or 0}"), notation, _UNITS_S.get(unit or "")
