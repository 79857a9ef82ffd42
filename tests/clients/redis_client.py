"""redis-py, sync and asyncio, on a server and on a cluster of one node."""

from __future__ import annotations

import itertools
from typing import Any

import redis
import redis.asyncio

from clients.servers import Process, free_port, program, wait_for
from clients.table import Case, Client


class RedisPeer:
    """A real Redis."""

    about = "Redis 7 (Debian's redis-server)"
    options: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.port = free_port()
        command = [program("redis-server", "redis-server"), "--port", str(self.port), "--bind", "127.0.0.1"]
        # Redis would take the port + 10000 for its cluster bus, which may lie beyond the last port.
        bus = ["--cluster-port", str(free_port())] if self.options else []
        self._process = Process([*command, "--save", "", *self.options, *bus])
        self.kwargs: dict[str, Any] = {"host": "127.0.0.1", "port": self.port}
        self._look = redis.Redis(**self.kwargs)
        wait_for(self._look.ping, "redis-server")
        self.prepare()
        self._look.set("stock", "10")
        self._look.rpush("jobs", "1", "2", "3")
        self._look.xgroup_create("events", "workers", id="0", mkstream=True)
        for _ in range(3):
            self._look.xadd("events", {"n": "1"})
        self._messages = 0
        self._subscriber = self._look.pubsub()
        self._subscriber.subscribe("news")
        assert self._subscriber.get_message(timeout=5) is not None

    def prepare(self) -> None:
        """What the server needs before it can be used."""

    def look(self) -> Any:
        while (message := self._subscriber.get_message()) is not None:
            self._messages += message["type"] == "message"
        keys = sorted(self._look.keys("*"))
        info = self._look.xinfo_groups("events") if b"events" in keys else []
        expiring = [self._look.pexpiretime(key) for key in keys]
        return [(key, self._look.dump(key)) for key in keys], expiring, info, self._messages

    def stop(self) -> None:
        self._subscriber.close()
        self._look.close()
        self._process.stop()


class ClusterPeer(RedisPeer):
    """A real cluster of one node."""

    about = "a cluster of one Redis 7 (Debian's redis-server)"
    options = ("--cluster-enabled", "yes")

    def prepare(self) -> None:
        self._look.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)
        wait_for(lambda: self._look.cluster("info")["cluster_state"] == "ok", "the cluster")


def _sync(peer: RedisPeer) -> redis.Redis:
    return redis.Redis(**peer.kwargs)


def _decoding(peer: RedisPeer) -> redis.Redis:
    return redis.Redis(**peer.kwargs, decode_responses=True, protocol=2)


def _async(peer: RedisPeer) -> redis.asyncio.Redis:
    return redis.asyncio.Redis(**peer.kwargs)


def _cluster(peer: RedisPeer) -> redis.RedisCluster:
    return redis.RedisCluster(**peer.kwargs)


def _cluster_async(peer: RedisPeer) -> redis.asyncio.RedisCluster:
    return redis.asyncio.RedisCluster(**peer.kwargs)


_numbers = itertools.count()


def _set(client: Any, peer: RedisPeer) -> None:
    assert client.set("order", "10.01", ex=60) is True


def _get(client: Any, peer: RedisPeer) -> None:
    assert client.get("stock") in (b"10", "10")
    assert client.lrange("jobs", 0, -1)[0] in (b"1", "1")


def _hash_decoded(client: Any, peer: RedisPeer) -> None:
    assert client.hset("basket", mapping={"a": str(next(_numbers))}) in (0, 1)


def _typed(client: Any, peer: RedisPeer) -> None:
    assert isinstance(client.lpush("list", "a", "b"), int)
    assert isinstance(client.sadd("set", "a"), int)
    assert isinstance(client.zadd("sorted", {"a": 1.5}), int)
    assert client.zincrby("sorted", 2.0, "b") >= 2.0
    assert b"-" in client.xadd("events", {"n": "2"})
    assert client.incrbyfloat("float", 1.5) >= 1.5


def _published(client: Any, peer: RedisPeer) -> None:
    assert isinstance(client.publish("news", "hello"), int)


def _script(client: Any, peer: RedisPeer) -> None:
    client.eval("return redis.call('incr', KEYS[1])", 1, "counter")
    client.register_script("return redis.call('incr', KEYS[1])")(keys=["counter"])


def _locked(client: Any, peer: RedisPeer) -> None:
    with client.lock("lock", timeout=600) as lock:
        assert lock.extend(600) is True
        assert lock.reacquire() is True
    client.incr("locked")


def _taken(client: Any, peer: RedisPeer) -> None:
    client.blpop("jobs", timeout=0.05)
    client.rpush("jobs", "4", "5")
    client.xreadgroup("workers", "me", {"events": ">"}, count=1, block=10)
    client.xadd("events", {"n": "1"})


def _pipeline(client: Any, peer: RedisPeer) -> None:
    pipe = client.pipeline(transaction=False)
    pipe.set("piped", "1").get("stock").incr("pipes")
    done, stock, count = pipe.execute()
    assert done is True
    assert stock == b"10"
    assert count >= 1


def _transaction(client: Any, peer: RedisPeer) -> None:
    with client.pipeline() as pipe:
        pipe.watch("stock")
        assert pipe.get("stock") == b"10"
        pipe.incr("immediate")
        pipe.multi()
        pipe.incr("transactions")
        pipe.get("stock")
        count, stock = pipe.execute()
    assert (count >= 1, stock) == (True, b"10")


async def _set_async(client: Any, peer: RedisPeer) -> None:
    assert await client.set("order", "10.01", ex=60) is True


async def _get_async(client: Any, peer: RedisPeer) -> None:
    assert await client.get("stock") == b"10"


async def _pipeline_async(client: Any, peer: RedisPeer) -> None:
    pipe = client.pipeline(transaction=False)
    pipe.set("piped", "1").get("stock").incr("pipes")
    done, stock, count = await pipe.execute()
    assert (done, stock, count >= 1) == (True, b"10", True)


async def _transaction_async(client: Any, peer: RedisPeer) -> None:
    async with client.pipeline() as pipe:
        await pipe.watch("stock")
        assert await pipe.get("stock") == b"10"
        await pipe.incr("immediate")
        pipe.multi()
        pipe.incr("transactions")
        pipe.get("stock")
        count, stock = await pipe.execute()
    assert (count >= 1, stock) == (True, b"10")


async def _script_async(client: Any, peer: RedisPeer) -> None:
    await client.eval("return redis.call('incr', KEYS[1])", 1, "counter")
    await client.publish("news", "hello")


async def _locked_async(client: Any, peer: RedisPeer) -> None:
    async with client.lock("lock", timeout=600) as lock:
        assert await lock.extend(600) is True
    await client.incr("locked")


async def _taken_async(client: Any, peer: RedisPeer) -> None:
    await client.blpop("jobs", timeout=0.05)
    await client.rpush("jobs", "4", "5")


SET = ("redis.set",)
HSET = ("redis.hset",)
PIPED = ("redis.set", "redis.incrby")
TAKEN = ("queue.consume", "redis.rpush", "queue.consume", "redis.xadd")
TRANSACTION = ("redis.incrby", "redis.incrby")
NOT_COVERED = (
    "What is sent past `execute_command` is refused, not answered: on a connection that the application took "
    "from the pool itself, or by a method, a `json()`, `ft()` or `ts()` that it kept from before the guards. "
    "A mirrored request sees its own writes to strings, hashes and times to live, its deletes and "
    "renames. Of what it writes to lists, sets, sorted sets and streams it sees that the key is there; "
    "what is in them, bits, HyperLogLogs, fields' own times to live, the types of modules and what came "
    "after Redis 7.0 is answered as if it succeeded and not seen, and SCAN, KEYS, HSCAN and DBSIZE see "
    "nothing of its own. `SET … NX` of a key that v1 has set for the same request is answered as the "
    "server would, None, unless a rule `returns` something; only redis-py's own locks are free. A script "
    "(EVAL, FCALL) is not run: it is answered None unless a rule says what. What a rule `returns` is not "
    "seen by later reads."
)
CLIENTS = [
    Client(name="redis", guard="redis", peer="redis", not_covered=NOT_COVERED, cases=(
        Case(name="Redis.set", client=_sync, write=_set, read=_get, kinds=SET),
        Case(name="Redis.hset decoded", client=_decoding, write=_hash_decoded, read=_get, kinds=HSET),
        Case(name="other types", client=_sync, write=_typed, kinds=(
            "redis.lpush", "redis.sadd", "redis.zadd", "redis.zincrby", "redis.xadd", "redis.incrbyfloat",
        )),
        Case(name="publish", client=_sync, write=_published, kinds=("queue.publish",)),
        Case(name="Lua", client=_sync, write=_script, kinds=("redis.eval", "redis.evalsha")),
        Case(name="lock", client=_sync, write=_locked, kinds=(
            "redis.set", "redis.evalsha", "redis.evalsha", "redis.evalsha", "redis.incrby",
        )),
        Case(name="takes", client=_sync, write=_taken, kinds=TAKEN),
        Case(name="Pipeline", client=_sync, write=_pipeline, kinds=PIPED),
        Case(name="transaction with WATCH", client=_sync, write=_transaction, kinds=TRANSACTION),
        Case(name="asyncio.Redis.set", client=_async, write=_set_async, read=_get_async, kinds=SET),
        Case(name="asyncio Lua and publish", client=_async, write=_script_async, kinds=(
            "redis.eval", "queue.publish",
        )),
        Case(name="asyncio lock", client=_async, write=_locked_async, kinds=(
            "redis.set", "redis.evalsha", "redis.evalsha", "redis.incrby",
        )),
        Case(name="asyncio takes", client=_async, write=_taken_async, kinds=TAKEN[:2]),
        Case(name="asyncio Pipeline", client=_async, write=_pipeline_async, kinds=PIPED),
        Case(name="asyncio transaction, WATCH", client=_async, write=_transaction_async, kinds=TRANSACTION),
    )),
    Client(name="redis", guard="redis", peer="redis cluster", not_covered=NOT_COVERED, cases=(
        Case(name="RedisCluster.set", client=_cluster, write=_set, read=_get, kinds=SET),
        Case(name="ClusterPipeline", client=_cluster, write=_pipeline, kinds=PIPED),
        Case(name="cluster lock", client=_cluster, write=_locked, kinds=(
            "redis.set", "redis.evalsha", "redis.evalsha", "redis.evalsha", "redis.incrby",
        )),
        Case(name="asyncio.RedisCluster.set", client=_cluster_async, write=_set_async, kinds=SET,
             read=_get_async),
        Case(name="asyncio ClusterPipeline", client=_cluster_async, write=_pipeline_async, kinds=(
            "redis.set", "redis.incrby",
        )),
    )),
]  # fmt: skip
PEERS = {"redis": RedisPeer, "redis cluster": ClusterPeer}
