"""The httpx guard, before a real server that counts what reaches it."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpcore
import httpx
import pytest

from mirrorproof import Settings, install_guards, uninstall_guards
from mirrorproof.context import MirrorContext, entered, own_traffic, set_process_context
from mirrorproof.decision import Decision, Mode, Role
from mirrorproof.errors import EffectRefusedError, LateEffectError, ReadOnlyError
from mirrorproof.exchange import Effect, Outcome
from mirrorproof.guards import installed_guards

UNSAFE = ("POST", "PUT", "PATCH", "DELETE")
SAFE = ("GET", "HEAD", "OPTIONS")
LOCAL = ("127.0.0.1",)


@pytest.fixture
def guard() -> None:
    install_guards("httpx")


def in_mode(mode: Mode, **settings: Any) -> MirrorContext:
    return MirrorContext(Decision(mode), settings=Settings(**settings), pair_id="pair-1")


def request(is_async: bool, method: str, url: str, **more: Any) -> httpx.Response:
    """One request, by the sync or the async client."""
    if not is_async:
        with httpx.Client() as client:
            return client.request(method, url, **more)

    async def send() -> httpx.Response:
        async with httpx.AsyncClient() as client:
            return await client.request(method, url, **more)

    return asyncio.run(send())


def the_effect(context: MirrorContext) -> Effect:
    (effect,) = context.ledger
    return effect


both = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])


@both
@pytest.mark.parametrize("method", UNSAFE)
def test_a_mirrored_write_does_not_reach_the_world(
    guard: None, outside: Any, method: str, is_async: bool
) -> None:
    with entered(in_mode(Mode.DRY_RUN)) as context:
        answer = request(is_async, method, outside.url + "/orders?a=1", content=b'{"n":1}')
    assert outside.requests == []
    assert (answer.status_code, answer.json()) == (200, {})
    assert answer.headers["content-type"] == "application/json"
    effect = the_effect(context)
    assert (effect.kind, effect.outcome) == ("http.request", Outcome.SUPPRESSED)
    assert effect.target == f"{method} {outside.url}/orders"


@both
@pytest.mark.parametrize("method", UNSAFE + SAFE)
def test_without_the_guard_every_one_of_these_reaches_the_world(
    outside: Any, method: str, is_async: bool
) -> None:
    with entered(in_mode(Mode.DRY_RUN)):
        assert request(is_async, method, outside.url).status_code == 201
    assert outside.methods == [method]


@both
@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("method", SAFE)
def test_reads_reach_the_world_in_every_mode_and_are_no_effects(
    guard: None, outside: Any, method: str, mode: Mode, is_async: bool
) -> None:
    with entered(in_mode(mode)) as context:
        assert request(is_async, method, outside.url).status_code == 201
    assert outside.methods == [method]
    assert len(context.ledger) == 0


@both
def test_an_unknown_method_and_one_in_odd_case_are_writes_unless_they_are_safe(
    guard: None, outside: Any, is_async: bool
) -> None:
    with entered(in_mode(Mode.DRY_RUN)):
        for method in ("PURGE", "pOsT", "get"):
            request(is_async, method, outside.url)
    assert outside.methods == ["GET"]


@both
@pytest.mark.parametrize("mode", [Mode.LIVE, Mode.OBSERVE])
def test_a_live_write_reaches_the_world_and_is_observed_with_the_digest_of_a_suppressed_one(
    guard: None, outside: Any, mode: Mode, is_async: bool
) -> None:
    with entered(in_mode(mode)) as live:
        answer = request(is_async, "POST", outside.url + "/a?b=1", content=b"x" * 100_000)
    with entered(in_mode(Mode.DRY_RUN)) as dry:
        request(is_async, "POST", outside.url + "/a?b=1", content=b"x" * 100_000)
    assert answer.json() == {"real": True}
    assert outside.methods == ["POST"]
    assert outside.requests[0][3] == b"x" * 100_000
    assert the_effect(live).outcome is Outcome.EXECUTED
    assert the_effect(live).digest == the_effect(dry).digest
    assert the_effect(live).summary == the_effect(dry).summary


@both
def test_query_and_body_count_in_the_digest(guard: None, outside: Any, is_async: bool) -> None:
    with entered(in_mode(Mode.DRY_RUN)) as context:
        for query, body in (("a=1", b"x"), ("a=2", b"x"), ("a=1", b"y")):
            request(is_async, "POST", f"{outside.url}/?{query}", content=body)
    assert len({effect.digest for effect in context.ledger}) == 3
    assert len({effect.target for effect in context.ledger}) == 1


def test_outside_any_request_everything_is_as_without_the_guard(guard: None, outside: Any) -> None:
    assert request(False, "POST", outside.url).status_code == 201
    assert request(True, "POST", outside.url).status_code == 201


def test_a_shadow_process_is_dry_outside_requests_and_in_threads_as_well(guard: None, outside: Any) -> None:
    from concurrent.futures import ThreadPoolExecutor

    set_process_context(Settings(role=Role.SHADOW))
    assert request(False, "POST", outside.url).json() == {}
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(request, False, "POST", outside.url).result().json() == {}
    assert outside.requests == []


def test_our_own_traffic_is_not_guarded(guard: None, outside: Any) -> None:
    set_process_context(Settings(role=Role.SHADOW))
    with own_traffic():
        assert request(False, "POST", outside.url).json() == {"real": True}


def pieces() -> Iterator[bytes]:
    for n in range(5):
        yield b"%d" % n * 1000


async def async_pieces() -> AsyncIterator[bytes]:
    for piece in pieces():
        await asyncio.sleep(0)
        yield piece


@both
def test_a_streamed_upload_is_read_to_its_end_and_digested(guard: None, outside: Any, is_async: bool) -> None:
    whole = b"".join(pieces())

    def upload(context: MirrorContext) -> httpx.Response:
        with entered(context):
            return request(is_async, "POST", outside.url, content=async_pieces() if is_async else pieces())

    dry, live = in_mode(Mode.DRY_RUN), in_mode(Mode.LIVE)
    assert upload(dry).json() == {}
    assert outside.requests == []
    assert upload(live).json() == {"real": True}
    assert hashlib.sha256(outside.requests[0][3]).digest() == hashlib.sha256(whole).digest()
    assert the_effect(live).digest == the_effect(dry).digest


@both
def test_an_upload_that_fails_while_it_is_read_fails_for_a_mirror_too(
    guard: None, outside: Any, is_async: bool
) -> None:
    def broken() -> Iterator[bytes]:
        yield b"x"
        raise OSError("disk")

    async def async_broken() -> AsyncIterator[bytes]:
        yield b"x"
        raise OSError("disk")

    for mode in (Mode.DRY_RUN, Mode.LIVE):
        with entered(in_mode(mode)) as context, pytest.raises(OSError, match="disk"):
            request(is_async, "POST", outside.url, content=async_broken() if is_async else broken())
        assert len(context.ledger) == 0


@both
def test_the_answer_of_a_suppressed_request_can_be_streamed(guard: None, is_async: bool) -> None:
    with entered(in_mode(Mode.DRY_RUN)):
        if not is_async:
            with httpx.stream("POST", "http://orders.example/") as answer:
                assert b"".join(answer.iter_raw()) == b"{}"
            return

        async def stream() -> bytes:
            async with httpx.AsyncClient() as client, client.stream("POST", "http://a.example/") as answer:
                return b"".join([piece async for piece in answer.aiter_raw()])

        assert asyncio.run(stream()) == b"{}"


CANNED = (
    {"host": "pay.*", "method": "POST", "path": "/charge*",
     "answer": {"status": 201, "body": '{"id":"stub"}', "headers": {"X-Stub": "1"}}},
    {"host": "pay.*", "answer": {"status": 204}},
    {"method": "DELETE", "answer": {"status": 410}},
)  # fmt: skip


@both
@pytest.mark.parametrize(
    ("method", "url", "status", "body"),
    [
        ("POST", "http://pay.example/charge/1", 201, b'{"id":"stub"}'),
        ("PUT", "http://pay.example/charge/1", 204, b""),
        ("DELETE", "http://other.example/", 410, b""),
        ("POST", "http://other.example/", 200, b"{}"),
    ],
)
def test_the_first_canned_answer_that_fits_is_given(
    guard: None, is_async: bool, method: str, url: str, status: int, body: bytes
) -> None:
    context = MirrorContext(
        Decision(Mode.DRY_RUN), settings=Settings.load(env={}, effect_rules=CANNED), pair_id="p"
    )
    with entered(context):
        answer = request(is_async, method, url)
    assert (answer.status_code, answer.content) == (status, body)
    assert answer.headers.get("x-stub") == ("1" if status == 201 else None)


@both
def test_read_only_raises_and_late_raises_and_nothing_reaches_the_world(
    guard: None, outside: Any, is_async: bool
) -> None:
    with entered(in_mode(Mode.READ_ONLY)) as context, pytest.raises(ReadOnlyError, match="POST http://"):
        request(is_async, "POST", outside.url)
    late = in_mode(Mode.DRY_RUN)
    late.end()
    with entered(late), pytest.raises(LateEffectError):
        request(is_async, "POST", outside.url)
    assert outside.requests == []
    assert the_effect(context).outcome is the_effect(late).outcome is Outcome.BLOCKED


def test_a_refusal_does_not_look_like_a_network_error() -> None:
    assert not issubclass(EffectRefusedError, httpx.HTTPError | httpcore.NetworkError | OSError)


MARKS = {"x-istio-mirror": "true", "X-Mirror-Id": "forged"}


@both
@pytest.mark.parametrize(
    ("mode", "mesh", "mark", "pair"),
    [
        (Mode.DRY_RUN, LOCAL, "true", "pair-1"),
        (Mode.OBSERVE, LOCAL, "true", "pair-1"),
        (Mode.DRY_RUN, ("svc.cluster.local",), None, "forged"),
        (Mode.LIVE, LOCAL, None, "forged"),
    ],
)
def test_the_mark_goes_to_the_mesh_from_mirrored_requests_only(
    guard: None, outside: Any, is_async: bool, mode: Mode, mesh: tuple[str, ...], mark: Any, pair: Any
) -> None:
    for headers in ({}, MARKS):
        with entered(in_mode(mode, mesh_domains=mesh)):
            request(is_async, "GET", outside.url, headers=headers)
        got = outside.requests[-1][2]
        assert got.get("x-istio-mirror") == mark
        assert got.get("x-mirror-id") == (pair if mark or headers else None)


def test_a_mark_that_the_application_copied_does_not_leave_a_process_outside_requests(
    guard: None, outside: Any
) -> None:
    httpx.get(outside.url, headers=MARKS)
    assert "x-istio-mirror" not in outside.requests[0][2]


@pytest.mark.parametrize(
    ("host", "inside"),
    [
        ("orders.shop.svc.cluster.local", True),
        ("ORDERS.svc.cluster.local.", True),
        ("svc.cluster.local", True),
        ("evilsvc.cluster.local", False),
        ("svc.cluster.local.evil.example", False),
        ("orders", False),
    ],
)
def test_mesh_domains_are_whole_labels(host: str, inside: bool) -> None:
    from mirrorproof.guards.http import forwarded_headers

    context = in_mode(Mode.DRY_RUN)
    assert bool(forwarded_headers(context, host, [])) is inside


@both
def test_in_process_transports_stay_untouched(guard: None, is_async: bool) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert dict(scope["headers"])[b"x-istio-mirror"] == b"true"
        await send({"type": "http.response.start", "status": 418, "headers": []})
        await send({"type": "http.response.body"})

    async def send() -> None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://a") as client:
            assert (await client.post("/", headers=MARKS)).status_code == 418

    with entered(in_mode(Mode.DRY_RUN)) as context:
        if is_async:
            asyncio.run(send())
        else:
            transport = httpx.MockTransport(lambda request: httpx.Response(418))
            with httpx.Client(transport=transport) as client:
                assert client.post("http://a/").status_code == 418
    assert len(context.ledger) == 0


def test_secrets_are_in_no_effect(guard: None, outside: Any) -> None:
    with entered(in_mode(Mode.DRY_RUN)) as context:
        httpx.post(
            outside.url + "/?api_key=HUNTER", json={"password": "HUNTER", "n": 1}, auth=("u", "HUNTER")
        )
        httpx.post(outside.url, data={"token": "HUNTER"}, files={"secret": b"HUNTER"})
        httpx.post(outside.url, content=b"HUNTER", headers={"content-type": "multipart/form-data"})
    assert "HUNTER" not in repr(context.ledger.effects)
    assert '"n":1' in context.ledger.effects[0].summary


def test_redirects_are_each_guarded_as_what_they_become(guard: None, outside: Any) -> None:
    context = MirrorContext(
        Decision(Mode.DRY_RUN),
        settings=Settings.load(
            env={}, effect_rules=[{"path": "/", "answer": {"status": 307, "headers": {"location": "/next"}}}]
        ),
    )
    with entered(context):
        answer = httpx.post(outside.url + "/", follow_redirects=True)
    assert answer.status_code == 200
    assert [effect.target.rsplit("/", 1)[1] for effect in context.ledger] == ["", "next"]
    assert outside.requests == []


def test_an_error_while_a_live_request_is_observed_never_reaches_the_application(
    guard: None, outside: Any, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    monkeypatch.setattr("mirrorproof.guards.http.digest_of", lambda *_: 1 / 0)
    with entered(in_mode(Mode.LIVE)) as context, caplog.at_level(logging.ERROR, "mirrorproof"):
        assert request(False, "POST", outside.url).status_code == 201
        assert request(True, "POST", outside.url).status_code == 201
    assert context.counters["observer_errors"] == 2


def test_a_live_write_that_fails_on_the_way_is_not_recorded_as_executed(guard: None) -> None:
    with entered(in_mode(Mode.LIVE)) as context, pytest.raises(httpx.ConnectError):
        request(False, "POST", "http://127.0.0.1:1/")
    assert len(context.ledger) == 0


def test_uninstalling_restores_the_very_functions() -> None:
    before = [
        vars(httpcore.ConnectionPool)["handle_request"],
        vars(httpcore.AsyncConnectionPool)["handle_async_request"],
    ]
    for _ in range(2):
        install_guards("httpx")
        assert install_guards("httpx") == ["httpx"]
        uninstall_guards("httpx")
        uninstall_guards("httpx")
    assert vars(httpcore.ConnectionPool)["handle_request"] is before[0]
    assert vars(httpcore.AsyncConnectionPool)["handle_async_request"] is before[1]
    assert installed_guards() == {}


def test_a_client_made_before_the_guard_is_guarded_too(outside: Any) -> None:
    with httpx.Client() as client:
        client.get(outside.url)
        install_guards("httpx")
        with entered(in_mode(Mode.DRY_RUN)):
            assert client.post(outside.url).json() == {}
    assert outside.methods == ["GET"]


def test_a_proxy_is_no_way_around(guard: None, outside: Any) -> None:
    with entered(in_mode(Mode.DRY_RUN)), httpx.Client(proxy=outside.url) as client:
        assert client.post("http://orders.example/").json() == {}
    assert outside.requests == []


@both
def test_httpcores_connections_used_without_a_pool_are_judged(
    guard: None, outside: Any, is_async: bool
) -> None:
    origin = httpcore.URL(outside.url)

    async def send(method: str) -> bytes:
        async with httpcore.AsyncHTTPConnection(httpcore.Origin(b"http", origin.host, origin.port)) as there:
            return (await there.request(method, outside.url)).content

    def send_sync(method: str) -> bytes:
        with httpcore.HTTPConnection(httpcore.Origin(b"http", origin.host, origin.port)) as there:
            return there.request(method, outside.url).content

    with entered(in_mode(Mode.DRY_RUN)) as context:
        for method, expected in (("POST", b"{}"), ("GET", b'{"real": true}')):
            assert (asyncio.run(send(method)) if is_async else send_sync(method)) == expected
    assert outside.methods == ["GET"]
    assert the_effect(context).outcome is Outcome.SUPPRESSED
