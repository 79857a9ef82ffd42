"""Strings and counters.

Pure. Must not know the client or the network.
"""

from __future__ import annotations

from typing import Final

from mirrorproof.guards.redis.commands import is_lock_token
from mirrorproof.guards.redis.overlay.handling import (
    MAX_INT,
    MIN_INT,
    OVERFLOW,
    SYNTAX,
    Args,
    deadline,
    handles,
    integer,
    is_unit,
    wrong_number,
)  # fmt: skip
from mirrorproof.guards.redis.overlay.numbers import added
from mirrorproof.guards.redis.overlay.space import SERVER, ServerError, UnknownError, View

__all__ = [
    "append",
    "decr",
    "decrby",
    "get",
    "getdel",
    "getex",
    "getrange",
    "getset",
    "incr",
    "incrby",
    "incrbyfloat",
    "mget",
    "mset",
    "msetnx",
    "psetex",
    "set_",
    "setex",
    "setnx",
    "setrange",
    "strlen",
]

_LATER: Final = frozenset({b"IFEQ", b"IFNE", b"IFDEQ", b"IFDNE"})  # of servers from Redis 8.4 on
_MAX_STRING_BYTES: Final = 512 * 1024 * 1024
_HELD_STRING_BYTES: Final = 4 * 1024 * 1024
_NOT_A_FLOAT: Final = "ERR value is not a valid float"


@handles("GET", 1)
def get(view: View, args: Args) -> bytes | None:
    return view.string(args[0])


@handles("MGET", 1, more=True)
def mget(view: View, args: Args) -> list[bytes | None]:
    view.need(*(("get", key) for key in args if view.value(key) is SERVER))
    found: list[bytes | None] = []
    for key in args:
        try:
            found.append(view.string(key))
        except ServerError:  # of another type
            found.append(None)
    return found


@handles("STRLEN", 1)
def strlen(view: View, args: Args) -> int:
    return (
        int(view.ask("strlen", args[0]))
        if view.value(args[0]) is SERVER
        else len(view.string(args[0]) or b"")
    )


@handles("GETRANGE", 3)
@handles("SUBSTR", 3)
def getrange(view: View, args: Args) -> bytes:
    start, end = integer(args[1]), integer(args[2])
    text = view.string(args[0]) or b""
    if start < 0 and end < 0 and start > end:
        return b""
    start, end = (max(each + len(text), 0) if each < 0 else each for each in (start, end))
    return text[start : end + 1]


def _set_words(args: Args) -> tuple[set[bytes], tuple[bytes, bytes] | None]:
    """The words after SET's value, and the unit and number of its expiry. Raises `ServerError`."""
    words, expiry, rest = set(), None, list(args[2:])
    while rest:
        word = rest.pop(0).upper()
        if word in _LATER:
            raise UnknownError
        if is_unit(word) and rest and expiry is None:
            expiry = (word, rest.pop(0))
        elif word in (b"NX", b"XX", b"GET", b"KEEPTTL"):
            words.add(word)
        else:
            raise ServerError(SYNTAX)
    if words >= {b"NX", b"XX"} or (expiry and b"KEEPTTL" in words):
        raise ServerError(SYNTAX)
    return words, expiry


@handles("SET", 2, more=True)
def set_(view: View, args: Args) -> bytes | None:
    words, expiry = _set_words(args)
    key, value = args[:2]
    expires_ms = deadline(expiry[1], expiry[0], view.now_ms, "set") if expiry else None
    old = view.string(key) if b"GET" in words else None
    if words & {b"NX", b"XX"}:
        there = old is not None if b"GET" in words else _held(view, key, value)
        if there is (b"NX" in words):
            return old
    if b"KEEPTTL" in words:
        view.change(key, value)
    else:
        view.put(key, value, expires_ms)
    return old if b"GET" in words else b"OK"


def _held(view: View, key: bytes, value: bytes) -> bool:
    """Whether the key is there. One of the client's own locks is free unless this request took it: v1 may
    hold it for this very request, and what it protects does not happen here."""
    if is_lock_token(value) and view.entry(key) is SERVER:
        return False
    return view.exists(key)


@handles("SETEX", 3)
def setex(view: View, args: Args) -> bytes:
    view.put(args[0], args[2], deadline(args[1], b"EX", view.now_ms, "setex"))
    return b"OK"


@handles("PSETEX", 3)
def psetex(view: View, args: Args) -> bytes:
    view.put(args[0], args[2], deadline(args[1], b"PX", view.now_ms, "psetex"))
    return b"OK"


@handles("SETNX", 2)
def setnx(view: View, args: Args) -> int:
    if view.exists(args[0]):
        return 0
    view.put(args[0], args[1])
    return 1


@handles("GETSET", 2)
def getset(view: View, args: Args) -> bytes | None:
    old = view.string(args[0])
    view.put(args[0], args[1])
    return old


@handles("GETDEL", 1)
def getdel(view: View, args: Args) -> bytes | None:
    old = view.string(args[0])
    if old is not None:
        view.delete(args[0])
    return old


@handles("GETEX", 1, more=True)
def getex(view: View, args: Args) -> bytes | None:
    rest = [arg.upper() for arg in args[1:]]
    persists = rest == [b"PERSIST"]
    if rest and not persists and not (len(rest) == 2 and is_unit(rest[0])):
        raise ServerError(SYNTAX)
    old = view.string(args[0])
    if old is not None and rest:
        view.expire(args[0], None if persists else deadline(args[2], rest[0], view.now_ms, "getex"))
    return old


@handles("MSET", 2, more=True)
def mset(view: View, args: Args) -> bytes:
    if len(args) % 2:
        raise wrong_number("mset")
    for key, value in zip(args[::2], args[1::2], strict=True):
        view.put(key, value)
    return b"OK"


@handles("MSETNX", 2, more=True)
def msetnx(view: View, args: Args) -> int:
    if len(args) % 2:
        raise wrong_number("msetnx")
    view.need(*(("type", key) for key in args[::2] if view.value(key) is SERVER))
    if any(view.exists(key) for key in args[::2]):
        return 0
    mset(view, args)
    return 1


@handles("APPEND", 2)
def append(view: View, args: Args) -> int:
    _bounded(strlen(view, args[:1]) + len(args[1]))
    text = (view.string(args[0]) or b"") + args[1]
    view.change(args[0], text)
    return len(text)


@handles("SETRANGE", 3)
def setrange(view: View, args: Args) -> int:
    start, patch = integer(args[1]), args[2]
    if start < 0:
        raise ServerError("ERR offset is out of range")
    length = strlen(view, args[:1])
    if not patch:
        return length
    _bounded(max(start + len(patch), length))
    text = (view.string(args[0]) or b"").ljust(start, b"\0")
    view.change(args[0], text[:start] + patch + text[start + len(patch) :])
    return max(length, start + len(patch))


def _bounded(size_bytes: int) -> None:
    if size_bytes > _MAX_STRING_BYTES:
        raise ServerError("ERR string exceeds maximum allowed size (proto-max-bulk-len)")
    if size_bytes > _HELD_STRING_BYTES:
        raise UnknownError


def _increased(view: View, key: bytes, by: int) -> int:
    value = view.string(key)
    total = (0 if value is None else integer(value)) + by
    if not MIN_INT <= total <= MAX_INT:
        raise ServerError(OVERFLOW)
    view.change(key, b"%d" % total)
    return total


@handles("INCR", 1)
def incr(view: View, args: Args) -> int:
    return _increased(view, args[0], 1)


@handles("DECR", 1)
def decr(view: View, args: Args) -> int:
    return _increased(view, args[0], -1)


@handles("INCRBY", 2)
def incrby(view: View, args: Args) -> int:
    return _increased(view, args[0], integer(args[1]))


@handles("DECRBY", 2)
def decrby(view: View, args: Args) -> int:
    by = integer(args[1])
    if by == MIN_INT:
        raise ServerError("ERR decrement would overflow")
    return _increased(view, args[0], -by)


@handles("INCRBYFLOAT", 2)
def incrbyfloat(view: View, args: Args) -> bytes:
    old = view.string(args[0])
    total = added(b"0" if old is None else old, args[1], _NOT_A_FLOAT, _NOT_A_FLOAT)
    view.change(args[0], total)
    return total
