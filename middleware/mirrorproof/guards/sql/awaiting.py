"""What the async drivers hand out to be awaited, entered or iterated over, in a mirrored request.

Knows the shapes that asyncpg and aiosqlite give these things. Must not know how statements are run.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from typing import Any

__all__ = ["Later", "Rows"]


class Later:
    """What aiosqlite returns: to be awaited, or entered with `async with`."""

    def __init__(self, call: Callable[[], Awaitable[Any]]) -> None:
        self._call = call
        self._result: Any = None

    def __await__(self) -> Generator[Any, None, Any]:
        return self._call().__await__()

    async def __aenter__(self) -> Any:
        self._result = await self._call()
        return self._result

    async def __aexit__(self, *_: object) -> None:
        close = getattr(self._result, "close", None)
        if close is not None:
            await close()


class Rows:
    """asyncpg's cursor: awaited, or iterated over. What it writes, it writes with its first row."""

    def __init__(self, factory: Any, perform: Callable[[Callable[[str | None], Any]], Any]) -> None:
        self._factory = factory
        self._perform = perform

    def __await__(self) -> Generator[Any, None, Any]:
        return self._perform(lambda _: self._factory).__await__()  # type: ignore[no-any-return]

    async def __aiter__(self) -> AsyncIterator[Any]:
        rows = self._factory.__aiter__()

        async def first() -> list[Any]:
            async for row in rows:
                return [row]
            return []

        for row in await self._perform(lambda _: first()):
            yield row
            async for each in rows:
                yield each
