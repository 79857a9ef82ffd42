"""Hashes: the fields that the request changed, over the server's.

Pure. Must not know the client or the network.
"""

from __future__ import annotations

from typing import Final

from mirrorproof.guards.redis.overlay.handling import (
    MAX_INT,
    MIN_INT,
    OVERFLOW,
    Args,
    handles,
    integer,
    wrong_number,
)  # fmt: skip
from mirrorproof.guards.redis.overlay.numbers import added, finite
from mirrorproof.guards.redis.overlay.space import ServerError, View

__all__ = [
    "hdel",
    "hexists",
    "hget",
    "hgetall",
    "hincrby",
    "hincrbyfloat",
    "hkeys",
    "hlen",
    "hmget",
    "hmset",
    "hset",
    "hsetnx",
    "hstrlen",
    "hvals",
]

_NOT_A_FLOAT: Final = "ERR value is not a valid float"


def _look(view: View, key: bytes, names: tuple[bytes, ...]) -> tuple[dict[bytes, bytes | None], set[bytes]]:
    """What the fields hold, and those that the server has of those that were not changed yet."""
    found = view.hash(key)
    fresh = tuple(name for name in dict.fromkeys(names) if name not in found.fields)
    values = view.ask("hmget", key, *fresh) if found.based and fresh else [None] * len(fresh)
    served = dict(zip(fresh, values, strict=True))
    return {**found.fields, **served}, {name for name, value in served.items() if value is not None}


def _whole(view: View, key: bytes) -> dict[bytes, bytes]:
    found = view.hash(key)
    served = view.ask("hgetall", key) if found.based else {}
    return {name: value for name, value in {**served, **found.fields}.items() if value is not None}


@handles("HGET", 2)
def hget(view: View, args: Args) -> bytes | None:
    return _look(view, args[0], args[1:])[0][args[1]]


@handles("HMGET", 2, more=True)
def hmget(view: View, args: Args) -> list[bytes | None]:
    found, _ = _look(view, args[0], args[1:])
    return [found[name] for name in args[1:]]


@handles("HGETALL", 1)
def hgetall(view: View, args: Args) -> dict[bytes, bytes]:
    return _whole(view, args[0])


@handles("HKEYS", 1)
def hkeys(view: View, args: Args) -> list[bytes]:
    return list(_whole(view, args[0]))


@handles("HVALS", 1)
def hvals(view: View, args: Args) -> list[bytes]:
    return list(_whole(view, args[0]).values())


@handles("HLEN", 1)
def hlen(view: View, args: Args) -> int:
    found = view.hash(args[0])
    served = view.ask("hlen", args[0]) if found.based else 0
    own = sum(value is not None for value in found.fields.values())
    return max(int(served) - len(found.on_server), 0) + own


@handles("HEXISTS", 2)
def hexists(view: View, args: Args) -> int:
    return int(hget(view, args) is not None)


@handles("HSTRLEN", 2)
def hstrlen(view: View, args: Args) -> int:
    return len(hget(view, args) or b"")


@handles("HSET", 3, more=True)
def hset(view: View, args: Args) -> int:
    if len(args) % 2 == 0:
        raise wrong_number("hset")
    new: dict[bytes, bytes | None] = dict(zip(args[1::2], args[2::2], strict=True))
    found, on_server = _look(view, args[0], tuple(new))
    view.patch(args[0], new, on_server)
    return sum(found[name] is None for name in new)


@handles("HMSET", 3, more=True)
def hmset(view: View, args: Args) -> bytes:
    if len(args) % 2 == 0:
        raise wrong_number("hmset")
    hset(view, args)
    return b"OK"


@handles("HSETNX", 3)
def hsetnx(view: View, args: Args) -> int:
    if hexists(view, args[:2]):
        return 0
    return hset(view, args)


@handles("HDEL", 2, more=True)
def hdel(view: View, args: Args) -> int:
    found, on_server = _look(view, args[0], args[1:])
    gone: dict[bytes, bytes | None] = {name: None for name in args[1:] if found[name] is not None}
    if gone and hlen(view, args[:1]) <= len(gone):
        view.delete(args[0])  # an empty hash is none
    elif gone:
        view.patch(args[0], gone, on_server)
    return len(gone)


@handles("HINCRBY", 3)
def hincrby(view: View, args: Args) -> int:
    by = integer(args[2])
    old = hget(view, args[:2])
    total = integer(b"0" if old is None else old, "ERR hash value is not an integer") + by
    if not MIN_INT <= total <= MAX_INT:
        raise ServerError(OVERFLOW)
    hset(view, (args[0], args[1], b"%d" % total))
    return total


@handles("HINCRBYFLOAT", 3)
def hincrbyfloat(view: View, args: Args) -> bytes:
    finite(args[2], _NOT_A_FLOAT)
    old = hget(view, args[:2])
    total = added(b"0" if old is None else old, args[2], "ERR hash value is not a float", _NOT_A_FLOAT)
    hset(view, (args[0], args[1], total))
    return total
