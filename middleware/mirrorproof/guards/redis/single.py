"""A single command, sync and async: done, answered or refused as the context says.

Knows how redis-py sends one command. Must not know what it means.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from mirrorproof.context import MirrorContext, current
from mirrorproof.failsafe import failsafe
from mirrorproof.guards.acting import Write, perform, perform_async
from mirrorproof.guards.redis.calls import command_of, described, reply_of, shaped, waits_s
from mirrorproof.guards.redis.own_writes import UNTOLD, forgotten, own, own_async, sees_own

__all__ = ["execute", "execute_async", "one", "one_async", "told"]


def execute(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A wrapper of `execute_command`."""
    context = current()
    if context is None:
        return wrapped(*args, **kwargs)
    if context.mirrored:
        return one(context, instance, wrapped, args, kwargs)
    understood = failsafe("describe a command", context.counters, told, instance, args)
    if understood is None:
        return wrapped(*args, **kwargs)
    return perform(understood[0], lambda: wrapped(*args, **kwargs), lambda: None)


async def execute_async(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The same for a coroutine function."""
    context = current()
    if context is None:
        return await wrapped(*args, **kwargs)
    if context.mirrored:
        return await one_async(context, instance, wrapped, args, kwargs)
    understood = failsafe("describe a command", context.counters, told, instance, args)
    if understood is None:
        return await wrapped(*args, **kwargs)
    return await perform_async(understood[0], lambda: wrapped(*args, **kwargs), lambda: None)


def told(client: Any, args: tuple[Any, ...]) -> tuple[Write | None]:
    """What a live command changes, in a tuple, so that a read is told from what is not understood."""
    return (described(client, command_of(client, args)),)


def one(
    context: MirrorContext, client: Any, send: Any, args: tuple[Any, ...], options: dict[str, Any]
) -> Any:
    """One command of a mirrored request; `send` is the client's way to the server."""
    command = command_of(client, args)
    write = described(client, command)

    def run() -> Any:
        if write is not None:
            forgotten(context, client, command)
        return send(*args, **options)

    def stub() -> Any:
        if wait_s := waits_s(command):
            time.sleep(wait_s)
        reply = own(context, client, command, send)
        return shaped(client, args, options, reply_of(client, command) if reply is UNTOLD else reply)

    if write is None and sees_own(context, client, command):
        reply = own(context, client, command, send)
        if reply is not UNTOLD:
            return shaped(client, args, options, reply)
    return perform(write, run, stub)


async def one_async(
    context: MirrorContext, client: Any, send: Any, args: tuple[Any, ...], options: dict[str, Any]
) -> Any:
    """The same for a client of asyncio."""
    command = command_of(client, args)
    write = described(client, command)

    def run() -> Any:
        if write is not None:
            forgotten(context, client, command)
        return send(*args, **options)

    async def stub() -> Any:
        if wait_s := waits_s(command):
            await asyncio.sleep(wait_s)
        reply = await own_async(context, client, command, send)
        return shaped(client, args, options, reply_of(client, command) if reply is UNTOLD else reply)

    if write is None and sees_own(context, client, command):
        reply = await own_async(context, client, command, send)
        if reply is not UNTOLD:
            return shaped(client, args, options, reply)
    return await perform_async(write, run, stub)
