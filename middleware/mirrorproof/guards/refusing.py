"""Clients whose writes are refused in a mirrored request, since nothing here can answer in their place yet.

Theory of operation. A refusal is an error that the application sees, so its mirrored answer may differ from
v1's; but nothing is written, which the last line of defence could not promise: these clients keep
connections open, or open them in C. Live requests' writes are not recorded, and say so. A rule that allows
one lets it through.

Knows where PyMongo and py-amqp send. Must not know their answers.
"""

from __future__ import annotations

from typing import Any, Final

from mirrorproof.context import connecting
from mirrorproof.guards import Guard
from mirrorproof.guards.acting import Write, refuse_unanswered
from mirrorproof.rulings import Where

__all__ = ["AmqpGuard", "PymongoGuard"]

_MONGO_READS: Final = frozenset({
    "find", "getmore", "killcursors", "count", "distinct", "aggregate", "explain", "listcollections",
    "listdatabases", "listindexes", "listsearchindexes", "dbstats", "collstats", "hello", "ismaster", "ping",
    "buildinfo", "serverstatus", "hostinfo", "connectionstatus", "startsession", "endsessions",
    "refreshsessions", "aborttransaction", "saslstart", "saslcontinue", "authenticate", "getnonce",
})  # fmt: skip
_MONGO_KINDS: Final = {
    "insert": "mongo.insert", "update": "mongo.update", "delete": "mongo.delete",
    "findandmodify": "mongo.update",
}  # fmt: skip


class PymongoGuard(Guard):
    """Guards PyMongo, sync and async, below everything that it offers."""

    name = "pymongo"
    module = "pymongo"
    distribution = "pymongo"
    tested = ("4.20", "4.20")
    covers = "every command that is not known to read, and $out and $merge, is refused; reads pass"

    def install(self) -> None:
        import pymongo.asynchronous.command_runner as of_async
        import pymongo.synchronous.command_runner as of_sync
        from pymongo.asynchronous.pool import Pool as AsyncPool

        for module in (of_sync, of_async):
            self.wrap(module, "_run_command", _run_mongo)
        self.wrap(AsyncPool, "connect", _connect_mongo)


class AmqpGuard(Guard):
    """Guards py-amqp's channels, for those who go past kombu."""

    name = "amqp"
    module = "amqp.channel"
    distribution = "amqp"
    tested = ("5.4", "5.4")
    covers = "Channel.basic_publish past kombu's Producer: refused"

    def install(self) -> None:
        from amqp.channel import Channel

        for name in ("_basic_publish", "basic_publish", "basic_publish_confirm"):
            self.wrap(Channel, name, _publish_amqp)


def _publish_amqp(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    key = kwargs.get("routing_key") or (args[2] if len(args) > 2 else "")
    refuse_unanswered(Write("queue.publish", f"routing key {key}", where=Where(queue=key)))
    return wrapped(*args, **kwargs)


async def _connect_mongo(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    with connecting():  # a connection by itself changes nothing; it is made in tasks of asyncio's own
        return await wrapped(*args, **kwargs)


def _run_mongo(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    command = args[1] if len(args) > 1 else kwargs["cmd"]
    name = next(iter(command))
    low = name.lower()
    stages = command.get("pipeline") or () if low == "aggregate" else ()
    if low not in _MONGO_READS or any("$out" in stage or "$merge" in stage for stage in stages):
        collection = str(command[name])
        kind = _MONGO_KINDS.get(low, "mongo.command")
        refuse_unanswered(Write(kind, f"{name} {collection}", where=Where(table=collection)))
    return wrapped(*args, **kwargs)
