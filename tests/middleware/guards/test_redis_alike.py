"""A mirrored request's commands, against the same commands without guards: the replies are the same.

Random sequences are sent to two databases of a real server that hold the same: to one from a mirrored
request, to the other past the guard. Every reply has to be the same, and the first database may not change.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from clients.redis_client import RedisPeer
from hypothesis import given, settings
from hypothesis import strategies as st

from mirrorproof import Settings, install_guards, uninstall_guards
from mirrorproof.context import MirrorContext, entered
from mirrorproof.decision import Decision, Mode

Pair = tuple[redis.Redis, redis.Redis]

MIRRORED, PLAIN = 4, 5
DIALECTS: list[dict[str, Any]] = [
    {}, {"protocol": 2, "decode_responses": True}, {"protocol": 3}, {"legacy_responses": False},
]  # fmt: skip
TIMES = frozenset({"TTL", "PTTL", "EXPIRETIME", "PEXPIRETIME"})

keys = st.sampled_from(["a", "b", "c"])
names = st.sampled_from(["f", "g", "h"])
texts = st.sampled_from([
    "", "0", "1", "-7", "10", "007", "+1", " 1", "1.5", "-0.1", "3e3", "1e-3", "inf", "text",
    "9223372036854775807", "-9223372036854775808", "9223372036854775808", "naïve",
])  # fmt: skip
offsets = st.sampled_from(["-9", "-2", "-1", "0", "1", "2", "9", "x"])
seconds = st.sampled_from(["-1", "0", "1000", "5000", "9223372036854775807", "x"])
units = st.sampled_from(["EX", "PX", "EXAT", "PXAT", "px"])


def command(name: str, *parts: Any) -> st.SearchStrategy[tuple[str, ...]]:
    return st.tuples(st.just(name), *parts)


def several(parts: Any, at_most: int = 3) -> Any:
    return st.lists(parts, min_size=1, max_size=at_most).map(lambda found: ("…", *found))


def options(*words: str) -> Any:
    return st.lists(st.sampled_from(words), max_size=2).map(lambda found: ("…", *found))


expiries = st.one_of(
    st.just(("…",)),
    st.tuples(st.just("…"), units, seconds),
    options("KEEPTTL", "NX", "XX", "GET", "nx", "nonsense"),
)
pairs = st.tuples(names, texts).map(lambda pair: ("…", *pair))
commands = st.one_of(
    command("SET", keys, texts, expiries, options("NX", "XX", "GET", "KEEPTTL")),
    *(command(name, keys) for name in (
        "GET", "STRLEN", "INCR", "DECR", "GETDEL", "TYPE", "TTL", "PTTL", "EXPIRETIME", "PEXPIRETIME",
        "PERSIST", "HGETALL", "HKEYS", "HVALS", "HLEN", "GETEX",
    )),
    *(command(name, keys, texts) for name in (
        "APPEND", "INCRBY", "DECRBY", "INCRBYFLOAT", "SETNX", "GETSET",
    )),
    *(command(name, several(keys)) for name in ("MGET", "EXISTS", "TOUCH", "DEL", "UNLINK")),
    *(command(name, keys, seconds, texts) for name in ("SETEX", "PSETEX")),
    *(command(name, several(st.tuples(keys, texts).map(lambda pair: ("…", *pair)))) for name in (
        "MSET", "MSETNX",
    )),
    command("GETEX", keys, units, seconds),
    command("GETEX", keys, st.sampled_from(["PERSIST", "nonsense"])),
    command("SETRANGE", keys, offsets, texts),
    command("GETRANGE", keys, offsets, offsets),
    *(command(name, keys, seconds, options("NX", "XX", "GT", "LT", "nonsense")) for name in (
        "EXPIRE", "PEXPIRE", "EXPIREAT", "PEXPIREAT",
    )),
    *(command(name, keys, keys) for name in ("RENAME", "RENAMENX")),
    *(command(name, keys, several(pairs)) for name in ("HSET", "HMSET")),
    command("HSET", keys, names),
    command("HSETNX", keys, names, texts),
    *(command(name, keys, names) for name in ("HGET", "HEXISTS", "HSTRLEN")),
    *(command(name, keys, several(names)) for name in ("HMGET", "HDEL")),
    *(command(name, keys, names, texts) for name in ("HINCRBY", "HINCRBYFLOAT")),
    st.just(("FLUSHDB",)),
)  # fmt: skip


def spelled(nested: Any, position: int) -> list[str]:
    """The command's words. Its times, by its position: no two are so near that milliseconds could decide."""
    name = nested[0]
    words = list(flat(nested))
    unit = words[2].upper() if name == "GETEX" and len(words) > 2 else ""
    if name == "SET":
        unit = next((word.upper() for word in words[3:] if word.upper() in ("EX", "PX", "EXAT", "PXAT")), "")
    absolute = name.endswith("EXPIREAT") or unit in ("EXAT", "PXAT")
    milliseconds = name.startswith("P") or unit in ("PX", "PXAT")
    for at, word in enumerate(words):
        if word in ("1000", "5000"):
            number = int(word) + 20 * position + (int(START) if absolute else 0)
            words[at] = str(number * (1000 if milliseconds else 1))
    return words


START = time.time()


def flat(nested: Any) -> Iterator[str]:
    for each in nested:
        if isinstance(each, tuple):
            yield from flat(each)
        elif each != "…":
            yield each


def sent(client: redis.Redis, words: list[str]) -> Any:
    try:
        reply = client.execute_command(*words)
    except redis.ResponseError as error:
        return f"{type(error).__name__}: {error}"
    if words[0] in ("HKEYS", "HVALS"):
        return sorted(reply)
    return reply


def alike(words: list[str], first: Any, second: Any) -> bool:
    if words[0] in TIMES and isinstance(first, int) and isinstance(second, int) and min(first, second) > 0:
        return abs(first - second) <= 5_000  # far less than what tells two times to live apart
    return type(first) is type(second) and bool(first == second)


@pytest.fixture(scope="module")
def peer() -> Iterator[RedisPeer]:
    started = RedisPeer()
    yield started
    started.stop()


@pytest.fixture(scope="module")
def clients(peer: RedisPeer) -> Iterator[Callable[[int], Pair]]:
    install_guards("redis", "threads")
    opened = [
        (redis.Redis(**peer.kwargs, db=MIRRORED, **dialect), redis.Redis(**peer.kwargs, db=PLAIN, **dialect))
        for dialect in DIALECTS
    ]
    yield opened.__getitem__
    for pair in opened:
        for client in pair:
            client.close()
    uninstall_guards()


def everything(client: redis.Redis) -> Any:
    return {key: (client.dump(key), client.pexpiretime(key)) for key in client.keys("*")}


@settings(max_examples=300, deadline=None)
@given(
    dialect=st.integers(0, len(DIALECTS) - 1),
    before=st.lists(commands, max_size=6),
    during=st.lists(commands, min_size=1, max_size=20),
)
def test_the_replies_are_the_same(
    clients: Callable[[int], Pair], dialect: int, before: list[Any], during: list[Any]
) -> None:
    mirrored, plain = clients(dialect)
    plain.flushdb()
    mirrored.flushdb()
    for position, nested in enumerate(before):
        words = spelled(nested, position)
        assert alike(words, sent(mirrored, words), sent(plain, words))
    looking = clients(0)[0]
    untouched = everything(looking)
    context = MirrorContext(Decision(Mode.DRY_RUN), settings=Settings.load(env={}, role="mixed"))
    for position, nested in enumerate(during, len(before)):
        words = spelled(nested, position)
        expected = sent(plain, words)
        with entered(context):
            reply = sent(mirrored, words)
        assert alike(words, reply, expected), f"{words}: {reply!r}, where the server replies {expected!r}"
    context.end()
    assert everything(looking) == untouched
