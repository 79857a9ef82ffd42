"""What the product has learnt of noise when it compares a pair: as the recorder learns it, from traffic.

Knows the product's learner (`judge.noise`) by its public interface. Must not know recognisers, or labels.

The traffic is `background`, right answers of each endpoint, and the labelled pairs themselves. `REPEATS`
knows what differed between v1's answers to the same safe question, asked again soon, as users do: every
fourth safe request of the traffic is repeated. `CONTROL` knows v1 beside a second v1, and also the control's
answer to the very request.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache

from mirrorproof.exchange import Exchange
from mirrorproof_sidecar.compare import Comparison, Context, Rules, compare
from mirrorproof_sidecar.compare.model import NoiseKey
from mirrorproof_sidecar.endpoints import endpoint_of
from mirrorproof_sidecar.judge.noise import Learnt, Source, Tally, learn, with_own
from mirrorproof_sidecar.recorder.noisebook import fields_of

from .generator import background, pairs
from .labels import Pair, Part

__all__ = ["Known", "context_of"]

_RULES = Rules().with_defaults()
_REPEATED = 4


class Known(StrEnum):
    """What is known beside the two exchanges."""

    NOTHING = "one pair"
    REPEATS = "repeated reads"
    CONTROL = "control"


def context_of(pair: Pair, known: Known) -> Context:
    """What the recorder would give the comparison to know."""
    if known is Known.NOTHING:
        return Context()
    learnt = _learnt(pair.part, known)
    noise: Mapping[NoiseKey, str] = learnt.noise  # type: ignore[assignment]
    if known is Known.CONTROL:
        own = fields_of(_plainly(pair.primary, pair.control))
        noise = with_own(learnt, _endpoint(pair), own)  # type: ignore[assignment]
    return Context(noise=noise)


@lru_cache
def _learnt(part: Part, known: Known) -> Learnt:
    source = Source.CONTROL if known is Known.CONTROL else Source.REPEAT
    tally = Tally()
    for number, pair in enumerate(_traffic(part)):
        other = pair.control if known is Known.CONTROL else pair.reread if number % _REPEATED == 0 else None
        if other is not None:
            tally.add(_endpoint(pair), source, fields_of(_plainly(pair.primary, other)))
    return learn(_against_shadow(part) + tally)


@lru_cache
def _against_shadow(part: Part) -> Tally:
    tally = Tally()
    for pair in _traffic(part):
        tally.add(_endpoint(pair), Source.SHADOW, fields_of(_plainly(pair.primary, pair.shadow)))
    return tally


def _traffic(part: Part) -> tuple[Pair, ...]:
    return background(part) + pairs(part)


def _plainly(primary: Exchange, other: Exchange) -> Comparison:
    return compare(primary, other, _RULES)


def _endpoint(pair: Pair) -> str:
    request = pair.primary.request
    return endpoint_of(pair.primary.service, request.method, request.path, request.route).id
