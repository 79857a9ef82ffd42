"""Tracing of the demo's services: the plain OpenTelemetry SDK, as a service would set it up.

v1 follows the caller's sampling decision. v2 samples always: Istio and Envoy send mirrors with the trace
flags 00, and the default sampler would drop every span of v2, so that links to them lead nowhere.

Knows the SDK. Must not know the shop.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from threading import Thread
from typing import Any, Final

from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased

from mirrorproof_demo.envoy import ENDPOINT_VARIABLE, PROTOCOL_VARIABLE

__all__ = ["traced"]

_SHUTDOWN_S: Final = 2.0


def traced(app: Any, *, service: str, version: str, always: bool) -> tuple[Any, Callable[[], None]]:
    """`app` with a server span around each request, and what to call at the end, which never hangs."""
    sampler = ALWAYS_ON if always else ParentBased(ALWAYS_ON)
    resource = Resource.create({"service.name": service, "service.version": version})
    provider = TracerProvider(sampler=sampler, resource=resource, shutdown_on_exit=False)
    if os.environ.get(ENDPOINT_VARIABLE):
        provider.add_span_processor(BatchSpanProcessor(_exporter(), schedule_delay_millis=500))
    wrapped = OpenTelemetryMiddleware(app, tracer_provider=provider, exclude_spans=["receive", "send"])
    return wrapped, lambda: _shut_down(provider)


def _exporter() -> SpanExporter:
    if os.environ.get(PROTOCOL_VARIABLE, "http/protobuf") == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter

        return GrpcExporter(timeout=_SHUTDOWN_S)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter

    return HttpExporter(timeout=_SHUTDOWN_S)


def _shut_down(provider: TracerProvider) -> None:
    # With the receiver down, the SDK's own shutdown was seen to block for 27 s.
    ending = Thread(target=provider.shutdown, daemon=True)
    ending.start()
    ending.join(_SHUTDOWN_S)
