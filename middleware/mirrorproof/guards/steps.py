"""Decisions that take answers on their way: generators that yield what they ask, run by who can ask it.

So one decision serves a client and its twin of asyncio. Knows generators. Must not know any client.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypeVar

__all__ = ["run_steps", "run_steps_async"]

_Asked = TypeVar("_Asked")
_Result = TypeVar("_Result")


def run_steps(steps: Generator[_Asked, Any, _Result], ask: Callable[[_Asked], Any]) -> _Result:
    """What the steps return; what `ask` raises is raised in them."""
    try:
        asked = next(steps)
        while True:
            try:
                got = ask(asked)
            except Exception as error:
                asked = steps.throw(error)
            else:
                asked = steps.send(got)
    except StopIteration as end:
        result: _Result = end.value
        return result


async def run_steps_async(
    steps: Generator[_Asked, Any, _Result], ask: Callable[[_Asked], Awaitable[Any]]
) -> _Result:
    """The same where what is asked is awaited."""
    try:
        asked = next(steps)
        while True:
            try:
                got = await ask(asked)
            except Exception as error:
                asked = steps.throw(error)
            else:
                asked = steps.send(got)
    except StopIteration as end:
        result: _Result = end.value
        return result
