"""Effects that are one but for what was made anew: ids that were renamed, times, tokens.

Knows the lines that effects show. Must not know which ids were renamed, or how a shape is recognised.

An effect is compared by its digest, and a digest does not tell in what two effects differ. Their lines do, if
they show all there is: what was redacted or cut may be the difference, so such effects are never the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from mirrorproof.redaction import REDACTED
from mirrorproof_sidecar.compare.correspond import Renamings
from mirrorproof_sidecar.compare.entities import BY_PRODUCTS, is_id, singular
from mirrorproof_sidecar.compare.found import Entry
from mirrorproof_sidecar.compare.model import Kind
from mirrorproof_sidecar.compare.shapes import Facts, Shape, value_shape
from mirrorproof_sidecar.compare.shapes.names import named
from mirrorproof_sidecar.compare.shapes.sentence import Ask, compare_words

__all__ = ["asking", "same_effects"]

_CUT: Final = "…"
_MAX_PARTNERS: Final = 400


def asking(renamings: Renamings, facts: Facts, *, drawn: bool) -> Ask:
    """Asks of two words whether they are a renamed id, or of one shape; `drawn`: such as are made by chance,
    too, unless they are known to stand for something else."""

    def ask(before: tuple[str, ...], one: str, other: str) -> Shape | None:
        if renamings.renamed(one, other, before):
            return Shape("renamed id", "stands for it everywhere")
        name = named(" ".join(before))
        if is_id(" ".join(before)) and len(before) > 1 and singular(before[-2]) in BY_PRODUCTS:
            name = replace(name, random=True, identifies=False)
        shape = value_shape(name, one, other, facts)
        if shape is None or not shape.drawn:
            return shape
        known = any(renamings.contradicts(*pair) for pair in shape.drawn)
        return shape if drawn and not known else None

    return ask


def same_effects(
    entries: Sequence[Entry], numbers: Sequence[int], renamings: Renamings, facts: Facts
) -> Iterator[int]:
    """Which of the differences, by their numbers, are between effects that are the same."""
    ask = asking(renamings, facts, drawn=True)
    lonely: dict[tuple[str, str], tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for number in numbers:
        where, kind, one, other = entries[number]
        if kind is Kind.EFFECT_CHANGED:
            if _same_line(one, other, ask):
                yield number
        elif kind in (Kind.EFFECT_MISSING, Kind.EFFECT_EXTRA):
            _, sort, _, position = where.segments()
            lonely[sort, position][kind is Kind.EFFECT_EXTRA].append(number)
    for missing, extra in lonely.values():
        yield from _partners(entries, missing, extra, ask)


def _partners(entries: Sequence[Entry], missing: list[int], extra: list[int], ask: Ask) -> Iterator[int]:
    """Effects on targets that are one but for what was made anew: those that fit one partner, and it them."""
    if len(missing) * len(extra) > _MAX_PARTNERS:
        return
    fits = [
        (one, other)
        for one in missing
        for other in extra
        if compare_words(_target(entries[one]), _target(entries[other]), ask)
        and _same_line(entries[one][2], entries[other][3], ask)
    ]
    for one, other in fits:
        if sum(one == mine for mine, _ in fits) == 1 == sum(other == its for _, its in fits):
            yield one
            yield other


def _target(entry: Entry) -> str:
    return entry[0].segments()[2]


def _same_line(one: Any, other: Any, ask: Ask) -> bool:
    lines = one["summary"], other["summary"]
    if lines[0] == lines[1] or any(mark in line for line in lines for mark in (REDACTED, _CUT)):
        return False
    return compare_words(*lines, ask) is not None
