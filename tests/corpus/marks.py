"""Trees with marked leaves: a value that differs between two right answers carries the reason.

Knows plain values and marks. Must not know services.

A service builds its answer out of plain values and `Marked` ones; `strip` turns it into the plain tree that
goes onto the wire and the list of places that are noise. So labels cannot be forgotten: they are made with
the value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from .labels import Noise, Why, pointer

__all__ = ["Bag", "Leaf", "Marked", "leaves", "plain", "strip", "weave"]


@dataclass(frozen=True, slots=True)
class Marked:
    """A volatile value. `shifted(seconds)` makes it anew for another time, where it is made of one."""

    value: Any
    why: Why
    shifted: Callable[[float], Any] | None = None
    alone: bool = False

    def map(self, change: Callable[[Any], Any]) -> Marked:
        """A value made of this one, as volatile as it is."""
        again = self.shifted
        shifted = None if again is None else lambda seconds: change(again(seconds))
        return Marked(change(self.value), self.why, shifted, self.alone)

    def __str__(self) -> str:
        raise TypeError("a marked value in a text would lose its mark; use `weave` or `map`")


@dataclass(slots=True)
class Bag:
    """An array whose order means nothing and changes from answer to answer."""

    items: list[Any]
    alone: bool = True


@dataclass(frozen=True, slots=True)
class Leaf:
    """A place in a tree: its segments, and the value there, marked or not."""

    path: tuple[str | int, ...]
    value: Any
    in_bag: bool = False


def weave(*parts: Any) -> Any:
    """The parts as one text; marked by the first marked part, if there is one."""
    marked = next((part for part in parts if isinstance(part, Marked)), None)
    text = "".join(str(plain(part)) for part in parts)
    return text if marked is None else Marked(text, marked.why, alone=marked.alone)


def plain(tree: Any) -> Any:
    """The tree without its marks."""
    if isinstance(tree, Marked):
        return plain(tree.value)
    if isinstance(tree, Bag):
        return [plain(each) for each in tree.items]
    if isinstance(tree, dict):
        return {key: plain(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [plain(each) for each in tree]
    return tree


def strip(tree: Any, *above: str) -> tuple[Any, list[Noise]]:
    """The plain tree, and its noise as paths below `above`; indices of arrays are `*`."""
    noise = list(dict.fromkeys(_noise(tree, above)))
    return plain(tree), noise


def _noise(tree: Any, at: tuple[str, ...]) -> Iterator[Noise]:
    if isinstance(tree, Marked):
        yield Noise(_pattern(at), tree.why, tree.alone)
        if isinstance(tree.value, dict | list):
            yield Noise(_pattern((*at, "**")), tree.why, tree.alone)
    elif isinstance(tree, Bag):
        yield Noise(_pattern(at), Why.SET_ORDER, tree.alone)
        yield Noise(_pattern((*at, "**")), Why.SET_ORDER, tree.alone)
    elif isinstance(tree, dict):
        for key, value in tree.items():
            yield from _noise(value, (*at, str(key)))
    elif isinstance(tree, list):
        for value in tree:
            yield from _noise(value, (*at, "*"))


def _pattern(at: tuple[str, ...]) -> str:
    return pointer(*at)


def leaves(tree: Any, at: tuple[str | int, ...] = (), in_bag: bool = False) -> Iterator[Leaf]:
    """Every place of the tree, containers first; not what is inside of a marked value."""
    yield Leaf(at, tree, in_bag)
    if isinstance(tree, Bag):
        for number, value in enumerate(tree.items):
            yield from leaves(value, (*at, number), True)
    elif isinstance(tree, dict):
        for key, value in tree.items():
            yield from leaves(value, (*at, key), in_bag)
    elif isinstance(tree, list):
        for number, value in enumerate(tree):
            yield from leaves(value, (*at, number), in_bag)
