"""What the redis guard knows of commands and replies, held against what a real server says of itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis
from clients.redis_client import RedisPeer

from mirrorproof.guards.redis.commands import READS, TAKING, Command, know_lock_scripts, lock_script_of, parse
from mirrorproof.guards.redis.replies import plausible

# Each is a call of a command whose keys or whose reply are told by rules of their own.
CALLS = [
    "SET k v", "SET k v EX 10 NX", "GETDEL k", "GETEX k EX 9", "GETSET k v", "SETNX k v", "SETEX k 9 v",
    "APPEND k v", "INCR k", "DECR k", "INCRBY k 5", "DECRBY k 5", "INCRBYFLOAT k 1.5", "MSET k v l w",
    "MSETNX k v l w", "SETRANGE k 0 v", "SETBIT k 7 1", "BITOP NOT k l", "BITFIELD k SET u8 0 1 GET u8 0",
    "PFADD k v", "PFMERGE k l", "DEL k l", "UNLINK k l", "TOUCH k l", "RENAME s l", "RENAMENX s l",
    "COPY s l", "EXPIRE s 9", "PEXPIRE s 9000", "EXPIREAT s 9999999999", "PERSIST k", "HSET k f v g w",
    "HMSET k f v", "HSETNX k f v", "HDEL k f g", "HINCRBY k f 1", "HINCRBYFLOAT k f 1.5", "LPUSH k a b",
    "RPUSH k a b", "LPUSHX k a", "LPOP k", "RPOP k 2", "LMOVE k l LEFT RIGHT", "RPOPLPUSH k l",
    "LMPOP 2 k l LEFT", "LINSERT k BEFORE a b", "LREM k 0 a", "BLPOP k l 0.01", "BRPOP k 0.01",
    "BLMOVE k l LEFT RIGHT 0.01", "BRPOPLPUSH k l 1", "BLMPOP 0.01 2 k l LEFT", "SADD k a b", "SREM k a b",
    "SPOP k", "SMOVE k l a", "SUNIONSTORE k l m", "ZADD k 1 a 2 b", "ZADD k INCR 1.5 a", "ZINCRBY k 1.5 a",
    "ZREM k a b", "ZPOPMIN k", "BZPOPMIN k l 0.01", "ZMPOP 2 k l MIN", "BZMPOP 0.01 1 k MIN",
    "ZREMRANGEBYRANK k 0 1", "ZRANGESTORE k l 0 1", "ZUNIONSTORE k 2 l m", "GEOADD k 1 2 a 3 4 b",
    "SORT k STORE l", "SORT k", "XADD k * f v", "XADD k MAXLEN ~ 10 LIMIT 5 1-* f v",
    "XADD k NOMKSTREAM 5-5 f v", "XTRIM k MAXLEN 5", "XDEL k 1-1", "XGROUP CREATE k g 0 MKSTREAM",
    "XGROUP DESTROY t g", "XGROUP CREATECONSUMER t g c", "XACK t g 1-1 2-2",
    "XREADGROUP GROUP g c STREAMS t >", "XREADGROUP GROUP g c COUNT 1 BLOCK 10 STREAMS t t > >",
    "XCLAIM t g c 1 1-1", "XAUTOCLAIM t g c 1 0", "EVAL return 2 k l", "PUBLISH c m", "FLUSHDB",
    "SPUBLISH c m", "GEOSEARCHSTORE k l FROMLONLAT 1 2 BYRADIUS 9 km", "SWAPDB 0 0", "CONFIG RESETSTAT",
    "SCRIPT FLUSH",
]  # fmt: skip
# What a call replies depends on what is there; the reply of these is that of one that changes something.
OTHERWISE_REPLIED = frozenset({
    "APPEND", "INCR", "DECR", "INCRBY", "DECRBY", "INCRBYFLOAT", "BITOP", "XGROUP DESTROY", "EVAL", "XADD",
})  # fmt: skip


@pytest.fixture(scope="module")
def peer() -> Iterator[RedisPeer]:
    started = RedisPeer()
    yield started
    started.stop()


@pytest.fixture
def server(peer: RedisPeer) -> Iterator[redis.Redis]:
    """A client that hands replies out as they stand on the wire; there is a string `s`, a stream `t`."""
    with redis.Redis(**peer.kwargs, db=3, protocol=2) as client:
        client.flushdb()
        client.set("s", "1")
        client.xgroup_create("t", "g", mkstream=True)
        client.response_callbacks.clear()
        yield client


def command(line: str) -> Command:
    return parse(tuple(line.split()), str.encode)


def test_what_the_server_flags_as_reading_reads_and_what_it_flags_as_writing_does_not(
    server: redis.Redis,
) -> None:
    told: dict[str, set[bytes]] = {}
    for entry in server.execute_command("COMMAND"):
        for name, _, flags, *_ in (entry, *entry[9]):
            told[name.decode().upper().replace("|", " ")] = set(flags)
    reading = {name for name, flags in told.items() if b"readonly" in flags}
    writing = {name for name, flags in told.items() if b"write" in flags}
    assert len(reading) > 80
    assert reading <= READS
    assert writing & READS == set()
    assert writing | {"BLMOVEM", "LMOVEM"} >= TAKING  # of servers after this one


@pytest.mark.parametrize(
    "name", ["NONSENSE", "HGETDEL", "JSON.SET", "FT.CONFIG SET", "CONFIG SET", "TS.ADD", "VADD"]
)
def test_what_is_not_known_to_read_writes(name: str) -> None:
    assert not command(f"{name} k").reads


@pytest.mark.parametrize("line", [
    "JSON.GET k $", "JSON.MGET k l $", "FT.SEARCH i q", "FT.AGGREGATE i q", "TS.GET k", "TS.MRANGE - +",
    "BF.EXISTS k a", "TOPK.LIST k", "VSIM k ELE a", "FT.CONFIG GET *", "CONFIG GET *", "get k", "SORT k",
    "GEORADIUS k 1 2 3 km",
])  # fmt: skip
def test_what_reads_is_known(line: str) -> None:
    assert command(line).reads


def test_a_sort_or_search_by_radius_that_stores_writes() -> None:
    assert not command("SORT k STORE l").reads
    assert not command("GEORADIUS k 1 2 3 km STOREDIST l").reads


@pytest.mark.parametrize("line", CALLS)
def test_the_keys_are_those_that_the_server_finds(server: redis.Redis, line: str) -> None:
    try:
        found = tuple(server.execute_command("COMMAND GETKEYS", *line.split()))
    except redis.ResponseError:  # it has none, or no arguments at all
        found = ()
    known = command(line).keys
    assert known == found[: len(known)]
    assert bool(known) == bool(found)


@pytest.mark.parametrize("line", [each for each in CALLS if not command(each).reads])
def test_the_reply_is_of_the_server_s_type(server: redis.Redis, line: str) -> None:
    call = command(line)
    real = server.execute_command(*line.split())
    told = plausible(call, resp3=False, now_ms=1_700_000_000_000)
    if call.name in OTHERWISE_REPLIED:
        assert type(told) is type(real) or None in (told, real)
    elif isinstance(real, (int, list)):
        assert type(told) is type(real)
    else:
        assert told == real


def test_an_entry_of_a_stream_is_named_as_the_server_would() -> None:
    def named(line: str) -> Any:
        return plausible(command(line), resp3=False, now_ms=1_700_000_000_000)

    assert named("XADD k * f v") == b"1700000000000-0"
    assert named("XADD k 5-* f v") == b"5-0"
    assert named("XADD k MAXLEN ~ 10 LIMIT 5 5-6 f v") == b"5-6"


@pytest.mark.parametrize(("line", "wait_s"), [
    ("BLPOP k l 0.5", 0.5), ("BLMOVE k l LEFT RIGHT 2", 2.0), ("BLMPOP 3 1 k LEFT", 3.0), ("LPOP k", None),
    ("BLMOVEM k l LEFT RIGHT 4", 4.0), ("XREADGROUP GROUP g c BLOCK 1500 STREAMS k >", 1.5),
    ("XREADGROUP GROUP BLOCK c STREAMS k >", None), ("BLPOP k 0", 0.0),
])  # fmt: skip
def test_a_take_waits_as_long_as_it_says(line: str, wait_s: float | None) -> None:
    assert command(line).wait_s == wait_s


def test_what_is_random_or_timed_is_left_out_of_what_equal_effects_share() -> None:
    know_lock_scripts(release="return 1")
    token, sha = "0123456789abcdef" * 2, "e0e1f9fabfc9d4800c877a703b823ac0578ff8db"
    assert lock_script_of(sha.encode()) == "release"
    assert command(f"SET lock {token} NX PX 9").alike == ["lock", "…", "NX", "PX", "9"]
    assert command(f"SET text {token}").alike == ["text", token]
    assert command(f"EVALSHA {sha} 1 lock {token}").alike == [sha, "1", "lock", "…"]
    assert command("SET k v EXAT 99 NX").alike == ["k", "v", "EXAT", "…", "NX"]
    assert command("PEXPIREAT k 99").alike == ["k", "…"]
