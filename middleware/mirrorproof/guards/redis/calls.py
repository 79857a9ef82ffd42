"""One call of the client: what it would change, and its reply in the client's own types.

Knows redis-py's encoders and response callbacks. Must not send anything.
"""

from __future__ import annotations

import time
from typing import Any, Final

from mirrorproof.errors import EffectRefusedError
from mirrorproof.guards.acting import CONSUME, Write
from mirrorproof.guards.redis import commands
from mirrorproof.guards.redis.commands import Command
from mirrorproof.guards.redis.replies import plausible
from mirrorproof.rulings import Where

__all__ = [
    "NEVER_DECODE",
    "callbacks_of",
    "client_of",
    "command_of",
    "described",
    "encoder_of",
    "is_bare",
    "reply_of",
    "shaped",
    "waits_s",
    "written",
]

PUBLISH: Final = "queue.publish"
_MAX_WAIT_S: Final = 10.0
NEVER_DECODE: Final = "NEVER_DECODE"


def command_of(client: Any, args: tuple[Any, ...]) -> Command:
    """The command of a call. Raises what the client raises for what it cannot send, else refuses."""
    try:
        return commands.parse(args, encoder_of(client).encode)
    except Exception as error:
        from redis.exceptions import DataError

        if isinstance(error, DataError):
            raise
        raise EffectRefusedError(
            f"mirrorproof does not understand the Redis command {args[:1]!r}, so a mirrored request may not "
            f"send it: {error!r}"
        ) from error


def described(client: Any, command: Command) -> Write | None:
    """What a client's command would change, `None` for a read."""
    return None if command.reads else written(command, _host(client))


def written(command: Command, host: str | None) -> Write | None:
    """What a command would change on a server, `None` for a read."""
    if command.reads:
        return None
    try:
        keys = [key.decode("utf-8", "backslashreplace") for key in command.keys]
        if command.publishes:
            channel = command.alike[0]
            return Write(
                PUBLISH, f"channel {channel}", command.alike[1:], where=Where(host=host, queue=channel)
            )
        target = f"key{'s' if len(keys) > 1 else ''} {', '.join(keys)}" if keys else "database"
        if command.takes:
            return Write(CONSUME, target, command.name, where=Where(host=host, queue=keys[0]))
        kind = f"redis.{command.name.lower().replace(' ', '.')}"
        where = Where(host=host, queue=keys[0] if keys else None)
        return Write(kind, target, command.alike, where=where)
    except Exception as error:
        raise EffectRefusedError(
            f"mirrorproof does not understand this {command.name}, so a mirrored request may not send it: "
            f"{error!r}"
        ) from error


def reply_of(client: Any, command: Command) -> Any:
    """What the server would reply to a suppressed command."""
    ours = command.name == "EVALSHA" and commands.lock_script_of(command.args[0]) is not None
    return plausible(command, resp3=_is_resp3(client), now_ms=int(time.time() * 1000), ours=ours)


def waits_s(command: Command) -> float:
    """How long a suppressed take waits, as the real one would, but not for ever."""
    wait_s = command.wait_s if command.takes else None
    return 0.0 if wait_s is None else _MAX_WAIT_S if wait_s <= 0 else min(wait_s, _MAX_WAIT_S)


def shaped(client: Any, args: tuple[Any, ...], options: dict[str, Any], reply: Any) -> Any:
    """A reply in the client's own types: decoded as it is set up, and through its response callbacks."""
    decode = encoder_of(client).decode
    if isinstance(reply, dict) and not _is_resp3(client):
        reply = [each for pair in reply.items() for each in pair]
    if NEVER_DECODE not in options:
        reply = _decoded(reply, decode)
    callback = callbacks_of(client).get(args[0])
    if callback is None:
        return reply
    kept = {name: v for name, v in options.items() if name not in ("keys", "target_nodes", NEVER_DECODE)}
    return callback(reply, **kept)


def _decoded(reply: Any, decode: Any) -> Any:
    if isinstance(reply, bytes):
        return decode(reply)
    if isinstance(reply, list):
        return [_decoded(each, decode) for each in reply]
    if isinstance(reply, dict):
        return {_decoded(name, decode): _decoded(value, decode) for name, value in reply.items()}
    return reply


def client_of(client: Any) -> Any:
    """Who has the encoder: the client itself, or the cluster that a pipeline belongs to."""
    client = getattr(client, "_pipe", client)  # a cluster pipeline's strategy
    if hasattr(client, "_command_stack") and hasattr(client, "_client"):  # asyncio's, before redis-py 6.2
        return client._client
    return getattr(client, "cluster_client", client)


def encoder_of(client: Any) -> Any:
    """What makes bytes of arguments, and text of replies where the client is set up so."""
    client = client_of(client)
    if hasattr(
        client, "get_redis_connection"
    ):  # a cluster's pipeline has one of its own, which never decodes
        client = client.get_redis_connection(client.nodes_manager.default_node)
    return client.get_encoder()


def is_bare(client: Any) -> bool:
    """Whether the client's replies are as they stand on the wire: a sync cluster's transaction."""
    strategy = getattr(client, "_execution_strategy", None)
    return type(strategy).__name__ == "TransactionStrategy" and not hasattr(client, "cluster_client")


def callbacks_of(client: Any) -> Any:
    """What makes the client's types of a reply, by command."""
    return client.cluster_response_callbacks if is_bare(client) else _callbacks_of(client)


def _callbacks_of(client: Any) -> Any:
    client = client_of(client)
    found = getattr(client, "response_callbacks", None)
    if found is not None:
        return found
    kwargs = getattr(client, "connection_kwargs", None) or {}
    if "response_callbacks" in kwargs:
        return kwargs["response_callbacks"]
    return client.get_redis_connection(client.nodes_manager.default_node).response_callbacks


def _is_resp3(client: Any) -> bool:
    pair = {b"a": b"b"}
    callback = _callbacks_of(client).get("HGETALL")
    return callback is None or callback(pair) == pair


def _host(client: Any) -> str | None:
    pool = getattr(client, "connection_pool", None)
    host = None if pool is None else pool.connection_kwargs.get("host", "localhost")
    return None if host is None else str(host)
