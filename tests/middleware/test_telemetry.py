"""The application's own trace: ids and `mirror.*` attributes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from mirrorproof import side_effect
from mirrorproof.telemetry import parse_traceparent

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = (b"traceparent", f"00-{TRACE}-{SPAN}-00".encode())


@pytest.fixture
def spans() -> Iterator[Any]:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    exporter.tracer = provider.get_tracer("test")  # type: ignore[attr-defined]
    yield exporter
    provider.shutdown()


async def app(scope: Any, receive: Any, send: Any) -> None:
    with side_effect("mail.send"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body"})


@pytest.mark.parametrize("inside", [False, True], ids=["span outside", "span inside"])
async def test_the_current_span_says_that_the_request_is_mirrored_and_is_named_in_the_exchange(
    wrap: Any, spans: Any, inside: bool
) -> None:
    async def traced(*given: Any) -> None:
        with spans.tracer.start_as_current_span("inner"):
            await app(*given)

    house = wrap(traced if inside else app, role="shadow")
    if inside:
        await house.mirror(headers=[TRACEPARENT])
    else:
        with spans.tracer.start_as_current_span("outer"):
            await house.mirror(headers=[TRACEPARENT])
    (span,) = spans.get_finished_spans()
    assert span.attributes == {
        "mirror.mirrored": True,
        "mirror.role": "shadow",
        "mirror.mode": "dry_run",
        "mirror.pair_id": "pair-1",
        "mirror.effects.suppressed": 1,
    }
    assert house.exchange.trace_id == f"{span.context.trace_id:032x}"
    assert house.exchange.span_id == f"{span.context.span_id:016x}"


async def test_a_live_request_is_said_to_be_live(wrap: Any, spans: Any) -> None:
    with spans.tracer.start_as_current_span("outer"):
        await wrap(app).serve(headers=[(b"x-request-id", b"p")])
    attributes = spans.get_finished_spans()[0].attributes
    assert (attributes["mirror.mirrored"], attributes["mirror.mode"]) == (False, "live")
    assert "mirror.effects.suppressed" not in attributes


async def test_without_a_span_the_ids_come_from_traceparent(wrap: Any) -> None:
    house = wrap(app)
    await house.mirror(headers=[TRACEPARENT])
    assert (house.exchange.trace_id, house.exchange.span_id) == (TRACE, SPAN)


async def test_without_a_trace_there_are_no_ids(wrap: Any) -> None:
    house = wrap(app)
    await house.mirror()
    assert (house.exchange.trace_id, house.exchange.span_id) == (None, None)


async def test_a_span_that_is_not_recorded_still_gives_its_ids(wrap: Any) -> None:
    tracer = TracerProvider(sampler=ALWAYS_OFF).get_tracer("test")
    house = wrap(app)
    with tracer.start_as_current_span("dropped") as span:
        await house.mirror()
    assert house.exchange.trace_id == f"{span.get_span_context().trace_id:032x}"


async def test_a_request_that_fails_has_the_ids_of_traceparent(wrap: Any) -> None:
    async def failing(*_: Any) -> None:
        raise ValueError

    house = wrap(failing)
    with pytest.raises(ValueError):
        await house.mirror(headers=[TRACEPARENT])
    assert house.exchange.trace_id == TRACE


@pytest.mark.parametrize(
    "value",
    [
        b"", b"00", f"00-{TRACE}-{SPAN}".encode(), f"00-{TRACE.upper()}-{SPAN}-01".encode(),
        f"00-{'0' * 32}-{SPAN}-01".encode(), f"00-{TRACE}-{'0' * 16}-01".encode(),
        f"00-{TRACE[1:]}-{SPAN}-01".encode(), f"00-{TRACE[:-1]}\xff-{SPAN}-01".encode("latin-1"),
    ],
)  # fmt: skip
def test_what_is_no_traceparent_gives_no_ids(value: bytes) -> None:
    assert parse_traceparent(value) is None


def test_a_traceparent_of_a_later_version_with_more_fields_is_read() -> None:
    assert parse_traceparent(f"01-{TRACE}-{SPAN}-01-what-comes".encode()) == (TRACE, SPAN)


@given(st.binary(max_size=80))
def test_no_traceparent_raises(value: bytes) -> None:
    parse_traceparent(value)
