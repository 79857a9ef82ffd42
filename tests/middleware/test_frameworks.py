"""The recipes of docs/frameworks.md, each with a real application: mirrored, live, and a malformed mark."""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import django
import flask
import grpc
import grpc.aio
import httpx
import litestar
import pytest
from aiohttp import web
from django.conf import settings as django_settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path as django_path
from fastapi import BackgroundTasks, Depends, FastAPI
from fastapi.responses import StreamingResponse
from litestar.params import FromPath
from shelf import Shelf
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from mirrorproof import MirrorMiddleware, MirrorWSGIMiddleware, Settings, is_mirrored, side_effect
from mirrorproof.aiohttp_web import mirror_middleware
from mirrorproof.errors import LateEffectError
from mirrorproof.exchange import Outcome
from mirrorproof.grpc_server import mirror_interceptor

LIVE = {"x-request-id": "pair-1"}
MIRRORED = LIVE | {"x-istio-mirror": "true"}
MALFORMED = LIVE | {"x-istio-mirror": "True"}
GIVEN = Settings(service="shop", guards=False)


sent: list[str] = []


@pytest.fixture(autouse=True)
def _nothing_sent() -> None:
    sent.clear()


@side_effect("mail.send", "smtp", returns="dry")
def send_mail(to: str) -> str:
    sent.append(to)
    return "sent"


def fastapi_app(shelf: Any) -> Any:
    app = FastAPI()
    app.add_middleware(MirrorMiddleware, settings=GIVEN, agent=shelf)

    def mailer() -> Iterator[Callable[[str], str]]:
        yield send_mail

    @app.post("/orders/{order}")
    def order(order: int, mail: Any = Depends(mailer)) -> str:  # noqa: B008 - FastAPI's way
        return str(mail(f"order {order}"))

    return app


def starlette_app(shelf: Any) -> Any:
    async def order(request: Any) -> Any:
        return PlainTextResponse(send_mail("order 7"))

    app = Starlette(routes=[Route("/orders/{order}", order, methods=["POST"])])
    app.add_middleware(MirrorMiddleware, settings=GIVEN, agent=shelf)
    return app


def litestar_app(shelf: Any) -> Any:
    @litestar.post("/orders/{order:int}", sync_to_thread=True)
    def order(order: FromPath[int]) -> str:
        return send_mail(f"order {order}")

    # Around the whole application: Litestar's own `middleware=` comes after its routing.
    return MirrorMiddleware(litestar.Litestar([order]), settings=GIVEN, agent=shelf)


def django_order(request: Any, order: int) -> Any:
    return HttpResponse(send_mail(f"order {order}"))


urlpatterns = [django_path("orders/<int:order>", django_order)]


def _set_up_django() -> None:
    """Settings of a shop's own, whatever other tests of this process have set up."""
    if not django_settings.configured:
        django_settings.configure(USE_TZ=True)
        django.setup()
    django_settings.ALLOWED_HOSTS = ["*"]
    django_settings.SECRET_KEY = "x"
    sys.modules.setdefault("mirrorproof_test_urls", sys.modules[__name__])
    django_settings.ROOT_URLCONF = "mirrorproof_test_urls"


def django_asgi_app(shelf: Any) -> Any:
    _set_up_django()
    return MirrorMiddleware(get_asgi_application(), settings=GIVEN, agent=shelf)


def django_wsgi_app(shelf: Any) -> Any:
    _set_up_django()
    return MirrorWSGIMiddleware(get_wsgi_application(), settings=GIVEN, agent=shelf, underscores_dropped=True)


def flask_app(shelf: Any) -> Any:
    app = flask.Flask("shop")

    @app.post("/orders/<int:order>")
    def order(order: int) -> str:
        return send_mail(f"order {order}")

    app.wsgi_app = MirrorWSGIMiddleware(  # type: ignore[method-assign]
        app.wsgi_app, settings=GIVEN, agent=shelf, underscores_dropped=True
    )
    return app


ASGI = {
    "fastapi": fastapi_app, "starlette": starlette_app, "litestar": litestar_app, "django": django_asgi_app,
}  # fmt: skip
WSGI = {"flask": flask_app, "django": django_wsgi_app}


async def ask_asgi(app: Any, headers: dict[str, str]) -> tuple[int, str]:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
        answer = await client.post("/orders/7", headers=headers, content=b"x")
    return answer.status_code, answer.text.strip('"')


async def ask_wsgi(app: Any, headers: dict[str, str]) -> tuple[int, str]:
    def ask() -> tuple[int, str]:
        with httpx.Client(transport=httpx.WSGITransport(app), base_url="http://shop") as client:
            answer = client.post("/orders/7", headers=headers, content=b"x")
        return answer.status_code, answer.text

    return await asyncio.to_thread(ask)


FRAMEWORKS = [
    *(pytest.param(make, ask_asgi, id=f"{name}-asgi") for name, make in ASGI.items()),
    *(pytest.param(make, ask_wsgi, id=f"{name}-wsgi") for name, make in WSGI.items()),
]


@pytest.mark.parametrize(("make", "ask"), FRAMEWORKS)
async def test_a_mirrors_effect_is_suppressed_and_captured_with_its_pair_id(make: Any, ask: Any) -> None:
    shelf = Shelf()
    status, answer = await ask(make(shelf), MIRRORED)
    assert status in (200, 201)
    assert (answer, sent) == ("dry", [])
    exchange = shelf.exchange
    assert (exchange.pair_id, exchange.request.path) == ("pair-1", "/orders/7")
    assert [(each.kind, each.outcome) for each in exchange.effects] == [("mail.send", Outcome.SUPPRESSED)]


@pytest.mark.parametrize(("make", "ask"), FRAMEWORKS)
async def test_an_unmarked_request_is_live_and_observed(make: Any, ask: Any) -> None:
    shelf = Shelf()
    _, answer = await ask(make(shelf), LIVE)
    assert (answer, sent) == ("sent", ["order 7"])
    assert [each.outcome for each in shelf.exchange.effects] == [Outcome.EXECUTED]


@pytest.mark.parametrize(("make", "ask"), FRAMEWORKS)
async def test_a_malformed_mark_is_refused(make: Any, ask: Any) -> None:
    shelf = Shelf()
    status, _ = await ask(make(shelf), MALFORMED)
    assert (status, sent, shelf.captures) == (400, [], [])


async def test_effects_of_a_mirror_and_of_its_twin_have_equal_digests_in_every_framework() -> None:
    digests = set()
    for make, ask in (each.values for each in FRAMEWORKS):
        for headers in (MIRRORED, LIVE):
            shelf = Shelf()
            await ask(make(shelf), headers)  # type: ignore[operator]
            digests.update(each.digest for each in shelf.exchange.effects)
    assert len(digests) == 1


# --- what is FastAPI's own


async def test_fastapis_background_tasks_of_a_mirror_are_refused_their_effects() -> None:
    app, shelf = FastAPI(), Shelf()
    app.add_middleware(MirrorMiddleware, settings=GIVEN, agent=shelf)
    refused: list[bool] = []

    def later() -> None:
        try:
            send_mail("later")
        except LateEffectError:
            refused.append(True)

    @app.post("/orders/7")
    async def order(tasks: BackgroundTasks) -> str:
        tasks.add_task(later)
        return "ordered"

    assert await ask_asgi(app, MIRRORED) == (200, "ordered")
    assert (refused, sent) == ([True], [])
    assert [each.outcome for each in shelf.exchange.effects] == [Outcome.BLOCKED]
    assert await ask_asgi(app, LIVE) == (200, "ordered")
    assert sent == ["later"]


async def test_fastapis_streamed_answers_are_dry_in_each_piece() -> None:
    app, shelf = FastAPI(), Shelf()
    app.add_middleware(MirrorMiddleware, settings=GIVEN, agent=shelf)

    async def pieces() -> AsyncIterator[str]:
        for n in range(3):
            yield f"{is_mirrored()} {send_mail(str(n))};"

    @app.post("/orders/7")
    async def order() -> StreamingResponse:
        return StreamingResponse(pieces())

    assert await ask_asgi(app, MIRRORED) == (200, "True dry;" * 3)
    assert len(shelf.exchange.effects) == 3
    assert await ask_asgi(app, LIVE) == (200, "False sent;" * 3)


async def test_fastapis_dependencies_clean_up_within_the_request() -> None:
    app, shelf = FastAPI(), Shelf()
    app.add_middleware(MirrorMiddleware, settings=GIVEN, agent=shelf)
    seen: list[bool] = []

    def unit_of_work() -> Iterator[None]:
        yield
        seen.append(is_mirrored())

    @app.post("/orders/7", dependencies=[Depends(unit_of_work)])
    def order() -> str:
        return send_mail("order")

    assert await ask_asgi(app, MIRRORED) == (200, "dry")
    assert await ask_asgi(app, LIVE) == (200, "sent")
    assert seen == [True, False]


# --- what is Flask's own


def test_flasks_streamed_answers_are_dry_in_each_piece() -> None:
    app, shelf = flask.Flask("shop"), Shelf()

    @app.post("/orders/7")
    def order() -> Any:
        return app.response_class(
            flask.stream_with_context(f"{send_mail(str(n))} {flask.request.path};" for n in range(3))
        )

    app.wsgi_app = MirrorWSGIMiddleware(  # type: ignore[method-assign]
        app.wsgi_app,
        settings=GIVEN,
        agent=shelf,
        underscores_dropped=True,  # type: ignore[arg-type]
    )
    client = app.test_client()
    assert client.post("/orders/7", headers=MIRRORED, buffered=True).text == "dry /orders/7;" * 3
    assert len(shelf.exchange.effects) == 3
    assert client.post("/orders/7", headers=LIVE).text == "sent /orders/7;" * 3


def test_flasks_uploads_reach_the_application_of_a_mirror() -> None:
    app, shelf = flask.Flask("shop"), Shelf()

    @app.post("/orders/7")
    def order() -> str:
        return str(len(flask.request.files["file"].read()))

    app.wsgi_app = MirrorWSGIMiddleware(  # type: ignore[method-assign]
        app.wsgi_app,
        settings=GIVEN,
        agent=shelf,
        underscores_dropped=True,  # type: ignore[arg-type]
    )
    data = {"file": (io.BytesIO(b"x" * 100_000), "a.bin")}
    assert app.test_client().post("/orders/7", headers=MIRRORED, data=data, buffered=True).text == "100000"
    assert shelf.exchange.request.body_sha256 is not None


# --- aiohttp.web and grpc.aio, on their own servers


@asynccontextmanager
async def serving_aiohttp(shelf: Any, *routes: Any) -> AsyncIterator[str]:
    app = web.Application(middlewares=[mirror_middleware(GIVEN, agent=shelf)])
    app.add_routes(routes)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/orders/7"
    finally:
        await runner.cleanup()


async def test_aiohttp_web_serves_mirrors_dry_others_live_and_refuses_malformed_marks() -> None:
    async def order(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(text=send_mail(f"order {request.match_info['order']}"))

    shelf = Shelf()
    async with (
        serving_aiohttp(shelf, web.post("/orders/{order}", order)) as url,
        httpx.AsyncClient() as client,
    ):
        for malformed in (MALFORMED, LIVE | {"x_istio_mirror": "true"}):
            assert (await client.post(url, headers=malformed)).status_code == 400
        answer = await client.post(url, headers=MIRRORED, content=b"abc")
        assert (answer.text, sent) == ("dry", [])
        exchange = shelf.exchange
        assert (await client.post(url, headers=LIVE)).text == "sent"
    assert (exchange.pair_id, exchange.request.route) == ("pair-1", "/orders/{order}")
    assert exchange.request.body_bytes == 3
    assert exchange.response is not None
    assert (exchange.response.status, exchange.response.body) == (200, b"dry")
    assert [each.outcome for each in exchange.effects] == [Outcome.SUPPRESSED]


async def test_aiohttp_webs_errors_and_streams_are_captured_as_what_they_are() -> None:
    async def missing(request: web.Request) -> web.Response:
        raise web.HTTPNotFound(text="no")

    async def streams(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(send_mail("x").encode())
        return response

    for route, status, notes in (
        (web.post("/orders/7", missing), 404, []),
        (web.post("/orders/7", streams), 200, ["body_left_out:sent by the server"]),
    ):
        shelf = Shelf()
        async with serving_aiohttp(shelf, route) as url, httpx.AsyncClient() as client:
            assert (await client.post(url, headers=MIRRORED)).status_code == status
        assert shelf.exchange.response is not None
        assert (shelf.exchange.response.status, shelf.exchange.notes) == (status, notes)
    assert sent == []


async def unary(request: bytes, call: Any) -> bytes:
    return send_mail(request.decode()).encode()


def unary_in_a_thread(request: bytes, call: Any) -> bytes:
    return send_mail(request.decode()).encode()


async def streaming(request: bytes, call: Any) -> AsyncIterator[bytes]:
    for _ in range(3):
        yield send_mail(request.decode()).encode()


async def writing(request: bytes, call: Any) -> None:
    for _ in range(3):
        await call.write(send_mail(request.decode()).encode())


def streaming_in_a_thread(request: bytes, call: Any) -> Iterator[bytes]:
    for _ in range(3):
        yield send_mail(request.decode()).encode()


async def uploading(requests: AsyncIterator[bytes], call: Any) -> bytes:
    return b"".join([send_mail(each.decode()).encode() async for each in requests])


async def talking(requests: AsyncIterator[bytes], call: Any) -> AsyncIterator[bytes]:
    async for each in requests:
        yield send_mail(each.decode()).encode()


CALLS: dict[str, Any] = {
    "unary": (unary, "unary_unary", 1),
    "unary in a thread": (unary_in_a_thread, "unary_unary", 1),
    "streamed answer": (streaming, "unary_stream", 3),
    "written answer": (writing, "unary_stream", 3),
    "streamed answer in a thread": (streaming_in_a_thread, "unary_stream", 3),
    "streamed request": (uploading, "stream_unary", 2),
    "both streamed": (talking, "stream_stream", 2),
}


async def called(port: int, shape: str, *metadata: tuple[str, str]) -> bytes:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        method = getattr(channel, shape)("/shop.Orders/Place")
        given = iter([b"a", b"b"]) if shape.startswith("stream") else b"a"
        call = method(given, metadata=metadata, timeout=30)
        if shape.endswith("unary"):
            return bytes(await call)
        return b"".join([each async for each in call])


@pytest.mark.parametrize(("behaviour", "shape", "effects"), CALLS.values(), ids=list(CALLS))
async def test_grpc_serves_mirrors_dry_others_live_and_refuses_malformed_marks(
    behaviour: Any, shape: str, effects: int
) -> None:
    server = grpc.aio.server(interceptors=[mirror_interceptor(GIVEN)])
    make = getattr(grpc, f"{shape}_rpc_method_handler")
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("shop.Orders", {"Place": make(behaviour)})]
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        assert await called(port, shape, ("x-istio-mirror", "true")) == b"dry" * effects
        assert sent == []
        for metadata in (("x-istio-mirror", "True"), ("x_istio_mirror", "true")):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await called(port, shape, metadata)
            assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert sent == []
        assert await called(port, shape) == b"sent" * effects
        assert len(sent) == effects
    finally:
        await server.stop(None)


async def test_grpc_refuses_an_untrusted_mark() -> None:
    given = Settings.load(env={}, service="shop", guards=False, trust=("key",), key="k" * 32)
    server = grpc.aio.server(interceptors=[mirror_interceptor(given)])
    handlers = {"Place": grpc.unary_unary_rpc_method_handler(unary)}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("shop.Orders", handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await called(port, "unary_unary", ("x-istio-mirror", "true"))
        assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    finally:
        await server.stop(None)
