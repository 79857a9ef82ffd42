"""The span processor: it counts everything and never holds up an end."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from mirrorproof_sidecar.shipping import ShippingProcessor


class Exporter(SpanExporter):
    """Exports when `gate` is open, and answers as it was told to."""

    def __init__(self, result: SpanExportResult | Exception = SpanExportResult.SUCCESS) -> None:
        self.result = result
        self.gate = threading.Event()
        self.began = threading.Event()
        self.ended = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.began.set()
        self.gate.wait()
        if isinstance(self.result, Exception):
            raise self.result
        return self.result

    def shutdown(self) -> None:
        self.ended.set()


def spans(processor: ShippingProcessor, number: int) -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(processor)
    for _ in range(number):
        provider.get_tracer("t").start_span("s").end()


def counts(made: int, exported: int = 0, failed: int = 0, dropped: int = 0) -> dict[str, int]:
    return {"made": made, "exported": exported, "failed": failed, "dropped": dropped}


def test_what_is_exported_is_counted() -> None:
    exporter = Exporter()
    exporter.gate.set()
    processor = ShippingProcessor(exporter)
    spans(processor, 1000)

    assert processor.force_flush()
    assert processor.counts == counts(1000, exported=1000)
    processor.close(5)
    assert exporter.ended.wait(5)


def test_an_exporter_that_fails_or_raises_is_counted() -> None:
    for result in (SpanExportResult.FAILURE, RuntimeError("no")):
        exporter = Exporter(result)
        exporter.gate.set()
        processor = ShippingProcessor(exporter)
        spans(processor, 3)

        assert processor.force_flush()
        assert processor.counts == counts(3, failed=3)
        processor.close(5)


def test_a_full_queue_drops_and_counts() -> None:
    exporter = Exporter()
    processor = ShippingProcessor(exporter, queue_spans=5)
    spans(processor, 1)
    exporter.began.wait()
    spans(processor, 9)

    assert processor.counts == counts(10, dropped=4)
    exporter.gate.set()
    assert processor.force_flush()
    assert processor.counts == counts(10, exported=6, dropped=4)


def test_an_exporter_that_hangs_does_not_hold_up_the_end() -> None:
    exporter = Exporter()
    processor = ShippingProcessor(exporter)
    spans(processor, 1)
    exporter.began.wait()
    spans(processor, 3)

    processor.close(0.2)

    assert processor.counts == counts(4, dropped=4)
    exporter.gate.set()  # what comes back later is not counted twice
    processor._thread.join(5)
    assert processor.counts == counts(4, dropped=4)
    spans(processor, 1)
    assert processor.counts == counts(5, dropped=5)
