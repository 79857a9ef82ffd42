"""The application's own suppressed writes, as the commands of the same mirrored request see them.

Each server and database that the request writes to has one `overlay.Space`, for all its clients and threads,
as long as the request lasts. Outside requests, in a shadow process, there is none: nothing would end it.

Knows redis-py's clients and the request. Must not know what a command means.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Lock
from typing import Any, Final

from mirrorproof.context import MirrorContext, admitted
from mirrorproof.guards.redis.calls import NEVER_DECODE, client_of, is_bare
from mirrorproof.guards.redis.commands import Command
from mirrorproof.guards.redis.overlay import ServerError, Space, UnknownError, answering, handled
from mirrorproof.guards.steps import run_steps, run_steps_async

__all__ = ["UNTOLD", "forgotten", "own", "own_async", "sees_own", "space_of"]

UNTOLD: Final = object()
"""There is no telling what the server would reply."""

_KEY: Final = "redis"
_LOCAL: Final = {"localhost": "127.0.0.1"}
_lock = Lock()

Address = tuple[str, int]
Places = list[tuple[int, set[Address], Space]]


def space_of(context: MirrorContext, client: Any) -> Space | None:
    """What the request has changed on the client's server and database; `None` outside requests."""
    if not context.in_request:
        return None
    database, addresses = _place_of(client_of(client))
    with _lock:
        places: Places = context.resources.setdefault(_KEY, [])
        for other, known, space in places:
            if other == database and not known.isdisjoint(addresses):
                known.update(addresses)
                return space
        places.append((database, set(addresses), Space()))
        return places[-1][2]


def sees_own(context: MirrorContext, client: Any, command: Command) -> bool:
    """Whether a read has to be answered here: it is about something that the request has changed, or is part
    of a transaction whose replies no other read of the client looks like."""
    if not handled(command) or not (context.resources.get(_KEY) or is_bare(client)):
        return False
    space = space_of(context, client)
    return space is not None and (is_bare(client) or space.touches(command.keys))


def forgotten(context: MirrorContext, client: Any, command: Command) -> None:
    """A rule lets this write happen: from here on its keys are as the server has them."""
    if context.resources.get(_KEY) and (space := space_of(context, client)) is not None:
        space.forget(command.keys)


def own(context: MirrorContext, client: Any, command: Command, send: Callable[..., Any]) -> Any:
    """The reply to a command, as RESP3 has it, or `UNTOLD`; `send` reads from the server.

    Raises the client's `ResponseError` for what the server would refuse.
    """
    if (space := space_of(context, client)) is None or not handled(command):
        return UNTOLD
    overflows = space.overflows
    with _server_errors():
        reply = run_steps(answering(space, command, _now_ms), lambda read: _read(send, read))
        _count(context, space, overflows)
        return reply
    return UNTOLD


async def own_async(
    context: MirrorContext, client: Any, command: Command, send: Callable[..., Awaitable[Any]]
) -> Any:
    """The same for a client of asyncio."""
    if (space := space_of(context, client)) is None or not handled(command):
        return UNTOLD
    overflows = space.overflows
    with _server_errors():
        reply = await run_steps_async(
            answering(space, command, _now_ms), lambda read: _read_async(send, read)
        )
        _count(context, space, overflows)
        return reply
    return UNTOLD


@contextmanager
def _server_errors() -> Iterator[None]:
    """Raise what the server would refuse in the client's own type; end the block where that is unknown."""
    with suppress(UnknownError):
        try:
            yield
        except ServerError as error:
            raise _client_error(error) from None


def _read(send: Callable[..., Any], read: tuple[Any, ...]) -> Any:
    from redis.exceptions import ResponseError

    try:
        with admitted():
            return send(*read, **{NEVER_DECODE: True})
    except ResponseError as error:
        return _wire_error(error)


async def _read_async(send: Callable[..., Awaitable[Any]], read: tuple[Any, ...]) -> Any:
    from redis.exceptions import ResponseError

    try:
        with admitted():
            return await send(*read, **{NEVER_DECODE: True})
    except ResponseError as error:
        return _wire_error(error)


def _wire_error(error: Exception) -> ServerError | UnknownError:
    """What the server would say of the write as well; of a read that it forbids there is nothing to tell."""
    text = str(error)
    return ServerError(text) if text.startswith("WRONGTYPE") else UnknownError()


def _client_error(error: ServerError) -> Exception:
    from redis._parsers import BaseParser

    found: Exception = BaseParser.parse_error(str(error))  # type: ignore[no-untyped-call]
    return found


def _count(context: MirrorContext, space: Space, overflows: int) -> None:
    if space.overflows > overflows:
        context.counters.add("overlay_full")


def _now_ms() -> int:
    return int(time.time() * 1000)


def _place_of(client: Any) -> tuple[int, set[Address]]:
    """The database, and the addresses of the server, or of a cluster's nodes."""
    nodes = getattr(client, "nodes_manager", None)
    if nodes is not None:
        both = [*list(nodes.startup_nodes.values()), *list(nodes.nodes_cache.values())]
        return 0, {_address(node.host, node.port) for node in both}
    pool = client.connection_pool
    kwargs = pool.connection_kwargs
    database = int(kwargs.get("db") or 0)
    if (service := getattr(pool, "service_name", None)) is not None:
        return database, {(str(service), 0)}
    if "path" in kwargs:
        return database, {(str(kwargs["path"]), 0)}
    return database, {_address(kwargs.get("host", "localhost"), kwargs.get("port", 6379))}


def _address(host: Any, port: Any) -> Address:
    return _LOCAL.get(str(host), str(host)), int(port)
