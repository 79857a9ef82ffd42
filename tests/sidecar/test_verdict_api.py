"""`GET /v1/verdict`, and the command that asks for it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from mirrorproof.decision import Role
from mirrorproof.errors import SettingsError
from mirrorproof.exchange import Batch, Exchange, SourceReport
from mirrorproof_sidecar.asking import ReportError
from mirrorproof_sidecar.commands import recorder, verdict
from mirrorproof_sidecar.gate import Gate, since_unix_s
from mirrorproof_sidecar.recorder.verdicts import Verdicts
from mirrorproof_sidecar.verdict_text import progress_line, render_verdict

Make = Callable[..., Exchange]
EASY = """
[all]
max_difference_rate = 0.2
max_effect_difference_rate = 0.2
max_error_increase = 0.3
max_p95_slowdown = inf
[each]
max_difference_rate = 0.2
max_effect_difference_rate = 0.2
max_error_increase = 0.3
max_p95_slowdown = inf
"""
SOURCE = SourceReport(
    source_id="pod", service="orders", version="v2", role=Role.SHADOW, counters={"seen": 99, "captured": 99}
)


@pytest.fixture
def easy(tmp_path: Path) -> dict[str, Any]:
    """Settings with limits that a few dozen pairs decide."""
    file = tmp_path / "thresholds.toml"
    file.write_text(EASY)
    return {"thresholds": str(file)}


async def fill(client: Any, make: Make, pairs: int, *, different: int = 0, start: int = 0) -> None:
    exchanges = []
    for number in range(start, start + pairs):
        body = b"[2]" if number < start + different else b"[1]"
        exchanges += [
            make("primary", f"p{number}", body=b"[1]"), make("shadow", f"p{number}", body=body)
        ]  # fmt: skip
    await client.post(batch=Batch(exchanges=exchanges, source=SOURCE))
    await client.get("/v1/summary?settle=1")


async def invoke(client: Any, *flags: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, verdict, ["--recorder", client.url, *flags])


@pytest.mark.parametrize(
    ("pairs", "different", "expected", "status"),
    [(120, 0, "pass", 200), (120, 110, "fail", 417), (3, 0, "undecided", 425)],
)
async def test_the_gate_tells_by_its_status_and_the_plain_call_is_always_200(
    running: Any, easy: Any, make_exchange: Make, pairs: int, different: int, expected: str, status: int
) -> None:
    async with running(**easy) as client:
        await fill(client, make_exchange, pairs, different=different)

        gated = await client.get("/v1/verdict?gate=1", status)
        plain = await client.get("/v1/verdict?gate=0")

        assert gated["verdict"] == plain["verdict"] == expected
        assert gated["reasons"]
        assert gated["evidence"]["all"]["pairs"] == pairs
        assert gated["evidence"]["endpoints"][0]["route"] == "/orders/{id}"
        done = await invoke(client)
        assert done.exit_code == {"pass": 0, "fail": 1, "undecided": 2}[expected]
        assert expected.upper() in done.output
        assert gated["reasons"][0][:40] in done.output


async def test_nothing_recorded_is_undecided(client: Any) -> None:
    found = await client.get("/v1/verdict?gate=1", 425)

    assert found["reasons"][0] == "nothing has been compared yet"


async def test_losses_that_nobody_reported_are_undecided(
    running: Any, easy: Any, make_exchange: Make
) -> None:
    async with running(**easy) as client:
        sides = ("primary", "shadow")
        await client.post(*(make_exchange(side, f"p{n}") for n in range(120) for side in sides))

        found = await client.get("/v1/verdict?settle=1")

        assert found["verdict"] == "undecided"
        assert "no capturing process has reported what it lost" in found["reasons"][0]


async def test_since_leaves_out_what_came_before(running: Any, easy: Any, make_exchange: Make) -> None:
    async with running(**easy) as client:
        await fill(client, make_exchange, 50, different=50)

        assert (await client.get("/v1/verdict"))["verdict"] == "fail"
        later = await client.get("/v1/verdict?since=99999999999")
        assert (later["verdict"], later["since_unix_s"]) == ("undecided", 99999999999.0)


@pytest.mark.parametrize("query", ["gate=2", "since=yesterday", "since=nan", "settle=maybe", "wait=1"])
async def test_a_parameter_that_is_none_is_named(client: Any, query: str) -> None:
    found = await client.get(f"/v1/verdict?{query}", 400)

    assert query.partition("=")[0] in found["error"]


async def test_reading_it_needs_the_reading_token(running: Any) -> None:
    async with running(token="t", read_token="r") as client:
        await client.get("/v1/verdict", 401)
        await client.get("/v1/verdict", headers={"Authorization": "Bearer r"})


async def test_waiting_ends_when_it_is_decided(running: Any, easy: Any, make_exchange: Make) -> None:
    async with running(**easy) as client:
        await fill(client, make_exchange, 3)
        heard: list[str] = []
        batches = 0

        async def more(_seconds: float) -> None:
            nonlocal batches
            batches += 1
            await fill(client, make_exchange, 60, start=1000 * batches)

        gate = Gate(client.url, sleep=more)
        answer = await gate.wait(
            60, tell=lambda answer, problem: heard.append(problem or progress_line(answer or {}))
        )

        assert answer["verdict"] == "pass"
        assert heard[0].startswith("undecided after 3 pairs; about")
        assert heard[-1].startswith("pass after")


async def test_waiting_outlasts_a_recorder_that_restarts(running: Any) -> None:
    now_s = 0.0
    problems: list[str] = []

    async def pass_time(seconds: float) -> None:
        nonlocal now_s
        now_s += seconds

    gate = Gate("http://127.0.0.1:9", sleep=pass_time, monotonic=lambda: now_s)
    with pytest.raises(ReportError, match="connection refused"):
        await gate.wait(10, tell=lambda answer, problem: problems.append(problem))

    assert len(problems) == 6


async def test_waiting_does_not_outlast_a_wrong_token(running: Any) -> None:
    async with running(token="t") as client:
        with pytest.raises(ReportError, match="401"):
            await Gate(client.url).wait(600, tell=lambda answer, problem: None)


def test_a_recorder_that_is_not_there_is_undecided_and_no_failure_of_v2() -> None:
    for flags in ([], ["--wait", "--timeout", "0"], ["--since", "soon"]):
        done = CliRunner().invoke(verdict, ["--recorder", "http://127.0.0.1:9", *flags])

        assert done.exit_code == 2
        assert "Error: " in done.output


async def test_json_is_the_recorders_answer(client: Any) -> None:
    done = await invoke(client, "--format", "json")

    assert json.loads(done.output)["verdict"] == "undecided"
    assert done.exit_code == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [("now", 5000.0), ("90s", 4910.0), ("15m", 4100.0), ("1d", 0.0), ("1700000000.5", 1700000000.5)],
)
def test_since_is_a_time_or_how_long_ago(text: str, expected: float) -> None:
    assert since_unix_s(text, 5000.0) == expected


def test_since_that_is_neither_is_refused() -> None:
    with pytest.raises(SettingsError, match="since"):
        since_unix_s("yesterday", 0.0)


def test_a_wrong_threshold_stops_the_recorder_and_is_named(tmp_path: Path) -> None:
    file = tmp_path / "t.toml"
    file.write_text("[all]\nmax_diffrence_rate = 1")
    store = f"sqlite:///{tmp_path}/s.db"
    done = CliRunner().invoke(
        recorder, ["--listen", "127.0.0.1:0", "--store", store, "--thresholds", str(file)]
    )

    assert done.exit_code == 1
    assert "max_diffrence_rate" in done.output
    assert str(file) in done.output


@pytest.mark.parametrize("width", [60, 100, 160])
async def test_the_text_keeps_to_its_width_and_obeys_no_stranger(
    running: Any, make_exchange: Make, width: int
) -> None:
    evil = "\x1b[31m[bold]\r\n\u202e" + "x" * 200
    request = {"path": f"/{evil}", "route": None}
    async with running() as client:
        await client.post(make_exchange(request=request), make_exchange("shadow", request=request))
        text = render_verdict(await client.get("/v1/verdict?settle=1"), width=width)

    assert max(map(len, text.splitlines())) <= width
    assert not {"\x1b", "\r", "\u202e"} & set(text)
    assert "[bold]" in text


def test_among_many_endpoints_those_that_fail_are_shown() -> None:
    def scope(number: int) -> dict[str, Any]:
        named = {"method": "GET", "route": f"/{number}", "minor": False, "compared": 9, "checks": []}
        return named | {"verdict": "fail" if number == 80 else "pass"}

    everything = {"verdict": "fail", "compared": 900, "checks": []}
    answer = {
        "verdict": "fail", "reasons": ["GET /80: bad"], "more_requests": None,
        "evidence": {"all": everything, "endpoints": [scope(number) for number in range(100)], "notes": []},
    }  # fmt: skip

    text = render_verdict(answer, width=100)

    assert text.index("GET /80 ") < text.index("GET /0 ")
    assert "… and 75 more endpoints" in text


async def test_an_answer_that_took_long_serves_those_who_ask_soon_after() -> None:
    now_s, made = 0.0, 0

    async def make(since_s: float | None) -> dict[str, Any]:
        nonlocal now_s, made
        made += 1
        now_s += 2.0
        return {"number": made, "since": since_s}

    verdicts = Verdicts(make, monotonic=lambda: now_s)
    first, second = await asyncio.gather(verdicts.ask(), verdicts.ask())
    assert (first["number"], second["number"]) == (1, 1)
    assert (await verdicts.ask(7.0))["since"] == 7.0
    assert (await verdicts.ask(fresh=True))["number"] == 3
    now_s += 20.1
    assert (await verdicts.ask())["number"] == 4
