"""What the guards of Elasticsearch's and OpenSearch's clients share: judging what their transports are given.

A read is let through whole, a POST that searches too, so that urllib3's and aiohttp's guards do not judge it.
What the server refuses did not happen, and is not recorded. A delete or an update by query is answered with
the number of documents that a count, a read, finds at that moment.

Knows the context and what the two transports have in common. Must not know either of them.
"""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final

import msgspec

from mirrorproof.context import MirrorContext, current
from mirrorproof.failsafe import failsafe
from mirrorproof.guards import Guard
from mirrorproof.guards.acting import Write, acting, acting_async
from mirrorproof.guards.search_answers import answer_of, count_of, is_by_query
from mirrorproof.guards.searching import SearchRequest, opened_by, write_of
from mirrorproof.rulings import CannedAnswer

__all__ = ["SearchGuard"]

_CURSORS: Final = "mirrorproof.search.cursors"
_MAX_CURSORS: Final = 1000
_Given = dict[str, Any]
"""What a transport's `perform_request` is called with, by name."""


class SearchGuard(Guard):
    """A guard at a transport's `perform_request`."""

    parameters: ClassVar[tuple[str, ...]]
    """The names of what `perform_request` takes by position."""

    @abstractmethod
    def request(self, transport: Any, given: _Given) -> SearchRequest:
        """What is asked of the server."""

    @abstractmethod
    def asking(self, given: _Given, request: SearchRequest) -> _Given:
        """How to ask `request` in the way that `given` was asked."""

    @abstractmethod
    def answer(self, transport: Any, given: _Given, answer: CannedAnswer, body: Any) -> Any:
        """What the transport returns, or raises, for an answer of the server's."""

    def succeeded(self, answer: Any) -> bool:
        """Whether what the transport returned says that the server did it."""
        return True

    def body_of(self, answer: Any) -> Any:
        """The body of what the transport returned."""
        return answer

    def returned(self, transport: Any, given: _Given, answer: Any) -> Any:
        """`answer` as the transport returns it, where a rule gave it."""
        return answer

    def judge(self, transport_type: Any) -> None:
        """Wrap `perform_request`, a method or a coroutine function."""
        asynchronous = inspect.iscoroutinefunction(inspect.unwrap(transport_type.perform_request))
        self.wrap(
            transport_type,
            "perform_request",
            self._performing_async() if asynchronous else self._performing(),
        )

    def _performing(self) -> Any:
        judged = acting(self._describe, self._stub)

        def perform(wrapped: Any, transport: Any, args: tuple[Any, ...], kwargs: _Given) -> Any:
            context = current()
            if context is None or not (context.mirrored or context.observes):
                return wrapped(*args, **kwargs)
            given = self._given(args, kwargs)

            def call(**given: Any) -> Any:
                return self._checked(context, transport, given, wrapped(**given))

            try:
                return self.returned(transport, given, judged(call, transport, (), given))
            except _DidNotHappenError as refused:
                return refused.answer

        return perform

    def _performing_async(self) -> Any:
        judged = acting_async(self._describe, self._stub_async)

        async def perform(wrapped: Any, transport: Any, args: tuple[Any, ...], kwargs: _Given) -> Any:
            context = current()
            if context is None or not (context.mirrored or context.observes):
                return await wrapped(*args, **kwargs)
            given = self._given(args, kwargs)

            async def call(**given: Any) -> Any:
                return self._checked(context, transport, given, await wrapped(**given))

            try:
                return self.returned(transport, given, await judged(call, transport, (), given))
            except _DidNotHappenError as refused:
                return refused.answer

        return perform

    def _given(self, args: tuple[Any, ...], kwargs: _Given) -> _Given:
        given = dict(zip(self.parameters, args, strict=False)) | kwargs
        if isinstance(given.get("body"), Iterator):  # which can be read once only
            given["body"] = list(given["body"])
        return given

    def _describe(self, transport: Any, args: tuple[Any, ...], given: _Given) -> Write | None:
        return write_of(self.request(transport, given), _cursors())

    def _checked(self, context: MirrorContext, transport: Any, given: _Given, answer: Any) -> Any:
        if not self.succeeded(answer):
            raise _DidNotHappenError(answer)
        failsafe("keep a cursor", context.counters, self._keep, transport, given, answer)
        return answer

    def _keep(self, transport: Any, given: _Given, answer: Any) -> None:
        cursors = _cursors()
        cursors.extend(opened_by(self.request(transport, given), self.body_of(answer), cursors))

    def _stub(self, transport: Any, args: tuple[Any, ...], given: _Given) -> Any:
        request, canned = self._asked(transport, given)
        count = 0
        if canned is None and is_by_query(request):
            try:
                count = self._count(transport.perform_request(**self.asking(given, count_of(request))))
            except Exception:
                count = 0  # of an index that is not there, say
        return self._answered(transport, given, request, canned, count)

    async def _stub_async(self, transport: Any, args: tuple[Any, ...], given: _Given) -> Any:
        request, canned = self._asked(transport, given)
        count = 0
        if canned is None and is_by_query(request):
            try:
                count = self._count(await transport.perform_request(**self.asking(given, count_of(request))))
            except Exception:
                count = 0
        return self._answered(transport, given, request, canned, count)

    def _asked(self, transport: Any, given: _Given) -> tuple[SearchRequest, CannedAnswer | None]:
        request, context = self.request(transport, given), current()
        write = write_of(request, _cursors())
        if context is None or write is None:
            return request, None
        rule = context.ruling(write.kind, write.target, write.where).rule
        return request, None if rule is None else rule.answer

    def _count(self, answer: Any) -> int:
        body = self.body_of(answer)
        return int(body.get("count", 0)) if isinstance(body, Mapping) else 0

    def _answered(
        self, transport: Any, given: _Given, request: SearchRequest, canned: CannedAnswer | None, count: int
    ) -> Any:
        if canned is not None:
            return self.answer(transport, given, canned, _parsed(canned.body))
        status, body = answer_of(request, count)
        return self.answer(transport, given, CannedAnswer(status=status), body)


class _DidNotHappenError(Exception):
    """The server did not do it: no effect to record."""

    def __init__(self, answer: Any) -> None:
        super().__init__()
        self.answer = answer


def _cursors() -> deque[str]:
    """The cursors that the current request opened itself."""
    context = current()
    if context is None:
        return deque()
    found: deque[str] = context.resources.setdefault(_CURSORS, deque(maxlen=_MAX_CURSORS))
    return found


def _parsed(body: str) -> Any:
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError:
        return body
