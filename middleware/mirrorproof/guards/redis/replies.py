"""What the server would have replied to a suppressed command that succeeds, as it stands on the wire.

Pure. Must not know the client: that makes its own types of a reply.
"""

from __future__ import annotations

from typing import Any, Final

from mirrorproof.guards.redis.commands import Command, names

__all__ = ["plausible"]

_ONE: Final = frozenset(
    names("""
APPEND INCR EXPIRE PEXPIRE EXPIREAT PEXPIREAT PERSIST SETNX MSETNX HSETNX HINCRBY RENAMENX COPY MOVE LREM
SMOVE PFADD LINSERT MSETEX HSETEX DELEX BF.ADD CF.ADD CF.ADDNX CF.DEL JSON.CLEAR JSON.DEL JSON.FORGET VADD
VREM VSETATTR
""")
) | {"XGROUP DESTROY", "XGROUP CREATECONSUMER", "CLIENT UNBLOCK", "CLIENT KILL"}
_ZERO: Final = frozenset(
    names("""
PUBLISH SPUBLISH BITOP SETBIT SETRANGE SDIFFSTORE SINTERSTORE SUNIONSTORE ZDIFFSTORE ZINTERSTORE ZUNIONSTORE
ZRANGESTORE GEOSEARCHSTORE SORT GEORADIUS GEORADIUSBYMEMBER XTRIM ZREMRANGEBYLEX ZREMRANGEBYRANK
ZREMRANGEBYSCORE
""")
) | {"XGROUP DELCONSUMER"}
_NONE: Final = frozenset(
    names("""
EVAL EVALSHA FCALL GETDEL GETEX GETSET SPOP BLPOP BRPOP BLMOVE BLMOVEM BLMPOP BRPOPLPUSH BZMPOP BZPOPMAX
BZPOPMIN LPOP RPOP LMOVE LMOVEM LMPOP RPOPLPUSH XREADGROUP ZMPOP
""")
)
_OF_FIELDS: Final = {
    "HEXPIRE": 1, "HEXPIREAT": 1, "HPEXPIRE": 1, "HPEXPIREAT": 1, "HPERSIST": 1,
    "HGETDEL": None, "HGETEX": None,
}  # fmt: skip
"""What is replied for each of a hash's fields."""
_SEVERAL: Final = {
    "DEL": 0, "UNLINK": 0, "TOUCH": 0, "LPUSH": 1, "RPUSH": 1, "LPUSHX": 1, "RPUSHX": 1, "SADD": 1, "SREM": 1,
    "ZREM": 1, "HDEL": 1, "XDEL": 1, "XACK": 2,
}  # fmt: skip
_ZADD_WORDS: Final = frozenset({b"NX", b"XX", b"GT", b"LT", b"CH", b"INCR"})


def plausible(command: Command, *, resp3: bool, now_ms: int, ours: bool = False) -> Any:  # noqa: PLR0911, PLR0912
    """The reply to `command`. `ours`: it is a script of the client's own locks."""
    name, args = command.name, command.args
    if ours or name in _ONE:
        return 1
    if name in _ZERO:
        return 0
    if name in _NONE:
        return None
    if name in _OF_FIELDS:
        return [_OF_FIELDS[name]] * _count_after(args, b"FIELDS")
    if name in _SEVERAL:
        return len(args) - _SEVERAL[name]
    if name == "SET":
        return None if b"GET" in [arg.upper() for arg in args[2:]] else b"OK"
    if name == "DECR":
        return -1
    if name in ("INCRBY", "DECRBY"):
        return int(args[1]) * (1 if name == "INCRBY" else -1)
    if name == "INCRBYFLOAT":
        return args[1]
    if name == "HINCRBYFLOAT":
        return args[2]
    if name == "HSET":
        return (len(args) - 1) // 2
    if name == "ZINCRBY":
        return float(args[1]) if resp3 else args[1]
    if name == "ZADD":
        return _zadd(args, resp3)
    if name == "GEOADD":
        return (len(args) - 1) // 3
    if name == "XADD":
        return _xadd(args, now_ms)
    if name in ("BF.MADD", "CF.INSERT", "BF.INSERT"):
        words = [arg.upper() for arg in args]
        return [1] * len(args[words.index(b"ITEMS") + 1 if b"ITEMS" in words else 1 :])
    if name == "TS.ADD":
        return now_ms if args[1] == b"*" else int(args[1])
    if name in ("ZPOPMIN", "ZPOPMAX", "XCLAIM"):
        return []
    if name == "XAUTOCLAIM":
        return [b"0-0", [], []]
    if name == "BITFIELD":
        return [0 for arg in args[1:] if arg.upper() in (b"GET", b"SET", b"INCRBY")]
    return b"OK"


def _count_after(args: tuple[bytes, ...], word: bytes) -> int:
    words = [arg.upper() for arg in args]
    return int(args[words.index(word) + 1])


def _zadd(args: tuple[bytes, ...], resp3: bool) -> Any:
    rest = list(args[1:])
    words = set()
    while rest and rest[0].upper() in _ZADD_WORDS:
        words.add(rest.pop(0).upper())
    if b"INCR" in words:
        return float(rest[0]) if resp3 else rest[0]
    return len(rest) // 2


def _xadd(args: tuple[bytes, ...], now_ms: int) -> bytes:
    """The entry's id: the one given, or the one that the server would have made now."""
    at = 1
    while args[at].upper() in (b"NOMKSTREAM", b"KEEPREF", b"DELREF", b"ACKED"):
        at += 1
    if args[at].upper() in (b"MAXLEN", b"MINID"):
        at += 1
        at += args[at] in (b"~", b"=")
        at += 1
        if args[at].upper() == b"LIMIT":
            at += 2
    identity = args[at]
    if identity == b"*":
        return b"%d-0" % now_ms
    return identity[:-1] + b"0" if identity.endswith(b"-*") else identity
