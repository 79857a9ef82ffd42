"""The urllib3 guard, and so that of requests and of whatever else is built on urllib3.

At `HTTPConnectionPool.urlopen`, which every request passes, redirects and retries among them. A retry that
urllib3 itself makes inside an admitted call belongs to that call; a mirrored request's redirect to elsewhere
is judged anew. A suppressed request's body is read to its end, as sending it would have done; its answer is
a real `urllib3.HTTPResponse`.

Knows urllib3's pools. Must not decide anything: `guards.http` does.
"""

from __future__ import annotations

import inspect
import io
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from contextvars import ContextVar
from typing import Any, Final
from urllib.parse import urlsplit
from weakref import WeakSet

from mirrorproof.body import BodySample
from mirrorproof.context import (
    Action,
    MirrorContext,
    Ruling,
    admitted,
    afresh,
    current,
    inside_effect,
    is_admitted,
)
from mirrorproof.failsafe import failsafe
from mirrorproof.guards import Guard
from mirrorproof.guards.callbacks import by_itself
from mirrorproof.guards.http import (
    MARKING_HEADERS,
    OutboundRequest,
    answer_of,
    answered,
    forwarded_headers,
    ruling_for,
    settle,
)

__all__ = ["Urllib3Guard"]

_MAX_BODY_KEPT: Final = 4096
_BLOCK_BYTES: Final = 65536
_first_target: Final[ContextVar[str | None]] = ContextVar("mirrorproof_urllib3_target", default=None)
"""What the call was judged for that this one may be a part of."""
_ASKED: Final = frozenset({
    "increment", "is_retry", "is_exhausted", "sleep", "sleep_for_retry", "get_backoff_time",
    "get_retry_after", "parse_retry_after", "new",
})  # fmt: skip
"""What urllib3 asks a policy of retries."""
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class Urllib3Guard(Guard):
    """Guards urllib3, and requests above it."""

    name = "urllib3"
    module = "urllib3.connectionpool"
    distribution = "urllib3"
    tested = ("2.8", "2.8")
    covers = "requests; urllib3's PoolManager, ProxyManager and pools, through HTTPConnectionPool.urlopen"

    def install(self) -> None:
        from urllib3.connectionpool import HTTPConnectionPool

        self._signature = inspect.signature(HTTPConnectionPool.urlopen)
        self._known_retries: WeakSet[type] = WeakSet()
        self.wrap(HTTPConnectionPool, "urlopen", self._urlopen)

    def _urlopen(self, wrapped: Any, pool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        context = current()
        call = self._signature.bind(pool, *args, **kwargs)
        given = call.arguments
        self._know_retries(type(pool.retries if given.get("retries") is None else given["retries"]))
        headers = given.get("headers")
        headers = pool.headers if headers is None else headers
        if context is None:
            given["headers"] = _forwarded(None, "", headers)
            return wrapped(*call.args[1:], **call.kwargs)
        outbound = _outbound(pool, given["method"], given["url"], headers)
        given["headers"] = _forwarded(context, outbound.host, headers)

        def judged() -> Any:
            return _judged(context, outbound, given, lambda: wrapped(*call.args[1:], **call.kwargs))

        first = _first_target.get()
        redirected = context.mirrored and is_admitted() and first not in (None, outbound.target)
        if is_admitted() and not redirected:
            return judged()
        token = _first_target.set(outbound.target)
        try:
            with afresh() if redirected else nullcontext():
                return judged()
        finally:
            _first_target.reset(token)

    def _know_retries(self, policy: type) -> None:
        """A policy of the application's own: what it does when it is asked is no part of the request."""
        if policy in self._known_retries or policy.__module__.startswith("urllib3."):
            return
        self._known_retries.add(policy)
        for owner in policy.__mro__:
            if owner is not object and not owner.__module__.startswith("urllib3."):
                for name in _ASKED & vars(owner).keys():
                    self.wrap(owner, name, by_itself)


def _judged(
    context: MirrorContext, outbound: OutboundRequest, given: dict[str, Any], send: Callable[[], Any]
) -> Any:
    ruling = ruling_for(context, outbound)
    if ruling.action is Action.EXECUTE:
        with admitted():
            return send()
    if ruling.action is Action.OBSERVE:
        body = failsafe("sample a body", context.counters, lambda: _Sampled(given.get("body")))
        given["body"] = given.get("body") if body is None else body.passed
        with inside_effect(allowed=True):
            response = send()
        if body is not None:
            failsafe("observe a request", context.counters, lambda: settle(
                context, outbound, body.sample, ruling.action
            ))  # fmt: skip
        return response
    return _suppressed(context, outbound, ruling, given)


def _suppressed(
    context: MirrorContext, outbound: OutboundRequest, ruling: Ruling, given: dict[str, Any]
) -> Any:
    import urllib3

    body = _Sampled(given.get("body"))
    body.read_all()
    settle(context, outbound, body.sample, ruling.action)
    answer, retries = answered(answer_of(ruling), outbound.method), given.get("retries")
    return urllib3.HTTPResponse(
        body=answer,
        headers=urllib3.HTTPHeaderDict(answer.msg.items()),
        status=answer.status,
        version=answer.version,
        reason=answer.reason,
        preload_content=given.get("preload_content", True),
        decode_content=given.get("decode_content", True),
        original_response=answer,
        retries=retries if isinstance(retries, urllib3.Retry) else None,
        request_method=outbound.method,
        request_url=given["url"],
    )


def _outbound(pool: Any, method: str, url: str, headers: Any) -> OutboundRequest:
    """Where the request goes: to the pool's host, or, through a forwarding proxy, to the URL's."""
    split = urlsplit(url)
    named = not url.startswith("/") and bool(split.hostname)
    scheme = split.scheme if named else pool.scheme
    port = split.port if named else pool.port
    types = [_text(value) for name, value in headers.items() if _text(name).lower() == "content-type"]
    return OutboundRequest(
        method=_text(method).upper(),
        scheme=scheme,
        host=((split.hostname if named else pool.host) or "").strip("[]"),
        port=None if port == _DEFAULT_PORTS.get(scheme) else port,
        path=split.path or "/",
        query=split.query,
        content_type=types[0] if types else "",
        upgrade=any(_text(name).lower() == "upgrade" for name in headers),
    )


def _forwarded(context: MirrorContext | None, host: str, headers: Any) -> Any:
    """The mapping as it may leave: itself, or a copy with the marking headers changed."""
    names = [name for name in headers if _text(name).lower().encode("latin-1", "replace") in MARKING_HEADERS]
    before = [
        (_text(name).encode("latin-1", "replace"), _text(headers[name]).encode("latin-1", "replace"))
        for name in names
    ]
    after = forwarded_headers(context, host, before)
    if after == before:
        return headers
    changed = headers.copy() if hasattr(headers, "copy") else dict(headers)
    for name in names:
        changed.pop(name, None)
    for name, value in after:
        changed[name.decode()] = value.decode("latin-1")
    return changed


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


class _Sampled:
    """A body as urllib3 takes it (bytes, text, a file, an iterable), sampled while it is sent or read."""

    def __init__(self, body: Any) -> None:
        self.sample = BodySample(_MAX_BODY_KEPT)
        self._body = body
        self.passed = body
        """What is to be sent in the body's place."""
        if body is None:
            return
        if isinstance(body, str) or _is_buffer(body):
            self._feed(body)
        elif hasattr(body, "read"):
            self.passed = body if isinstance(body, io.TextIOBase) else _SampledFile(body, self)
        elif hasattr(body, "__next__") or hasattr(body, "__iter__"):
            self.passed = self._chunks() if hasattr(body, "__next__") else _SampledIterable(body, self)

    def read_all(self) -> None:
        """Read a body that is not sent to its end."""
        body = self._body
        if body is None or isinstance(body, str) or _is_buffer(body):
            return
        if hasattr(body, "read"):
            while block := body.read(_BLOCK_BYTES):
                self._feed(block)
            return
        for chunk in body:
            self._feed(chunk)

    def _feed(self, chunk: Any) -> None:
        self.sample.feed(chunk.encode() if isinstance(chunk, str) else bytes(chunk))

    def again(self) -> Iterator[Any]:
        """The chunks from their beginning, as a retry sends them."""
        self.sample = BodySample(_MAX_BODY_KEPT)
        return self._chunks()

    def _chunks(self) -> Iterator[Any]:
        for chunk in self._body:
            self._feed(chunk)
            yield chunk


class _SampledFile:
    """A file that is sampled as it is read; read anew from its start for a retry."""

    def __init__(self, file: Any, sampled: _Sampled) -> None:
        self._file = file
        self._sampled = sampled

    def read(self, *size: int) -> Any:
        block = self._file.read(*size)
        self._sampled._feed(block)
        return block

    def seek(self, *where: int) -> Any:
        self._sampled.sample = BodySample(_MAX_BODY_KEPT)
        return self._file.seek(*where)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __iter__(self) -> Iterator[Any]:
        return iter(lambda: self.read(_BLOCK_BYTES), b"")


class _SampledIterable:
    """An iterable that can be sent again, as itself, with whatever else it can do."""

    def __init__(self, body: Any, sampled: _Sampled) -> None:
        self._body = body
        self._sampled = sampled

    def __iter__(self) -> Iterator[Any]:
        return self._sampled.again()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._body, name)


def _is_buffer(body: Any) -> bool:
    try:
        memoryview(body)
    except TypeError:
        return False
    return True
