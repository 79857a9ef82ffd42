"""`AIOProducer`: judged where a message is handed over, since it gathers those of several requests.

So its buffer holds only messages that may be sent: whichever request or task sends them, they pass.

Knows confluent-kafka's asyncio client. Must not decide anything: `guards.acting` does.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from mirrorproof.guards.acting import Write
from mirrorproof.guards.confluent_kafka.messages import delivered
from mirrorproof.guards.confluent_kafka.producers import Judged
from mirrorproof.guards.kafka import given, sent

__all__ = ["described", "execute", "told"]

_PRODUCE: Final = ("topic", "value", "key")


def described(producer: Any, args: Any, kwargs: Any) -> Write:
    """What `AIOProducer.produce` would send."""
    topic, value, key = (given(args, kwargs, at, name) for at, name in enumerate(_PRODUCE))
    return sent(topic, value, key, kwargs.get("headers"), kwargs.get("partition"))


async def told(producer: Any, args: Any, kwargs: Any) -> Any:
    """Its future, done at once."""
    if "headers" in kwargs:
        raise NotImplementedError("Headers are not supported in AIOProducer batch mode.")  # as the client
    message = dict(zip(_PRODUCE, args, strict=False)) | kwargs
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    try:
        future.set_result(delivered(message.get("topic"), message))
    except Exception as error:
        future.set_exception(error)
    return future


async def execute(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
    """`ProducerBatchExecutor.execute_batch` of messages that were judged."""
    topic, messages = given(args, kwargs, 0, "topic"), given(args, kwargs, 1, "batch_messages")
    return await wrapped(topic, Judged(messages), given(args, kwargs, 2, "partition", -1))
