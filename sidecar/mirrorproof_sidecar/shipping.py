"""A span processor that counts what it loses and never holds up a shutdown.

Knows spans and an exporter. Must not know what a span is about.
"""

from __future__ import annotations

import time
from collections import deque
from threading import Condition, Thread
from typing import Final

from opentelemetry.context import Context, attach, set_value
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

__all__ = ["ShippingProcessor"]

_QUEUE_SPANS: Final = 10_000
_BATCH_SPANS: Final = 512
_DELAY_S: Final = 0.2


class ShippingProcessor(SpanProcessor):
    """Exports ended spans from a thread of its own, in batches. A full queue drops the newest, counted."""

    def __init__(self, exporter: SpanExporter, *, queue_spans: int = _QUEUE_SPANS) -> None:
        self._exporter = exporter
        self._limit = queue_spans
        self._changed = Condition()
        self._queue: deque[ReadableSpan] = deque()
        self._made = self._exported = self._failed = self._dropped = 0
        self._flushing = self._closing = False
        self._thread = Thread(target=self._run, name="mirrorproof-spans", daemon=True)
        self._thread.start()

    @property
    def counts(self) -> dict[str, int]:
        """Spans since the start, by what became of them."""
        with self._changed:
            return {
                "made": self._made, "exported": self._exported, "failed": self._failed,
                "dropped": self._dropped,
            }  # fmt: skip

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Nothing to do."""

    def on_end(self, span: ReadableSpan) -> None:
        """Queue the span."""
        with self._changed:
            self._made += 1
            if self._closing or len(self._queue) >= self._limit:
                self._dropped += 1
                return
            self._queue.append(span)
            if len(self._queue) >= _BATCH_SPANS:
                self._changed.notify_all()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Wait until nothing is on its way; whether that was in time."""
        with self._changed:
            self._flushing = True
            self._changed.notify_all()
            return self._changed.wait_for(lambda: self._on_their_way == 0, timeout_millis / 1000)

    def shutdown(self) -> None:
        """As `close`, with the SDK's name."""
        self.close(2.0)

    def close(self, timeout_s: float) -> None:
        """Export what is queued within `timeout_s`, then count the rest as dropped."""
        deadline_s = time.monotonic() + timeout_s
        with self._changed:
            already, self._closing = self._closing, True
            self._changed.notify_all()
        if already:
            return
        # Half of the time for exporting; then the exporter's retries are interrupted.
        self._thread.join(timeout_s / 2)
        stopper = Thread(target=self._exporter.shutdown, daemon=True)
        stopper.start()
        self._thread.join(max(0.0, deadline_s - time.monotonic()))
        with self._changed:
            self._dropped += self._on_their_way
            self._queue.clear()

    @property
    def _on_their_way(self) -> int:
        return self._made - self._exported - self._failed - self._dropped

    def _run(self) -> None:
        # What the exporter itself sends must not be traced: the key that instrumentations look for.
        attach(set_value("suppress_instrumentation", True))
        while batch := self._next_batch():
            self._export(batch)

    def _next_batch(self) -> list[ReadableSpan]:
        with self._changed:
            while not self._queue:
                if self._closing:
                    return []
                self._changed.wait(_DELAY_S)
            if not (self._closing or self._flushing):
                self._changed.wait_for(self._urgent, _DELAY_S)
            self._flushing = False
            return [self._queue.popleft() for _ in range(min(_BATCH_SPANS, len(self._queue)))]

    def _urgent(self) -> bool:
        return self._closing or self._flushing or len(self._queue) >= _BATCH_SPANS

    def _export(self, batch: list[ReadableSpan]) -> None:
        try:
            worked = self._exporter.export(batch) is SpanExportResult.SUCCESS
        except Exception:
            worked = False
        with self._changed:
            if self._on_their_way < len(batch):
                return  # given up and counted by `close`
            if worked:
                self._exported += len(batch)
            else:
                self._failed += len(batch)
            self._changed.notify_all()
