"""Pipelines, sync and async: each of a mirrored request's commands is judged by itself.

A live pipeline, and a mirrored one that only reads what the server has, goes to the server whole. Of any
other each read is made by itself, and each write answered. Watched keys are really watched: an empty
transaction tells whether they have changed.

Knows redis-py's pipelines. Must not know what a command means.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from mirrorproof.context import Action, MirrorContext, admitted, current, inside_effect
from mirrorproof.exchange import Outcome
from mirrorproof.failsafe import failsafe
from mirrorproof.guards.redis.calls import client_of, command_of
from mirrorproof.guards.redis.commands import surely_reads
from mirrorproof.guards.redis.own_writes import sees_own
from mirrorproof.guards.redis.single import one, one_async, told

__all__ = ["execute", "execute_async"]

Stack = list[tuple[tuple[Any, ...], dict[str, Any]]]
Words = list[tuple[str, str, str, str] | None]


def execute(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A wrapper of a pipeline's `execute`."""
    context = current()
    if context is None:
        return wrapped(*args, **kwargs)
    if not context.mirrored:
        words = failsafe("describe a pipeline", context.counters, _words, context, instance)
        with inside_effect(allowed=True):
            answers = wrapped(*args, **kwargs)
        failsafe("observe a pipeline", context.counters, _observed, context, words, answers)
        return answers
    stack = _stack(instance)
    if _only_reads(context, instance, stack):
        with admitted():
            return wrapped(*args, **kwargs)
    answers, run = [], _runner(instance)
    try:
        _queue(instance).clear()
        with admitted():
            wrapped()
        for command, options in stack:
            try:
                answers.append(one(context, instance, run, command, dict(options)))
            except _client_errors() as error:
                answers.append(error)
        return _checked(instance, stack, answers, _raises(args, kwargs))
    finally:
        instance.reset()


async def execute_async(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The same for asyncio."""
    context = current()
    if context is None:
        return await wrapped(*args, **kwargs)
    if not context.mirrored:
        words = failsafe("describe a pipeline", context.counters, _words, context, instance)
        with inside_effect(allowed=True):
            answers = await wrapped(*args, **kwargs)
        failsafe("observe a pipeline", context.counters, _observed, context, words, answers)
        return answers
    stack = _stack(instance)
    if _only_reads(context, instance, stack):
        with admitted():
            return await wrapped(*args, **kwargs)
    answers, run = [], _runner(instance)
    try:
        _queue(instance).clear()
        with admitted():
            await wrapped()
        for command, options in stack:
            try:
                answers.append(await one_async(context, instance, run, command, dict(options)))
            except _client_errors() as error:
                answers.append(error)
        return _checked(instance, stack, answers, _raises(args, kwargs))
    finally:
        if hasattr(instance, "reset"):  # asyncio's pipeline of a cluster has none before redis-py 6.2
            await instance.reset()


def _queue(pipe: Any) -> list[Any]:
    strategy = getattr(pipe, "_execution_strategy", None)  # a cluster's pipeline, from redis-py 6.2 on
    queue: list[Any]
    if strategy is not None:
        queue = strategy._command_queue
    else:
        queue = pipe.command_stack if hasattr(pipe, "command_stack") else pipe._command_stack
    return queue


def _stack(pipe: Any) -> Stack:
    return [
        (each[0], each[1])
        if isinstance(each, tuple)
        else (each.args, each.options if hasattr(each, "options") else each.kwargs)
        for each in _queue(pipe)
    ]


def _only_reads(context: MirrorContext, pipe: Any, stack: Stack) -> bool:
    """Whether all is read, and from the server."""
    commands = [command_of(pipe, args) for args, _ in stack]
    return all(each.reads and not sees_own(context, pipe, each) for each in commands)


def _runner(pipe: Any) -> Callable[..., Any]:
    """What sends one command by itself, past the guard."""
    client = client_of(pipe)
    kind: Any = next((each for each in type(client).__mro__ if each.__name__ == "RedisCluster"), None)
    if kind is None:
        kind = next(each for each in type(pipe).__mro__ if each.__name__ == "Redis")
        client = kind(connection_pool=pipe.connection_pool)
        client.response_callbacks = pipe.response_callbacks
    send = inspect.unwrap(kind.execute_command)
    return lambda *args, **options: send(client, *args, **options)


def _client_errors() -> type[Exception]:
    from redis.exceptions import RedisError

    return RedisError


def _raises(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    return bool(args[0] if args else kwargs.get("raise_on_error", True))


def _checked(pipe: Any, stack: Stack, answers: list[Any], raises: bool) -> list[Any]:
    """The answers; raises the first error among them, if it is to, in the client's words."""
    for position, answer in enumerate(answers):
        if raises and isinstance(answer, Exception):
            words = " ".join(map(str, stack[position][0]))[:100]
            answer.args = (
                f"Command # {position + 1} ({words}) of pipeline caused error: {answer.args[0]}",
                *answer.args[1:],
            )
            raise answer
    return answers


def _words(context: MirrorContext, pipe: Any) -> tuple[Words, int]:
    """What each command of a live pipeline changes, in words, before the client may change it; and how many
    more write, beyond what the request's ledger takes: they are counted only, which costs next to nothing."""
    if context.action("redis.pipeline") is not Action.OBSERVE:
        return [], 0
    found: Words = []
    room, stack = context.ledger.room, _stack(pipe)
    for args, _ in stack:
        if not room:
            break
        (write,) = told(pipe, args)
        if write is None:
            found.append(None)
        else:
            found.append((write.kind, write.target, write.line(context.settings.redact), write.digest))
            room -= 1
    return found, sum(not surely_reads(args[0]) for args, _ in stack[len(found) :])


def _observed(context: MirrorContext, words: tuple[Words, int] | None, answers: list[Any]) -> None:
    told, beyond = words or ([], 0)
    for each, answer in zip(told, answers, strict=False):
        if each is not None and not isinstance(answer, Exception):
            context.record(*each, Outcome.EXECUTED)
    context.ledger.lose(beyond)
