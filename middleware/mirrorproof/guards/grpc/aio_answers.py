"""What suppressed calls of grpc.aio return, in its own shapes.

Knows grpc.aio's calls. Must not decide anything.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator
from typing import Any, Self

import grpc
from grpc import aio

from mirrorproof.guards.grpc.answers import Over, message, messages

__all__ = ["StreamStreamAnswer", "StreamUnaryAnswer", "UnaryStreamAnswer", "UnaryUnaryAnswer"]


class _Ended(Over):
    """A call that ended well."""

    def __init__(self, multi_callable: Any, requests: Any, returns: Any) -> None:
        self._multi_callable, self._requests, self._returns = multi_callable, requests, returns

    @classmethod
    def of(cls, multi_callable: Any, requests: Any, returns: Any) -> Self:
        return cls(multi_callable, requests, returns)

    def add_done_callback(self, callback: Callable[[Any], Any]) -> None:
        callback(self)

    async def initial_metadata(self) -> aio.Metadata:
        return aio.Metadata()

    async def trailing_metadata(self) -> aio.Metadata:
        return aio.Metadata()

    async def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.OK

    async def details(self) -> str:
        return ""

    async def debug_error_string(self) -> str:
        return ""

    async def wait_for_connection(self) -> None:
        pass


class _One(_Ended):
    def __await__(self) -> Generator[Any, None, Any]:
        return self._answer().__await__()

    async def _answer(self) -> Any:
        if hasattr(self._requests, "__aiter__"):
            async for _ in self._requests:
                pass
            self._requests = ()
        requests, self._requests = self._requests or (), ()
        return message(self._multi_callable, requests, self._returns)


class _Many(_Ended):
    def __init__(self, multi_callable: Any, requests: Any, returns: Any) -> None:
        super().__init__(multi_callable, requests, returns)
        self._left = iter(messages(multi_callable, returns))

    async def __aiter__(self) -> AsyncIterator[Any]:
        for each in self._left:
            yield each

    async def read(self) -> Any:
        return next(self._left, aio.EOF)


class _Sends(_Ended):
    async def write(self, request: Any) -> None:
        pass

    async def done_writing(self) -> None:
        pass


class UnaryUnaryAnswer(_One, aio.UnaryUnaryCall):  # type: ignore[misc]
    """One request, one answer."""


class UnaryStreamAnswer(_Many, aio.UnaryStreamCall):  # type: ignore[misc]
    """One request, a stream of answers."""


class StreamUnaryAnswer(_One, _Sends, aio.StreamUnaryCall):  # type: ignore[misc]
    """A stream of requests, one answer."""


class StreamStreamAnswer(_Many, _Sends, aio.StreamStreamCall):  # type: ignore[misc]
    """Streams both ways."""
