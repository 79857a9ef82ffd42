"""What the middleware's tests share: a clean process, an ASGI peer in memory, a scripted recorder."""

from __future__ import annotations

import asyncio
import http.server
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from clients.http_peer import HttpPeer
from shelf import Shelf

from mirrorproof import MirrorMiddleware, Settings, uninstall_guards
from mirrorproof.context import set_process_context
from mirrorproof.counters import Counters
from mirrorproof.exchange import Batch, Exchange, decode_batch
from mirrorproof.failsafe import _logged

MIRRORED = (b"x-istio-mirror", b"true")
PAIRED = (b"x-request-id", b"pair-1")


@pytest.fixture(autouse=True)
def _clean_process() -> Iterator[None]:
    """Nothing that is global in a process outlives a test."""
    yield
    set_process_context(None)
    uninstall_guards()
    _logged.clear()


def wait_until(holds: Callable[[], object], within_s: float = 20.0) -> None:
    """Return once `holds()` is true; fail the test if it never is."""
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.005)


@pytest.fixture(name="wait_until")
def _wait_until() -> Callable[..., None]:
    return wait_until


@dataclass
class Peer:
    """An ASGI server in memory: serves one request and keeps what the application sent."""

    app: Any
    body: Sequence[bytes] = (b"",)
    headers: Sequence[Any] = ()
    method: str = "GET"
    path: str = "/"
    more_scope: dict[str, Any] = field(default_factory=dict)
    goes_away: bool = False
    """Whether the client hangs up after the chunks of `body`, in the middle of the request."""
    sent: list[dict[str, Any]] = field(default_factory=list)
    taken: int = 0
    """How many of the request's messages were asked for."""

    def __post_init__(self) -> None:
        self.scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": self.method,
            "scheme": "http",
            "path": self.path,
            "raw_path": self.path.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": list(self.headers),
            "client": ("127.0.0.1", 40000),
            "server": ("127.0.0.1", 8000),
        } | self.more_scope
        self.answered = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        at, last = self.taken, len(self.body) - 1
        self.taken += 1
        await asyncio.sleep(0)
        if at <= last:
            more = at < last or self.goes_away
            return {"type": "http.request", "body": self.body[at], "more_body": more}
        if not self.goes_away:
            await self.answered.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self.answered.set()

    async def run(self) -> Peer:
        await self.app(self.scope, self.receive, self.send)
        return self

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def answer(self) -> bytes:
        return b"".join(m.get("body", b"") for m in self.sent if m["type"] == "http.response.body")


@pytest.fixture
def peer() -> type[Peer]:
    return Peer


@dataclass
class House:
    """A wrapped application, its counters and what it captured."""

    middleware: MirrorMiddleware
    shelf: Shelf

    @property
    def counters(self) -> Counters:
        return self.middleware.counters

    @property
    def exchange(self) -> Exchange:
        """The one exchange that was captured."""
        return self.shelf.exchange

    async def serve(self, **request: Any) -> Peer:
        return await Peer(self.middleware, **request).run()

    async def mirror(self, **request: Any) -> Peer:
        """Serve a request that is mirrored and has a pair id."""
        return await self.serve(headers=[MIRRORED, PAIRED, *request.pop("headers", ())], **request)


@pytest.fixture
def wrap() -> Callable[..., House]:
    """An application wrapped by the middleware, by settings; without guards unless they are asked for."""

    def make(app: Callable[..., Awaitable[None]], *, ships: bool = True, **settings: Any) -> House:
        shelf = Shelf()
        given = Settings.load(env={}, **{"guards": False, "service": "shop"} | settings)
        return House(MirrorMiddleware(app, settings=given, agent=shelf if ships else None), shelf)  # type: ignore[arg-type]

    return make


@dataclass
class Posted:
    batch: Batch
    headers: dict[str, str]
    body: bytes


class Recorder:
    """A real HTTP server on loopback that answers posts as its script says, then 202."""

    def __init__(self) -> None:
        self.script: list[Any] = []
        """Each a status, or (status, headers, body), or "hang up", or "hang"."""
        self.respond: Callable[[Batch], Any] | None = None
        self.posts: list[Posted] = []
        self.released = threading.Event()
        recorder = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                recorder._post(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def _post(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["content-length"]))
        batch = decode_batch(body, handler.headers["content-type"])
        self.posts.append(Posted(batch, dict(handler.headers.items()), body))
        step = self.script.pop(0) if self.script else (self.respond(batch) if self.respond else 202)
        if step == "hang":
            self.released.wait(60)
            step = "hang up"
        if step == "hang up":
            handler.close_connection = True
            return
        status, headers, answer = step if isinstance(step, tuple) else (step, {}, b"{}")
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("content-length", str(len(answer)))
        handler.end_headers()
        handler.wfile.write(answer)

    @property
    def received(self) -> list[Exchange]:
        """Every exchange that was posted, refused ones as well."""
        return [exchange for posted in self.posts for exchange in posted.batch.exchanges]

    @property
    def reported(self) -> dict[str, int]:
        """The counters of the last report."""
        source = self.posts[-1].batch.source
        assert source is not None
        return dict(source.counters)

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    running = Recorder()
    yield running
    running.close()


@pytest.fixture
def outside() -> Iterator[HttpPeer]:
    running = HttpPeer()
    yield running
    running.stop()
