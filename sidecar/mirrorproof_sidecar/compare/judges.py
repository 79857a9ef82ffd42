"""Which found differences do not count, beyond what rules name: the judges, in their order.

Knows the rules' switches and the context. Must not know how a difference is found or kept.

A judge sees every difference that still counts and names those that do not; what one hides, the next does
not see. What is hidden is listed with the reason, never dropped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from mirrorproof.exchange import Exchange
from mirrorproof_sidecar.compare.found import Entry, Judge, Verdict
from mirrorproof_sidecar.compare.model import Cause, Context, NoiseKey
from mirrorproof_sidecar.compare.renaming import by_correspondence
from mirrorproof_sidecar.compare.rules import Rules
from mirrorproof_sidecar.compare.shapes import Shape, facts_of
from mirrorproof_sidecar.compare.shapes.sentence import compare_words
from mirrorproof_sidecar.compare.shapes.tokens import is_random
from mirrorproof_sidecar.compare.volatile import by_shape
from mirrorproof_sidecar.endpoints import endpoint_asked, path_pattern

__all__ = ["judges"]

_MOST_APART: Final = 2
"""Characters that drawn texts of one sort may differ in length."""


def judges(primary: Exchange, shadow: Exchange, rules: Rules, context: Context) -> list[Judge]:
    """The judges for these two exchanges."""
    times_s = (context.primary_time_unix_s, context.shadow_time_unix_s)
    facts = facts_of(primary, shadow, times_s)
    found = []
    drawn: set[tuple[str, str]] = set()
    if rules.shapes:
        found.append(by_shape(facts, drawn))
    if rules.correspond:
        found.append(by_correspondence(primary, shadow, facts, drawn))
    if context.noise:
        endpoint = endpoint_asked(primary)
        found.append(_learnt(endpoint.id, context))
    return found


def _learnt(endpoint: str, context: Context) -> Judge:
    """Noise hides single places only, never a body or a status as a whole, and no value of another sort."""

    def judge(entries: Sequence[Entry]) -> Iterator[Verdict]:
        for number, (where, kind, one, other) in enumerate(entries):
            key: NoiseKey = (endpoint, path_pattern(str(where)), kind)
            if key in context.noise and len(where.segments()) > 1 and _of_one_sort(one, other):
                yield number, Cause.NOISE, kind.value, context.noise[key]

    return judge


def _of_one_sort(one: Any, other: Any) -> bool:
    """Whether two texts could be noise of one place: not if random characters stand on one side only,
    or are fewer there."""
    if type(one) is not str or type(other) is not str:
        return True
    sorts: list[bool] = []

    def ask(before: tuple[str, ...], word: str, its: str) -> Shape:
        drawn = is_random(word, True), is_random(its, True)
        sorts.append(drawn[0] == drawn[1] and (not drawn[0] or abs(len(word) - len(its)) <= _MOST_APART))
        return Shape("", "")

    compare_words(one, other, ask)
    return all(sorts)
