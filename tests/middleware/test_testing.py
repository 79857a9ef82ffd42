"""`mirrored_request`, which users write their own tests with."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import httpcore
import httpx
import pytest

from mirrorproof import current, install_guards, is_mirrored, side_effect
from mirrorproof.errors import LateEffectError, ReadOnlyError, SettingsError
from mirrorproof.exchange import Outcome
from mirrorproof.guards import installed_guards
from mirrorproof.testing import mirrored_request

HANDLERS = (
    (httpcore.ConnectionPool, "handle_request"),
    (httpcore.AsyncConnectionPool, "handle_async_request"),
)


def handlers() -> list[Any]:
    return [vars(owner)[name] for owner, name in HANDLERS]


def test_inside_it_is_a_mirrored_request_and_afterwards_nothing_is_left(outside: Any) -> None:
    before = handlers()
    with mirrored_request() as ledger:
        assert is_mirrored()
        assert httpx.post(outside.url + "/orders", json={"a": 1}).json() == {}
    assert outside.requests == []
    assert [(effect.kind, effect.outcome) for effect in ledger] == [("http.request", Outcome.SUPPRESSED)]
    assert not is_mirrored()
    assert current() is None
    assert installed_guards() == {}
    assert handlers() == before
    assert httpx.post(outside.url).status_code == 201


async def test_it_works_with_async_with_too(outside: Any) -> None:
    async with mirrored_request() as ledger, httpx.AsyncClient() as client:
        assert (await client.put(outside.url)).status_code == 200
    assert outside.requests == []
    assert len(ledger) == 1
    assert installed_guards() == {}


def test_read_only_refuses_writes_and_lets_reads_through(outside: Any) -> None:
    with mirrored_request(mode="read_only") as ledger:
        assert httpx.get(outside.url).status_code == 201
        with pytest.raises(ReadOnlyError):
            httpx.post(outside.url)
        with pytest.raises(ReadOnlyError), side_effect("mail.send"):
            raise AssertionError("it ran")
    assert outside.methods == ["GET"]
    assert [effect.outcome for effect in ledger] == [Outcome.BLOCKED] * 2


def test_observe_lets_writes_through_and_records_them(outside: Any) -> None:
    with mirrored_request(mode="observe") as ledger:
        assert httpx.post(outside.url).status_code == 201
    assert outside.methods == ["POST"]
    assert [effect.outcome for effect in ledger] == [Outcome.EXECUTED]


def test_settings_are_taken_and_the_environment_is_not(monkeypatch: pytest.MonkeyPatch, outside: Any) -> None:
    monkeypatch.setenv("MIRRORPROOF_NONSENSE", "1")
    with mirrored_request(effect_rules=[{"path": "/pay*", "answer": {"status": 202, "body": "queued"}}]):
        answer = httpx.post(outside.url + "/payments")
    assert (answer.status_code, answer.text) == (202, "queued")


def test_a_wrong_mode_or_setting_is_named_before_anything_is_installed() -> None:
    for wrong in ({"mode": "live"}, {"mode": "dry"}, {"mdoe": "observe"}, {"max_effects": 0}):
        with pytest.raises(SettingsError, match=next(iter(wrong))):
            mirrored_request(**wrong)  # type: ignore[arg-type]
    assert installed_guards() == {}


def test_guards_that_were_installed_before_stay_installed() -> None:
    install_guards("httpx")
    guard = installed_guards()["httpx"]
    with mirrored_request():
        assert installed_guards()["httpx"] is guard
    assert installed_guards() == {"httpx": guard}


def test_an_error_inside_passes_and_leaves_nothing_installed() -> None:
    with pytest.raises(ZeroDivisionError), mirrored_request():
        1 / 0  # noqa: B018
    assert installed_guards() == {}
    assert not is_mirrored()


def test_requests_can_be_nested_and_each_has_its_own_ledger() -> None:
    with mirrored_request() as outer:
        with side_effect("k", "1"):
            pass
        with mirrored_request(mode="observe") as inner, side_effect("k", "2") as effect:
            assert effect.live
        with side_effect("k", "3") as effect:
            assert not effect.live
    assert [effect.target for effect in outer] == ["1", "3"]
    assert [effect.target for effect in inner] == ["2"]


async def test_the_guards_stay_until_the_last_of_several_requests_is_over(outside: Any) -> None:
    first_is_over = asyncio.Event()

    async def short() -> None:
        async with mirrored_request():
            await asyncio.sleep(0)
        first_is_over.set()

    async def long() -> None:
        async with mirrored_request(), httpx.AsyncClient() as client:
            await first_is_over.wait()
            await client.post(outside.url)

    await asyncio.gather(short(), long())
    assert outside.requests == []
    assert installed_guards() == {}


def test_one_object_can_be_used_again() -> None:
    mirrored = mirrored_request()
    ledgers = []
    for _ in range(2):
        with mirrored as ledger, side_effect("k"):
            ledgers.append(ledger)
    assert [len(ledger) for ledger in ledgers] == [1, 1]


def test_what_runs_on_after_its_end_is_refused() -> None:
    with mirrored_request() as ledger:
        context = current()
    from mirrorproof.context import entered

    assert context is not None
    with entered(context), pytest.raises(LateEffectError), side_effect("k"):
        raise AssertionError("it ran")
    assert [effect.outcome for effect in ledger] == [Outcome.BLOCKED]


@pytest.mark.parametrize("mode", ["dry_run", "read_only", "observe"])
async def test_it_behaves_as_a_request_through_the_middleware_does(
    wrap: Any, outside: Any, mode: str
) -> None:
    async def work() -> list[str]:
        said = []
        async with httpx.AsyncClient() as client:
            for method in ("GET", "POST", "DELETE"):
                try:
                    said.append(str((await client.request(method, outside.url)).status_code))
                except ReadOnlyError as error:
                    said.append(str(error))
        try:
            with side_effect("mail.send", "smtp", payload={"to": "x"}) as effect:
                said.append(str(effect.live))
        except ReadOnlyError as error:
            said.append(str(error))
        return said

    said: list[list[str]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        said.append(await work())
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    async with mirrored_request(mode=mode) as ledger:
        said.append(await work())
    reached = list(outside.methods)
    outside.requests.clear()
    install_guards("httpx")
    house = wrap(app, mode=mode)
    await house.mirror()
    assert said[0] == said[1]
    assert house.exchange.effects == ledger.effects
    assert outside.methods == reached


def test_what_it_left_running_is_refused_after_it_and_then_nothing_is_left(outside: Any) -> None:
    gate, refused = threading.Event(), []

    def late() -> None:
        gate.wait(20)
        try:
            httpx.post(outside.url)
        except LateEffectError as error:
            refused.append(str(error))

    with mirrored_request() as ledger:
        timer = threading.Timer(0, late)
        timer.start()
    gate.set()
    timer.join()
    assert outside.requests == []
    assert len(refused) == 1
    assert [effect.outcome for effect in ledger] == [Outcome.BLOCKED]
    del timer
    with mirrored_request():
        pass
    assert installed_guards() == {}
    assert httpx.post(outside.url).status_code == 201
