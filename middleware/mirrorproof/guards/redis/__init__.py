"""The redis guard: redis-py's commands, pipelines and cluster, sync and asyncio.

A read is made, a write is answered as the server would have: `commands` tells them apart, `replies` and
`overlay` know what the server replies, `calls` makes the client's own types of it. `sending` refuses the
writes that come to a connection past all that.

Knows where redis-py sends commands. Must not know what a command means.
"""

from __future__ import annotations

from typing import Any

from mirrorproof.guards import Guard
from mirrorproof.guards.redis import pipelines, sending, single
from mirrorproof.guards.redis.commands import know_lock_scripts

__all__ = ["RedisGuard"]


class RedisGuard(Guard):
    """Guards redis-py."""

    name = "redis"
    module = "redis"
    distribution = "redis"
    tested = ("5.0", "8.1")
    covers = (
        "redis.Redis and RedisCluster, sync and asyncio: commands, pipelines, transactions, scripts, locks"
    )

    def install(self) -> None:
        import redis
        import redis.asyncio.cluster
        import redis.asyncio.connection
        import redis.asyncio.lock
        import redis.connection
        import redis.lock

        for lock in (redis.lock.Lock, redis.asyncio.lock.Lock):
            know_lock_scripts(
                release=lock.LUA_RELEASE_SCRIPT,
                extend=lock.LUA_EXTEND_SCRIPT,
                reacquire=lock.LUA_REACQUIRE_SCRIPT,
            )
        asyncio = redis.asyncio
        for owner, method, wrapper in (
            (redis.Redis, "execute_command", single.execute),
            (redis.RedisCluster, "execute_command", single.execute),
            (redis.client.Pipeline, "immediate_execute_command", single.execute),
            (redis.client.Pipeline, "execute", pipelines.execute),
            (redis.cluster.ClusterPipeline, "execute", pipelines.execute),
            (asyncio.Redis, "execute_command", single.execute_async),
            (asyncio.RedisCluster, "execute_command", single.execute_async),
            (asyncio.client.Pipeline, "immediate_execute_command", single.execute_async),
            (asyncio.client.Pipeline, "execute", pipelines.execute_async),
            (asyncio.cluster.ClusterPipeline, "execute", pipelines.execute_async),
        ):
            self.wrap(owner, method, wrapper)
        for connection in (redis.connection.AbstractConnection, asyncio.connection.AbstractConnection):
            self.wrap(connection, "send_packed_command", sending.judge)
        self._wrap_watching(redis.cluster, single.execute)
        self._wrap_watching(asyncio.cluster, single.execute_async)

    def _wrap_watching(self, module: Any, wrapper: Any) -> None:
        strategy = getattr(module, "TransactionStrategy", None)  # redis-py before 6.2 has none
        if strategy is not None:
            self.wrap(strategy, "_immediate_execute_command", wrapper)
