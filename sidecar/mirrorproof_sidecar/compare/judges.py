"""Which found differences do not count, beyond what rules name: the judges, in their order.

Knows the rules' switches and the context. Must not know how a difference is found or kept.

A judge sees every difference that still counts and names those that do not; what one hides, the next does
not see. What is hidden is listed with the reason, never dropped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mirrorproof_sidecar.compare.found import Entry, Judge, Verdict
from mirrorproof_sidecar.compare.model import Cause, Context, NoiseKey
from mirrorproof_sidecar.endpoints import path_pattern

__all__ = ["judges"]


def judges(endpoint: str, context: Context) -> list[Judge]:
    """The judges for a pair of `endpoint` (`Endpoint.id`)."""
    return [_learnt(endpoint, context)] if context.noise else []


def _learnt(endpoint: str, context: Context) -> Judge:
    def judge(entries: Sequence[Entry]) -> Iterator[Verdict]:
        for number, (where, kind, _, _) in enumerate(entries):
            key: NoiseKey = (endpoint, path_pattern(str(where)), kind)
            if key in context.noise:
                yield number, Cause.NOISE, key[1], context.noise[key]

    return judge
