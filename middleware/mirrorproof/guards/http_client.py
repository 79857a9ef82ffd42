"""The http.client guard, and so that of urllib.request, xmlrpc.client and whatever else is built on it.

Theory of operation. Until `endheaders` a connection has sent nothing and its request's head is known: that
is where a request is judged. A suppressed one is given a socket of ours in the place of the connection's,
which takes the body as it comes, writes the effect down once the message is whole, and from which
`getresponse` reads the answer; then the connection has its own socket back, open or not, as it was. So all
errors that `http.client` raises for calls in the wrong order are its own, and no connection is opened. A
request that other guards let through (urllib3's connections are subclasses of these) is theirs.

What is sent past all that (`send` without a request) cannot be understood, so a mirrored request may not.

Knows `http.client.HTTPConnection`. Must not decide anything: `guards.http` does.
"""

from __future__ import annotations

import io
from contextlib import AbstractContextManager, nullcontext
from http.client import CannotSendHeader, HTTPConnection
from typing import Any, Final
from urllib.parse import urlsplit

from mirrorproof.context import (
    Action,
    MirrorContext,
    Ruling,
    admitted,
    connecting,
    current,
    inside_effect,
    is_admitted,
)
from mirrorproof.errors import EffectRefusedError
from mirrorproof.failsafe import failsafe
from mirrorproof.guards import Guard
from mirrorproof.guards.http import (
    KIND,
    MARKING_HEADERS,
    OutboundRequest,
    RawHeaders,
    answer_of,
    forwarded_headers,
    refuse,
    ruling_for,
    said,
    settle,
)
from mirrorproof.guards.http_messages import Message, as_bytes, listened
from mirrorproof.rulings import CannedAnswer

__all__ = ["HttpClientGuard"]

_MAX_BODY_KEPT: Final = 4096
_HTTPS: Final = 443
_EXCHANGE: Final = "_mirrorproof_exchange"
_RAW: Final = (
    "bytes that belong to no request of http.client's cannot be understood, so a mirrored request may not "
    "send them"
)
_XML_RPC_SUCCESS: Final = CannedAnswer(
    headers={"content-type": "text/xml"},
    body="<?xml version='1.0'?><methodResponse><params><param><value><boolean>1</boolean></value></param>"
    "</params></methodResponse>",
)


class HttpClientGuard(Guard):
    """Guards the standard library's HTTP client."""

    name = "http_client"
    module = "http.client"
    covers = (
        "http.client's connections and with them urllib.request and xmlrpc.client; urllib3's connections "
        "used below its pools"
    )

    def install(self) -> None:
        self.wrap(HTTPConnection, "connect", _connect)
        self.wrap(HTTPConnection, "endheaders", _endheaders)
        self.wrap(HTTPConnection, "send", _send)
        self.wrap(HTTPConnection, "getresponse", _getresponse)
        self.wrap(HTTPConnection, "close", _close)


class _Exchange:
    """A request that was judged and is on its way: what became of it is settled once."""

    def __init__(
        self, context: MirrorContext, request: OutboundRequest, ruling: Ruling, message: Message
    ) -> None:
        self.context = context
        self.request = request
        self.ruling = ruling
        self.message = message
        self.socket: _Socket | None = None
        """What stands in the place of the connection's socket."""
        self.asked = False
        """Whether its answer is being read."""
        self._settled = ruling.action is Action.EXECUTE
        self._refused: EffectRefusedError | None = None

    def settle(self) -> None:
        """Write it into the ledger once, or raise where it is refused."""
        if self._refused is not None:
            raise self._refused
        if self._settled:
            return
        self._settled = True
        try:
            settle(self.context, self.request, self.message.body, self.ruling.action)
        except EffectRefusedError as error:
            self._refused = error
            raise

    def observed(self) -> None:
        """The same for one that really happened."""
        if self.ruling.action is Action.OBSERVE:
            failsafe("observe a request", self.context.counters, self.settle)

    def inside(self) -> AbstractContextManager[Any]:
        """What the connection does meanwhile is a part of it."""
        if self.ruling.action is Action.OBSERVE:
            return inside_effect(allowed=True)
        return nullcontext() if self.socket else admitted()


class _Socket:
    """What a suppressed request is sent to and its answer read from."""

    def __init__(self, exchange: _Exchange, kept: Any) -> None:
        self._exchange = exchange
        self.kept = kept
        """The connection's own."""
        self._over = False

    def sendall(self, data: Any, *_: Any) -> None:
        piece = as_bytes(data)
        if piece is None:
            raise TypeError(f"a bytes-like object is required, not '{type(data).__name__}'")
        if self._over:
            raise BrokenPipeError("mirrorproof has answered this request")
        message = self._exchange.message
        message.feed(piece)
        if message.complete:
            self._exchange.settle()

    def send(self, data: Any, *_: Any) -> int:
        self.sendall(data)
        return memoryview(data).nbytes

    def makefile(self, *_: Any, **__: Any) -> io.BytesIO:
        """The answer."""
        self._exchange.settle()
        self._over = True
        return io.BytesIO(said(_answer_of(self._exchange)))

    def close(self) -> None:
        self._over = True

    def gettimeout(self) -> float | None:
        return None

    def settimeout(self, *_: Any) -> None:
        pass

    setsockopt = shutdown = settimeout


def _answer_of(exchange: _Exchange) -> CannedAnswer:
    answer, rule = answer_of(exchange.ruling), exchange.ruling.rule
    is_call = (rule is None or rule.answer is None) and b"<methodCall>" in exchange.message.body.kept
    return _XML_RPC_SUCCESS if is_call else answer


# -- the connection's calls


def _connect(wrapped: Any, connection: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if current() is None:
        return wrapped(*args, **kwargs)
    with connecting():  # a connection by itself changes nothing
        return wrapped(*args, **kwargs)


def _endheaders(wrapped: Any, connection: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    context = current()
    if context is None:
        _forward(None, "", connection)
        return wrapped(*args, **kwargs)
    if is_admitted() or not connection._buffer:  # no head: http.client itself says so
        return wrapped(*args, **kwargs)
    if context.mirrored:
        exchange: _Exchange | None = _judged(context, connection)
    else:
        exchange = failsafe("describe a request", context.counters, _judged, context, connection)
    if exchange is None:
        return wrapped(*args, **kwargs)
    before, own = connection.__dict__.get(_EXCHANGE), connection.sock
    setattr(connection, _EXCHANGE, exchange)
    if exchange.ruling.action in (Action.SUPPRESS, Action.REFUSE):
        connection.sock = exchange.socket = _Socket(exchange, own)
    try:
        with exchange.inside():
            return wrapped(*args, **kwargs)
    except CannotSendHeader:  # nothing was sent: the connection is as it was
        connection.sock = own
        setattr(connection, _EXCHANGE, before)
        raise


def _send(wrapped: Any, connection: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    context = current()
    exchange: _Exchange | None = connection.__dict__.get(_EXCHANGE)
    if exchange is None and (context is None or is_admitted()):
        return wrapped(*args, **kwargs)
    data = args[0] if args else kwargs["data"]
    if exchange is None or (exchange.socket is None and exchange.message.complete):
        if context is not None and context.mirrored and not _opens_tunnel(connection, data):
            _refuse_raw(context, connection)
        return wrapped(data)
    return wrapped(data) if exchange.socket else _passed_on(wrapped, connection, exchange, data)


def _passed_on(wrapped: Any, connection: Any, exchange: _Exchange, data: Any) -> Any:
    message, counters = exchange.message, exchange.context.counters
    heard = failsafe("sample a body", counters, listened, data, message, connection.blocksize)
    with exchange.inside():
        result = wrapped(data if heard is None else heard)
    if heard is data and not (_opens_tunnel(connection, data) and not message.started):
        failsafe("sample a body", counters, lambda: message.feed(as_bytes(data) or b""))
    return result


def _getresponse(wrapped: Any, connection: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    exchange: _Exchange | None = connection.__dict__.get(_EXCHANGE)
    if exchange is None:
        return wrapped(*args, **kwargs)
    exchange.asked = True
    try:
        response = wrapped(*args, **kwargs)
    finally:
        exchange.asked = False
    exchange.observed()
    _take_back(connection)
    return response


def _close(wrapped: Any, connection: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    exchange: _Exchange | None = connection.__dict__.get(_EXCHANGE)
    if exchange is not None:
        if exchange.message.complete and not exchange.asked:  # sent, and nobody asks for the answer
            exchange.observed()
        _take_back(connection)
    return wrapped(*args, **kwargs)


def _take_back(connection: Any) -> None:
    """The connection has its own socket again."""
    exchange = connection.__dict__.pop(_EXCHANGE, None)
    if exchange is not None and exchange.socket is not None and connection.sock is exchange.socket:
        connection.sock = exchange.socket.kept


# -- what they say


def _judged(context: MirrorContext, connection: Any) -> _Exchange | None:
    """`None` for what may pass without a look at what is sent."""
    line, headers = _head_of(connection)
    outbound = _outbound(connection, line, headers)
    _forward(context, outbound.host, connection)
    ruling = ruling_for(context, outbound)
    if ruling.action is Action.EXECUTE and not context.mirrored:
        return None
    return _Exchange(context, outbound, ruling, Message(headers, _MAX_BODY_KEPT))


def _head_of(connection: Any) -> tuple[bytes, RawHeaders]:
    line, *rest = connection._buffer
    return line, [(name, value.strip()) for name, _, value in (each.partition(b":") for each in rest)]


def _forward(context: MirrorContext | None, host: str, connection: Any) -> None:
    """Change the marking headers of a head that is about to leave."""
    lines = connection._buffer
    marking = [each for each in lines[1:] if each.partition(b":")[0].lower() in MARKING_HEADERS]
    if not marking and (context is None or not context.mirrored):
        return
    before = [(name, value.strip()) for name, _, value in (each.partition(b":") for each in marking)]
    after = forwarded_headers(context, host, before)
    if after != before:
        lines[:] = [each for each in lines if each not in marking]
        lines += [name + b": " + value for name, value in after]


def _outbound(connection: Any, line: bytes, headers: RawHeaders) -> OutboundRequest:
    method, _, url = line.rpartition(b" ")[0].decode("latin-1").partition(" ")
    split = urlsplit(url)
    named = bool(split.hostname) and not url.startswith("/")  # a forwarding proxy is asked
    secure = connection.default_port == _HTTPS
    if named:
        scheme, host, port = split.scheme, split.hostname or "", split.port
    else:
        scheme = "https" if secure else "http"
        host, port = connection._tunnel_host or connection.host, connection._tunnel_port or connection.port
    types = [value for name, value in headers if name.lower() == b"content-type"]
    return OutboundRequest(
        method=method.upper(),
        scheme=scheme,
        host=host.strip("[]"),
        port=None if port == (_HTTPS if scheme == "https" else 80) else port,
        path=(url.partition("?")[0] if not named else split.path) or "/",
        query=split.query,
        content_type=types[0].decode("latin-1") if types else "",
        upgrade=any(name.lower() == b"upgrade" for name, _ in headers),
    )


def _opens_tunnel(connection: Any, data: Any) -> bool:
    return bool(connection._tunnel_host) and isinstance(data, bytes) and data.startswith(b"CONNECT ")


def _refuse_raw(context: MirrorContext, connection: Any) -> None:
    raw = OutboundRequest("RAW", "http", str(connection.host), connection.port, "", "", "")
    if context.ruling(KIND, raw.target, raw.where).action in (Action.SUPPRESS, Action.REFUSE):
        refuse(context, raw, _RAW)
