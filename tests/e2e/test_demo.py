"""The whole demo, as a user runs it: a real Envoy, two real services, a real OTLP receiver."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from otlp_sink import OtlpSink, otlp_sink

from mirrorproof_demo.planted import LATENCY, PLANTED, Planted

pytestmark = pytest.mark.timeout(300)

COMMAND = [sys.executable, "-c", "from mirrorproof.cli import main; main()", "demo"]


def clean_environment(**more: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "MIRRORPROOF_"))}
    return kept | more


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the demo and what the OTLP receiver got."""

    status: int
    stdout: str
    stderr: str
    sink: OtlpSink

    @property
    def figures(self) -> dict[str, Any]:
        """The JSON object on standard output."""
        found: dict[str, Any] = json.loads(self.stdout)
        return found


def demo(*arguments: str) -> Run:
    """`mirrorproof demo` with these arguments, exporting to a receiver of its own."""

    async def run() -> Run:
        async with otlp_sink() as sink:
            process = await asyncio.create_subprocess_exec(
                *COMMAND,
                *arguments,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=clean_environment(OTEL_EXPORTER_OTLP_ENDPOINT=sink.url),
            )
            stdout, stderr = await process.communicate()
            return Run(process.returncode or 0, stdout.decode(), stderr.decode(), sink)

    return asyncio.run(run())


@pytest.fixture(scope="module")
def full() -> Run:
    """The run that the issue asks for: 500 requests on SQLite."""
    return demo("--requests", "500", "--format", "json")


def test_the_proof_holds_for_five_hundred_requests(full: Run) -> None:
    assert full.status == 0, full.stdout + full.stderr
    assert full.figures["proof"] == {"holds": True, "reasons": []}
    assert full.figures["requests"] == full.figures["mirrored"] == 500


def test_the_shadow_writes_nothing_at_all(full: Run) -> None:
    assert full.figures["writes_by_shadow"] == 0
    assert full.figures["writes_by_primary"] > 200
    assert {place for place, counts in full.figures["writes"].items() if counts.get("v1")} == {
        "rows in cart_lines", "rows in orders", "rows in mail_queue", "payments", "pick-list lines",
    }  # fmt: skip


def test_every_mirrored_request_is_a_pair_or_is_named_as_unpaired(full: Run) -> None:
    figures = full.figures
    assert figures["pairs"] == figures["mirrored"] - figures["unpaired"]
    assert figures["unpaired"] == sum(figures["unpaired_by"].values())
    assert figures["pairs"] == figures["matched"] + figures["different"] + figures["incomparable"]
    assert figures["matched"] > 100


def test_what_v1_wrote_is_what_v2_was_kept_from_writing(full: Run) -> None:
    figures = full.figures
    short = figures["writes_by_primary"] - figures["effects_suppressed"]
    # Of a request that was given up for v1's sake, what it would have written is not known.
    assert short == 0 or (short > 0 and figures["yielded"] + figures["unpaired"] > 0)


@pytest.mark.parametrize("planted", PLANTED, ids=lambda one: f"{one.name} at {one.endpoint} {one.path}")
def test_every_planted_difference_is_found_at_its_path(full: Run, planted: Planted) -> None:
    found = [
        one
        for one in full.figures["planted"]
        if (one["name"], one["endpoint"]) == (planted.name, planted.endpoint) and _at(planted, one["path"])
    ]
    assert [one["found"] for one in found] == [True]


def _at(planted: Planted, path: str) -> bool:
    parts = planted.path.split("*")
    return path.replace("~1", "/").startswith(parts[0]) and path.endswith(parts[-1])


def test_the_written_amount_is_found_at_the_path_that_the_design_names(full: Run) -> None:
    paths = {one["path"] for one in full.figures["planted"]}
    assert {"/effects/sql.insert/orders/0", "/body/total", LATENCY} <= paths


def test_nothing_differs_that_nobody_planted(full: Run) -> None:
    assert full.figures["unexpected"] == []


def test_each_difference_arrives_as_a_span_with_a_link_to_either_side(full: Run) -> None:
    compared = full.sink.named("mirror.compare")
    assert len(compared) == full.figures["spans_exported"] >= full.figures["different"] > 0
    for span in compared:
        assert len(span.links) == 2
        assert {link.trace_id for link in span.links} == {span.trace_id}
        assert len({link.span_id for link in span.links}) == 2


def test_the_spans_are_in_the_traces_that_envoy_began_and_their_links_lead_somewhere(full: Run) -> None:
    compared = full.sink.named("mirror.compare")
    own = {span.span_id for span in compared}
    traces = {span.trace_id for span in full.sink.spans if span.span_id not in own}
    known = {span.span_id for span in full.sink.spans}
    assert {"edge", "shop"} <= full.sink.services
    assert {span.trace_id for span in compared} <= traces
    assert {link.span_id for span in compared for link in span.links} <= known


def test_standard_output_is_one_json_object_and_nothing_else(full: Run) -> None:
    assert full.stdout.count("\n") == 1
    assert "Traceback" not in full.stderr


@pytest.mark.parametrize("driver", ["postgresql", "postgresql+psycopg"])
def test_the_proof_holds_on_postgresql(postgres_url: str, driver: str) -> None:
    url = postgres_url.replace("postgresql", driver, 1)
    run = demo("--requests", "100", "--format", "json", "--database", url)
    assert run.status == 0, run.stdout + run.stderr
    assert run.figures["writes_by_shadow"] == 0
    assert run.figures["writes_by_primary"] > 0
    assert run.figures["pairs"] == run.figures["mirrored"] - run.figures["unpaired"]


def test_without_guards_the_shadow_writes_and_the_proof_fails_in_words() -> None:
    run = demo("--requests", "60", "--format", "json", "--without-guards")
    assert run.status == 1, run.stderr
    assert run.figures["writes_by_shadow"] > 0
    assert run.figures["writes"]["payments"]["v2"] > 0
    assert run.figures["writes"]["rows in orders"]["v2"] > 0
    assert any("v2 wrote for real" in reason for reason in run.figures["proof"]["reasons"])
    assert run.figures["unexpected"] == []


def test_the_report_for_people_tells_the_whole_story() -> None:
    run = demo("--requests", "60")
    assert run.status == 0, run.stdout + run.stderr
    for words in (
        "What ran", "Planted differences", "Noise, hidden by rules", "Side effects of v2", "Completeness",
        "The proof", "The proof holds",
    ):  # fmt: skip
        assert words in run.stdout
    assert all(line == line.rstrip() and len(line) <= 100 for line in run.stdout.splitlines())


def test_a_receiver_that_is_down_and_settings_of_the_users_change_nothing_but_the_spans(
    tmp_path: Path,
) -> None:
    environment = clean_environment(
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1",
        MIRRORPROOF_ROLE="shadow",
        MIRRORPROOF_CONFIG=str(tmp_path / "none.toml"),
    )
    command = [*COMMAND, "--requests", "40", "--format", "json"]
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=250, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert json.loads(ended.stdout)["spans_exported"] == 0
