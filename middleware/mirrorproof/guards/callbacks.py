"""What a client calls of the application's while a guard lets a call through: hooks, listeners, retries.

They are no part of that call, so what they do is judged by itself.

Knows nothing of any one client.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import isawaitable
from typing import Any

from mirrorproof.context import afresh, current

__all__ = ["by_itself", "by_itself_async", "judged_alone"]


def by_itself(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A wrapper (as wrapt's) of what calls the application back."""
    if current() is None:
        return wrapped(*args, **kwargs)
    with afresh():
        return wrapped(*args, **kwargs)


async def by_itself_async(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The same for a coroutine function."""
    if current() is None:
        return await wrapped(*args, **kwargs)
    with afresh():
        return await wrapped(*args, **kwargs)


def judged_alone(callback: Callable[..., Any]) -> Callable[..., Any]:
    """`callback`, a function or a coroutine function, whose effects are judged by themselves."""

    async def awaited(answer: Any) -> Any:
        with afresh():
            return await answer

    def alone(*args: Any, **kwargs: Any) -> Any:
        answer = by_itself(callback, None, args, kwargs)
        return awaited(answer) if isawaitable(answer) else answer

    return alone
