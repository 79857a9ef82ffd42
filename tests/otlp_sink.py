"""An OTLP/HTTP receiver for tests: keeps every span that it is sent, as the protocol's own messages."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span


@dataclass
class OtlpSink:
    """What has arrived. `url` is for OTEL_EXPORTER_OTLP_ENDPOINT; `status` what posts are answered."""

    url: str = ""
    status: int = 200
    spans: list[Span] = field(default_factory=list)
    services: set[str] = field(default_factory=set)
    metric_posts: int = 0

    def named(self, name: str) -> list[Span]:
        """The spans of this name."""
        return [span for span in self.spans if span.name == name]

    async def wait_for(self, condition: Callable[[OtlpSink], Any], timeout_s: float = 20.0) -> None:
        """Wait until `condition(sink)` holds."""
        async with asyncio.timeout(timeout_s):
            while not condition(self):
                await asyncio.sleep(0.02)

    async def take_traces(self, request: web.Request) -> web.Response:
        body = await request.read()
        if body[:2] == b"\x1f\x8b":
            body = gzip.decompress(body)
        if self.status == 200:
            for part in ExportTraceServiceRequest.FromString(body).resource_spans:
                self.services |= {
                    a.value.string_value for a in part.resource.attributes if a.key == "service.name"
                }
                self.spans += [span for scope in part.scope_spans for span in scope.spans]
        return web.Response(
            status=self.status, body=ExportTraceServiceResponse().SerializeToString(),
            content_type="application/x-protobuf",
        )  # fmt: skip

    async def take_metrics(self, request: web.Request) -> web.Response:
        await request.read()
        self.metric_posts += 1
        return web.Response(status=self.status, content_type="application/x-protobuf")


def attributes(of: Any) -> dict[str, Any]:
    """The attributes of a span, link or event as plain values."""
    return {attribute.key: _plain(attribute.value) for attribute in of.attributes}


def _plain(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_plain(item) for item in value.array_value.values]
    return getattr(value, kind) if kind else None


@asynccontextmanager
async def otlp_sink() -> AsyncIterator[OtlpSink]:
    """A receiver on a free port of loopback."""
    sink = OtlpSink()
    app = web.Application(client_max_size=64 << 20)
    app.router.add_post("/v1/traces", sink.take_traces)
    app.router.add_post("/v1/metrics", sink.take_metrics)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    sink.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield sink
    finally:
        await runner.cleanup()
