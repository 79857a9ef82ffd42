"""Large uploads, which frameworks keep in temporary files, reach the application of a mirror."""

from __future__ import annotations

import asyncio
import io
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import django
import flask
import httpx
import pytest
from django.conf import settings as django_settings
from django.core.handlers.wsgi import WSGIRequest
from shelf import Shelf
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from mirrorproof import MirrorMiddleware, MirrorWSGIMiddleware, Settings
from mirrorproof.decision import Mode

SIZE = 6_000_000
GIVEN = Settings(service="shop")
MIRRORED = {"x-request-id": "pair-1", "x-istio-mirror": "true"}


async def starlette_order(request: Any) -> PlainTextResponse:
    async with request.form() as form:
        file = form["file"]
        assert file.file._rolled
        return PlainTextResponse(str(len(await file.read())))


def flask_order() -> str:
    return str(len(flask.request.files["file"].read()))


def flask_order_saved() -> str:
    """As many services do it: to a folder of the request's own, to be read by another library."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "order.bin"
        flask.request.files["file"].save(path)
        return str(path.stat().st_size)


def django_app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    if not django_settings.configured:
        django_settings.configure(USE_TZ=True)
        django.setup()
    request = WSGIRequest(environ)
    file = request.FILES["file"]
    size = Path(file.temporary_file_path()).stat().st_size
    request.close()
    start_response("200 OK", [("content-type", "text/plain")])
    return [str(size).encode()]


async def ask_starlette(shelf: Any) -> httpx.Response:
    app = Starlette(routes=[Route("/orders", starlette_order, methods=["POST"])])
    transport = httpx.ASGITransport(MirrorMiddleware(app, settings=GIVEN, agent=shelf))
    async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
        return await client.post("/orders", headers=MIRRORED, files=files())


def asks_wsgi(app: Any) -> Callable[[Any], Awaitable[httpx.Response]]:
    def ask(shelf: Any) -> httpx.Response:
        wrapped = MirrorWSGIMiddleware(app, settings=GIVEN, agent=shelf, underscores_dropped=True)
        with httpx.Client(transport=httpx.WSGITransport(wrapped), base_url="http://shop") as client:
            return client.post("/orders", headers=MIRRORED, files=files())

    return lambda shelf: asyncio.to_thread(ask, shelf)


def files() -> dict[str, Any]:
    return {"file": ("order.bin", io.BytesIO(b"x" * SIZE))}


def flask_app(order: Callable[[], str]) -> Any:
    app = flask.Flask("shop")
    app.add_url_rule("/orders", view_func=order, methods=["POST"])
    return app.wsgi_app


@pytest.fixture(params=[True, False], ids=["nameless", "named"])
def _kept(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With and without files that have no name, which not every file system has."""
    monkeypatch.setattr(tempfile, "_O_TMPFILE_WORKS", request.param)


@pytest.mark.usefixtures("_kept")
@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(ask_starlette, id="starlette"),
        pytest.param(asks_wsgi(flask_app(flask_order)), id="flask"),
        pytest.param(asks_wsgi(flask_app(flask_order_saved)), id="flask-saved"),
        pytest.param(asks_wsgi(django_app), id="django"),
    ],
)
async def test_a_large_upload_reaches_the_application_of_a_mirror(
    ask: Callable[[Any], Awaitable[httpx.Response]],
) -> None:
    shelf = Shelf()
    answer = await ask(shelf)
    assert (answer.status_code, answer.text) == (200, str(SIZE))
    assert shelf.exchange.mode is Mode.DRY_RUN
    assert list(shelf.exchange.effects) == []
