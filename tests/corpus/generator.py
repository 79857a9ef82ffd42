"""The corpus as a whole: how many pairs of which endpoint, with how many faults.

Knows families and hard cases. Must not know what is measured.
"""

from __future__ import annotations

from functools import lru_cache
from random import Random

from .building import Endpoint, build
from .families import HELD_OUT_ONLY, SERVICES
from .hard import hard_background, hard_pairs
from .labels import Pair, Part

__all__ = ["background", "pairs"]

_SEEDS = {Part.TUNING: "tuning-1", Part.HELD_OUT: "held-out-1"}
_EACH = {Part.TUNING: 14, Part.HELD_OUT: 7}
"""Pairs of each endpoint."""
_FAULTS = (0, 0, 0, 0, 1, 1, 1, 1, 1, 2)
"""How many faults a pair has: four in ten have none."""


def _endpoints(part: Part) -> list[Endpoint]:
    services = SERVICES + (HELD_OUT_ONLY if part is Part.HELD_OUT else ())
    return [endpoint for service in services for endpoint in service.endpoints]


@lru_cache
def pairs(part: Part) -> tuple[Pair, ...]:
    """Every pair of a part, in a fixed order."""
    random = Random(_SEEDS[part])
    return tuple(
        build(endpoint, f"{_SEEDS[part]}-{number}", part, faults=random.choice(_FAULTS))
        for endpoint in _endpoints(part)
        for number in range(_EACH[part])
    ) + hard_pairs(part)


@lru_cache
def background(part: Part, each: int = 24) -> tuple[Pair, ...]:
    """Traffic with no true difference, for whoever learns noise: so many pairs of each endpoint."""
    return tuple(
        build(endpoint, f"background-{_SEEDS[part]}-{number}", part, faults=0)
        for endpoint in _endpoints(part)
        for number in range(each)
    ) + hard_background(part, each)
