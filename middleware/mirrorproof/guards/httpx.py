"""The httpx guard: at httpcore's connection pools, so that every way of httpx to the network passes it.

In-process transports (`ASGITransport`, `MockTransport`) have no pool and stay untouched. A suppressed
request's body is read to its end, as sending it would have done.

Knows httpcore's pools. Must not decide anything: `guards.http` does.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from mirrorproof.body import BodySample
from mirrorproof.context import (
    Action,
    MirrorContext,
    Ruling,
    admitted,
    current,
    inside_effect,
    is_admitted,
)
from mirrorproof.failsafe import failsafe
from mirrorproof.guards import Guard
from mirrorproof.guards.callbacks import by_itself, by_itself_async
from mirrorproof.guards.http import (
    OutboundRequest,
    answer_of,
    forwarded_headers,
    ruling_for,
    settle,
)
from mirrorproof.rulings import CannedAnswer

__all__ = ["HttpxGuard"]

_MAX_BODY_KEPT = 4096


class HttpxGuard(Guard):
    """Guards httpx (and whatever else uses httpcore's pools), sync and async."""

    name = "httpx"
    module = "httpcore"
    distribution = "httpx"
    tested = ("0.28", "0.28")
    covers = "httpx.Client and AsyncClient, through httpcore's pools, and its connections below them"

    def install(self) -> None:
        import httpcore
        from httpcore._trace import Trace

        self.wrap(httpcore.ConnectionPool, "handle_request", _handle)
        self.wrap(httpcore.AsyncConnectionPool, "handle_async_request", _handle_async)
        for kind in (httpcore.HTTPConnection, httpcore.HTTP11Connection):
            self.wrap(kind, "handle_request", _handle_below)
        for of_async in (httpcore.AsyncHTTPConnection, httpcore.AsyncHTTP11Connection):
            self.wrap(of_async, "handle_async_request", _handle_async_below)
        self.wrap(Trace, "trace", by_itself)
        self.wrap(Trace, "atrace", by_itself_async)


def _handle(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    request = args[0] if args else kwargs["request"]
    call = _Call(request)
    if call.is_sent:
        with call.under_way():
            response = wrapped(request)
        call.sent()
        return response
    for chunk in request.stream:
        call.body.feed(chunk)
    return call.answered()


async def _handle_async(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    request = args[0] if args else kwargs["request"]
    call = _Call(request)
    if call.is_sent:
        with call.under_way():
            response = await wrapped(request)
        call.sent()
        return response
    async for chunk in request.stream:
        call.body.feed(chunk)
    return call.answered()


class _Call:
    """What the current context has done with one request, whose headers are made what may leave."""

    def __init__(self, request: Any) -> None:
        self.body = BodySample(_MAX_BODY_KEPT)
        self._context = context = current()
        if context is None:
            self._ruling = Ruling(Action.EXECUTE)
            request.headers = forwarded_headers(None, "", request.headers)
            return
        self._outbound = _outbound(request)
        self._ruling = ruling_for(context, self._outbound)
        request.headers = forwarded_headers(context, self._outbound.host, request.headers)
        if self._ruling.action is Action.OBSERVE:
            request.stream = _Tee(request.stream, self.body)

    @property
    def is_sent(self) -> bool:
        """Whether it reaches the network. Otherwise its body is to be read, then it is `answered`."""
        return self._ruling.action in (Action.EXECUTE, Action.OBSERVE)

    def under_way(self) -> AbstractContextManager[None]:
        """Around sending it."""
        if self._context is None:
            return nullcontext()
        return inside_effect(allowed=True) if self._ruling.action is Action.OBSERVE else admitted()

    def sent(self) -> None:
        """Its answer is there: record it, if the context wants to know."""
        if self._context is not None and self._ruling.action is Action.OBSERVE:
            failsafe("observe a request", self._context.counters, self._settle, self._context)

    def answered(self) -> Any:
        """The answer in the server's place. Raises where the request is refused."""
        if self._context is not None:
            self._settle(self._context)
        return _response(answer_of(self._ruling))

    def _settle(self, context: MirrorContext) -> None:
        settle(context, self._outbound, self.body, self._ruling.action)


def _handle_below(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A connection: most belong to a pool, which has judged the request."""
    if current() is None or is_admitted():
        return wrapped(*args, **kwargs)
    return _handle(wrapped, instance, args, kwargs)


async def _handle_async_below(
    wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    if current() is None or is_admitted():
        return await wrapped(*args, **kwargs)
    return await _handle_async(wrapped, instance, args, kwargs)


class _Tee:
    """A request's stream that is sampled as it is sent."""

    def __init__(self, stream: Any, body: BodySample) -> None:
        self._stream = stream
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._stream:
            self._body.feed(chunk)
            yield chunk

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream:
            self._body.feed(chunk)
            yield chunk

    def close(self) -> None:
        close = getattr(self._stream, "close", None)
        if close is not None:
            close()

    async def aclose(self) -> None:
        close = getattr(self._stream, "aclose", None)
        if close is not None:
            await close()


def _outbound(request: Any) -> OutboundRequest:
    url = request.url
    path, _, query = url.target.decode("latin-1").partition("?")
    content_type = next((v for n, v in request.headers if n.lower() == b"content-type"), b"")
    return OutboundRequest(
        method=request.method.decode("ascii", "replace").upper(),
        scheme=url.scheme.decode("ascii", "replace"),
        host=url.host.decode("ascii", "replace"),
        port=url.port,
        path=path,
        query=query,
        content_type=content_type.decode("latin-1"),
        upgrade=any(name.lower() == b"upgrade" for name, _ in request.headers),
    )


def _response(answer: CannedAnswer) -> Any:
    import httpcore

    content = answer.body.encode()
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers.items()]
    if not any(name.lower() == b"content-length" for name, _ in headers):
        headers.append((b"content-length", str(len(content)).encode()))
    return httpcore.Response(answer.status, headers=headers, content=content)
