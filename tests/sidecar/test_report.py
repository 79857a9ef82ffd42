"""The report: what it says, and that it never keeps silent about what is missing."""

from __future__ import annotations

import json
import re
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

    assert "! 1 of 2 requests of the primary has no partner (1 still waiting)" in text
    assert "0 of 1 request of the shadow has no partner" in text
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
             "effects_late", "observer_errors", "sampled_out", "revised", "effects_outside",
             "conflict_with_primary")  # fmt: skip
    held |= {name: number for number, name in enumerate(names, start=21)}
    summary["spans"] = {"made": 99, "exported": 50, "failed": 48, "dropped": 1}

    text = render_text(summary)

    for number in (11, 12, 13, 14, 15, *range(21, 21 + len(names)), 49):
        assert f" {number} " in text, number


async def test_one_of_anything_is_told_in_the_singular(client: Any, make_exchange: Make) -> None:
    summary = await summary_of(client, make_exchange(), make_exchange("shadow"))
    held = summary["completeness"]
    held["dropped"] = dict.fromkeys(held["dropped"], 1)
    held["refused"] = dict.fromkeys(held["refused"], 1)
    held["superseded"]["primary"], held["recorded"]["primary"] = 1, 2
    held |= {name: 1 for name, count in held.items() if isinstance(count, int)}
    summary["spans"] = {"made": 1, "exported": 1, "failed": 0, "dropped": 0}

    lost = render_text(summary, width=160).split("What is missing")[1]

    plurals = r"\b1 (\w+ )*(requests|effects|exchanges|answers|attempts|bodies|times|spans|pairs|were|have)\b"
    assert not re.findall(plurals, lost), lost
    assert "1 effect was beyond the bound" in lost
    assert "1 of 1 span was exported" in lost


async def test_an_effect_is_shown_where_it_parts_ways(client: Any, make_exchange: Make) -> None:
    def effect(amount: str, outcome: Outcome) -> Effect:
        summary = (
            f'POST https://payments.example/charges {{"order": 7, "currency": "EUR", "amount": {amount}}}'
        )
        return Effect(kind="http.request", target="POST /charges", summary=summary, digest=amount,
                      outcome=outcome)  # fmt: skip

    summary = await summary_of(
        client,
        make_exchange(effects=[effect("21.71", Outcome.EXECUTED)]),
        make_exchange("shadow", effects=[effect("21.70", Outcome.SUPPRESSED)]),
    )

    text = render_text(summary, width=200)

    assert '…mount": 21.71} → …mount": 21.70}' in text
    assert 'outcome":' not in text


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
    with pytest.raises(ReportError, match=r"is no recorder's URL; one looks like http://127\.0\.0\.1:9600"):
        await fetch_summary("127.0.0.1:9600")


async def test_a_missing_token_is_told(running: Any) -> None:
    async with running(token="t") as client:
        with pytest.raises(ReportError, match="answered 401: a token is needed"):
            await fetch_summary(client.url)
        assert await fetch_summary(client.url, token="t")
