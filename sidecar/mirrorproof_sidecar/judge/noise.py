"""Which fields are noise: those in which v1 differs from itself, and v2 from v1 no more than that.

Pure. Knows counts by endpoint, path pattern and kind. Must not know exchanges, how v1 was asked twice, or a
clock.

Theory of operation. Diffy's idea: a field that differs between two copies of v1 says nothing when it differs
between v1 and v2. Diffy compares the two rates with fixed thresholds; here both rates are intervals that hold
at every look (`sequences`). A field is noise if v1 was seen to differ from itself there at least `MIN_SEEN`
times, and v2's rate is not credibly above v1's own. It is *in excess* if it credibly is: then no control, not
even that of the very same request, excuses a difference there.

That v2 lacks what v1 has and that it has what v1 lacks are one kind here: which copy of v1 is which is
chance.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from mirrorproof_sidecar.judge.sequences import rate_interval

__all__ = ["MIN_SEEN", "Field", "Learnt", "Source", "Tally", "learn", "with_own"]

MIN_SEEN: Final = 2
_ALPHA: Final = 0.05
_MAX_FIELDS: Final = 20_000
_OWN: Final = "v1's control differs here for this very request"
_ONE_KIND: Final = {"extra": "missing", "effect_extra": "effect_missing"}
_BOTH_KINDS: Final = {kind: other for other, kind in _ONE_KIND.items()}

Field = tuple[str, str, str]
"""Endpoint, path pattern, kind of difference."""


class Source(StrEnum):
    """What v1's answer was compared with."""

    SHADOW = "shadow"  # v2's
    CONTROL = "control"  # that of a second copy of v1
    REPEAT = "repeat"  # v1's own, to the same question soon after


_WORDS: Final = {
    Source.CONTROL: "v1 and its control differ here in {seen} of {pairs} pairs",
    Source.REPEAT: "v1's answers to the same question, asked again soon, differ here in {seen} of {pairs}",
}


@dataclass(slots=True)
class Tally:
    """How many pairs were compared, and in how many of them each field differed. Two tallies add up."""

    pairs: Counter[tuple[str, Source]] = field(default_factory=Counter)
    differing: Counter[tuple[Field, Source]] = field(default_factory=Counter)

    def add(
        self, endpoint: str, source: Source, fields: Iterable[tuple[str, str]], *, pairs: int = 1
    ) -> None:
        """Count pairs of an endpoint in which these (pattern, kind) differed.

        Past a bound on fields, new ones are not counted: they are never called noise.
        """
        self.pairs[endpoint, source] += pairs
        for key in {(endpoint, pattern, _ONE_KIND.get(kind, kind)) for pattern, kind in fields}:
            self.count(key, source, pairs)

    def count(self, key: Field, source: Source, pairs: int) -> None:
        """Count pairs in which a field differed."""
        endpoint, pattern, kind = key
        known = (endpoint, pattern, _ONE_KIND.get(kind, kind)), source
        if known in self.differing or len(self.differing) < _MAX_FIELDS:
            self.differing[known] += pairs

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.pairs + other.pairs, self.differing + other.differing)


@dataclass(frozen=True, slots=True)
class Learnt:
    """`noise`: fields that say nothing, with the reason to show. `excess`: fields in which v2 differs more
    often than v1 from itself."""

    noise: dict[Field, str] = field(default_factory=dict)
    excess: frozenset[Field] = frozenset()


def learn(tally: Tally) -> Learnt:
    """What the counts say."""
    noise: dict[Field, str] = {}
    excess: set[Field] = set()
    # A control says more than a repeated read, so its words come last and stay.
    own = [item for item in tally.differing.items() if item[0][1] is not Source.SHADOW]
    for (key, source), seen in sorted(own, key=lambda item: (item[0][1] is Source.CONTROL, item[0])):
        if _exceeds(tally, key, source):
            excess.update(_spelt(key))
        elif seen >= MIN_SEEN:
            reason = _reason(tally, key, source)
            noise.update(dict.fromkeys(_spelt(key), reason))
    return Learnt({key: reason for key, reason in noise.items() if key not in excess}, frozenset(excess))


def with_own(learnt: Learnt, endpoint: str, fields: Iterable[tuple[str, str]]) -> dict[Field, str]:
    """What is noise for one request of which the control differs from v1 in these (pattern, kind)."""
    own = {
        each for pattern, kind in fields for each in _spelt((endpoint, pattern, _ONE_KIND.get(kind, kind)))
    }
    return dict.fromkeys(own - learnt.excess, _OWN) | learnt.noise


def _spelt(key: Field) -> Iterator[Field]:
    yield key
    endpoint, pattern, kind = key
    if kind in _BOTH_KINDS:
        yield endpoint, pattern, _BOTH_KINDS[kind]


def _counts(tally: Tally, key: Field, source: Source) -> tuple[int, int]:
    """In how many of how many pairs; a count that outgrew its pairs is as many as they are."""
    pairs = tally.pairs[key[0], source]
    return min(tally.differing[key, source], pairs), pairs


def _exceeds(tally: Tally, key: Field, source: Source) -> bool:
    own = rate_interval(*_counts(tally, key, source), alpha=_ALPHA)
    shadow = rate_interval(*_counts(tally, key, Source.SHADOW), alpha=_ALPHA)
    return shadow.low > own.high


def _reason(tally: Tally, key: Field, source: Source) -> str:
    seen, pairs = _counts(tally, key, source)
    interval = rate_interval(seen, pairs, alpha=_ALPHA)
    told = _WORDS[source].format(seen=seen, pairs=pairs)
    its_seen, its_pairs = _counts(tally, key, Source.SHADOW)
    return f"{told} ({interval.low:.1%} to {interval.high:.1%}), v1 and v2 in {its_seen} of {its_pairs}"
