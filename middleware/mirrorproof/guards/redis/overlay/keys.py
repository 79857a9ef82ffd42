"""Keys of any type: expiry, deletes, names; and redis-py's locks.

Pure. Must not know the client or the network.
"""

from __future__ import annotations

from typing import Final

from mirrorproof.guards.redis.overlay.handling import (
    INVALID_EXPIRE,
    MAX_INT,
    MIN_INT,
    SYNTAX,
    Args,
    handles,
    integer,
)  # fmt: skip
from mirrorproof.guards.redis.overlay.hashes import hgetall, hlen
from mirrorproof.guards.redis.overlay.space import SERVER, ServerError, UnknownError, View

__all__ = [
    "delete",
    "exists",
    "expire",
    "expireat",
    "expiretime",
    "flush",
    "lock_script",
    "persist",
    "pexpire",
    "pexpireat",
    "pexpiretime",
    "pttl",
    "rename",
    "renamenx",
    "ttl",
    "type_",
]

_NO_TTL: Final = -1
_ABSENT: Final = -2
_MAX_FIELDS: Final = 1_000


@handles("TYPE", 1)
def type_(view: View, args: Args) -> bytes:
    return view.kind(args[0])


def _need_kinds(view: View, keys: Args) -> None:
    view.need(*(("type", key) for key in keys if view.value(key) is SERVER))


@handles("EXISTS", 1, more=True)
@handles("TOUCH", 1, more=True)
def exists(view: View, args: Args) -> int:
    _need_kinds(view, args)
    return sum(view.exists(key) for key in args)


@handles("DEL", 1, more=True)
@handles("UNLINK", 1, more=True)
def delete(view: View, args: Args) -> int:
    _need_kinds(view, args)
    there = [key for key in dict.fromkeys(args) if view.exists(key)]
    for key in there:
        view.delete(key)
    return len(there)


def _expire(view: View, args: Args, command: str, scale: int, *, relative: bool) -> int:
    words = _expire_words(args)
    at_ms = integer(args[1]) * scale
    if not MIN_INT <= at_ms <= MAX_INT - (view.now_ms if relative else 0):
        raise ServerError(INVALID_EXPIRE.format(command))
    at_ms += view.now_ms if relative else 0
    if not view.exists(args[0]) or (words and not _applies(words, view.expires_ms(args[0]), at_ms)):
        return 0
    if at_ms <= view.now_ms:
        view.delete(args[0])
    else:
        view.expire(args[0], at_ms)
    return 1


def _expire_words(args: Args) -> set[bytes]:
    words = {arg.upper() for arg in args[2:]}
    for arg in args[2:]:
        if arg.upper() not in (b"NX", b"XX", b"GT", b"LT"):
            raise ServerError(f"ERR Unsupported option {arg.decode('utf-8', 'replace')}")
    if b"NX" in words and len(words) > 1:
        raise ServerError("ERR NX and XX, GT or LT options at the same time are not compatible")
    if words >= {b"GT", b"LT"}:
        raise ServerError("ERR GT and LT options at the same time are not compatible")
    return words


def _applies(words: set[bytes], old_ms: int | None, at_ms: int) -> bool:
    return not (
        (b"NX" in words and old_ms is not None)
        or (b"XX" in words and old_ms is None)
        or (b"GT" in words and (old_ms is None or at_ms <= old_ms))
        or (b"LT" in words and old_ms is not None and at_ms >= old_ms)
    )


@handles("EXPIRE", 2, more=True)
def expire(view: View, args: Args) -> int:
    return _expire(view, args, "expire", 1000, relative=True)


@handles("PEXPIRE", 2, more=True)
def pexpire(view: View, args: Args) -> int:
    return _expire(view, args, "pexpire", 1, relative=True)


@handles("EXPIREAT", 2, more=True)
def expireat(view: View, args: Args) -> int:
    return _expire(view, args, "expireat", 1000, relative=False)


@handles("PEXPIREAT", 2, more=True)
def pexpireat(view: View, args: Args) -> int:
    return _expire(view, args, "pexpireat", 1, relative=False)


@handles("PERSIST", 1)
def persist(view: View, args: Args) -> int:
    if not view.exists(args[0]) or view.expires_ms(args[0]) is None:
        return 0
    view.expire(args[0], None)
    return 1


@handles("PEXPIRETIME", 1)
def pexpiretime(view: View, args: Args) -> int:
    if not view.exists(args[0]):
        return _ABSENT
    at_ms = view.expires_ms(args[0])
    return _NO_TTL if at_ms is None else at_ms


def _in_seconds(milliseconds: int) -> int:
    return (milliseconds + 500) // 1000 if milliseconds >= 0 else milliseconds


@handles("EXPIRETIME", 1)
def expiretime(view: View, args: Args) -> int:
    return _in_seconds(pexpiretime(view, args))


@handles("PTTL", 1)
def pttl(view: View, args: Args) -> int:
    at_ms = pexpiretime(view, args)
    return at_ms - view.now_ms if at_ms >= 0 else at_ms


@handles("TTL", 1)
def ttl(view: View, args: Args) -> int:
    return _in_seconds(pttl(view, args))


def _rename(view: View, key: bytes, to: bytes, *, anew: bool) -> bool:
    """Give a key another name, unless that is to be `anew` and is taken. Raises `UnknownError` for what is
    not held here, and what is too large to be fetched for it."""
    kind = view.kind(key)
    if kind == b"none":
        raise ServerError("ERR no such key")
    if anew and view.exists(to):
        return False
    if key == to:
        return True
    if kind not in (b"string", b"hash") or (kind == b"hash" and hlen(view, (key,)) > _MAX_FIELDS):
        raise UnknownError
    expires_ms = view.expires_ms(key)
    value = view.string(key) if kind == b"string" else hgetall(view, (key,))
    if isinstance(value, dict):
        view.delete(to)
        view.patch(to, dict(value), set())
        view.expire(to, expires_ms)
    elif value is not None:
        view.put(to, value, expires_ms)
    view.delete(key)
    return True


@handles("RENAME", 2)
def rename(view: View, args: Args) -> bytes:
    _rename(view, *args, anew=False)
    return b"OK"


@handles("RENAMENX", 2)
def renamenx(view: View, args: Args) -> int:
    return int(_rename(view, *args, anew=True))


@handles("FLUSHDB", 0, more=True)
@handles("FLUSHALL", 0, more=True)
def flush(view: View, args: Args) -> bytes:
    if {arg.upper() for arg in args} not in (set(), {b"SYNC"}, {b"ASYNC"}):
        raise ServerError(SYNTAX)
    view.flush()
    return b"OK"


def _makes(name: str, kind: bytes, *unless: bytes) -> None:
    """A command that makes a key of a type that is not held here: it is there afterwards, and no more."""

    def make(view: View, args: Args) -> None:
        if not {arg.upper() for arg in args}.intersection(unless):
            view.make(args[0], kind)
        raise UnknownError

    handles(name, 2, more=True)(make)


_makes("LPUSH", b"list")
_makes("RPUSH", b"list")
_makes("SADD", b"set")
_makes("ZADD", b"zset", b"XX")
_makes("ZINCRBY", b"zset")
_makes("GEOADD", b"zset", b"XX")
_makes("XADD", b"stream", b"NOMKSTREAM")


def lock_script(view: View, script: str, key: bytes, argv: Args) -> int:
    """What redis-py's script `release`, `extend` or `reacquire` does and replies."""
    token = view.string(key)
    if token is None or token != argv[0]:
        return 0
    if script == "release":
        view.delete(key)
        return 1
    left_ms = integer(argv[1])
    if script == "extend":
        at_ms = view.expires_ms(key)
        if at_ms is None:
            return 0
        if argv[2] == b"0":
            left_ms += at_ms - view.now_ms
    view.expire(key, view.now_ms + left_ms)
    return 1
