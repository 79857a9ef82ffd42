"""`MirrorMiddleware` as a server, an application and a recorder see it."""

from __future__ import annotations

import asyncio
import gc
import gzip
import hashlib
import logging
import threading
from typing import Any

import pytest

from mirrorproof import MirrorMiddleware, Settings, current, is_mirrored, side_effect
from mirrorproof.context import Action, MirrorContext
from mirrorproof.decision import Mode, Role, sign
from mirrorproof.errors import LateEffectError, ReadOnlyError, SettingsError
from mirrorproof.exchange import Outcome

MARK = (b"x-istio-mirror", b"true")
PAIR = (b"x-request-id", b"pair-1")
TRACEPARENT = (b"traceparent", b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-00")


def start(status: int = 200, *headers: Any) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def chunk(body: bytes = b"", more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": body, "more_body": more}


async def hello(scope: Any, receive: Any, send: Any) -> None:
    await send(start(200, (b"content-type", b"text/plain")))
    await send(chunk(b"hello"))


async def whole_body(receive: Any) -> tuple[list[bytes], bool]:
    """The chunks, and whether the client went away."""
    chunks = []
    while (message := await receive())["type"] == "http.request":
        chunks.append(message["body"])
        if not message["more_body"]:
            return chunks, False
    return chunks, True


# --- what passes untouched


async def test_the_application_gets_the_very_scope_that_the_server_made(peer: Any, wrap: Any) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)
        await hello(scope, receive, send)

    for headers in ((), (PAIR,), (MARK, PAIR)):
        one = peer(wrap(app).middleware, headers=headers, more_scope={"state": {}, "extensions": {"x": {}}})
        before = dict(one.scope)
        await one.run()
        assert seen.pop() is one.scope
        assert one.scope == before


@pytest.mark.parametrize("headers", [[], [PAIR], [PAIR, MARK]], ids=["plain", "captured", "mirrored"])
async def test_the_application_runs_in_the_servers_own_task(peer: Any, wrap: Any, headers: Any) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(asyncio.current_task())
        await hello(scope, receive, send)

    await peer(wrap(app).middleware, headers=headers, method="POST").run()
    assert seen == [asyncio.current_task()]


async def test_without_a_recorder_a_live_request_has_the_servers_own_receive_and_send(
    peer: Any, wrap: Any
) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((receive, send))
        await hello(scope, receive, send)

    one = await peer(wrap(app, ships=False).middleware, headers=[PAIR]).run()
    assert seen == [(one.receive, one.send)]


@pytest.mark.parametrize("kind", ["lifespan", "tunnel", "http.future"])
async def test_lifespan_and_unknown_scopes_pass_with_the_very_same_callables(kind: str, wrap: Any) -> None:
    seen: list[Any] = []

    async def app(*given: Any) -> None:
        seen.append(given)

    given = ({"type": kind}, object(), object())
    house = wrap(app, role="shadow")
    await house.middleware(*given)
    assert all(a is b for a, b in zip(seen[0], given, strict=True))
    assert house.counters["seen"] == 0


async def test_the_end_of_the_lifespan_flushes_even_where_the_application_fails(wrap: Any) -> None:
    async def app(*_: Any) -> None:
        raise RuntimeError("no lifespan here")

    house = wrap(app)
    with pytest.raises(RuntimeError):
        await house.middleware({"type": "lifespan"}, None, None)
    assert house.shelf.flushes == 1


@pytest.mark.parametrize("headers", [[PAIR], [PAIR, MARK]], ids=["live", "mirrored"])
async def test_each_message_is_sent_on_at_once_as_the_object_that_it_was(
    peer: Any, wrap: Any, headers: Any
) -> None:
    messages = [
        {"type": "http.response.early_hint", "links": [b"</a.css>"]},
        start(200, (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2"), (b"trailer", b"x")) | {"trailers": True},
        chunk(b"one", more=True),
        {"type": "http.response.debug", "info": {}},
        chunk(b"two", more=True),
        chunk(),
        {"type": "http.response.trailers", "headers": [(b"x", b"y")], "more_trailers": False},
    ]
    after_each: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)
            after_each.append(len(one.sent))

    house = wrap(app)
    one = peer(house.middleware, headers=headers)
    await one.run()
    assert after_each == [1, 2, 3, 4, 5, 6, 7]
    assert all(sent is message for sent, message in zip(one.sent, messages, strict=True))
    assert house.exchange.response is not None
    assert house.exchange.response.body == b"onetwo"
    assert [name for name, _ in house.exchange.response.headers] == ["set-cookie", "set-cookie", "trailer"]


async def test_a_body_sent_by_the_server_is_said_to_be_left_out(peer: Any, wrap: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        await send({"type": "http.response.pathsend", "path": "/etc/hostname"})

    house = wrap(app)
    one = await peer(house.middleware, headers=[PAIR]).run()
    assert one.sent[1] == {"type": "http.response.pathsend", "path": "/etc/hostname"}
    assert house.exchange.error is None
    assert house.exchange.response is not None
    assert house.exchange.response.truncated
    assert house.exchange.notes == ["body_left_out:sent by the server"]


async def test_a_body_sent_by_the_server_in_pieces_is_noted_once(peer: Any, wrap: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        await send({"type": "http.response.zerocopysend", "file": 1, "more_body": True})
        await send({"type": "http.response.zerocopysend", "file": 1})

    house = wrap(app)
    await peer(house.middleware, headers=[PAIR]).run()
    assert (house.exchange.error, len(house.exchange.notes)) == (None, 1)


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
async def test_an_answer_without_a_body_is_captured_as_one(
    peer: Any, wrap: Any, method: str, status: int
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start(status))
        await send({"type": "http.response.body"})

    house = wrap(app)
    await peer(house.middleware, method=method, headers=[PAIR]).run()
    answer = house.exchange.response
    assert answer is not None
    assert (answer.status, answer.body, answer.truncated) == (status, b"", False)
    assert answer.sha256 == hashlib.sha256().hexdigest()


# --- the context


@pytest.mark.parametrize(
    ("role", "headers", "mirrored"),
    [
        ("mixed", [], False),
        ("mixed", [MARK], True),
        ("shadow", [], True),
        ("control", [], True),
        ("primary", [MARK], False),
    ],
)
async def test_the_context_says_what_was_decided_and_is_gone_afterwards(
    peer: Any, wrap: Any, role: str, headers: Any, mirrored: bool
) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((is_mirrored(), current()))
        await hello(scope, receive, send)

    house = wrap(app, role=role)
    outside_before = current()
    await peer(house.middleware, headers=headers).run()
    ((was, context),) = seen
    assert was is mirrored is context.mirrored
    assert context.in_request
    assert current() is outside_before is not context


async def test_the_context_reaches_to_thread_and_tasks_but_no_bare_thread(peer: Any, wrap: Any) -> None:
    seen: dict[str, bool] = {}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen["to_thread"] = await asyncio.to_thread(is_mirrored)
        seen["task"] = await asyncio.create_task(asyncio.to_thread(is_mirrored))
        seen["executor"] = await asyncio.get_running_loop().run_in_executor(None, is_mirrored)
        thread = threading.Thread(target=lambda: seen.update(thread=is_mirrored()))
        thread.start()
        thread.join()
        await hello(scope, receive, send)

    await peer(wrap(app).middleware, headers=[MARK]).run()
    assert seen == {"to_thread": True, "task": True, "executor": False, "thread": False}
    await peer(wrap(app, role="shadow").middleware).run()
    assert seen == {"to_thread": True, "task": True, "executor": True, "thread": True}


async def test_many_requests_at_once_each_see_their_own_context(peer: Any, wrap: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def look() -> tuple[bool, str]:
            await asyncio.sleep(0)
            context = current()
            assert context is not None
            return is_mirrored(), context.pair_id

        seen = await asyncio.gather(*(look() for _ in range(3)))
        side_effect("note", str(scope["path"])).__enter__().__exit__(None, None, None)
        await send(start())
        await send(chunk(repr(seen).encode()))

    house = wrap(app)
    peers = [
        peer(
            house.middleware, path=f"/{n}", headers=[(b"x-request-id", b"%d" % n), *([MARK] if n % 2 else [])]
        )
        for n in range(50)
    ]
    await asyncio.gather(*(one.run() for one in peers))
    for n, one in enumerate(peers):
        assert one.answer == repr([(bool(n % 2), str(n))] * 3).encode()
    for exchange in house.shelf.exchanges:
        assert [effect.target for effect in exchange.effects] == [exchange.request.path]
        assert exchange.request.path == f"/{exchange.pair_id}"
    assert not is_mirrored()


async def test_a_worker_that_serves_a_mirrored_request_serves_the_next_one_live(peer: Any, wrap: Any) -> None:
    seen: list[bool] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(is_mirrored())
        if scope["path"] == "/bad":
            raise ValueError
        await hello(scope, receive, send)

    house = wrap(app)
    await peer(house.middleware, path="/", headers=[MARK]).run()
    await peer(house.middleware).run()
    with pytest.raises(ValueError):
        await peer(house.middleware, path="/bad", headers=[MARK]).run()
    await peer(house.middleware).run()
    assert seen == [True, False, True, False]


# --- roles, trust and refusals


async def test_a_primary_ignores_and_counts_marks(peer: Any, wrap: Any) -> None:
    house = wrap(hello, role="primary")
    for headers in ([MARK], [(b"x_istio_mirror", b"1")], [MARK, MARK], []):
        assert (await peer(house.middleware, headers=headers).run()).status == 200
    assert house.counters["mark_ignored"] == 3
    assert house.counters["seen"] == 4


async def test_a_shadow_is_dry_without_a_mark_and_counts_it(peer: Any, wrap: Any) -> None:
    house = wrap(hello, role="shadow")
    for headers in ([MARK], [(b"x-istio-mirror", b"True")], []):
        assert (await peer(house.middleware, headers=[*headers, PAIR]).run()).status == 200
    assert house.counters["unmarked"] == 2
    assert [exchange.mode for exchange in house.shelf.exchanges] == [Mode.DRY_RUN] * 3
    assert [exchange.role for exchange in house.shelf.exchanges] == [Role.SHADOW] * 3


@pytest.mark.parametrize(
    "headers",
    [
        [(b"x-istio-mirror", b"True")],
        [(b"x-istio-mirror", b" true")],
        [MARK, MARK],
        [(b"x-istio-mirror", b"true, true")],
        [(b"x_istio_mirror", b"true")],
        [MARK, (b"connection", b"close, x-istio-mirror")],
        [(b"x-istio-mirror", b"")],
        [[b"X-Istio-Mirror", b"TRUE"]],
    ],
)
async def test_a_malformed_mark_is_refused_before_the_application_hears_of_it(
    peer: Any, wrap: Any, headers: Any
) -> None:
    house = wrap(_never)
    one = await peer(house.middleware, headers=[PAIR, *headers], body=[b"a", b"b", b""]).run()
    assert one.status == 400
    assert b"x-istio-mirror" in one.answer
    assert one.taken == 3, "the whole body has been read"
    assert house.counters["refused_malformed"] == 1
    assert house.shelf.captures == []


async def _never(*_: Any) -> None:
    raise AssertionError("the application was called")


async def test_a_refusal_has_no_header_that_http_2_forbids(peer: Any, wrap: Any) -> None:
    one = await peer(wrap(_never).middleware, headers=[MARK, MARK]).run()
    assert {name for name, _ in one.sent[0]["headers"]} == {b"content-type", b"content-length"}


async def test_a_client_that_leaves_while_it_is_refused_is_no_error(peer: Any, wrap: Any) -> None:
    one = await peer(wrap(_never).middleware, headers=[MARK, MARK], body=[b"a"], goes_away=True).run()
    assert one.status == 400


async def test_trust_by_port_and_by_key_is_decided_from_the_scope(peer: Any, wrap: Any) -> None:
    import time

    house = wrap(hello, trust=["mirror_port", "key"], mirror_port=9091, key="k")
    signature = sign(b"k", pair_id="pair-1", method="POST", target="/a%20b", unix_s=int(time.time()))
    headers = [MARK, PAIR, (b"x-mirror-signature", signature.encode())]
    scope = {"server": ("127.0.0.1", 9091), "path": "/a b", "raw_path": b"/a%20b"}

    async def status(**changes: Any) -> int:
        given = {"headers": headers, "method": "POST", "more_scope": scope} | changes
        return int((await peer(house.middleware, **given).run()).status)

    assert await status() == 200
    assert await status(method="PUT") == 403
    assert await status(headers=headers[:2]) == 403
    assert await status(more_scope=scope | {"raw_path": b"/a%20c"}) == 403
    for server in (("127.0.0.1", 8000), ("/run/app.sock", None), None):
        assert await status(more_scope=scope | {"server": server}) == 403
    assert house.counters["refused_untrusted"] == 6


async def test_modes_are_chosen_by_path(peer: Any, wrap: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        context = current()
        assert context is not None
        await send(start())
        await send(chunk(context.action("sql.insert").value.encode()))

    house = wrap(app, modes={"/admin/*": "observe", "/reports*": "read_only"})
    answers = [
        (await peer(house.middleware, path=path, headers=[MARK]).run()).answer
        for path in ("/admin/x", "/reports", "/orders")
    ]
    assert answers == [b"observe", b"refuse", b"suppress"]


# --- websockets


def websocket(headers: Any) -> dict[str, Any]:
    return {"type": "websocket", "path": "/ws", "headers": headers, "server": ("127.0.0.1", 80)}


async def test_a_websocket_has_the_context_set_and_is_otherwise_untouched(wrap: Any) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((is_mirrored(), receive, send))

    given = (object(), object())
    house = wrap(app)
    for headers in ([MARK], []):
        await house.middleware(websocket(headers), *given)
    assert seen == [(True, *given), (False, *given)]


async def test_a_websocket_with_a_malformed_mark_is_closed_before_the_application_hears_of_it(
    wrap: Any,
) -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    house = wrap(_never)
    await house.middleware(websocket([(b"x-istio-mirror", b"1")]), receive, send)
    assert [(message["type"], message["code"]) for message in sent] == [("websocket.close", 1008)]
    assert len(sent[0]["reason"].encode()) <= 123  # RFC 6455, 5.5
    assert house.counters["refused_malformed"] == 1


# --- request bodies


BODY = [b"a" * 1000, b"b" * 1000, b"", b"c"]
WHOLE = b"".join(BODY)


@pytest.mark.parametrize("mark", [[MARK], []], ids=["mirrored", "live"])
async def test_a_body_is_read_once_and_reaches_the_application_whole_and_in_order(
    peer: Any, wrap: Any, mark: Any
) -> None:
    got: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        got.append(await whole_body(receive))
        await hello(scope, receive, send)

    house = wrap(app)
    one = await peer(house.middleware, method="POST", body=BODY, headers=[PAIR, *mark]).run()
    assert got == [(BODY, False)]
    assert one.taken == len(BODY)
    request = house.exchange.request
    assert (request.body_bytes, request.body_sha256) == (len(WHOLE), hashlib.sha256(WHOLE).hexdigest())


@pytest.mark.parametrize("how", ["content-length", "transfer-encoding"])
async def test_the_body_of_a_mirrored_get_is_drained_as_well(peer: Any, wrap: Any, how: str) -> None:
    house = wrap(hello)
    headers = [MARK, PAIR, (how.encode(), b"chunked" if how.startswith("t") else b"2001")]
    one = await peer(house.middleware, method="GET", body=BODY, headers=headers).run()
    assert one.taken == len(BODY)
    assert house.exchange.request.body_bytes == len(WHOLE)


async def test_a_mirrored_body_that_the_application_never_reads_is_drained(peer: Any, wrap: Any) -> None:
    house = wrap(hello)
    one = await peer(house.middleware, method="POST", body=BODY, headers=[MARK, PAIR]).run()
    assert one.taken == len(BODY)
    assert one.answer == b"hello"
    assert house.exchange.request.body_sha256 == hashlib.sha256(WHOLE).hexdigest()
    assert house.counters["body_overrun"] == 0


async def test_a_live_body_that_the_application_never_reads_is_left_alone(peer: Any, wrap: Any) -> None:
    house = wrap(hello)
    one = await peer(house.middleware, method="POST", body=BODY, headers=[PAIR]).run()
    assert one.taken == 0
    assert (house.exchange.request.body_bytes, house.exchange.request.body_sha256) == (0, None)


async def test_a_slow_reader_within_the_bound_gets_everything(peer: Any, wrap: Any) -> None:
    got: list[Any] = []
    all_read = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await all_read.wait()  # the server's side has been read to its end before the first byte is taken
        got.append(await whole_body(receive))
        await hello(scope, receive, send)

    body = [b"x" * 10_000] * 6
    house = wrap(app, max_unread_bytes=65_536)
    one = peer(house.middleware, method="POST", body=body, headers=[MARK, PAIR])
    serving = asyncio.create_task(one.run())
    while one.taken < len(body):
        await asyncio.sleep(0)
    all_read.set()
    await serving
    assert got == [(body, False)]
    assert house.counters["body_overrun"] == 0


async def test_a_reader_that_is_too_slow_is_cut_off_as_if_its_client_had_left(peer: Any, wrap: Any) -> None:
    got: list[Any] = []
    all_read = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await all_read.wait()
        got.append(await whole_body(receive))
        got.append((await receive())["type"])
        await hello(scope, receive, send)

    body = [b"x" * 40_000] * 50
    house = wrap(app, max_unread_bytes=65_536, unread_patience_s=0)
    one = peer(house.middleware, method="POST", body=body, headers=[MARK, PAIR])
    serving = asyncio.create_task(one.run())
    while one.taken < len(body):
        await asyncio.sleep(0)
    all_read.set()
    await serving
    assert got == [([body[0]], True), "http.disconnect"]
    assert house.counters["body_overrun"] == 1
    assert "body_overrun" in house.exchange.notes
    assert house.exchange.request.body_bytes == 50 * 40_000


async def test_a_chunk_larger_than_the_bound_reaches_an_application_that_reads(peer: Any, wrap: Any) -> None:
    got: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        got.append(await whole_body(receive))
        await hello(scope, receive, send)

    body = [b"x" * 200_000, b"y" * 200_000]
    house = wrap(app, max_unread_bytes=65_536, unread_patience_s=60)
    await peer(house.middleware, method="POST", body=body, headers=[MARK, PAIR]).run()
    assert got == [(body, False)]


@pytest.mark.parametrize("mark", [[MARK], []], ids=["mirrored", "live"])
async def test_a_client_that_leaves_in_the_middle_is_told_to_the_application(
    peer: Any, wrap: Any, mark: Any
) -> None:
    got: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        got.append(await whole_body(receive))

    house = wrap(app)
    one = peer(house.middleware, method="POST", body=[b"a"], goes_away=True, headers=[PAIR, *mark])
    await one.run()
    assert got == [([b"a"], True)]
    assert house.exchange.error == "no response"
    assert house.exchange.request.body_sha256 is None


async def test_an_error_of_the_servers_receive_reaches_the_application(peer: Any, wrap: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()

    async def broken() -> Any:
        raise OSError("gone")

    one = peer(wrap(app).middleware, method="POST", headers=[MARK, PAIR])
    with pytest.raises(OSError, match="gone"):
        await one.app(one.scope, broken, one.send)


async def test_a_mirrored_request_leaves_no_task_behind(peer: Any, wrap: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError

    before = asyncio.all_tasks()
    one = peer(wrap(app).middleware, method="POST", headers=[MARK, PAIR], body=[b"x"] * 100)
    with pytest.raises(ValueError):
        await one.run()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


# --- answers


@pytest.mark.parametrize("mark", [[MARK], []], ids=["mirrored", "live"])
async def test_a_body_over_the_bound_is_sent_whole_kept_in_part_and_digested_whole(
    peer: Any, wrap: Any, mark: Any
) -> None:
    pieces = [bytes([n % 256]) * 700 for n in range(10)]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start(200, (b"content-type", b"application/octet-stream")))
        for piece in pieces:
            await send(chunk(piece, more=True))
        await send(chunk())

    house = wrap(app, max_body_bytes=1000)
    one = await peer(house.middleware, headers=[PAIR, *mark]).run()
    whole = b"".join(pieces)
    assert one.answer == whole
    answer = house.exchange.response
    assert answer is not None
    assert (answer.body, answer.truncated, answer.body_bytes) == (whole[:1000], True, 7000)
    assert answer.sha256 == hashlib.sha256(whole).hexdigest()
    assert house.counters["truncated"] == 1


async def test_fifty_thousand_headers_are_served_and_captured_up_to_the_bound(peer: Any, wrap: Any) -> None:
    many = [(b"x-%d" % n, b"v") for n in range(50_000)]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start(200, *scope["headers"]))
        await send(chunk(b"ok"))

    house = wrap(app, max_header_bytes=1000)
    one = await peer(house.middleware, headers=[*many, MARK, PAIR]).run()
    assert len(one.sent[0]["headers"]) == 50_002
    exchange = house.exchange
    assert exchange.pair_id == "pair-1", "headers at the end are seen although they are not kept"
    assert 100 < len(exchange.request.headers) < 250
    assert exchange.notes == ["headers_truncated", "headers_truncated"]


async def test_a_huge_header_value_is_served_and_left_out(peer: Any, wrap: Any) -> None:
    house = wrap(hello)
    await peer(house.middleware, headers=[PAIR, (b"x-huge", b"x" * 1_000_000), (b"x-after", b"1")]).run()
    assert house.exchange.request.headers == [("x-request-id", "pair-1")]
    assert "headers_truncated" in house.exchange.notes


async def test_headers_may_be_lists_and_their_bytes_need_not_be_ascii(peer: Any, wrap: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start(200, [b"X-Odd", b"\xff\xfe"]))
        await send(chunk(b"ok"))

    house = wrap(app)
    await peer(house.middleware, headers=[list(PAIR), [b"x-odd\xff", b"\x80"]]).run()
    assert house.exchange.request.headers[1] == ("x-odd\xff", "\x80")
    assert house.exchange.response is not None
    assert house.exchange.response.headers == [("x-odd", "\xff\xfe")]


async def test_secrets_are_redacted_before_anything_is_queued(peer: Any, wrap: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(
            start(
                200,
                (b"set-cookie", b"sid=HUNTER"),
                (b"location", b"/cb?token=HUNTER#access_token=HUNTER"),
                (b"content-type", b"application/json"),
            )
        )
        await send(chunk(b'{"pass', more=True))
        await send(chunk(b'word": "HUNTER", "a": 1}'))

    house = wrap(app, redact=["pin"])
    headers = [PAIR, (b"authorization", b"Bearer HUNTER"), (b"cookie", b"HUNTER"), (b"x-pin", b"HUNTER")]
    query = {"query_string": b"a=1&api_key=HUNTER"}
    one = await peer(house.middleware, headers=headers, more_scope=query).run()
    assert one.answer == b'{"password": "HUNTER", "a": 1}', "the client's answer is untouched"
    (capture,) = house.shelf.captures
    assert "HUNTER" not in repr(capture)
    assert "HUNTER" not in repr(house.exchange)
    assert house.exchange.request.query == "a=1&api_key=[redacted]"
    assert house.exchange.response is not None
    assert house.exchange.response.body == b'{"password": "[redacted]", "a": 1}'


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ([(b"content-encoding", b"br")], b"\x0b\x02\x80hi\x03"),
        (
            [(b"content-encoding", b"gzip"), (b"content-encoding", b"gzip")],
            gzip.compress(gzip.compress(b"{}")),
        ),
        ([(b"content-encoding", b"identity"), (b"Content-Encoding", b"gzip")], gzip.compress(b"{}")),
        ([(b"content-encoding", b"gzip")], gzip.compress(b"\0" * (300 << 20 >> 4))),
        ([], '{"a":1}'.encode("utf-16")),
    ],
    ids=["brotli", "twice", "two headers", "bomb", "utf-16"],
)
async def test_a_body_that_cannot_be_redacted_is_left_out_and_said_to_be(
    peer: Any, wrap: Any, headers: Any, body: bytes
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start(200, (b"content-type", b"application/json"), *headers))
        await send(chunk(body))

    house = wrap(app)
    one = await peer(house.middleware, headers=[PAIR]).run()
    assert one.answer == body
    answer = house.exchange.response
    assert answer is not None
    assert (answer.body, answer.truncated, answer.body_bytes) == (b"", True, len(body))
    assert answer.sha256 == hashlib.sha256(body).hexdigest()
    assert house.exchange.notes[0].startswith("body_left_out:")


async def test_where_redaction_itself_fails_the_body_is_left_out(
    peer: Any, wrap: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mirrorproof.redaction import Redactor

    monkeypatch.setattr(Redactor, "body", _raise)
    house = wrap(hello)
    one = await peer(house.middleware, headers=[PAIR]).run()
    assert one.answer == b"hello"
    assert house.exchange.response is not None
    assert house.exchange.response.body == b""
    assert house.exchange.notes == ["body_left_out:ZeroDivisionError"]


# --- errors


@pytest.mark.parametrize("mark", [[MARK], []], ids=["mirrored", "live"])
@pytest.mark.parametrize("raised", [ValueError("mine"), KeyboardInterrupt(), asyncio.CancelledError()])
async def test_an_error_before_the_response_reaches_the_server_unchanged(
    peer: Any, wrap: Any, mark: Any, raised: BaseException
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise raised

    house = wrap(app)
    with pytest.raises(type(raised)) as caught:
        await peer(house.middleware, headers=[PAIR, *mark]).run()
    assert caught.value is raised
    assert (house.exchange.response, house.exchange.error) == (None, type(raised).__name__)


async def test_an_error_in_the_middle_of_the_answer_leaves_both_in_the_exchange(peer: Any, wrap: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start(200))
        await send(chunk(b"part", more=True))
        raise ValueError("mine")

    house = wrap(app)
    with pytest.raises(ValueError, match="mine"):
        await peer(house.middleware, headers=[PAIR]).run()
    assert house.exchange.error == "ValueError"
    assert house.exchange.response is not None
    assert house.exchange.response.body == b"part"


async def test_an_application_that_stops_in_the_middle_is_incomplete(peer: Any, wrap: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start(200))
        await send(chunk(b"part", more=True))

    house = wrap(app)
    await peer(house.middleware, headers=[PAIR]).run()
    assert house.exchange.error == "incomplete response"


async def test_a_request_that_is_cancelled_while_it_runs_ends_its_context_and_is_captured(
    peer: Any, wrap: Any
) -> None:
    started = asyncio.Event()
    contexts: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        contexts.append(current())
        started.set()
        await asyncio.Event().wait()

    house = wrap(app)
    for mark in ([MARK], []):
        started.clear()
        serving = asyncio.create_task(peer(house.middleware, method="POST", headers=[PAIR, *mark]).run())
        await started.wait()
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
    assert [context.ended for context in contexts] == [True, True]
    assert [exchange.error for exchange in house.shelf.exchanges] == ["CancelledError"] * 2


async def test_a_send_that_fails_reaches_the_application(peer: Any, wrap: Any) -> None:
    caught: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start(200))
        try:
            await send(chunk(b"x"))
        except OSError as error:
            caught.append(error)
            raise

    house = wrap(app)
    one = peer(house.middleware, headers=[PAIR])
    gone = OSError("client gone")

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            raise gone

    with pytest.raises(OSError):
        await one.app(one.scope, one.receive, send)
    assert caught == [gone]
    assert house.exchange.error == "OSError"


def _raise(*_: Any, **__: Any) -> Any:
    return 1 / 0


@pytest.mark.parametrize(
    "broken",
    [
        "take_answer",
        "take_headers",
        "take_query",
        "_route",
        "annotate_start",
        "annotate_end",
        "parse_traceparent",
    ],
)
@pytest.mark.parametrize("mark", [[MARK], []], ids=["mirrored", "live"])
async def test_errors_of_observing_never_reach_the_application_and_are_counted_and_logged_once(
    peer: Any, wrap: Any, monkeypatch: pytest.MonkeyPatch, caplog: Any, broken: str, mark: Any
) -> None:
    module = "served" if broken == "_route" else "observation"
    monkeypatch.setattr(f"mirrorproof.{module}.{broken}", _raise)
    house = wrap(hello)
    with caplog.at_level(logging.ERROR, "mirrorproof"):
        for _ in range(3):
            one = await peer(house.middleware, headers=[PAIR, *mark]).run()
            assert (one.status, one.answer) == (200, b"hello")
    assert house.counters["observer_errors"] == 3
    assert len([record for record in caplog.records if record.levelno == logging.ERROR]) == 1


async def test_an_odd_answer_of_the_application_is_the_servers_to_judge(peer: Any, wrap: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start"})
        await send({"type": "http.response.body", "body": None})

    house = wrap(app)
    one = await peer(house.middleware, headers=[PAIR]).run()
    assert one.sent == [{"type": "http.response.start"}, {"type": "http.response.body", "body": None}]
    assert house.counters["observer_errors"] == 2


# --- effects after the answer


async def test_effects_after_the_last_chunk_are_refused_and_recorded(peer: Any, wrap: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        with side_effect("mail.send", "in time"):
            pass
        await send(chunk(b"x", more=True))
        with side_effect("mail.send", "still in time"):
            pass
        await send(chunk())
        with pytest.raises(LateEffectError), side_effect("mail.send", "late"):
            raise AssertionError("it ran")

    house = wrap(app)
    await peer(house.middleware, headers=[MARK, PAIR]).run()
    assert [(effect.target, effect.outcome) for effect in house.exchange.effects] == [
        ("in time", Outcome.SUPPRESSED),
        ("still in time", Outcome.SUPPRESSED),
        ("late", Outcome.BLOCKED),
    ]
    assert house.counters["effects_late"] == 1


async def test_a_live_background_task_works_and_its_effects_are_observed(peer: Any, wrap: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await hello(scope, receive, send)
        with side_effect("mail.send", "smtp") as effect:
            assert effect.live

    house = wrap(app)
    await peer(house.middleware, headers=[PAIR]).run()
    assert [effect.outcome for effect in house.exchange.effects] == [Outcome.EXECUTED]


async def test_cleanups_run_at_the_last_chunk_while_the_application_still_runs(peer: Any, wrap: Any) -> None:
    order: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        context = current()
        assert context is not None
        context.on_end(lambda: order.append("cleaned up"))
        await hello(scope, receive, send)
        order.append("background")

    await peer(wrap(app).middleware, headers=[MARK, PAIR]).run()
    assert order == ["cleaned up", "background"]


async def test_read_only_refuses_and_the_exchange_says_blocked(peer: Any, wrap: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        with pytest.raises(ReadOnlyError), side_effect("mail.send", "smtp"):
            raise AssertionError("it ran")
        await hello(scope, receive, send)

    house = wrap(app, mode="read_only")
    await peer(house.middleware, headers=[MARK, PAIR]).run()
    assert [effect.outcome for effect in house.exchange.effects] == [Outcome.BLOCKED]
    assert house.exchange.mode is Mode.READ_ONLY


async def test_effects_beyond_the_bound_are_counted_and_noted(peer: Any, wrap: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        for n in range(5):
            with side_effect("mail.send", str(n)):
                pass
        await hello(scope, receive, send)

    house = wrap(app, max_effects=2)
    await peer(house.middleware, headers=[MARK, PAIR]).run()
    assert [effect.target for effect in house.exchange.effects] == ["0", "1"]
    assert house.counters["effects_lost"] == 3
    assert "effects_lost:3" in house.exchange.notes


async def test_unobserved_live_effects_are_said_to_be_unobserved(peer: Any, wrap: Any) -> None:
    house = wrap(hello, observe_effects=False)
    await peer(house.middleware, headers=[PAIR]).run()
    assert house.exchange.notes == ["effects_unobserved"]
    mirrored = wrap(hello, observe_effects=False)
    await peer(mirrored.middleware, headers=[PAIR, MARK]).run()
    assert mirrored.exchange.notes == []


# --- what is captured


@pytest.mark.parametrize("mark", [[MARK], []], ids=["mirrored", "live"])
async def test_requests_without_a_pair_id_are_counted_and_not_captured(
    peer: Any, wrap: Any, mark: Any
) -> None:
    house = wrap(hello)
    await peer(house.middleware, headers=mark).run()
    assert house.shelf.captures == []
    assert house.counters["no_pair_id"] == 1


async def test_both_sides_sample_the_same_requests_and_count_the_others(peer: Any, wrap: Any) -> None:
    sides = wrap(hello, role="primary", sample=0.5), wrap(hello, role="shadow", sample=0.5)
    for n in range(40):
        for house in sides:
            await peer(house.middleware, headers=[(b"x-request-id", b"pair-%d" % n)]).run()
    v1, v2 = ([exchange.pair_id for exchange in house.shelf.exchanges] for house in sides)
    assert v1 == v2
    assert 5 < len(v1) < 35
    for house in sides:
        assert house.counters["sampled_out"] == 40 - len(v1)


async def test_the_mirror_id_goes_before_the_request_id_and_the_first_of_several_counts(
    peer: Any, wrap: Any
) -> None:
    house = wrap(hello)
    await peer(house.middleware, headers=[PAIR, (b"x-mirror-id", b"m1"), (b"x-mirror-id", b"m2")]).run()
    assert house.exchange.pair_id == "m1"


@pytest.mark.parametrize(
    ("value", "attempt"),
    [(b"3", 3), (b"0", 1), (b"-1", 1), (b"x", 1), (b"", 1), (b"9" * 30, 1), (b"\xb2", 1)],
)
async def test_the_attempt_is_envoys_count_and_one_where_that_is_none(
    peer: Any, wrap: Any, value: bytes, attempt: int
) -> None:
    house = wrap(hello)
    await peer(house.middleware, headers=[PAIR, (b"x-envoy-attempt-count", value)]).run()
    assert house.exchange.attempt == attempt


async def test_a_captured_exchange_has_what_the_design_lists(peer: Any, wrap: Any) -> None:
    house = wrap(hello, version="v2", role="shadow")
    await peer(house.middleware, path="/a", headers=[PAIR], more_scope={"query_string": b"b=1"}).run()
    exchange = house.exchange
    assert (exchange.service, exchange.version, exchange.pair_id) == ("shop", "v2", "pair-1")
    assert (exchange.request.method, exchange.request.path, exchange.request.query) == ("GET", "/a", "b=1")
    assert exchange.request.body_sha256 == hashlib.sha256().hexdigest()
    assert exchange.started_unix_ns > 10**18
    assert exchange.duration_ns > 0
    assert exchange.error is None


async def test_a_path_with_surrogates_can_still_be_sent(peer: Any, wrap: Any) -> None:
    import msgspec

    house = wrap(hello)
    await peer(house.middleware, headers=[PAIR], more_scope={"path": "/a\udcff", "raw_path": b"/a%ff"}).run()
    msgspec.msgpack.encode(house.exchange)


# --- construction


def test_a_middleware_takes_settings_or_single_ones_but_not_both() -> None:
    with pytest.raises(SettingsError, match="role"):
        MirrorMiddleware(hello, settings=Settings(), role="shadow")


def test_a_misspelt_setting_fails_at_start_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="sevice"):
        MirrorMiddleware(hello, sevice="shop")
    monkeypatch.setenv("MIRRORPROOF_ROEL", "shadow")
    with pytest.raises(SettingsError, match="MIRRORPROOF_ROLE"):
        MirrorMiddleware(hello)


def test_a_shadow_is_dry_as_soon_as_the_middleware_is_built(wrap: Any) -> None:
    assert not is_mirrored()
    house = wrap(hello, role="shadow", outside_requests=["sql.*"])
    assert is_mirrored()
    context = current()
    assert context is not None
    assert not context.in_request
    assert (context.action("sql.insert"), context.action("mail.send")) == (Action.EXECUTE, Action.SUPPRESS)
    with side_effect("mail.send") as effect:
        assert not effect.live
    assert house.counters["effects_outside"] == 1


async def test_what_a_request_held_is_freed_after_it(peer: Any, wrap: Any) -> None:
    def alive() -> int:
        gc.collect()
        return sum(type(thing) is MirrorContext for thing in gc.get_objects())  # isinstance asks lazy things

    house = wrap(hello)
    gc.collect()
    gc.freeze()  # what other tests left is not looked at
    try:
        for _ in range(5):
            await peer(house.middleware, headers=[MARK, PAIR], method="POST").run()
        assert alive() > 0
        house.shelf.captures.clear()
        await asyncio.sleep(0)
        assert alive() == 0
    finally:
        gc.unfreeze()
