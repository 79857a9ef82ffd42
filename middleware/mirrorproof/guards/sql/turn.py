"""Whose turn it is on a connection that several threads or tasks share.

Knows locks. Must not know what they protect.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from threading import Lock, get_ident
from types import TracebackType

from mirrorproof.guards.sql.drivers import await_here

__all__ = ["Turn", "turn_for"]


class Turn(ABC):
    """A lock for `with`; `afterwards` is called after each turn. Not re-entrant: `mine` says so before."""

    def __init__(self, afterwards: Callable[[], None]) -> None:
        self._afterwards = afterwards
        self._holder: object = None

    @abstractmethod
    def __enter__(self) -> Turn: ...

    @abstractmethod
    def _leave(self) -> None: ...

    @abstractmethod
    def _me(self) -> object: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._holder = None
        self._leave()
        self._afterwards()

    @property
    def mine(self) -> bool:
        """Whether the caller holds it: it was interrupted in its own turn, by the garbage collector say."""
        return self._holder is not None and self._holder == self._me()

    @abstractmethod
    def try_call(self, wait_s: float, call: Callable[[], None]) -> bool:
        """Call in a turn if one is free, or gets free within `wait_s`; say whether it did."""


class _ThreadTurn(Turn):
    def __init__(self, afterwards: Callable[[], None]) -> None:
        super().__init__(afterwards)
        self._lock = Lock()

    def __enter__(self) -> Turn:
        self._lock.acquire()
        self._holder = self._me()
        return self

    def _leave(self) -> None:
        self._lock.release()

    def _me(self) -> object:
        return get_ident()

    def try_call(self, wait_s: float, call: Callable[[], None]) -> bool:
        if not self._lock.acquire(timeout=wait_s):
            return False
        try:
            call()
        finally:
            self._lock.release()
        return True


class _TaskTurn(Turn):
    """For asyncio, entered inside SQLAlchemy's greenlets."""

    def __init__(self, afterwards: Callable[[], None]) -> None:
        super().__init__(afterwards)
        self._lock = asyncio.Lock()

    def __enter__(self) -> Turn:
        await_here(self._lock.acquire())
        self._holder = self._me()
        return self

    def _leave(self) -> None:
        self._lock.release()

    def _me(self) -> object:
        try:
            return asyncio.current_task()
        except RuntimeError:
            return None

    def try_call(self, wait_s: float, call: Callable[[], None]) -> bool:
        if self._lock.locked():
            return False
        call()  # nothing is awaited, so no task comes in between
        return True


def turn_for(is_async: bool, afterwards: Callable[[], None]) -> Turn:
    """A turn for threads, or for tasks of one loop."""
    return _TaskTurn(afterwards) if is_async else _ThreadTurn(afterwards)
