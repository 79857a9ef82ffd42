"""A single command, sync and async: done, answered or refused as the context says.

Knows how redis-py sends one command. Must not know what it means.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from mirrorproof.context import current
from mirrorproof.failsafe import failsafe
from mirrorproof.guards.acting import Write, perform, perform_async
from mirrorproof.guards.redis.calls import command_of, described, reply_of, shaped, waits_s

__all__ = ["execute", "execute_async", "one", "one_async", "told"]


def execute(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A wrapper of `execute_command`."""
    context = current()
    if context is None:
        return wrapped(*args, **kwargs)
    if context.mirrored:
        return one(instance, wrapped, args, kwargs)
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
        return await one_async(instance, wrapped, args, kwargs)
    understood = failsafe("describe a command", context.counters, told, instance, args)
    if understood is None:
        return await wrapped(*args, **kwargs)
    return await perform_async(understood[0], lambda: wrapped(*args, **kwargs), lambda: None)


def told(client: Any, args: tuple[Any, ...]) -> tuple[Write | None]:
    """What a live command changes, in a tuple, so that a read is told from what is not understood."""
    return (described(client, command_of(client, args)),)


def one(client: Any, run: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """One command of a mirrored request; `run` sends it."""
    command = command_of(client, args)

    def stub() -> Any:
        if wait_s := waits_s(command):
            time.sleep(wait_s)
        return shaped(client, args, options, reply_of(client, command))

    return perform(described(client, command), lambda: run(*args, **options), stub)


async def one_async(client: Any, run: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """The same for a client of asyncio."""
    command = command_of(client, args)

    async def stub() -> Any:
        if wait_s := waits_s(command):
            await asyncio.sleep(wait_s)
        return shaped(client, args, options, reply_of(client, command))

    return await perform_async(described(client, command), lambda: run(*args, **options), stub)
