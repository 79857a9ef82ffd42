"""Redis's commands: what each call is named, whether it reads or writes, which keys it names.

The table is the `readonly` flag of the server's own COMMAND (Redis 7; later ones by their documentation),
with what has neither flag but changes nothing for others. What it does not name is a write: in doubt the
effect is stopped.

Pure. Must not know the client or the network.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from mirrorproof.guards.redis.modules import MODULE_READS, MODULE_SUBCOMMANDS
from mirrorproof.ledger import LONG_BYTES, brief

__all__ = [
    "READS",
    "TAKING",
    "Command",
    "is_lock_token",
    "know_lock_scripts",
    "lock_script_of",
    "names",
    "parse",
    "surely_reads",
]


def names(text: str) -> list[str]:
    """The commands in a text."""
    return text.split()


_READONLY: Final = names("""
BITCOUNT BITFIELD_RO BITPOS DBSIZE DUMP EVALSHA_RO EVAL_RO EXISTS EXPIRETIME FCALL_RO GEODIST GEOHASH GEOPOS
GEORADIUSBYMEMBER_RO GEORADIUS_RO GEOSEARCH GET GETBIT GETRANGE HEXISTS HGET HGETALL HKEYS HLEN HMGET
HRANDFIELD HSCAN HSTRLEN HVALS KEYS LCS LINDEX LLEN LOLWUT LPOS LRANGE MGET PEXPIRETIME PFCOUNT PTTL
RANDOMKEY SCAN SCARD SDIFF SINTER SINTERCARD SISMEMBER SMEMBERS SMISMEMBER SORT_RO SRANDMEMBER SSCAN STRLEN
SUBSTR SUNION TOUCH TTL TYPE XLEN XPENDING XRANGE XREAD XREVRANGE ZCARD ZCOUNT ZDIFF ZINTER ZINTERCARD
ZLEXCOUNT ZMSCORE ZRANDMEMBER ZRANGE ZRANGEBYLEX ZRANGEBYSCORE ZRANK ZREVRANGE ZREVRANGEBYLEX
ZREVRANGEBYSCORE ZREVRANK ZSCAN ZSCORE ZUNION HTTL HPTTL HEXPIRETIME HPEXPIRETIME DIGEST SDIFFCARD SUNIONCARD
ARCOUNT ARGET ARGETRANGE ARGREP ARINFO ARLASTITEMS ARLEN ARMGET ARNEXT AROP ARSCAN
""")
_HARMLESS: Final = names("""
ASKING AUTH COMMAND ECHO HELLO INFO LASTSAVE MONITOR PING PSUBSCRIBE PUNSUBSCRIBE QUIT READONLY READWRITE
ROLE SELECT SSUBSCRIBE SUBSCRIBE SUNSUBSCRIBE TIME UNSUBSCRIBE UNWATCH WAIT WAITAOF WATCH
""")
_SUBCOMMANDS: Final = {
    "ACL": "CAT DRYRUN GENPASS GETUSER HELP LIST LOG USERS WHOAMI",
    "CLIENT": "CACHING GETNAME GETREDIR HELP ID INFO LIST MAINT_NOTIFICATIONS NO-EVICT NO-TOUCH SETINFO"
    " SETNAME TRACKING TRACKINGINFO",
    "CLUSTER": "COUNT-FAILURE-REPORTS COUNTKEYSINSLOT GETKEYSINSLOT HELP INFO KEYSLOT LINKS MYID MYSHARDID"
    " NODES REPLICAS SHARDS SLAVES SLOTS",
    "COMMAND": "COUNT DOCS GETKEYS GETKEYSANDFLAGS HELP INFO LIST",
    "CONFIG": "GET HELP",
    "FUNCTION": "DUMP HELP LIST STATS",
    "LATENCY": "DOCTOR GRAPH HELP HISTOGRAM HISTORY LATEST",
    "MEMORY": "DOCTOR HELP MALLOC-STATS STATS USAGE",
    "MODULE": "HELP LIST",
    "OBJECT": "ENCODING FREQ HELP IDLETIME REFCOUNT",
    "PUBSUB": "CHANNELS HELP NUMPAT NUMSUB SHARDCHANNELS SHARDNUMSUB",
    "SCRIPT": "EXISTS HELP LOAD",
    "SENTINEL": "CKQUORUM GET-MASTER-ADDR-BY-NAME HELP INFO-CACHE MASTER MASTERS MYID PENDING-SCRIPTS"
    " REPLICAS SENTINELS SLAVES",
    "SLOWLOG": "GET HELP LEN",
    "XGROUP": "HELP",
    "XINFO": "CONSUMERS GROUPS HELP STREAM",
    **MODULE_SUBCOMMANDS,
}
_WRITING_CONTAINERS: Final = frozenset({"DEBUG", *_SUBCOMMANDS})
READS: Final = frozenset(
    [*_READONLY, *_HARMLESS, *MODULE_READS]
    + [f"{name} {sub}" for name, subs in _SUBCOMMANDS.items() for sub in subs.split()]
)
TAKING: Final = frozenset(
    names("""
BLPOP BRPOP BLMOVE BLMOVEM BLMPOP BRPOPLPUSH BZMPOP BZPOPMAX BZPOPMIN LPOP RPOP LMOVE LMOVEM LMPOP RPOPLPUSH
XAUTOCLAIM XCLAIM XREADGROUP ZMPOP ZPOPMAX ZPOPMIN
""")
)
"""Commands that take a message or job which others then miss."""

_STORING: Final = {
    "SORT": {b"STORE"},
    "GEORADIUS": {b"STORE", b"STOREDIST"},
    "GEORADIUSBYMEMBER": {b"STORE", b"STOREDIST"},
}
_KEYS_COUNTED_AT: Final = {
    "EVAL": 1, "EVALSHA": 1, "FCALL": 1, "LMPOP": 0, "ZMPOP": 0, "BLMPOP": 1, "BZMPOP": 1,
}  # fmt: skip
_KEYS_AT: Final = {
    **dict.fromkeys(
        names(
            "DEL EXISTS MGET PFMERGE RENAME RENAMENX SDIFFSTORE SINTERSTORE SUNIONSTORE TOUCH UNLINK WATCH"
        ),
        slice(None),
    ),
    **dict.fromkeys(names("BLPOP BRPOP BZPOPMIN BZPOPMAX"), slice(-1)),
    **dict.fromkeys(names("MSET MSETNX"), slice(None, None, 2)),
    "BITOP": slice(1, None),
    **dict.fromkeys(names("BLMOVE BLMOVEM BRPOPLPUSH LMOVE LMOVEM RPOPLPUSH SMOVE COPY"), slice(2)),
}
_KEYLESS: Final = frozenset(
    names("""
FAILOVER FLUSHALL FLUSHDB MIGRATE PUBLISH REPLICAOF SAVE SHUTDOWN SLAVEOF SPUBLISH SWAPDB BGSAVE
BGREWRITEAOF MULTI EXEC DISCARD RESET SYNC PSYNC REPLCONF
""")
)
_TIMED: Final = {
    "EXPIREAT": (1,), "PEXPIREAT": (1,), "RESTORE": (1,),
}  # fmt: skip
_MAX_WORD_BYTES: Final = 32
"""Longer ones are values, not words of a command."""
_TOKEN: Final = re.compile(rb"[0-9a-f]{32}")


_lock_scripts: Final[dict[bytes, str]] = {}


@dataclass(frozen=True, slots=True)
class Command:
    """One call: `name` in capitals with its subcommand, `args` as the server gets them."""

    name: str
    args: tuple[bytes, ...]

    @property
    def reads(self) -> bool:
        """Whether it changes nothing for others."""
        if self.name in _STORING:
            return not _STORING[self.name] & {arg.upper() for arg in self.args[1:]}
        return self.name in READS

    @property
    def takes(self) -> bool:
        """Whether it takes a message."""
        return self.name in TAKING

    @property
    def publishes(self) -> bool:
        """Whether it sends a message to subscribers."""
        return self.name in ("PUBLISH", "SPUBLISH")

    @property
    def keys(self) -> tuple[bytes, ...]:
        """The keys that it names, as far as the table tells; the first one at least."""
        name, args = self.name, self.args
        if name in _KEYS_COUNTED_AT:
            at = _KEYS_COUNTED_AT[name]
            return args[at + 1 : at + 1 + int(args[at])]
        if name in ("XREADGROUP", "XREAD"):
            streams = args[[arg.upper() for arg in args].index(b"STREAMS") + 1 :]
            return streams[: len(streams) // 2]
        container = name.partition(" ")[0]
        if name in _KEYLESS or (container in _WRITING_CONTAINERS and container != "XGROUP"):
            return ()
        return args[_KEYS_AT.get(name, slice(1))]

    @property
    def wait_s(self) -> float | None:
        """How long a take waits: `None` for not at all, 0 for ever."""
        args, name = self.args, self.name
        if name in ("BLPOP", "BRPOP", "BZPOPMIN", "BZPOPMAX", "BLMOVE", "BRPOPLPUSH"):
            return float(args[-1])
        if name in ("BLMPOP", "BZMPOP"):
            return float(args[0])
        if name == "BLMOVEM":
            return float(args[4])
        if name == "XREADGROUP":
            words = [arg.upper() for arg in args]
            options = words[: words.index(b"STREAMS")]
            if b"BLOCK" in options[3:]:
                return float(args[options.index(b"BLOCK", 3) + 1]) / 1000
        return None

    @property
    def alike(self) -> list[str]:
        """Its arguments as equal effects of two versions have them in common: without a lock's random token
        and without points in time."""
        skipped = set(_TIMED.get(self.name, ()))
        words = [arg.upper() if len(arg) < _MAX_WORD_BYTES else b"" for arg in self.args]
        if self.name == "SET" and b"NX" in words[2:] and is_lock_token(self.args[1]):
            skipped.add(1)
        if self.name == "EVALSHA" and lock_script_of(self.args[0]):
            skipped.add(3)
        if self.name in ("SET", "GETEX"):
            skipped |= {i + 1 for i, word in enumerate(words) if i >= 1 and word in (b"EXAT", b"PXAT")}
        return [_text(arg) if i not in skipped else "…" for i, arg in enumerate(self.args)]


def surely_reads(name: Any) -> bool:
    """Whether a call with this first argument reads, whatever the others are. Cheaper than to parse it."""
    return name in READS


def parse(args: tuple[Any, ...], encode: Any) -> Command:
    """A call of `execute_command`: `encode` makes bytes of an argument, as the client would."""
    name, rest = _name_of(encode(args[0]))
    rest += tuple(each if isinstance(each, bytes) else bytes(each) for each in map(encode, args[1:]))
    if name in _WRITING_CONTAINERS and rest:
        name, rest = f"{name} {rest[0].decode('ascii').upper()}", rest[1:]
    return Command(name, rest)


@lru_cache(maxsize=1024)
def _name_of(first: bytes) -> tuple[str, tuple[bytes, ...]]:
    """A command's name in capitals, and the words that were given with it."""
    words = first.split()
    return words[0].decode("ascii").upper(), tuple(words[1:])


def _digest_of(script: str) -> bytes:
    """The name by which EVALSHA calls a script."""
    return hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest().encode()


def _text(arg: bytes) -> str:
    return brief(arg) if len(arg) > LONG_BYTES else arg.decode("utf-8", "backslashreplace")


def know_lock_scripts(**scripts: str) -> None:
    """The scripts that are the client's own locks: `release`, `extend` and `reacquire`."""
    _lock_scripts.update({_digest_of(script): name for name, script in scripts.items()})


def lock_script_of(sha: bytes) -> str | None:
    """Which script of the client's own locks EVALSHA calls by this name."""
    return _lock_scripts.get(sha)


def is_lock_token(value: bytes) -> bool:
    """Whether it looks like what one of the client's own locks is taken with."""
    return _TOKEN.fullmatch(value) is not None
