"""Spans and metrics, received by a real OTLP server."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from otlp_sink import OtlpSink, attributes, otlp_sink

from mirrorproof.exchange import Exchange
from mirrorproof_sidecar.telemetry import Telemetry, wants_export

Make = Callable[..., Exchange]
TRACE = {"primary": ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")}
TRACE["shadow"] = (TRACE["primary"][0], "00f067aa0ba902b7")


@pytest.fixture
async def sink(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[OtlpSink]:
    async with otlp_sink() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")  # ours does not ask it
        yield receiver


def sides(make: Make, pair: str = "p1", **shadow: Any) -> list[Exchange]:
    ids = {side: {"trace_id": trace, "span_id": span} for side, (trace, span) in TRACE.items()}
    return [make("primary", pair, **ids["primary"]), make("shadow", pair, **(ids["shadow"] | shadow))]


async def test_a_difference_is_a_span_in_the_trace_of_its_request(
    sink: OtlpSink, running: Any, make_exchange: Make
) -> None:
    primary, shadow = sides(make_exchange, body=b'{"a":2}', status=201)
    async with running(match_sample=0) as client:
        await client.post(primary, shadow)
        await client.summary()
        await sink.wait_for(lambda sink: sink.spans)

    (span,) = sink.named("mirror.compare")
    assert sink.services == {"mirrorproof-recorder"}
    assert span.trace_id.hex() == TRACE["primary"][0]
    assert span.parent_span_id.hex() == TRACE["primary"][1]
    assert span.kind == Span.SPAN_KIND_INTERNAL
    assert span.flags & 0x300 == 0x300  # the parent is known to be remote
    links = {attributes(link)["mirror.side"]: link.span_id.hex() for link in span.links}
    assert links == {"primary": TRACE["primary"][1], "shadow": TRACE["shadow"][1]}
    assert span.start_time_unix_nano == primary.started_unix_ns
    assert span.end_time_unix_nano == shadow.started_unix_ns + shadow.duration_ns
    found = attributes(span)
    assert found["http.request.method"] == "GET"
    assert found["http.route"] == "/orders/{id}"
    assert (found["url.path"], found["http.response.status_code"]) == ("/orders/7", 200)
    assert (found["mirror.result"], found["mirror.pair_id"]) == ("different", "p1")
    assert (found["mirror.primary.status_code"], found["mirror.shadow.status_code"]) == (200, 201)
    assert found["mirror.shadow.trace_id"] == TRACE["shadow"][0]
    assert found["mirror.shadow.duration_ms"] == 8.0
    assert found["mirror.difference.paths"] == ["/body/a", "/status"]
    assert found["mirror.differences"] == 2
    event = attributes(span.events[0])
    assert event == {"path": "/body/a", "kind": "changed_value", "primary": "1", "shadow": "2"}


async def test_matches_become_spans_by_their_share(sink: OtlpSink, running: Any, make_exchange: Make) -> None:
    async with running(match_sample=1.0) as client:
        await client.post(*sides(make_exchange, "all"))
        await client.summary()
    async with running(match_sample=0.0) as client:
        await client.post(*sides(make_exchange, "none"))
        await client.summary()

    assert [attributes(span)["mirror.pair_id"] for span in sink.spans] == ["all"]


async def test_a_request_without_a_trace_gets_one_of_its_own(
    sink: OtlpSink, running: Any, make_exchange: Make
) -> None:
    none = {"trace_id": "0" * 32, "span_id": "nonsense"}
    async with running() as client:
        await client.post(make_exchange(**none), make_exchange("shadow", body=b"[]", **none))
        await client.summary()

    (span,) = sink.spans
    assert (span.parent_span_id, list(span.links)) == (b"", [])
    assert span.trace_id != b"\0" * 16


async def test_long_values_are_cut_and_many_differences_are_capped(
    sink: OtlpSink, running: Any, make_exchange: Make
) -> None:
    many = b'{"x":"' + b"y" * 100_000 + b'",' + b",".join(b'"k%d":1' % n for n in range(100)) + b"}"
    async with running() as client:
        await client.post(*sides(make_exchange, body=many))
        await client.summary()

    (span,) = sink.spans
    found = attributes(span)
    assert found["mirror.differences"] > 100
    assert len(found["mirror.difference.paths"]) == 32
    assert len(span.events) == 16
    assert max(len(str(value)) for event in span.events for value in attributes(event).values()) <= 256
    assert span.ByteSize() < 20_000


async def test_a_mad_clock_does_not_spoil_a_batch(sink: OtlpSink, running: Any, make_exchange: Make) -> None:
    last = 2**63 - 1
    async with running() as client:
        await client.post(*sides(make_exchange, "mad", body=b"[]", started_unix_ns=last, duration_ns=last))
        await client.post(*sides(make_exchange, "sane", body=b"[]"))
        await client.summary()

    assert {attributes(span)["mirror.pair_id"] for span in sink.spans} == {"mad", "sane"}


async def test_the_summary_and_metrics_count_spans(sink: OtlpSink, running: Any, make_exchange: Make) -> None:
    async with running() as client:
        await client.post(*sides(make_exchange, body=b"[]"))
        await client.summary()
        await sink.wait_for(lambda sink: sink.spans)
        while (counts := (await client.get("/v1/summary"))["spans"])["exported"] == 0:
            pass
        assert counts == {"made": 1, "exported": 1, "failed": 0, "dropped": 0}
        async with client.session.get("/metrics") as response:
            assert 'mirrorproof_spans{outcome="exported"} 1.0' in await response.text()

    assert sink.metric_posts >= 1


async def test_a_collector_that_refuses_is_counted(sink: OtlpSink, running: Any, make_exchange: Make) -> None:
    sink.status = 400
    async with running() as client:
        await client.post(*sides(make_exchange, body=b"[]"))
        await client.summary()
        while (counts := (await client.get("/v1/summary"))["spans"])["failed"] == 0:
            pass
    assert counts["made"] == 1


async def test_with_the_collector_down_stopping_still_ends_and_all_are_accounted_for(
    monkeypatch: pytest.MonkeyPatch, running: Any, make_exchange: Make
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    made: list[Telemetry] = []
    build = Telemetry.from_env

    def from_env(sample: float) -> Telemetry:
        made.append(build(sample))
        return made[-1]

    monkeypatch.setattr(Telemetry, "from_env", from_env)
    async with running() as client:
        await client.post(*sides(make_exchange, body=b"[]"))
        await client.summary()
        before_s = time.monotonic()
    assert time.monotonic() - before_s < 30  # it was 26.8 s for the SDK alone; ours gives up after 2 s

    counts = made[0].counts
    assert counts["made"] == 1
    assert counts["failed"] + counts["dropped"] == 1


@pytest.mark.parametrize(
    ("env", "wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x"}, True),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://x"}, False),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, False),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, False),
    ],
)
def test_traces_are_exported_when_the_standard_variables_say_so(env: dict[str, str], wanted: bool) -> None:
    assert wants_export(env, "traces") is wanted
