"""How a fault reads, changes and labels a place of an answer.

Knows trees with marks. Must not know the faults.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random
from typing import Any

from ..answers import FORMATS, Answer
from ..labels import Truth, pointer
from ..marks import Bag, Leaf, Marked, leaves

__all__ = [
    "ENUM",
    "ENUM_KEY",
    "ID_KEY",
    "MONEY",
    "OTHERWISE",
    "URL",
    "Fault",
    "changed",
    "get",
    "is_int",
    "is_number_text",
    "key",
    "pick",
    "place_of",
    "put",
    "truth",
]

Fault = Callable[[Answer, Random], list[Truth] | None]

MONEY = re.compile(r"price|amount|total|cost|fee|tax|balance|fare|rate", re.IGNORECASE)
ENUM = re.compile(r"[A-Z][A-Z_]{2,}|[a-z]+(?:_[a-z]+)*")
ENUM_KEY = re.compile(
    r"status|state|type|kind|role|level|scope|currency|mode|visibility|severity", re.IGNORECASE
)
ID_KEY = re.compile(r"(^|[_a-z-])id$|^id$|Id$|ID$")
URL = re.compile(r"https?://")
OTHERWISE = {
    "text": "changed_value",
    "xml": "changed_type",
    "multipart": "changed_type",
    "form": "changed_type",
}
"""How else a format may tell that something is missing or extra: a line of a text as a changed stretch,
one of two elements of a name as an element that is no list any more."""


def get(tree: Any, path: tuple[str | int, ...]) -> Any:
    for segment in path:
        tree = (tree.items if isinstance(tree, Bag) else tree)[segment]
    return tree


def put(answer: Answer, path: tuple[str | int, ...], value: Any) -> None:
    if not path:
        answer.tree = value
        return
    above = get(answer.tree, path[:-1])
    (above.items if isinstance(above, Bag) else above)[path[-1]] = value


def place_of(answer: Answer, path: tuple[str | int, ...]) -> str:
    if not FORMATS[answer.format].pointers:
        return "/body/**"
    segments: list[str | int] = []
    tree = answer.tree
    for segment in path:
        segments.append("*" if isinstance(tree, Bag) else segment)
        tree = (tree.items if isinstance(tree, Bag) else tree)[segment] if tree is not None else None
    return pointer("body", *segments)


def text(value: Any) -> str | None:
    """Text by which a value is known where it is shown; `None` where it is another one on the other side."""
    if isinstance(value, Marked | Bag):
        return None
    if isinstance(value, dict) and "content" in value:
        return text(value["content"])  # a part of a multipart body
    if isinstance(value, dict | list):
        inside = (leaf.value for leaf in leaves(value))
        found = [str(each) for each in inside if isinstance(each, str | int | float)]
        return max(found, key=len) if found else None
    return str(value).lower() if isinstance(value, bool) else "" if value is None else str(value)


def truth(
    answer: Answer,
    what: str,
    kind: str,
    where: str,
    old: Any = None,
    new: Any = None,
    *,
    hard: bool = False,
    also: tuple[tuple[str, str], ...] = (),
) -> Truth:
    form = FORMATS[answer.format]
    if form.pointers or not where.startswith("/body"):
        return Truth(what, ((kind, where), *also), hard=hard)
    if answer.format == "protobuf":
        return Truth(what, (("body", "/body"),), hard=hard)
    if kind == "changed_type" and not form.typed:
        kind = "changed_value"
    if kind in ("missing", "extra") and answer.format in OTHERWISE:
        also = (*also, (OTHERWISE[answer.format], where))
    return Truth(
        what,
        ((kind, where), *also),
        None if old is None else text(old),
        None if new is None else text(new),
        hard,
    )


def pick(answer: Answer, random: Random, wanted: Callable[[Leaf], bool]) -> Leaf | None:
    found = [leaf for leaf in leaves(answer.tree) if leaf.path and not leaf.in_bag and wanted(leaf)]
    return random.choice(found) if found else None


def changed(
    answer: Answer,
    leaf: Leaf,
    value: Any,
    what: str,
    kind: str = "changed_value",
    *,
    hard: bool = False,
    also: tuple[tuple[str, str], ...] = (),
) -> list[Truth]:
    where = place_of(answer, leaf.path)
    put(answer, leaf.path, value)
    return [truth(answer, what, kind, where, leaf.value, value, hard=hard, also=also)]


def is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def key(leaf: Leaf) -> str:
    return next((segment for segment in reversed(leaf.path) if isinstance(segment, str)), "")


def is_number_text(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"-?\d+\.\d\d", value) is not None
