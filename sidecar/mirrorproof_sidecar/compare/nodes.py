"""Trees of plain values, as a walk reads them: JSON that was parsed, and what other formats are read into.

Knows JSON's types and that an object may repeat a key. Must not know what the trees are compared for.

Nothing here recurses, so a tree's depth does not matter, and a container is digested once however often it is
asked for, so that the cost stays linear in the tree.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Sequence
from decimal import Decimal
from typing import Any, Final, Protocol

from mirrorproof_sidecar.compare.jsontree import DuplicateKeys
from mirrorproof_sidecar.compare.numbers import LongNumber

__all__ = ["ARRAY", "OBJECT", "Reader", "TreeReader", "same_leaves"]

OBJECT: Final = "object"
ARRAY: Final = "array"
_TYPES: Final = {
    type(None): "null",
    bool: "boolean",
    int: "integer",
    float: "number",
    Decimal: "number",
    str: "string",
    list: ARRAY,
    dict: OBJECT,
    DuplicateKeys: OBJECT,
}
_CONTAINERS: Final = frozenset({dict, list, DuplicateKeys})


class Reader(Protocol):
    """How a walk looks at the nodes of two trees."""

    def sort(self, node: Any) -> str:
        """The JSON type; `1` is an integer and `1.0` a number."""

    def members(self, node: Any) -> dict[str, Any] | None:
        """The members of an object; `None` if it repeats a key."""

    def items(self, node: Any) -> list[Any]:
        """The items of an array."""

    def plainly_same(self, one: Any, other: Any) -> bool:
        """Whether the two are equal, as far as one look tells: `False` may be wrong, `True` is not."""

    def same(self, one: Any, other: Any) -> bool:
        """Whether the two are equal; `False` may be wrong where equal things are written in two ways."""

    def unequal_places(self, one: Sequence[Any], other: Sequence[Any]) -> list[int]:
        """The positions at which two sequences of one length are not the same."""

    def are_unequal_leaves(self, one: Any, other: Any) -> bool:
        """Whether the two are of one type, hold nothing and differ, as far as one look tells: `False` may be
        wrong."""

    def unequal_keys(self, one: dict[str, Any], other: dict[str, Any]) -> list[str]:
        """The keys of members that are not plainly the same, or only one has."""

    def open_objects(self, nodes: list[Any]) -> None:
        """Replace each object in `nodes` that repeats no key by its members."""

    def tokens(self, nodes: Sequence[Any]) -> list[bytes]:
        """For each node a digest or a text; equal nodes have equal ones."""

    def key(self, node: Any) -> Hashable:
        """Of a string or an integer something to tell it by; `None` for anything else."""

    def value(self, node: Any) -> Any:
        """The node as plain values."""


def same_leaves(one: Any, other: Any) -> bool:
    """Whether two values of one type that hold nothing are equal; NaN is equal to NaN."""
    return bool(one == other) or (one != one and other != other)  # noqa: PLR0124


class TreeReader:
    """Reads plain values. One for each walk: it remembers digests by the objects' identity."""

    __slots__ = ("_digests",)

    def __init__(self) -> None:
        self._digests: dict[int, bytes] = {}

    def sort(self, node: Any) -> str:
        """See `Reader`."""
        if type(node) is LongNumber:
            return "integer" if node.integer else "number"
        return _TYPES.get(type(node)) or type(node).__name__

    def members(self, node: Any) -> dict[str, Any] | None:
        """See `Reader`."""
        return node if type(node) is dict else None

    def items(self, node: Any) -> list[Any]:
        """See `Reader`."""
        found: list[Any] = node
        return found

    def plainly_same(self, one: Any, other: Any) -> bool:
        """See `Reader`."""
        return type(one) is type(other) and type(one) not in _CONTAINERS and same_leaves(one, other)

    def same(self, one: Any, other: Any) -> bool:
        """See `Reader`."""
        if type(one) is not type(other):
            return False
        if type(one) in _CONTAINERS:
            return self._digest(one) == self._digest(other)
        return same_leaves(one, other)

    def unequal_places(self, one: Sequence[Any], other: Sequence[Any]) -> list[int]:
        """See `Reader`."""
        return [place for place, pair in enumerate(zip(one, other, strict=True)) if not self.same(*pair)]

    def are_unequal_leaves(self, one: Any, other: Any) -> bool:
        """See `Reader`."""
        return type(one) is type(other) is str and one != other

    def unequal_keys(self, one: dict[str, Any], other: dict[str, Any]) -> list[str]:
        """See `Reader`."""
        same = self.plainly_same
        keys = [key for key, value in one.items() if key not in other or not same(value, other[key])]
        return keys + [key for key in other if key not in one]

    def open_objects(self, nodes: list[Any]) -> None:
        """See `Reader`. They are open already."""

    def tokens(self, nodes: Sequence[Any]) -> list[bytes]:
        """See `Reader`."""
        return [self._digest(node) for node in nodes]

    def key(self, node: Any) -> Hashable:
        """See `Reader`."""
        return node if type(node) in (str, int) else None

    def value(self, node: Any) -> Any:
        """See `Reader`."""
        return node

    def _digest(self, node: Any) -> bytes:
        if type(node) not in _CONTAINERS:
            return _leaf(node)
        waiting = [node]
        while waiting:
            top = waiting[-1]
            if id(top) not in self._digests:
                inner = [part for part in _parts(top) if type(part) in _CONTAINERS]
                missing = [part for part in inner if id(part) not in self._digests]
                if missing:
                    waiting += missing
                    continue
                self._digests[id(top)] = self._of_parts(top)
            waiting.pop()
        return self._digests[id(node)]

    def _of_parts(self, node: Any) -> bytes:
        digest = hashlib.blake2b(type(node).__name__.encode(), digest_size=16)
        if type(node) is list:
            pieces: list[Any] = node
        elif type(node) is dict:
            pieces = [piece for key in sorted(node) for piece in (key, node[key])]
        else:
            pieces = [piece for pair in node.pairs for piece in pair]
        for piece in pieces:
            part = self._digests[id(piece)] if type(piece) in _CONTAINERS else _leaf(piece)
            digest.update(b"%d:" % len(part))
            digest.update(part)
        return b"\xff" + digest.digest()


def _parts(node: Any) -> list[Any]:
    if type(node) is list:
        return node
    if type(node) is dict:
        return list(node.values())
    return [value for _, value in node.pairs]


def _leaf(value: Any) -> bytes:
    if type(value) is str:
        return b'"' + value.encode("utf-8", "surrogatepass")
    return f"{type(value).__name__} {value!r}".encode("utf-8", "surrogatepass")
