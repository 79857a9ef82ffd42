"""The gRPC guard: at the multi-callables, which every stub's call goes through, sync and asyncio.

A method's name does not say whether it writes, so every call is a write unless a rule allows it: kind
`grpc.call`, `method` the full name (`/shop.Orders/Place`). What exporters of telemetry send passes. A
suppressed call is answered an empty message, or what the rule's `returns` says.

Knows gRPC's calls. Must not know what they are answered: `answers` does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

from msgspec import UNSET

from mirrorproof.context import current
from mirrorproof.decision import MARK_HEADER
from mirrorproof.guards import Guard
from mirrorproof.guards.acting import Write, acting
from mirrorproof.guards.http import forwarded_headers
from mirrorproof.rulings import Where

__all__ = ["GrpcAioGuard", "GrpcGuard"]

KIND: Final = "grpc.call"
_TELEMETRY: Final = "/opentelemetry.proto.collector."


class GrpcGuard(Guard):
    """Guards grpcio's sync clients."""

    name = "grpc"
    module = "grpc._channel"
    distribution = "grpcio"
    tested = ("1.85", "1.85")
    covers = "calls of grpc.insecure_channel, secure_channel and intercept_channel, unary and streaming"

    def install(self) -> None:
        from grpc import _channel

        from mirrorproof.guards.grpc import answers

        for prefix in ("_UnaryUnary", "_StreamUnary"):
            calls, takes = getattr(_channel, f"{prefix}MultiCallable"), prefix == "_StreamUnary"
            self.wrap(calls, "__call__", partial(_call, takes, answers.message))
            self.wrap(calls, "with_call", partial(_call, takes, answers.message_and_call))
            self.wrap(calls, "future", partial(_call, takes, answers.Answered.one))
        for prefix in ("_UnaryStream", "_SingleThreadedUnaryStream", "_StreamStream"):
            calls, takes = getattr(_channel, f"{prefix}MultiCallable"), prefix == "_StreamStream"
            self.wrap(calls, "__call__", partial(_call, takes, answers.Answered.many))


class GrpcAioGuard(Guard):
    """Guards grpcio's asyncio clients."""

    name = "grpc_aio"
    module = "grpc.aio._channel"
    distribution = "grpcio"
    tested = ("1.85", "1.85")
    covers = "calls of grpc.aio's channels, unary and streaming"

    def install(self) -> None:
        from grpc.aio import _channel

        from mirrorproof.guards.grpc import aio_answers

        for shape in ("UnaryUnary", "UnaryStream", "StreamUnary", "StreamStream"):
            answer = getattr(aio_answers, f"{shape}Answer").of
            wrapper = partial(_call, shape.startswith("Stream"), answer)
            self.wrap(getattr(_channel, f"{shape}MultiCallable"), "__call__", wrapper)


def _call(  # noqa: PLR0917 - the last four are as wrapt calls it
    takes_stream: bool,
    answer: Callable[[Any, Any, Any], Any],
    wrapped: Any,
    instance: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """`answer` (multi-callable, its requests, a rule's `returns`) makes what a suppressed call returns."""
    method = _text(instance._method)
    if method.startswith(_TELEMETRY):
        return wrapped(*args, **kwargs)
    made = False

    def run(*args: Any, **kwargs: Any) -> Any:
        nonlocal made
        made = True
        args, kwargs = _marked(instance, args, kwargs)
        return wrapped(*args, **kwargs)

    result = acting(partial(_describe, takes_stream), lambda *_: UNSET)(run, instance, args, kwargs)
    return result if made else answer(instance, _requests(args, kwargs) if takes_stream else (), result)


def _describe(takes_stream: bool, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Write:
    method, host = _text(instance._method), _host(instance)
    payload = None if takes_stream else _content(instance, _requests(args, kwargs))
    return Write(KIND, f"{host}{method}", payload, where=Where(host=host, method=method, path=method))


def _requests(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return args[0] if args else kwargs.get("request", kwargs.get("request_iterator"))


def _content(instance: Any, request: Any) -> Any:
    """A request, for the digest and the summary: JSON of a protobuf message, text, or a hash of the rest."""
    if hasattr(request, "DESCRIPTOR"):
        from google.protobuf import json_format

        return json_format.MessageToDict(request)
    raw = instance._request_serializer(request) if instance._request_serializer else request
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return {"bytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}


def _text(raw: bytes | str) -> str:
    return raw.decode() if isinstance(raw, bytes) else raw


def _host(instance: Any) -> str:
    """Where the channel goes, without scheme (`dns:///`) and port."""
    target = getattr(instance, "_target", None)
    if target is None:  # asyncio's multi-callables know their channel only
        target = getattr(
            instance._channel, "target", ""
        )  # before grpcio 1.81 not even that: the host is unknown
    host = _text(target or "").rpartition("/")[2]
    scheme, colon, rest = host.partition(":")
    if colon and scheme in ("dns", "ipv4", "ipv6", "unix", "xds"):
        host = rest
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host if host.count(":") > 1 else host.partition(":")[0]


def _marked(
    instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The call, with the mark in its metadata if it goes from a mirrored request into the mesh, only then."""
    given = args[2] if len(args) > 2 else kwargs.get("metadata")
    extra = [(name.decode(), value.decode("latin-1")) for name, value in forwarded_headers(
        current(), _host(instance), ()
    )]  # fmt: skip
    dropped = {MARK_HEADER.decode(), *(name for name, _ in extra)}
    pairs: Iterable[tuple[str, Any]] = given or ()
    metadata = [(name, value) for name, value in pairs if name.lower() not in dropped] + extra
    if given is None and not metadata:
        return args, kwargs
    if len(args) > 2:
        return (*args[:2], tuple(metadata), *args[3:]), kwargs
    return args, {**kwargs, "metadata": tuple(metadata)}
