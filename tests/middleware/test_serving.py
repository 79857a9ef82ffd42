"""A program under `mirrorproof run` that serves without a middleware says so once."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvloop
from clients.servers import free_port

from mirrorproof import MirrorMiddleware, MirrorWSGIMiddleware, Settings, serving, starting

MIRRORPROOF = os.path.join(os.path.dirname(sys.executable), "mirrorproof")
SAID = "no middleware in it tells which requests are mirrored"


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(serving._state, "told", False)
    monkeypatch.setattr(serving._state, "undo", [])
    yield
    serving._stop()


def accept_one(family: int = socket.AF_INET, address: Any = ("127.0.0.1", 0)) -> None:
    with socket.socket(family) as listener, socket.socket(family) as client:
        listener.bind(address)
        listener.listen()
        client.connect(listener.getsockname())
        listener.accept()[0].close()


def test_a_process_that_accepts_says_so_once_and_watches_no_more(
    caplog: pytest.LogCaptureFixture, wait_until: Callable[..., None]
) -> None:
    accept = socket.socket.accept
    serving.watch(patience_s=0.01)
    accept_one()
    assert socket.socket.accept is accept
    accept_one()
    wait_until(lambda: SAID in caplog.text)
    assert caplog.text.count(SAID) == 1


async def test_a_loop_of_uvloops_that_listens_says_so(
    caplog: pytest.LogCaptureFixture, wait_until: Callable[..., None]
) -> None:
    async def listen() -> None:
        loop = uvloop.new_event_loop()
        server = await loop.create_server(lambda: None, "127.0.0.1", 0)  # type: ignore[arg-type, return-value]
        server.close()

    create = uvloop.Loop.create_server
    serving.watch(patience_s=0.01)
    with pytest.raises(RuntimeError):  # in another loop; that it was asked counts
        await listen()
    assert uvloop.Loop.create_server is create
    wait_until(lambda: SAID in caplog.text)


@pytest.mark.parametrize("kind", [MirrorMiddleware, MirrorWSGIMiddleware])
def test_with_a_middleware_nothing_is_said_though_it_is_built_with_the_first_request(
    caplog: pytest.LogCaptureFixture, kind: Any
) -> None:
    serving.watch(patience_s=3600)
    accept_one()
    kind(None, settings=Settings.load(env={}, guards=False))
    serving._say()
    assert SAID not in caplog.text


def test_with_a_middleware_from_before_nobody_watches() -> None:
    accept = socket.socket.accept
    serving.watch()
    MirrorMiddleware(None, settings=Settings.load(env={}, guards=False))  # type: ignore[arg-type]
    assert socket.socket.accept is accept
    serving.watch()
    assert socket.socket.accept is accept


def test_who_only_connects_or_talks_to_neighbours_does_not_serve() -> None:
    serving.watch(patience_s=0.01)
    watching = socket.socket.accept
    with socket.create_server(("127.0.0.1", 0)) as listener:
        socket.create_connection(listener.getsockname()).close()
    accept_one(socket.AF_UNIX, "\0test of serving")
    assert socket.socket.accept is watching


SERVER = """
import sys, wsgiref.simple_server
def app(environ, start_response):
    start_response("200 OK", [])
    return [b"served"]
wsgiref.simple_server.make_server("127.0.0.1", int(sys.argv[1]), app).serve_forever()
"""


@pytest.mark.parametrize("role", ["mixed", "primary", "shadow", "control"])
def test_mirrorproof_run_watches_in_role_mixed_only(role: str, monkeypatch: pytest.MonkeyPatch) -> None:
    watched: list[str] = []
    monkeypatch.setattr(starting, "watch", lambda: watched.append(role))
    monkeypatch.setenv("MIRRORPROOF_ROLE", role)
    monkeypatch.setenv("MIRRORPROOF_GUARDS", "false")
    starting.start()
    assert watched == (["mixed"] if role == "mixed" else [])


def test_a_server_under_mirrorproof_run_says_so(wait_until: Callable[..., None]) -> None:
    port = free_port()
    env = {name: value for name, value in os.environ.items() if not name.startswith("MIRRORPROOF_")}
    command = [MIRRORPROOF, "run", "--", sys.executable, "-c", SERVER, str(port)]
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        try:
            wait_until(lambda: _answers(port))
            assert any(SAID in line for line in iter(server.stderr.readline, ""))
        finally:
            server.terminate()


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
            return bool(answer.read() == b"served")
    except OSError:
        return False
