"""A server interceptor for grpc.aio: decides by the call's metadata, and has guards know the call.

Refused calls end with INVALID_ARGUMENT (a malformed mark) or PERMISSION_DENIED (one that is not trusted). A
call's context ends with its answer. Calls are not captured: messages are the application's own types, so
there is nothing yet that the comparer could read. The local port is not told, so that trust by
`mirror_port` refuses every mark; trust by `key` works, over the full name of the method.

Knows grpc.aio's handlers. Must not know guards or the wire format.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any

from mirrorproof.context import MirrorContext, entered
from mirrorproof.decision import Decision
from mirrorproof.gate import Gate
from mirrorproof.head import RequestHead
from mirrorproof.observation import DRAIN_S
from mirrorproof.settings import Settings

__all__ = ["mirror_interceptor"]


def mirror_interceptor(settings: Settings | None = None, **overrides: Any) -> Any:
    """The interceptor, to stand first. Settings and overrides are those of `MirrorMiddleware`.

        server = grpc.aio.server(interceptors=[mirror_interceptor(service="orders", version="v2")])

    Raises `SettingsError` that names the key.
    """
    grpc = import_module("grpc")
    gate = Gate(settings, None, **overrides)

    class MirrorInterceptor(import_module("grpc.aio").ServerInterceptor):  # type: ignore[misc]
        async def intercept_service(self, continuation: Any, details: Any) -> Any:
            handler = await continuation(details)
            if handler is None:
                return None
            gate.counters.add("seen")
            head = RequestHead((_bytes(name), _bytes(value)) for name, value in details.invocation_metadata)
            decision = gate.unmarked(head) or gate.decide(
                head, method="POST", path=details.method, target=_bytes(details.method), port=None
            )
            if decision.refusal is not None:
                return _replaced(grpc, handler, lambda _: _refusing(grpc, decision, handler))
            context = gate.context(decision, head)
            return _replaced(grpc, handler, lambda behaviour: _within(context, behaviour, handler))

    return MirrorInterceptor()


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode("latin-1", "replace")


def _replaced(grpc: Any, handler: Any, change: Callable[[Any], Any]) -> Any:
    """The same handler with another behaviour."""
    asked = "stream" if handler.request_streaming else "unary"
    answered = "stream" if handler.response_streaming else "unary"
    make = getattr(grpc, f"{asked}_{answered}_rpc_method_handler")
    behaviour = change(getattr(handler, f"{asked}_{answered}"))
    return make(behaviour, handler.request_deserializer, handler.response_serializer)


def _refusing(grpc: Any, decision: Decision, handler: Any) -> Any:
    code = grpc.StatusCode.PERMISSION_DENIED if decision.refusal == 403 else grpc.StatusCode.INVALID_ARGUMENT

    async def refuse(request: Any, call: Any) -> None:
        if handler.request_streaming:  # to its end, so that a mirror's caller is not held up
            with suppress(TimeoutError):
                async with asyncio.timeout(DRAIN_S):
                    async for _ in request:
                        pass
        await call.abort(code, decision.reason)

    return refuse


def _within(context: MirrorContext, behaviour: Any, handler: Any) -> Any:
    """`behaviour` within the context: in one of the four kinds that grpc.aio tells apart by inspection."""
    if inspect.isasyncgenfunction(behaviour):
        return _async_generator(context, behaviour)
    if inspect.iscoroutinefunction(behaviour):
        return _coroutine(context, behaviour)
    if handler.response_streaming:
        return _generator(context, behaviour)

    def function(request: Any, call: Any) -> Any:
        try:
            with entered(context):
                return behaviour(request, call)
        finally:
            context.end()

    return function


def _coroutine(context: MirrorContext, behaviour: Any) -> Any:
    async def coroutine(request: Any, call: Any) -> Any:
        try:
            with entered(context):
                return await behaviour(request, call)
        finally:
            context.end()

    return coroutine


def _async_generator(context: MirrorContext, behaviour: Any) -> Any:
    async def generator(request: Any, call: Any) -> Any:
        answers = behaviour(request, call)
        try:
            with suppress(StopAsyncIteration):
                while True:
                    with entered(context):
                        answer = await anext(answers)
                    yield answer
        finally:
            context.end()
            with entered(context):
                await answers.aclose()

    return generator


def _generator(context: MirrorContext, behaviour: Any) -> Any:
    def generator(request: Any, call: Any) -> Any:
        try:
            with entered(context):
                answers = iter(behaviour(request, call))
            with suppress(StopIteration):
                while True:
                    with entered(context):
                        answer = next(answers)
                    yield answer
        finally:
            context.end()

    return generator
