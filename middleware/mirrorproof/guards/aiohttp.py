"""The aiohttp guard: the innermost client middleware of every request of every session.

Theory of operation. `ClientSession._request` is given one more middleware, which judges each request as it
is about to leave, hop by hop of a redirect. A suppressed one is not answered by a `ClientResponse` made by
hand: for this one request the session's connector hands out one end of a socket pair, and aiohttp's own
server at the other end reads the request to its end, notes it and gives the answer.

Knows aiohttp's client. Must not decide anything: `guards.http` does.
"""

from __future__ import annotations

import inspect
import socket
from contextvars import ContextVar
from functools import cache
from typing import Any, Final

from mirrorproof.body import BodySample
from mirrorproof.context import Action, MirrorContext, Ruling, admitted, current, inside_effect
from mirrorproof.failsafe import failsafe
from mirrorproof.guards import Guard
from mirrorproof.guards.callbacks import by_itself_async
from mirrorproof.guards.http import (
    MARKING_HEADERS,
    OutboundRequest,
    answer_of,
    forwarded_headers,
    refuse,
    ruling_for,
    settle,
)

__all__ = ["AiohttpGuard"]

_MAX_BODY_KEPT: Final = 4096
_NO_UPGRADE: Final = (
    "a web socket can be written to at any time, so a mirrored request may not open one; to let it, add a "
    "rule to `effect_rules` with the action `allow`"
)
_answering: Final[ContextVar[Any]] = ContextVar("mirrorproof_aiohttp_answering", default=None)


class AiohttpGuard(Guard):
    """Guards aiohttp's client."""

    name = "aiohttp"
    module = "aiohttp"
    distribution = "aiohttp"
    tested = ("3.14", "3.14")
    covers = "aiohttp.ClientSession and aiohttp.request; a mirrored request's web sockets are refused"

    def install(self) -> None:
        from aiohttp import BaseConnector, ClientSession
        from aiohttp.tracing import Trace

        if "middlewares" not in inspect.signature(ClientSession._request).parameters:
            raise RuntimeError(f"aiohttp {self.version} has no client middlewares; 3.12 and later have them")
        self.wrap(ClientSession, "_request", _request)
        self.wrap(BaseConnector, "connect", _connect)
        for name in [each for each in vars(Trace) if each.startswith("send_")]:
            self.wrap(Trace, name, by_itself_async)


async def _request(wrapped: Any, session: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    given = kwargs.get("middlewares")
    kwargs["middlewares"] = (*(session._middlewares if given is None else given), _judge)
    return await wrapped(*args, **kwargs)


async def _judge(request: Any, handler: Any) -> Any:
    context, outbound = current(), _outbound(request)
    _forward(context, outbound.host, request.headers)
    if context is None:
        return await handler(request)
    ruling = ruling_for(context, outbound)
    if ruling.action is Action.EXECUTE:
        with admitted():
            return await handler(request)
    if ruling.action is Action.OBSERVE:
        body = BodySample(_MAX_BODY_KEPT)
        failsafe("sample a body", context.counters, _sample, request, body)
        with inside_effect(allowed=True):
            response = await handler(request)
        failsafe("observe a request", context.counters, settle, context, outbound, body, ruling.action)
        return response
    if ruling.action is Action.REFUSE:
        settle(context, outbound, BodySample(0), ruling.action)
    if outbound.upgrade:
        refuse(context, outbound, _NO_UPGRADE)
    token = _answering.set((context, outbound, ruling))
    try:
        return await handler(request)
    finally:
        _answering.reset(token)


async def _connect(wrapped: Any, connector: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    suppressed = _answering.get()
    if suppressed is None or isinstance(connector, _answering_connector()):
        return await wrapped(*args, **kwargs)
    return await _answering_connector()(*suppressed).connect(*args, **kwargs)


@cache
def _answering_connector() -> Any:
    import asyncio

    from aiohttp import BaseConnector, web

    class AnsweringConnector(BaseConnector):
        """Connects to a server of ours, for one request."""

        def __init__(self, context: MirrorContext, outbound: OutboundRequest, ruling: Ruling) -> None:
            super().__init__(force_close=True)
            self._suppressed = (context, outbound, ruling)

        async def _create_connection(self, req: Any, traces: Any, timeout: Any) -> Any:  # noqa: ASYNC109
            loop = asyncio.get_running_loop()
            ours, theirs = socket.socketpair()
            for end in (ours, theirs):
                end.setblocking(False)
            await loop.connect_accepted_socket(web.Server(self._answer, access_log=None), theirs)
            _, protocol = await loop.create_unix_connection(self._factory, sock=ours)
            return protocol

        async def _answer(self, request: Any) -> Any:
            context, outbound, ruling = self._suppressed
            body = BodySample(_MAX_BODY_KEPT)
            async for chunk in request.content.iter_any():
                body.feed(chunk)
            settle(context, outbound, body, ruling.action)
            answer = answer_of(ruling)
            return web.Response(status=answer.status, headers=answer.headers, body=answer.body.encode())

    return AnsweringConnector


def _outbound(request: Any) -> OutboundRequest:
    url = request.url
    return OutboundRequest(
        method=request.method.upper(),
        scheme=url.scheme,
        host=url.raw_host or "",
        port=url.explicit_port,
        path=url.raw_path,
        query=url.raw_query_string,
        content_type=request.headers.get("content-type", ""),
        upgrade="upgrade" in request.headers,
    )


def _forward(context: MirrorContext | None, host: str, headers: Any) -> None:
    before = [
        (name.encode("latin-1", "replace"), value.encode("latin-1", "replace"))
        for name, value in headers.items()
        if name.lower().encode("latin-1", "replace") in MARKING_HEADERS
    ]
    after = forwarded_headers(context, host, before)
    if after == before:
        return
    for name, _ in before:
        headers.popall(name.decode("latin-1"), None)
    for name, value in after:
        headers.add(name.decode(), value.decode("latin-1"))


def _sample(request: Any, body: BodySample) -> None:
    request._traces = [*request._traces, _Listener(body)]


class _Listener:
    """A trace, as aiohttp calls it, that hears the body's chunks and nothing else."""

    def __init__(self, body: BodySample) -> None:
        self._body = body

    async def send_request_chunk_sent(self, method: str, url: Any, chunk: Any) -> None:
        self._body.feed(bytes(chunk))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("send_"):
            return _nothing
        raise AttributeError(name)


async def _nothing(*_: Any, **__: Any) -> None:
    pass
