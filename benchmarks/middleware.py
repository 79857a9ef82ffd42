"""What the middleware adds to a request, beside its peers, in one interleaved run.

    python -m benchmarks.middleware [--rounds N] [--requests N]

Every variant wraps the same bare application and serves the same request (15 headers, as a mesh sends
them) in memory. Rounds are interleaved, so that a busy machine hits all variants alike; the figure of a
variant is the median over the rounds. Compare the ratios, not the nanoseconds.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import statistics
import time
from collections.abc import Callable
from typing import Any

from asgi_correlation_id import CorrelationIdMiddleware
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from rich.console import Console
from rich.table import Table
from starlette.middleware.base import BaseHTTPMiddleware

from mirrorproof import MirrorMiddleware, Settings
from mirrorproof.shipping import Shippable

App = Callable[[Any, Any, Any], Any]
PEER = "asgi-correlation-id"
BODY = b'{"id": 17, "name": "kettle", "price": 24.9, "stock": 3}' * 18  # about 1 KB


async def bare(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]}
    )
    await send({"type": "http.response.body", "body": BODY})


class NoOp:
    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


class NowhereAgent:
    """Takes captures as the shipping agent does, and lets them go: the network is not measured here."""

    def submit(self, item: Shippable) -> bool:
        return item.size > 0

    def flush(self) -> bool:
        return True


def mirror(capture: bool) -> MirrorMiddleware:
    settings = Settings.load({}, service="bench", role="primary", guards=False)
    agent: Any = NowhereAgent() if capture else None
    return MirrorMiddleware(bare, settings=settings, agent=agent)


def instrumented() -> OpenTelemetryMiddleware:
    exporter = InMemorySpanExporter()
    exporter.export = lambda spans: exporter.shutdown()  # type: ignore[method-assign, assignment, return-value]
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return OpenTelemetryMiddleware(bare, tracer_provider=provider)


async def passed_on(request: Any, call_next: Any) -> Any:
    return await call_next(request)


VARIANTS: dict[str, Callable[[], App]] = {
    "bare application": lambda: bare,
    "no-op middleware": lambda: NoOp(bare),
    "mirrorproof, mark only": lambda: mirror(capture=False),
    "mirrorproof, capture": lambda: mirror(capture=True),
    PEER: lambda: CorrelationIdMiddleware(bare, validator=None),
    "Starlette BaseHTTPMiddleware, no-op": lambda: BaseHTTPMiddleware(bare, passed_on),
    "OpenTelemetry ASGI": instrumented,
}

HEADERS = [
    (b"host", b"orders.shop.svc.cluster.local"),
    (b"user-agent", b"python-httpx/0.28"),
    (b"accept", b"*/*"),
    (b"accept-encoding", b"gzip, deflate, br"),
    (b"accept-language", b"en"),
    (b"authorization", b"Bearer abcdefghijklmnop"),
    (b"cookie", b"session=0123456789abcdef"),
    (b"x-forwarded-for", b"10.0.0.7"),
    (b"x-forwarded-proto", b"http"),
    (b"x-request-id", b"7f3b1c4e-8a52-4a0f-9d4e-0c6a1f5b2d10"),
    (b"x-mirror-id", b"0d3c9a52-1f64-4e2e-8b8e-6a4f7c1d2e3f"),
    (b"x-envoy-attempt-count", b"1"),
    (b"x-envoy-expected-rq-timeout-ms", b"15000"),
    (b"traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    (b"tracestate", b""),
]


async def receive() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


async def send(message: dict[str, Any]) -> None:
    return None


def scope() -> dict[str, Any]:
    return {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
        "path": "/items/17", "raw_path": b"/items/17", "query_string": b"fresh=1", "root_path": "",
        "headers": HEADERS, "client": ("127.0.0.1", 50000), "server": ("127.0.0.1", 8000), "state": {},
    }  # fmt: skip


async def time_one(app: App, requests: int) -> float:
    """Nanoseconds for a request."""
    scopes = [scope() for _ in range(requests)]
    started = time.perf_counter_ns()
    for one in scopes:
        await app(one, receive, send)
    return (time.perf_counter_ns() - started) / requests


async def measure(rounds: int, requests: int) -> dict[str, float]:
    apps = {name: make() for name, make in VARIANTS.items()}
    times: dict[str, list[float]] = {name: [] for name in apps}
    for app in apps.values():
        await time_one(app, 200)  # warm up
    gc.disable()
    for _ in range(rounds):
        for name, app in apps.items():
            times[name].append(await time_one(app, requests))
        gc.collect()
    gc.enable()
    return {name: statistics.median(values) for name, values in times.items()}


def show(medians: dict[str, float]) -> None:
    base = medians["bare application"]
    peer = medians[PEER] - base
    table = Table(title=f"added to a request, over a bare application of {base:.0f} ns")
    table.add_column("variant")
    table.add_column("added, ns", justify="right")
    table.add_column(f"against {PEER}", justify="right")
    for name, median in medians.items():
        if name != "bare application":
            table.add_row(name, f"{median - base:,.0f}", f"{(median - base) / peer:.2f}")
    Console(width=100).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--requests", type=int, default=500, help="requests a round and variant")
    given = parser.parse_args()
    show(asyncio.run(measure(given.rounds, given.requests)))


if __name__ == "__main__":
    main()
