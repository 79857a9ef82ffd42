"""A shape: what two values that differ have in common. Values only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Shape", "drawn_by_chance", "joined"]


@dataclass(frozen=True, slots=True)
class Shape:
    """Why two values count as one. `drawn`: pairs of values made by chance, which have to be renamed
    consistently wherever they stand."""

    name: str
    reason: str
    drawn: tuple[tuple[str, str], ...] = ()


def drawn_by_chance(one: str, other: str, alphabet: str) -> Shape:
    """The shape of two random strings of one alphabet."""
    return Shape("token", f"each is drawn by chance: {alphabet}", ((one, other),))


def joined(shapes: Sequence[Shape], name: str | None = None) -> Shape | None:
    """The shape of a value whose parts have these; `None` where there are none."""
    if not shapes:
        return None
    names = dict.fromkeys(shape.name for shape in shapes)
    reasons = dict.fromkeys(shape.reason for shape in shapes)
    drawn = tuple(pair for shape in shapes for pair in shape.drawn)
    return Shape(name or " and ".join(names), "; ".join(reasons), drawn)
