"""OpenTelemetry: comparisons as spans in the trace of their request, and metrics for the rest.

Knows the SDK and what of a finding is worth a span. Must not know HTTP or the store's tables.

Theory of operation. Istio sends mirrors with the trace flag `-00`, so a parent-based sampler would drop
every span about them: this provider is our own and samples always, under a parent that is said to be
sampled. Whether a comparison is worth a span is decided here: each that differs, and a share of the others
by a hash of the pair's id. The SDK's own batch processor drops silently and may block a shutdown for
half a minute, so spans leave through a queue and a thread of ours, which count and give up in time.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from threading import Thread
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    TraceFlags,
    set_span_in_context,
)
from opentelemetry.util.types import AttributeValue

from mirrorproof.exchange import Exchange
from mirrorproof_sidecar.compare import Difference, Result
from mirrorproof_sidecar.finding import Finding, failed, values_json
from mirrorproof_sidecar.pairing import Side
from mirrorproof_sidecar.shipping import ShippingProcessor

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import MetricExporter

__all__ = ["Telemetry", "wants_export"]

SHUTDOWN_S: Final = 2.0
_MAX_PATHS: Final = 32
_MAX_EVENTS: Final = 16
_MAX_VALUE_CHARS: Final = 256
_LAST_NS: Final = 2**63 - 1  # one span with a mad clock must not spoil a whole batch
_DEFAULT_SERVICE: Final = "mirrorproof-recorder"
_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_{}_ENDPOINT")


class Telemetry:
    """Makes spans and metrics of findings; without exporters it does nothing. Safe from any thread."""

    def __init__(
        self,
        match_sample: float,
        span_exporter: SpanExporter | None = None,
        metric_exporter: MetricExporter | None = None,
    ) -> None:
        self._sample = match_sample
        resource = Resource.create({SERVICE_NAME: os.environ.get("OTEL_SERVICE_NAME") or _DEFAULT_SERVICE})
        self._shipping = ShippingProcessor(span_exporter) if span_exporter else None
        self._meters = _meters(metric_exporter, resource) if metric_exporter else None
        if self._shipping:
            provider = TracerProvider(sampler=ALWAYS_ON, resource=resource, shutdown_on_exit=False)
            provider.add_span_processor(self._shipping)
            self._tracer = provider.get_tracer("mirrorproof")
        if self._meters:
            meter = self._meters.get_meter("mirrorproof")
            self._pairs = meter.create_counter("mirror.pairs", "{pair}", "Comparisons by result")
            self._slower = meter.create_histogram(
                "mirror.latency.difference", "s", "How much longer the shadow took than the primary"
            )

    @classmethod
    def from_env(cls, match_sample: float) -> Telemetry:
        """Exporters as the `OTEL_*` variables say; none unless one of them names an OTLP endpoint."""
        spans = _exporter("traces") if wants_export(os.environ, "traces") else None
        metrics = _exporter("metrics") if wants_export(os.environ, "metrics") else None
        return cls(match_sample, spans, metrics)

    @property
    def counts(self) -> dict[str, int]:
        """Spans since the start: made = exported + failed + dropped + those still on their way."""
        if self._shipping is None:
            return dict.fromkeys(("made", "exported", "failed", "dropped"), 0)
        return self._shipping.counts

    def observe(self, pair: str, finding: Finding) -> None:
        """Report a finding."""
        if self._meters:
            self._measure(finding)
        if self._shipping and self._worth_a_span(pair, finding):
            self._trace(finding)

    def flush(self, timeout_s: float = 10.0) -> bool:
        """Wait until the spans made so far are exported or given up. Whether they were in time."""
        return self._shipping is None or self._shipping.force_flush(int(timeout_s * 1000))

    def shutdown(self, timeout_s: float = SHUTDOWN_S) -> None:
        """Export what can be exported within `timeout_s`; what remains is counted as dropped."""
        meters = self._meters
        thread = Thread(target=lambda: meters and meters.shutdown(int(timeout_s * 1000)), daemon=True)
        thread.start()  # the two at once: a dead collector costs the time once
        if self._shipping:
            self._shipping.close(timeout_s)
        thread.join(timeout_s)

    def _worth_a_span(self, pair: str, finding: Finding) -> bool:
        if finding.match.against is not Side.SHADOW:
            return False  # two copies of v1 differ by noise, which is counted only
        if finding.comparison.result is Result.DIFFERENT:
            return True
        return int(pair[:8], 16) / 2**32 < self._sample

    def _trace(self, finding: Finding) -> None:
        primary, other = finding.primary, finding.other
        contexts = {"primary": _context_of(primary), finding.match.against.value: _context_of(other)}
        parent = next((context for context in contexts.values() if context), None)
        span = self._tracer.start_span(
            "mirror.compare",
            context=set_span_in_context(NonRecordingSpan(parent)) if parent else None,
            kind=SpanKind.INTERNAL,
            attributes=_attributes(finding),
            links=[Link(context, {"mirror.side": side}) for side, context in contexts.items() if context],
            start_time=min(primary.started_unix_ns, other.started_unix_ns),
        )
        end_ns = min(_LAST_NS, max(e.started_unix_ns + e.duration_ns for e in (primary, other)))
        for difference in finding.comparison.differences[:_MAX_EVENTS]:
            span.add_event("mirror.difference", _difference(difference), timestamp=end_ns)
        span.end(end_ns)

    def _measure(self, finding: Finding) -> None:
        against = finding.match.against.value
        labels = {"mirror.service": finding.primary.service, "mirror.against": against}
        self._pairs.add(1, {**labels, "mirror.result": finding.comparison.result.value})
        self._slower.record((finding.other.duration_ns - finding.primary.duration_ns) / 1e9, labels)


def wants_export(env: Mapping[str, str], signal: str) -> bool:
    """Whether the standard variables ask for this signal ("traces", "metrics") to be exported by OTLP."""
    chosen = env.get(f"OTEL_{signal.upper()}_EXPORTER", "").strip().lower()
    if env.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or chosen == "none":
        return False
    return chosen == "otlp" or any(env.get(name.format(signal.upper())) for name in _ENDPOINTS)


def _exporter(signal: str) -> Any:
    protocol = (
        os.environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL")
        or os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
        or "http/protobuf"
    )
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcMetrics
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpans

        return GrpcSpans() if signal == "traces" else GrpcMetrics()
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpMetrics
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpans

    return HttpSpans() if signal == "traces" else HttpMetrics()


def _meters(exporter: MetricExporter, resource: Resource) -> MeterProvider:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

    reader = PeriodicExportingMetricReader(exporter)
    return MeterProvider([reader], resource=resource, shutdown_on_exit=False)


def _context_of(exchange: Exchange) -> SpanContext | None:
    """The span of one side; `None` where its ids are missing or none that W3C Trace Context knows."""
    try:
        trace_id, span_id = int(exchange.trace_id or "", 16), int(exchange.span_id or "", 16)
    except ValueError:
        return None
    context = SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    return context if context.is_valid else None


def _attributes(finding: Finding) -> dict[str, AttributeValue]:
    primary, comparison = finding.primary, finding.comparison
    request = primary.request
    paths = [_cut(difference.path) for difference in comparison.differences[:_MAX_PATHS]]
    attributes: dict[str, AttributeValue] = {
        "http.request.method": request.method,
        "url.path": _cut(request.path),
        "mirror.pair_id": primary.pair_id,
        "mirror.service": primary.service,
        "mirror.result": comparison.result.value,
        "mirror.differences": len(comparison.differences) + comparison.differences_omitted,
        "mirror.difference.paths": paths,
    }
    if request.route:
        attributes["http.route"] = _cut(request.route)
    if primary.response:
        attributes["http.response.status_code"] = primary.response.status
    if comparison.incomparable:
        attributes["mirror.incomparable"] = [_cut(reason) for reason in comparison.incomparable[:_MAX_PATHS]]
    for side, exchange in (("primary", primary), (finding.match.against.value, finding.other)):
        attributes |= {f"mirror.{side}.{name}": value for name, value in _side(exchange).items()}
    return attributes


def _side(exchange: Exchange) -> dict[str, AttributeValue]:
    # As attributes as well as links: some back ends drop links.
    side: dict[str, AttributeValue] = {
        "version": _cut(exchange.version), "duration_ms": round(exchange.duration_ns / 1e6, 3),
        "failed": failed(exchange),
    }  # fmt: skip
    if exchange.trace_id and exchange.span_id:
        side |= {"trace_id": _cut(exchange.trace_id), "span_id": _cut(exchange.span_id)}
    if exchange.response:
        side["status_code"] = exchange.response.status
    if exchange.error:
        side["error"] = _cut(exchange.error)
    return side


def _difference(difference: Difference) -> dict[str, AttributeValue]:
    values = {side: _cut(text) for side, text in values_json(difference).items()}
    return {"path": _cut(difference.path), "kind": difference.kind.value, **values}


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_VALUE_CHARS else text[: _MAX_VALUE_CHARS - 1] + "…"
