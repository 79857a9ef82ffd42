"""A finding: two exchanges that belong together, and what comparing them said.

Pure. Knows exchanges and comparisons. Must not know who keeps a finding or who hears of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from mirrorproof.exchange import Exchange
from mirrorproof_sidecar.compare import Comparison, Difference, difference_to_wire
from mirrorproof_sidecar.pairing import Match

__all__ = ["Finding", "failed", "values_json"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Two exchanges that belong together and what the comparison said; `endpoint` is the primary's.

    `known_noise`, of a pair with the control: all that differs was known as noise when they were compared, as
    it would be hidden from a comparison with v2.
    """

    match: Match
    key: str
    endpoint: str
    other_endpoint: str
    received_s: float
    primary: Exchange
    other: Exchange
    comparison: Comparison
    known_noise: bool = False


def failed(exchange: Exchange) -> bool:
    """Whether the version failed: no whole answer, or a 5xx."""
    return exchange.error is not None or (exchange.response is not None and exchange.response.status >= 500)


def values_json(difference: Difference) -> dict[str, str]:
    """The values of a difference as JSON text, bounded; a side that has nothing there is left out.

    JSON escapes NUL, so PostgreSQL takes it as text.
    """
    wire = difference_to_wire(difference)
    sides = (side for side in ("primary", "shadow") if side in wire)
    return {side: msgspec.json.encode(wire[side]).decode() for side in sides}
