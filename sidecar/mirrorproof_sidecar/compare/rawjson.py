"""JSON text as a walk reads it: one level at a time, and only where the bytes differ.

Knows msgspec's raw values. Must not know what the texts are compared for.

Theory of operation. A level is decoded into raw slices of the text; equal slices are equal values, whatever
they hold, and are never decoded. What a lazy reading could lose is told apart all the same: numbers and
strings are parsed exactly where their bytes differ, and an object that repeats a key is found by its length.
If its members take up the whole text there is no room for another one; if they do not, because of white
space or escapes, its keys are decoded once more with none collapsed.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import chain, compress, count
from operator import ne
from typing import Any, Final

import msgspec

from mirrorproof_sidecar.compare.jsontree import parse
from mirrorproof_sidecar.compare.nodes import ARRAY, OBJECT
from mirrorproof_sidecar.compare.numbers import parse_fraction, parse_integer

__all__ = ["RawReader", "root"]


class _Key(str):
    """A key that is equal to no other, so that a repeated one stays."""

    __slots__ = ()
    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other


_OBJECT: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ARRAY: Final = msgspec.json.Decoder(list[msgspec.Raw])
_OBJECTS: Final = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_KEYS: Final = msgspec.json.Decoder(dict[_Key, msgspec.Raw], dec_hook=lambda kind, text: kind(text))
_VALUE: Final = msgspec.json.Decoder()
_SORTED: Final = msgspec.json.Encoder(order="sorted")
_SORTS: Final[dict[int, str]] = {
    ord("{"): OBJECT, ord("["): ARRAY, ord('"'): "string", ord("t"): "boolean", ord("f"): "boolean",
    ord("n"): "null",
}  # fmt: skip
_STRING: Final = ord('"')
_BRACE: Final = ord("{")
_BRACKET: Final = ord("[")
_OPENED: Final[dict[type, str]] = {dict: OBJECT, list: ARRAY}
_LITERALS: Final = {b"null": None, b"true": True, b"false": False}
_LARGE_BYTES: Final = 4096
_MANY: Final = 4


def root(text: bytes) -> Any:
    """The text as a node, one level of it decoded and all of it checked to be JSON.

    Raises `msgspec.MsgspecError` or `RecursionError`.
    """
    text = text.strip(b" \t\r\n")
    if text.startswith(b"{"):
        found = RawReader().members(text)
        return msgspec.Raw(text) if found is None else found
    return _ARRAY.decode(text) if text.startswith(b"[") else _ROOT.decode(text)


_ROOT: Final = msgspec.json.Decoder(msgspec.Raw)


class RawReader:
    """Reads raw values, and objects and arrays of which one level is decoded already. Holds nothing."""

    __slots__ = ()

    def sort(self, node: Any) -> str:
        """See `Reader`."""
        opened = _OPENED.get(type(node))
        if opened is not None:
            return opened
        return _SORTS.get(memoryview(node)[0]) or _sort_of_number(bytes(node))

    def members(self, node: Any) -> dict[str, Any] | None:
        """See `Reader`."""
        if type(node) is dict:
            return node
        found = _OBJECT.decode(node)
        number, size = len(found), memoryview(node).nbytes
        if size < _LARGE_BYTES:
            taken = len(b"".join(found.values()))
        else:
            taken = sum(memoryview(value).nbytes for value in found.values())
        # {"key":value,…}: quotes, colon and comma for each member, and one more character.
        taken += len("".join(found)) + 4 * number + 1
        if number and size != taken and len(_KEYS.decode(node)) != number:
            return None
        return found

    def items(self, node: Any) -> list[Any]:
        """See `Reader`."""
        return node if type(node) is list else _ARRAY.decode(node)

    def plainly_same(self, one: Any, other: Any) -> bool:
        """See `Reader`."""
        return bool(one == other)

    same = plainly_same

    def unequal_places(self, one: Sequence[Any], other: Sequence[Any]) -> list[int]:
        """See `Reader`."""
        return list(compress(count(), map(ne, one, other)))

    def are_unequal_leaves(self, one: Any, other: Any) -> bool:
        """See `Reader`. Two strings without escapes, or two plain integers, that were found to be unequal."""
        if type(one) is not msgspec.Raw or type(other) is not msgspec.Raw:
            return False
        mine, its = bytes(one), bytes(other)
        if mine[0] == its[0] == _STRING:
            return b"\\" not in mine and b"\\" not in its
        return mine.isdigit() and its.isdigit()

    def unequal_keys(self, one: dict[str, Any], other: dict[str, Any]) -> list[str]:
        """See `Reader`."""
        if list(one) == list(other):
            return list(compress(one, map(ne, one.values(), other.values())))
        keys = [key for key, value in one.items() if key not in other or value != other[key]]
        return keys + [key for key in other if key not in one]

    def open_objects(self, nodes: list[Any]) -> None:
        """See `Reader`."""
        opened = _opened(nodes) if len(nodes) >= _MANY else None
        if opened is not None:
            nodes[:] = opened
            return
        for position, node in enumerate(nodes):
            if type(node) is not dict and memoryview(node)[0] == _BRACE:
                members = self.members(node)
                if members is not None:
                    nodes[position] = members

    def tokens(self, nodes: Sequence[Any]) -> list[bytes]:
        """See `Reader`. Large numbers may be rounded here: whatever is paired by a token is compared."""
        return [_token(node) for node in nodes]

    def key(self, node: Any) -> Hashable:
        """See `Reader`."""
        text = bytes(node)
        return text if text[0] == _STRING or text.isdigit() else None

    def value(self, node: Any) -> Any:
        """See `Reader`."""
        if type(node) is dict:
            return {key: self.value(item) for key, item in node.items()}
        if type(node) is list:
            return [self.value(item) for item in node]
        return _value(bytes(node))


def _value(text: bytes) -> Any:
    first = text[0]
    if first == _STRING and b"\\" not in text:
        return text[1:-1].decode()
    if first in (_STRING, _BRACE, _BRACKET):
        return parse(text.decode())
    if text in _LITERALS:
        return _LITERALS[text]
    read = parse_integer if _sort_of_number(text) == "integer" else parse_fraction
    return read(text.decode())


def _sort_of_number(text: bytes) -> str:
    return "number" if b"." in text or b"e" in text or b"E" in text else "integer"


def _opened(nodes: list[Any]) -> list[dict[str, Any]] | None:
    """The members of each, decoded in one go; `None` if not all are objects whose text shows that they repeat
    no key."""
    text = b"[" + b",".join(nodes) + b"]"
    try:
        found = _OBJECTS.decode(text)
    except msgspec.ValidationError:
        return None
    taken = len(b"".join(chain.from_iterable(map(dict.values, found)))) + sum(map(len, map("".join, found)))
    # As in `members`, for all of them; and one comma or bracket for each, and one more.
    taken += 4 * sum(map(len, found)) + 2 * len(found) + 1
    return found if taken == len(text) and all(found) else None


def _token(node: Any) -> bytes:
    try:
        if type(node) is dict:
            return _SORTED.encode({key: _VALUE.decode(item) for key, item in node.items()})
        return _SORTED.encode(_VALUE.decode(node))
    except (msgspec.MsgspecError, RecursionError, ValueError, OverflowError):
        return b"".join(node.values()) if type(node) is dict else bytes(node)
