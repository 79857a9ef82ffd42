"""A mirrored request's commands, against the same commands without guards: the replies are the same.

Random sequences are sent to two databases of a real server that hold the same: to one from a mirrored
request, to the other past the guard. Every reply has to be the same, and the first database may not change.
"""

from __future__ import annotations

import asyncio
import inspect
import itertools
import time
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest
import redis
import redis.asyncio
from clients.redis_client import ClusterPeer, RedisPeer
from hypothesis import given, settings
from hypothesis import strategies as st

from mirrorproof import Settings, install_guards, uninstall_guards
from mirrorproof.context import MirrorContext, entered
from mirrorproof.decision import Decision, Mode

MIRRORED, PLAIN = 4, 5
DIALECTS: list[dict[str, Any]] = [
    {},
    {"protocol": 2, "decode_responses": True, "encoding_errors": "replace"},
    {"protocol": 3},
    {"legacy_responses": False},
]  # fmt: skip
TIMES = frozenset({"TTL", "PTTL", "EXPIRETIME", "PEXPIRETIME"})

KEYS = ["a", "b", "c"]
keys = st.sampled_from(KEYS)
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
    command("HSETNX", keys, names, texts),
    *(command(name, keys, names) for name in ("HGET", "HEXISTS", "HSTRLEN")),
    *(command(name, keys, several(names)) for name in ("HMGET", "HDEL")),
    *(command(name, keys, names, texts) for name in ("HINCRBY", "HINCRBYFLOAT")),
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


def alike(words: list[str], first: Any, second: Any) -> bool:
    if words[0] in TIMES and isinstance(first, int) and isinstance(second, int) and min(first, second) > 0:
        return abs(first - second) <= 5_000  # far less than what tells two times to live apart
    return type(first) is type(second) and bool(first == second)


# -- the ways to send commands


def shown(words: list[str], reply: Any) -> Any:
    if isinstance(reply, Exception):
        return f"{type(reply).__name__}: {reply}"
    return sorted(reply) if words[0] in ("HKEYS", "HVALS") else reply


class Way:
    """Some clients of a server, in several dialects, and what they send commands with."""

    def __init__(self, peer: RedisPeer, batch: str, pairs: list[Any]) -> None:
        self.peer, self.batch, self.pairs = peer, batch, pairs
        self.in_cluster = isinstance(peer, ClusterPeer)
        self.runner = asyncio.Runner()
        for client in (each for pair in pairs for each in pair):
            if hasattr(client, "aclose"):  # a cluster's transaction would do it in a loop of its own
                self.runner.run(client.initialize())

    def __repr__(self) -> str:
        return "the clients"

    def send(self, client: Any, context: MirrorContext | None, batch: list[list[str]]) -> list[Any]:
        """The replies to a batch, in the request if there is one."""
        if inspect.iscoroutinefunction(inspect.unwrap(type(client).execute_command)):
            return self.runner.run(self._send_async(client, context, batch))
        with entered(context) if context else nullcontext():
            if self.batch != "single":
                pipe = client.pipeline(transaction=self.batch == "transaction")
                for words in batch:
                    pipe.execute_command(*words)
                return [shown(*each) for each in zip(batch, pipe.execute(raise_on_error=False), strict=True)]
            found = []
            for words in batch:
                try:
                    found.append(shown(words, client.execute_command(*words)))
                except redis.ResponseError as error:
                    found.append(shown(words, error))
            return found

    async def _send_async(
        self, client: Any, context: MirrorContext | None, batch: list[list[str]]
    ) -> list[Any]:
        with entered(context) if context else nullcontext():
            if self.batch != "single":
                pipe = client.pipeline(transaction=self.batch == "transaction")
                for words in batch:
                    pipe.execute_command(*words)
                replies = await pipe.execute(raise_on_error=False)
                return [shown(*each) for each in zip(batch, replies, strict=True)]
            found = []
            for words in batch:
                try:
                    found.append(shown(words, await client.execute_command(*words)))
                except redis.ResponseError as error:
                    found.append(shown(words, error))
            return found

    def everything(self) -> Any:
        with redis.Redis(**self.peer.kwargs, db=0 if self.in_cluster else MIRRORED) as client:
            names = client.keys("{m}*" if self.in_cluster else "*")
            return {key: (client.dump(key), client.pexpiretime(key)) for key in names}

    def empty(self) -> None:
        with redis.Redis(**self.peer.kwargs) as client:
            client.flushall()

    def placed(self, batch: list[list[str]], tag: str) -> list[list[str]]:
        """The batch with its keys in a cluster's slot of `tag`, since there is but one database."""
        if not self.in_cluster:
            return batch
        return [[tag + each if each in KEYS else each for each in words] for words in batch]

    def close(self) -> None:
        for client in (each for pair in self.pairs for each in pair):
            if hasattr(client, "aclose"):
                self.runner.run(client.aclose())
            else:
                client.close()
        self.runner.close()


@pytest.fixture(scope="module")
def peer() -> Iterator[RedisPeer]:
    started = RedisPeer()
    yield started
    started.stop()


@pytest.fixture(scope="module")
def cluster() -> Iterator[RedisPeer]:
    started = ClusterPeer()
    yield started
    started.stop()


@pytest.fixture(scope="module", params=["single", "pipeline", "transaction"])
def batch(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", params=[redis.Redis, redis.asyncio.Redis], ids=["sync", "asyncio"])
def server_way(request: pytest.FixtureRequest, peer: RedisPeer, batch: str) -> Iterator[Way]:
    yield from opened(Way(peer, batch, [
        tuple(request.param(**peer.kwargs, db=db, **dialect) for db in (MIRRORED, PLAIN))
        for dialect in DIALECTS
    ]))  # fmt: skip


@pytest.fixture(
    scope="module", params=[redis.RedisCluster, redis.asyncio.RedisCluster], ids=["sync", "asyncio"]
)
def cluster_way(request: pytest.FixtureRequest, cluster: RedisPeer, batch: str) -> Iterator[Way]:
    yield from opened(Way(cluster, batch, [
        (each, each) for each in (request.param(**cluster.kwargs, **dialect) for dialect in DIALECTS[:2])
    ]))  # fmt: skip


def opened(way: Way) -> Iterator[Way]:
    install_guards("redis", "threads")
    yield way
    way.close()
    uninstall_guards()


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_server_s_replies_are_the_same(server_way: Way, data: st.DataObject) -> None:
    compare(server_way, data, st.one_of(commands, st.just(("FLUSHDB",))))


@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_a_cluster_s_replies_are_the_same(cluster_way: Way, data: st.DataObject) -> None:
    compare(cluster_way, data, commands)


def compare(way: Way, data: st.DataObject, commands: Any) -> None:
    mirrored, plain = way.pairs[data.draw(st.integers(0, len(way.pairs) - 1), "dialect")]
    way.empty()
    number = itertools.count()
    before = [spelled(each, next(number)) for each in data.draw(st.lists(commands, max_size=6), "before")]
    way.send(mirrored, None, way.placed(before, "{m}"))
    way.send(plain, None, way.placed(before, "{p}"))
    untouched = way.everything()
    context = MirrorContext(Decision(Mode.DRY_RUN), settings=Settings.load(env={}, role="mixed"))
    for nested in data.draw(st.lists(st.lists(commands, min_size=1, max_size=6), max_size=4), "during"):
        batch = [spelled(each, next(number)) for each in nested]
        expected = way.send(plain, None, way.placed(batch, "{p}"))
        replies = way.send(mirrored, context, way.placed(batch, "{m}"))
        for words, reply, real in zip(batch, replies, expected, strict=True):
            assert alike(words, reply, real), f"{words}: {reply!r}, where the server replies {real!r}"
    context.end()
    assert way.everything() == untouched
