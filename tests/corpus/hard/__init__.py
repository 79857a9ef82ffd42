"""Cases written by hand: differences that look like noise, and noise that looks like a difference."""

from __future__ import annotations

from ..labels import Pair, Part
from . import exchanges, formats, held_out, ids, times, values

__all__ = ["hard_background", "hard_pairs"]

_ALL = (times.CASES, ids.CASES, values.CASES, formats.CASES, exchanges.CASES, held_out.CASES)


def hard_pairs(part: Part) -> tuple[Pair, ...]:
    """The hand-written pairs of a part."""
    return tuple(pair for cases in _ALL if cases.part is part for pair in cases.pairs)


def hard_background(part: Part, each: int) -> tuple[Pair, ...]:
    """Right answers of the endpoints of the hand-written pairs."""
    return tuple(pair for cases in _ALL if cases.part is part for pair in cases.background(each))
