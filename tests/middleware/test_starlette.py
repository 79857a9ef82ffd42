"""The middleware around Starlette: what a framework does through it, and what a real server shows."""

from __future__ import annotations

import asyncio
import http.client
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket

from mirrorproof import MirrorMiddleware, Settings, current, is_mirrored, side_effect
from mirrorproof.errors import LateEffectError
from mirrorproof.exchange import Outcome

MARKED = {"x-istio-mirror": "true", "x-request-id": "pair-1"}
LIVE = {"x-request-id": "pair-1"}


async def hello(request: Request) -> Response:
    return PlainTextResponse("hello")


def routed(*routes: Any, **more: Any) -> Starlette:
    return Starlette(routes=list(routes), **more)


ROUTES = {
    "plain": ("/orders/7", "/orders/{id}"),
    "another spelling of a number": ("/orders/007", "/orders/{id}"),
    "a value that is in the template": ("/orders/orders", "/orders/{id}"),
    "several": ("/shops/1/orders/1", "/shops/{shop}/orders/{order}"),
    "mounted": ("/v1/things/x", "/v1/things/{name}"),
    "mounted under a parameter": ("/tenants/acme/things/acme", "/tenants/{tenant}/things/{name}"),
    "a path": ("/files/a/b/c.txt", "/files/{path}"),
    "no such path": ("/nothing/1", None),
    "no such path in a mount": ("/v1/none/1", "/v1/{path}"),
    "wrong method": ("/only-post", "/only-post"),
}


@pytest.mark.parametrize(("path", "route"), ROUTES.values(), ids=list(ROUTES))
async def test_the_template_of_the_route_is_captured(wrap: Any, path: str, route: str | None) -> None:
    things = [Route("/things/{name}", hello)]
    numbers = "/orders/{id:int}" if path.endswith("7") else "/orders/{id}"
    app = routed(
        Route(numbers, hello),
        Route("/shops/{shop}/orders/{order:int}", hello),
        Mount("/v1", routes=things),
        Mount("/tenants/{tenant}", app=routed(*things)),
        Route("/files/{path:path}", hello),
        Route("/only-post", hello, methods=["POST"]),
    )
    house = wrap(app)
    await house.mirror(path=path)
    assert house.exchange.request.route == route


async def test_the_template_is_captured_by_a_middleware_that_the_application_adds_too(wrap: Any) -> None:
    shelf = wrap(hello).shelf
    settings = Settings(service="shop", guards=False)
    app = routed(
        Route("/orders/{id}", hello),
        middleware=[
            Middleware(MirrorMiddleware, settings=settings, agent=shelf),
            Middleware(BaseHTTPMiddleware, dispatch=lambda request, call_next: call_next(request)),
        ],
    )
    with TestClient(app) as client:
        assert client.get("/orders/7", headers=MARKED).text == "hello"
    assert [exchange.request.route for exchange in shelf.exchanges] == ["/orders/{id}"]
    assert shelf.flushes == 1


class Framework:
    """A scope with what other frameworks leave in it."""

    def __init__(self, **left: Any) -> None:
        self.__dict__.update(left)


@pytest.mark.parametrize(
    ("left", "route"),
    [
        ({}, None),
        ({"route": "/orders"}, None),
        ({"route": Framework(path="/orders/{id}")}, "/orders/{id}"),
        ({"route": Framework(path="/orders/{id}"), "path_params": {"id": 7}}, "/orders/{id}"),
        ({"route": Framework(path_format=None, path=None)}, None),
    ],
)
async def test_a_template_of_another_framework_is_taken_where_it_is_text(
    wrap: Any, left: dict[str, Any], route: str | None
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope |= left
        await PlainTextResponse("x")(scope, receive, send)

    house = wrap(app)
    await house.mirror(path="/orders/7")
    assert house.exchange.request.route == route
    assert house.counters["observer_errors"] == 0


async def test_sync_endpoints_which_run_in_threads_see_the_context(wrap: Any) -> None:
    def look(request: Request) -> Response:
        return PlainTextResponse(str(is_mirrored()))

    house = wrap(routed(Route("/", look)))
    assert (await house.mirror()).answer == b"True"
    assert (await house.serve()).answer == b"False"


async def test_a_background_task_of_a_mirror_is_refused_its_effects_and_the_answer_is_whole(
    wrap: Any,
) -> None:
    refused: list[BaseException] = []

    async def mail() -> None:
        try:
            with side_effect("mail.send", "smtp"):
                raise AssertionError("it ran")
        except LateEffectError as error:
            refused.append(error)

    async def order(request: Request) -> Response:
        return PlainTextResponse("ordered", background=BackgroundTask(mail))

    house = wrap(routed(Route("/", order, methods=["POST"])))
    one = await house.mirror(method="POST", body=[b"x"])
    assert one.answer == b"ordered"
    assert len(refused) == 1
    assert [(effect.kind, effect.outcome) for effect in house.exchange.effects] == [
        ("mail.send", Outcome.BLOCKED)
    ]


async def test_a_streamed_answer_of_starlette_passes_chunk_by_chunk(wrap: Any) -> None:
    async def numbers() -> AsyncIterator[str]:
        for n in range(3):
            yield str(n)

    async def stream(request: Request) -> Response:
        return StreamingResponse(numbers())

    house = wrap(routed(Route("/", stream)))
    one = await house.mirror()
    assert [m["body"] for m in one.sent if m["type"] == "http.response.body"] == [b"0", b"1", b"2", b""]


async def test_a_compressed_answer_is_captured_as_it_was_sent(wrap: Any) -> None:
    async def large(request: Request) -> Response:
        return PlainTextResponse("x" * 5000)

    house = wrap(GZipMiddleware(routed(Route("/", large))))
    one = await house.mirror(headers=[(b"accept-encoding", b"gzip")])
    assert house.exchange.response is not None
    assert house.exchange.response.body == one.answer
    assert ("content-encoding", "gzip") in house.exchange.response.headers


def test_lifespan_state_reaches_requests_and_the_shutdown_is_seen(wrap: Any) -> None:
    order: list[str] = []

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[dict[str, str]]:
        order.append("up")
        yield {"greeting": "hi"}
        order.append("down")

    async def greet(request: Request) -> Response:
        return PlainTextResponse(request.state.greeting)

    house = wrap(routed(Route("/", greet), lifespan=lifespan))
    with TestClient(house.middleware) as client:
        assert client.get("/", headers=MARKED).text == "hi"
    assert order == ["up", "down"]
    assert house.shelf.flushes == 1


def test_a_websocket_works_with_the_context_set(wrap: Any) -> None:
    async def echo(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text(f"{await socket.receive_text()} {is_mirrored()}")
        await socket.close()

    house = wrap(routed(WebSocketRoute("/ws", echo)))
    with TestClient(house.middleware) as client:
        for headers, said in ((MARKED, "hi True"), ({}, "hi False")):
            with client.websocket_connect("/ws", headers=headers) as socket_:
                socket_.send_text("hi")
                assert socket_.receive_text() == said


async def fail(request: Request) -> Response:
    raise ValueError("mine")


def test_an_error_page_is_captured_and_a_live_error_still_reaches_the_server(wrap: Any) -> None:
    house = wrap(routed(Route("/", fail)))
    with TestClient(house.middleware) as client, pytest.raises(ValueError, match="mine"):
        client.get("/", headers=LIVE)
    assert house.exchange.notes == ["raised_after_response:ValueError"]
    assert house.exchange.response is not None
    assert house.exchange.response.status == 500


def test_what_a_mirrored_request_raises_after_its_response_stays_in_the_log(wrap: Any, caplog: Any) -> None:
    # A server would close the connection over it, and the next, live request on it would be lost.
    house = wrap(routed(Route("/", fail)))
    with TestClient(house.middleware) as client:
        answer = client.get("/", headers=MARKED)
    assert (answer.status_code, answer.text) == (500, "Internal Server Error")
    assert "a mirrored request raised after its response: ValueError('mine')" in caplog.text
    assert house.exchange.response is not None
    assert house.exchange.response.status == 500


# --- a real server


@contextmanager
def served(app: Any) -> Iterator[int]:
    """The application on a real uvicorn; its port."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="on"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.005)
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(30)
        listener.close()


def ask(port: int, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request(method, path, body, {"x-request-id": "p", **headers})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, answer.headers, content


def test_a_large_upload_that_a_mirror_does_not_read_is_taken_by_a_real_server(wrap: Any) -> None:
    async def ignore(request: Request) -> Response:
        return PlainTextResponse("ignored")

    house = wrap(routed(Route("/", ignore, methods=["POST"])))
    size = 20 << 20  # above what socket buffers hold: a server that did not read it would stall its sender
    with served(house.middleware) as port:
        status, _, content = ask(port, "POST", "/", b"x" * size, **{"x-istio-mirror": "true"})
    assert (status, content) == (200, b"ignored")
    assert house.exchange.request.body_bytes == size


def test_a_large_upload_that_a_mirror_never_gets_to_is_cut_off_and_taken_all_the_same(wrap: Any) -> None:
    told: list[str] = []
    length = f"content-length: {20 << 20}"

    async def late(request: Request) -> Response:
        while sender.is_alive():
            await asyncio.sleep(0)
        told.extend([message["type"] async for message in messages(request)])
        return PlainTextResponse("late")

    async def messages(request: Request) -> AsyncIterator[Any]:
        while True:
            message = await request.receive()
            yield message
            if message["type"] == "http.disconnect":
                return

    house = wrap(routed(Route("/", late, methods=["POST"])), max_unread_bytes=65_536, unread_patience_s=0)
    with served(house.middleware) as port:
        connection = socket.create_connection(("127.0.0.1", port), timeout=30)
        head = f"POST / HTTP/1.1\r\nhost: a\r\nx-istio-mirror: true\r\nx-request-id: p\r\n{length}\r\n\r\n"
        upload = head.encode() + b"x" * (20 << 20)
        sender = threading.Thread(target=connection.sendall, args=(upload,))
        sender.start()
        sender.join(60)
        assert not sender.is_alive(), "the sender was held up"
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert (answer.status, answer.read()) == (200, b"late")
        connection.close()
    assert told[-1] == "http.disconnect"
    assert house.counters["body_overrun"] == 1
    assert house.exchange.request.body_bytes == 20 << 20


def test_a_refused_upload_is_taken_whole_by_a_real_server(wrap: Any) -> None:
    house = wrap(routed(Route("/", hello, methods=["POST"])))
    with served(house.middleware) as port:
        status, _, content = ask(port, "POST", "/", b"x" * (20 << 20), **{"x-istio-mirror": "True"})
        assert ask(port, "POST", "/", b"")[0] == 200
    assert status == 400
    assert b"x-istio-mirror" in content


def test_a_doubled_mark_on_the_wire_is_refused(wrap: Any) -> None:
    house = wrap(routed(Route("/", hello)))
    with served(house.middleware) as port, socket.create_connection(("127.0.0.1", port), timeout=30) as wire:
        wire.sendall(b"GET / HTTP/1.1\r\nhost: a\r\nX-Istio-Mirror: true\r\nx-istio-mirror: true\r\n\r\n")
        assert wire.recv(12) == b"HTTP/1.1 400"


def test_the_mirror_port_is_known_by_the_port_that_a_real_server_listens_on(wrap: Any) -> None:
    house = wrap(routed(Route("/", hello)), trust=["mirror_port"], mirror_port=1)
    with served(house.middleware) as port:
        assert ask(port, "GET", "/", **{"x-istio-mirror": "true"})[0] == 403
    house = wrap(routed(Route("/", hello)))
    with served(house.middleware) as port:
        trusting = Settings(trust=("mirror_port",), mirror_port=port, guards=False)  # type: ignore[arg-type]
        house.middleware.settings = trusting
        assert ask(port, "GET", "/", **{"x-istio-mirror": "true"})[0] == 200


def test_two_cookies_and_odd_bytes_survive_a_real_server(wrap: Any) -> None:
    async def cookies(request: Request) -> Response:
        response = PlainTextResponse("x")
        response.set_cookie("a", "1")
        response.set_cookie("b", "2")
        response.raw_headers.append((b"x-odd", b"\xff"))
        return response

    house = wrap(routed(Route("/", cookies)))
    with served(house.middleware) as port:
        for mark in ({}, {"x-istio-mirror": "true"}):
            _, headers, _ = ask(port, "GET", "/", **mark)
            assert [cookie.split(";")[0] for cookie in headers.get_all("set-cookie")] == ["a=1", "b=2"]


def test_head_and_files_are_served_as_ever(wrap: Any, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("content")

    async def file(request: Request) -> Response:
        return FileResponse(tmp_path / "a.txt")

    house = wrap(routed(Route("/", file)))
    with served(house.middleware) as port:
        assert ask(port, "HEAD", "/", **{"x-istio-mirror": "true"})[2] == b""
        status, headers, content = ask(port, "GET", "/", **{"x-istio-mirror": "true"})
    assert (status, headers["content-length"], content) == (200, "7", b"content")


def test_a_client_that_hangs_up_in_the_middle_of_a_stream_is_captured_as_incomplete(
    wrap: Any, wait_until: Any
) -> None:
    contexts: list[Any] = []

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 10_000
            await asyncio.sleep(0)

    async def stream(request: Request) -> Response:
        contexts.append(current())
        return StreamingResponse(endless())

    house = wrap(routed(Route("/", stream)))
    with served(house.middleware) as port:
        with socket.create_connection(("127.0.0.1", port), timeout=30) as wire:
            wire.sendall(b"GET / HTTP/1.1\r\nhost: a\r\nx-istio-mirror: true\r\nx-request-id: p\r\n\r\n")
            wire.recv(1000)
        wait_until(lambda: house.shelf.captures)
    assert house.exchange.error is not None
    assert contexts[0].ended
    assert house.counters["observer_errors"] == 0


def test_late_work_of_a_mirrored_request_does_not_cost_the_next_live_request_its_connection(
    wrap: Any,
) -> None:
    live_arrived, refused = asyncio.Event(), asyncio.Event()

    async def mail_later() -> None:
        await live_arrived.wait()
        refused.set()
        with side_effect("mail.send", "smtp"):
            raise AssertionError("it would have been sent")

    async def order(request: Request) -> Response:
        if is_mirrored():
            return PlainTextResponse("ordered", background=BackgroundTask(mail_later))
        live_arrived.set()
        await refused.wait()
        await asyncio.sleep(0)  # the refusal has left the mirrored request's application by now
        return PlainTextResponse("ordered")

    house = wrap(routed(Route("/", order, methods=["POST"])))
    request = "POST / HTTP/1.1\r\nhost: x\r\nx-request-id: p\r\n{}content-length: 0\r\n\r\n"
    with served(house.middleware) as port, socket.create_connection(("127.0.0.1", port), 30) as peer:
        # Both on one connection, as a proxy's pool of connections has it.
        peer.sendall((request.format("x-istio-mirror: true\r\n") + request.format("")).encode())
        answers = b""
        while answers.count(b"ordered") < 2:
            received = peer.recv(65536)
            assert received, f"the connection was closed after {answers!r}"
            answers += received
    mirrored = [exchange for exchange in house.shelf.exchanges if exchange.mode != "live"]
    assert [exchange.notes for exchange in mirrored] == [
        ["raised_after_response:LateEffectError", "effects_late"]
    ]
