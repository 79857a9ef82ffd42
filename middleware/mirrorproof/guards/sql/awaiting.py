"""What the async drivers hand out to be awaited, entered or iterated over, in a mirrored request.

Knows the shapes that asyncpg and aiosqlite give these things. Must not know how statements are run.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from typing import Any

from sqlalchemy.util.concurrency import greenlet_spawn

from mirrorproof.guards.sql.checkout import Checkout

__all__ = ["Block", "Later", "Rows"]


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


class Block:
    """`async with connection.transaction()`, or its three methods."""

    def __init__(self, checkout: Checkout) -> None:
        self._checkout = checkout
        self._block = ""

    async def start(self) -> None:
        """Begin."""
        self._block = await greenlet_spawn(self._checkout.enter_block)

    async def commit(self) -> None:
        """Keep."""
        await greenlet_spawn(lambda: self._checkout.leave_block(self._block, commit=True))

    async def rollback(self) -> None:
        """Undo."""
        await greenlet_spawn(lambda: self._checkout.leave_block(self._block, commit=False))

    async def __aenter__(self) -> Block:
        await self.start()
        return self

    async def __aexit__(self, kind: object, *_: object) -> None:
        await (self.commit() if kind is None else self.rollback())
