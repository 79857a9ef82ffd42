"""Prometheus metrics of the recorder, in a registry of its own.

Knows names and labels. Must not know the store. Labels stay bounded: after `MAX_ENDPOINTS` endpoints,
further ones are counted as "other".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from mirrorproof.exchange import Exchange
from mirrorproof_sidecar.endpoints import Endpoint, endpoint_asked
from mirrorproof_sidecar.finding import Finding, failed

__all__ = ["CONTENT_TYPE", "MAX_ENDPOINTS", "Metrics"]

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
MAX_ENDPOINTS: Final = 200

_LABELS: Final = ("service", "method", "route")
_BUCKETS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_SLOWER_S: Final = (-5, -1, -0.5, -0.25, -0.1, -0.05, -0.01, 0, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 5)


class Metrics:
    """Everything that `/metrics` shows. Safe from any thread."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._endpoints: set[Endpoint] = set()
        self.exchanges = Counter("mirrorproof_exchanges", "Exchanges stored", ["side"], registry=registry)
        self.duplicates = Counter(
            "mirrorproof_duplicates", "Exchanges that were known already", registry=registry
        )
        self.rejected = Counter(
            "mirrorproof_rejected_posts", "Posts that were not taken", ["reason"], registry=registry
        )
        self.backlog = Gauge("mirrorproof_backlog", "Requests that wait to be settled", registry=registry)
        self.settle_errors = Counter(
            "mirrorproof_settle_errors", "Rounds of settling that failed", registry=registry
        )
        self.spans = Gauge("mirrorproof_spans", "Spans since the start", ["outcome"], registry=registry)
        self.pairs = Counter(
            "mirrorproof_pairs", "Comparisons", [*_LABELS, "against", "result"], registry=registry
        )
        self.failures = Counter(
            "mirrorproof_failures", "Compared answers that were a 5xx or none", [*_LABELS, "side"],
            registry=registry,
        )  # fmt: skip
        self.durations = Histogram(
            "mirrorproof_duration_seconds", "Duration of compared requests", [*_LABELS, "side"],
            buckets=_BUCKETS_S, registry=registry,
        )  # fmt: skip
        self.slower = Histogram(
            "mirrorproof_slower_seconds", "How much longer the shadow took than the primary", _LABELS,
            buckets=_SLOWER_S, registry=registry,
        )  # fmt: skip

    def observe(self, _pair: str, finding: Finding) -> None:
        """Count a finding."""
        labels = self._labels(finding.primary)
        against = finding.match.against.value
        self.pairs.labels(*labels, against, finding.comparison.result.value).inc()
        for side, exchange in (("primary", finding.primary), (against, finding.other)):
            self.durations.labels(*labels, side).observe(exchange.duration_ns / 1e9)
            if failed(exchange):
                self.failures.labels(*labels, side).inc()
        if against == "shadow":
            slower_ns = finding.other.duration_ns - finding.primary.duration_ns
            self.slower.labels(*labels).observe(slower_ns / 1e9)

    def count_spans(self, counts: Mapping[str, int]) -> None:
        """Show what became of the spans."""
        for outcome, count in counts.items():
            self.spans.labels(outcome).set(count)

    def render(self) -> bytes:
        """The exposition text."""
        return generate_latest(self.registry)

    def _labels(self, exchange: Exchange) -> tuple[str, str, str]:
        endpoint = endpoint_asked(exchange)
        if endpoint not in self._endpoints:
            if len(self._endpoints) >= MAX_ENDPOINTS:
                return "other", "other", "other"
            self._endpoints.add(endpoint)
        return endpoint.service, endpoint.method, endpoint.route
