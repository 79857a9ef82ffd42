"""The aiohttp guard: what the matrix cannot say."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from mirrorproof import Settings, install_guards
from mirrorproof.context import MirrorContext, entered
from mirrorproof.decision import Decision, Mode
from mirrorproof.errors import EffectRefusedError
from mirrorproof.exchange import Outcome


@pytest.fixture(autouse=True)
def _guard() -> None:
    install_guards("aiohttp")


def in_mode(mode: Mode, **settings: Any) -> MirrorContext:
    return MirrorContext(Decision(mode), settings=Settings.load(env={}, **settings), pair_id="pair-1")


async def pieces() -> Any:
    yield b"x" * 1000
    yield b"y" * 1000


async def test_a_live_upload_has_the_digest_and_the_summary_of_a_suppressed_one(outside: Any) -> None:
    live, dry = in_mode(Mode.LIVE), in_mode(Mode.DRY_RUN)
    for context in (live, dry):
        async with aiohttp.ClientSession() as session:
            for data in (b"x" * 100_000, pieces()):
                with entered(context):
                    await session.post(outside.url + "/a?b=1", data=data)
    assert [(each.digest, each.summary) for each in live.ledger] == [
        (each.digest, each.summary) for each in dry.ledger
    ]
    assert [len(each[3]) for each in outside.requests] == [100_000, 2000]


async def test_a_canned_answer_is_a_real_response_and_each_hop_of_a_redirect_is_judged(outside: Any) -> None:
    rules = [
        {"path": "/", "answer": {"status": 307, "headers": {"Location": outside.url + "/next"}}},
        {"path": "/next", "answer": {"status": 402, "headers": {"Set-Cookie": "a=b"}, "body": "ä"}},
    ]
    async with aiohttp.ClientSession() as session:
        with entered(in_mode(Mode.DRY_RUN, effect_rules=rules)) as context:
            answer = await session.post("https://pay.example/")
            assert (answer.status, await answer.text(), answer.cookies["a"].value) == (402, "ä", "b")
    assert type(answer) is aiohttp.ClientResponse
    assert [each.target for each in context.ledger] == [
        "POST https://pay.example/",
        f"POST {outside.url}/next",
    ]
    assert outside.requests == []


async def test_the_application_s_own_middlewares_still_run(outside: Any) -> None:
    seen = []

    async def own(request: Any, handler: Any) -> Any:
        seen.append(request.method)
        return await handler(request)

    with entered(in_mode(Mode.DRY_RUN)):
        async with aiohttp.ClientSession(middlewares=[own]) as session:
            await session.post(outside.url)
            await session.get(outside.url, middlewares=[own, own])
    assert seen == ["POST", "GET", "GET"]
    assert outside.methods == ["GET"]


@pytest.mark.parametrize(
    ("mode", "mesh", "mark"),
    [
        (Mode.DRY_RUN, ("127.0.0.1",), "true"),
        (Mode.DRY_RUN, ("svc.cluster.local",), None),
        (Mode.LIVE, ("127.0.0.1",), None),
    ],
)
async def test_the_mark_goes_to_the_mesh_from_mirrored_requests_only(
    outside: Any, mode: Mode, mesh: tuple[str, ...], mark: Any
) -> None:
    async with aiohttp.ClientSession(headers={"X-Istio-Mirror": "true", "Baggage": "a=1"}) as session:
        with entered(in_mode(mode, mesh_domains=mesh)):
            await session.get(outside.url)
    got = outside.requests[0][2]
    assert got.get("x-istio-mirror") == mark
    assert got["baggage"].endswith("a=1")
    assert ("mirrorproof.mirrored=true" in got["baggage"]) is (mark is not None)


async def test_a_mirrored_request_opens_no_web_socket(outside: Any) -> None:
    with entered(in_mode(Mode.DRY_RUN)) as context:
        async with aiohttp.ClientSession() as session:
            with pytest.raises(EffectRefusedError, match="web socket"):
                await session.ws_connect(outside.url)
    assert [each.outcome for each in context.ledger] == [Outcome.BLOCKED]
    assert outside.requests == []
