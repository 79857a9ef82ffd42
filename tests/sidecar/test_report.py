"""The report: what it says, and that it never keeps silent about what is missing."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from mirrorproof.exchange import Effect, Exchange, Outcome
from mirrorproof_sidecar.report import ReportError, fetch_summary, render_text

Make = Callable[..., Exchange]


async def summary_of(client: Any, *exchanges: Exchange) -> Any:
    if exchanges:
        await client.post(*exchanges)
    return await fetch_summary(client.url)


async def test_differences_noise_and_effects_are_shown(client: Any, make_exchange: Make) -> None:
    effect = Effect(kind="sql.insert", target="mails", summary="", digest="d", outcome=Outcome.SUPPRESSED)
    summary = await summary_of(
        client,
        make_exchange(body=b'{"total": 1.5}', effects=[]),
        make_exchange("shadow", body=b'{"total": null}', effects=[effect]),
    )

    text = render_text(summary)

    assert "1 pair compared: 0 matched, 1 different" in text
    assert "/body/total" in text
    assert "1.5 → null" in text
    assert "100.0 %" in text
    assert "/headers/date" in text
    assert "the time of the answer" in text
    assert "sql.insert" in text
    assert "suppressed" in text


async def test_missing_partners_are_said_first_hand(client: Any, make_exchange: Make) -> None:
    summary = await summary_of(
        client, make_exchange(), make_exchange("shadow"), make_exchange("primary", "alone")
    )

    text = render_text(summary)

    assert "! 1 of 2 requests of the primary have no partner (1 still waiting)" in text
    assert "0 of 1 requests of the shadow have no partner" in text
    assert "no capturing process has reported its counters" in text


async def test_an_empty_recorder_is_not_called_clean(client: Any) -> None:
    text = render_text(await summary_of(client))

    assert "nothing has been compared yet" in text
    assert "unaccounted" not in text


async def test_every_loss_has_a_sentence(client: Any, make_exchange: Make) -> None:
    summary = await summary_of(client, make_exchange(), make_exchange("shadow"))
    held = summary["completeness"]
    held["dropped"] = {"queue_full": 11, "unsent": 12, "rejected": 13}
    held["refused"] = {"malformed": 14, "untrusted": 15}
    names = ("truncated", "yielded", "no_pair_id", "body_overrun", "unmarked", "mark_ignored", "effects_lost",
             "effects_late", "observer_errors", "sampled_out", "revised", "effects_outside")  # fmt: skip
    held |= {name: number for number, name in enumerate(names, start=21)}
    summary["spans"] = {"made": 99, "exported": 50, "failed": 48, "dropped": 1}

    text = render_text(summary)

    for number in (11, 12, 13, 14, 15, *range(21, 21 + len(names)), 49):
        assert f" {number} " in text, number


@pytest.mark.parametrize("width", [60, 100, 160])
async def test_it_keeps_to_its_width_and_obeys_no_stranger(
    client: Any, make_exchange: Make, width: int
) -> None:
    evil = "\x1b[31m[bold]\r\n\u202e" + "x" * 200
    request = {"path": f"/{evil}", "route": None}
    summary = await summary_of(
        client,
        make_exchange(request=request, service=evil, body=json.dumps({evil: evil}).encode()),
        make_exchange("shadow", request=request, service=evil, body=b"{}"),
    )

    text = render_text(summary, width=width)

    assert max(map(len, text.splitlines())) <= width
    assert not {"\x1b", "\r", "\u202e"} & set(text)
    assert "[bold]" in text


async def test_colour_is_only_there_when_it_is_asked_for(client: Any, make_exchange: Make) -> None:
    summary = await summary_of(client, make_exchange(), make_exchange("shadow", body=b"[]"))

    assert "\x1b[" in render_text(summary, colour=True, width=100)
    assert "\x1b[" not in render_text(summary)


async def test_a_recorder_that_does_not_answer_is_named() -> None:
    with pytest.raises(ReportError, match=r"no recorder answers at http://127\.0\.0\.1:9"):
        await fetch_summary("http://127.0.0.1:9")


async def test_a_missing_token_is_told(running: Any) -> None:
    async with running(token="t") as client:
        with pytest.raises(ReportError, match="answered 401: a token is needed"):
            await fetch_summary(client.url)
        assert await fetch_summary(client.url, token="t")
