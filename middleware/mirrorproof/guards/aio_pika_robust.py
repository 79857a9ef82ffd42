"""The guard of aio-pika's robust connections, which declare and consume again what they remember.

They remember it for everybody who shares the connection. So what they do again is nobody's, whoever opened
the connection; and nothing that a mirrored request declares, binds, consumes or deletes is remembered.

Knows what robust channels and queues remember. Must not know what a call means: the guard `aio-pika` does.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from mirrorproof.context import detached, is_mirrored
from mirrorproof.guards import Guard
from mirrorproof.guards.amqp_sharing import closing_async, note_maker

__all__ = ["AioPikaRobustGuard"]


class AioPikaRobustGuard(Guard):
    """Guards what aio-pika does again once it has connected again."""

    name = "aio-pika-robust"
    module = "aio_pika.robust_connection"
    distribution = "aio-pika"
    tested = ("10.2", "10.2")
    covers = "connect_robust: what is declared and consumed again after the connection was lost"

    def install(self) -> None:
        from aio_pika.channel import Channel
        from aio_pika.connection import Connection
        from aio_pika.robust_channel import RobustChannel
        from aio_pika.robust_connection import RobustConnection
        from aio_pika.robust_exchange import RobustExchange
        from aio_pika.robust_queue import RobustQueue

        self.wrap(Channel, "__init__", note_maker)
        self.wrap(Connection, "__init__", note_maker)
        for channel in (Channel, RobustChannel):
            self.wrap(channel, "close", closing_async("channel.close"))
        for connection in (Connection, RobustConnection):
            self.wrap(connection, "close", closing_async("connection.close"))
        self.wrap(RobustConnection, "connect", _unmarked)
        for name in ("_on_open", "_on_close"):
            self.wrap(RobustChannel, name, _unmarked)
        for owner, name in (
            (RobustChannel, "declare_exchange"), (RobustChannel, "declare_queue"),
            (RobustExchange, "bind"), (RobustQueue, "bind"), (RobustQueue, "consume"),
        ):  # fmt: skip
            self.wrap(owner, name, _unremembered)
        for owner, name in (
            (RobustChannel, "exchange_delete"), (RobustChannel, "queue_delete"),
            (RobustExchange, "unbind"), (RobustQueue, "unbind"), (RobustQueue, "cancel"),
            (RobustQueue, "delete"),
        ):  # fmt: skip
            self.wrap(owner, name, partial(_unforgotten, (owner, name)))


async def _unmarked(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    with detached():
        return await wrapped(*args, **kwargs)


async def _unremembered(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if is_mirrored():
        kwargs["robust"] = False
    return await wrapped(*args, **kwargs)


async def _unforgotten(
    of: tuple[Any, str], wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """A mirrored request's call is that of the class above, which forgets nothing."""
    if is_mirrored():
        owner, name = of
        wrapped = getattr(super(owner, instance), name)
    return await wrapped(*args, **kwargs)
