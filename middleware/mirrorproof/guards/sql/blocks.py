"""Transactions as blocks, as psycopg and asyncpg offer them, in a mirrored request.

Knows the drivers' interfaces of such blocks. Must not know how statements are run.
"""

from __future__ import annotations

import sys
from typing import Any

from sqlalchemy.util.concurrency import greenlet_spawn

from mirrorproof.guards.sql.checkout import Checkout

__all__ = ["AsyncBlock", "Block"]


class _Block:
    """`connection` is what the application calls so. `force_rollback`: the end undoes it, error or not."""

    def __init__(
        self, checkout: Checkout, connection: Any, savepoint_name: str | None = None,
        force_rollback: bool = False,
    ) -> None:  # fmt: skip
        self.connection = connection
        self.savepoint_name = savepoint_name
        self.force_rollback = force_rollback
        self._checkout = checkout
        self._block = ""

    def _begin(self) -> None:
        self._block = self._checkout.enter_block()

    def _end(self, *, commit: bool) -> None:
        self._checkout.leave_block(self._block, commit=commit and not self.force_rollback)

    def _ends_with(self, error: Any) -> bool:
        """Whether the error only says that this block is to be undone: psycopg's `Rollback`."""
        kind = getattr(sys.modules.get("psycopg"), "Rollback", None)
        return kind is not None and isinstance(error, kind) and error.transaction in (None, self)


class Block(_Block):
    """`with connection.transaction()`."""

    def __enter__(self) -> Block:
        self._begin()
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> bool:
        self._end(commit=kind is None)
        return self._ends_with(error)


class AsyncBlock(_Block):
    """`async with connection.transaction()`, or its three methods."""

    async def start(self) -> None:
        """Begin."""
        await greenlet_spawn(self._begin)

    async def commit(self) -> None:
        """Keep."""
        await greenlet_spawn(lambda: self._end(commit=True))

    async def rollback(self) -> None:
        """Undo."""
        await greenlet_spawn(lambda: self._end(commit=False))

    async def __aenter__(self) -> AsyncBlock:
        await self.start()
        return self

    async def __aexit__(self, kind: Any, error: Any, trace: Any) -> bool:
        await (self.commit() if kind is None else self.rollback())
        return self._ends_with(error)
