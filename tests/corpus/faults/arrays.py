"""Faults in arrays: items missing, twice, in another order."""

from __future__ import annotations

from random import Random

from ..answers import Answer
from ..labels import Truth
from ..marks import Leaf, Marked, leaves, plain
from .touching import place_of, put, truth

__all__ = ["emptied", "item_gone", "item_twice", "items_swapped"]


def _arrays(answer: Answer, least: int) -> list[Leaf]:
    return [
        leaf
        for leaf in leaves(answer.tree)
        if isinstance(leaf.value, list)
        and not leaf.in_bag
        and len(leaf.value) >= least
        and (answer.format not in ("html", "text") or leaf.path)
        and len({repr(plain(each)) for each in leaf.value}) == len(leaf.value)
    ]


def item_gone(answer: Answer, random: Random) -> list[Truth] | None:
    """An item less: the last, or one in the middle."""
    found = _arrays(answer, 2)
    if not found:
        return None
    leaf = random.choice(found)
    at = len(leaf.value) - 1 if random.random() < 0.5 else random.randrange(len(leaf.value))
    where = place_of(answer, (*leaf.path, at))
    gone = leaf.value.pop(at)
    return [truth(answer, "an item is missing", "missing", where, gone)]


def item_twice(answer: Answer, random: Random) -> list[Truth] | None:
    """An item twice in a row."""
    found = _arrays(answer, 1)
    if not found:
        return None
    leaf = random.choice(found)
    at = random.randrange(len(leaf.value))
    leaf.value.insert(at, leaf.value[at])
    readings = tuple(("extra", place_of(answer, (*leaf.path, place))) for place in (at + 1, at))
    return [truth(answer, "an item twice", "extra", readings[0][1], None, leaf.value[at], also=readings[1:])]


def items_swapped(answer: Answer, random: Random) -> list[Truth] | None:
    """Two neighbours in another order."""
    found = [leaf for leaf in _arrays(answer, 3) if answer.format in ("json", "ndjson", "csv", "msgpack")]
    if not found:
        return None
    leaf = random.choice(found)
    at = random.randrange(len(leaf.value) - 1)
    leaf.value[at], leaf.value[at + 1] = leaf.value[at + 1], leaf.value[at]
    array = place_of(answer, leaf.path)
    if any(isinstance(each, dict | list) for each in leaf.value):
        volatile = any(isinstance(inside.value, Marked) for inside in leaves(leaf.value))
        moved = (("missing", f"{array}/*"), ("extra", f"{array}/*")) if volatile else ()
        return [Truth("two items in another order", (("order", array), *moved), hard=True)]
    items = tuple(("changed_value", f"{array}/{place}") for place in (at, at + 1))
    return [Truth("two items in another order", (("order", array), *items), hard=True)]


def emptied(answer: Answer, random: Random) -> list[Truth] | None:
    """An empty list where there were items."""
    if answer.format != "json":
        return None
    found = [leaf for leaf in _arrays(answer, 1) if leaf.path]
    if not found:
        return None
    leaf = random.choice(found)
    where = place_of(answer, leaf.path)
    count = len(leaf.value)
    put(answer, leaf.path, [])
    return (
        [
            Truth(
                "a list without its items",
                (("missing", where + "/*"), ("missing", where), ("changed_value", where)),
            )
        ]
        if count
        else None
    )
