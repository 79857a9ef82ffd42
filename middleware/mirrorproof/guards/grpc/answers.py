"""What suppressed gRPC calls return, in grpcio's own shapes.

Knows grpcio's Call and Future. Must not decide anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Self

import grpc
from msgspec import UNSET

__all__ = ["Answered", "Over", "message", "message_and_call", "messages"]


def messages(multi_callable: Any, returns: Any) -> list[Any]:
    """What a stream of answers is: nothing, or a rule's `returns`, a list of messages."""
    if returns is UNSET:
        return []
    return [_filled(multi_callable, each) for each in (returns if isinstance(returns, list) else [returns])]


def message(multi_callable: Any, requests: Any, returns: Any) -> Any:
    """An empty message of the response's type, or one made of a rule's `returns`.

    What the application streams is read to its end, as sending it would have done.
    """
    for _ in requests:
        pass
    return _filled(multi_callable, returns)


def _filled(multi_callable: Any, returns: Any) -> Any:
    deserialize = multi_callable._response_deserializer
    empty = deserialize(b"") if deserialize else b""
    if returns is UNSET:
        return empty
    if hasattr(empty, "DESCRIPTOR"):
        from google.protobuf import json_format

        return json_format.ParseDict(returns, empty)
    return returns.encode() if isinstance(empty, bytes) and isinstance(returns, str) else returns


def message_and_call(multi_callable: Any, requests: Any, returns: Any) -> tuple[Any, Answered]:
    """For `with_call`."""
    answer = message(multi_callable, requests, returns)
    return answer, Answered([answer])


class Over:
    """What every call that has ended says of itself."""

    def done(self) -> bool:
        return True

    def cancel(self) -> bool:
        return False

    def cancelled(self) -> bool:
        return False

    def time_remaining(self) -> None:
        return None


class Answered(Over, grpc.Call, grpc.Future):  # type: ignore[misc]
    """A call that ended well: a future of its one answer, and an iterator over its answers."""

    def __init__(self, answers: list[Any]) -> None:
        self._answers = answers
        self._left = iter(answers)

    @classmethod
    def one(cls, multi_callable: Any, requests: Any, returns: Any) -> Self:
        """For methods with one answer."""
        return cls([message(multi_callable, requests, returns)])

    @classmethod
    def many(cls, multi_callable: Any, requests: Any, returns: Any) -> Self:
        """For methods with a stream of answers. The requests may wait for answers, so they are not read."""
        return cls(messages(multi_callable, returns))

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return next(self._left)

    def result(self, timeout: float | None = None) -> Any:
        return self._answers[0] if self._answers else None

    def exception(self, timeout: float | None = None) -> None:
        return None

    def traceback(self, timeout: float | None = None) -> None:
        return None

    def add_done_callback(self, fn: Callable[[Any], Any]) -> None:
        fn(self)

    def add_callback(self, callback: Callable[[], Any]) -> bool:
        return False  # it has ended

    def running(self) -> bool:
        return False

    def is_active(self) -> bool:
        return False

    def initial_metadata(self) -> tuple[Any, ...]:
        return ()

    def trailing_metadata(self) -> tuple[Any, ...]:
        return ()

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.OK

    def details(self) -> str:
        return ""
