"""Exchanges to test with, a fresh store on each database, and a recorder on loopback."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from sqlalchemy import create_engine, make_url, text

from mirrorproof.decision import Mode, Role
from mirrorproof.exchange import Batch, Exchange, Request, Response, encode_batch
from mirrorproof_sidecar.recorder import serve
from mirrorproof_sidecar.settings import RecorderSettings

_numbers = itertools.count(1)
T0_NS = 1_700_000_000_000_000_000

ExchangeMaker = Callable[..., Exchange]


def _exchange(
    side: str = "primary", pair: str = "p1", *, body: bytes = b'{"a":1}', **changes: Any
) -> Exchange:
    live = side == "primary"
    number = next(_numbers)
    roles = {"primary": Role.PRIMARY, "shadow": Role.SHADOW, "control": Role.CONTROL}
    request = {"method": "GET", "path": "/orders/7", "route": "/orders/{id}"} | changes.pop("request", {})
    status = changes.pop("status", 200)
    headers = [("content-type", "application/json"), ("date", f"now-{number}")]
    fields: dict[str, Any] = {
        "exchange_id": f"{side}-{number}", "pair_id": pair, "service": "orders",
        "version": "v1" if side != "shadow" else "v2", "role": roles[side],
        "mode": Mode.LIVE if live else Mode.DRY_RUN,
        "started_unix_ns": T0_NS + number * 1_000_000, "duration_ns": 5_000_000 if live else 8_000_000,
        "request": Request(**request),
        "response": Response(status=status, headers=headers, body=body, body_bytes=len(body)),
    }  # fmt: skip
    return Exchange(**(fields | changes))


@pytest.fixture
def make_exchange() -> ExchangeMaker:
    """`make_exchange(side, pair_id, body=…, request={…}, **fields)`."""
    return _exchange


@pytest.fixture
def fresh_postgres(postgres_url: str) -> Iterator[str]:
    """An empty database."""
    name = f"t{uuid.uuid4().hex}"
    url = make_url(postgres_url).set(drivername="postgresql+psycopg")
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}"'))
    yield url.set(database=name).render_as_string(hide_password=False)
    with engine.connect() as connection:
        connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty store, once on each database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/store.db"
    url: str = request.getfixturevalue("fresh_postgres")
    return url


class Client:
    """A recorder on loopback and a session to talk to it."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self.session = session

    async def post(self, *exchanges: Exchange, batch: Batch | None = None, **more: Any) -> dict[str, Any]:
        """Post exchanges; the answer of a 202."""
        body = encode_batch(batch or Batch(exchanges=list(exchanges)))
        headers = {"Content-Type": "application/msgpack"}
        async with self.session.post("/v1/exchanges", data=body, headers=headers, **more) as response:
            answer: dict[str, Any] = await response.json()
            assert response.status == 202, answer
            return answer

    async def get(self, path: str, status: int = 200, **more: Any) -> Any:
        """The JSON of an answer."""
        return await self.ask("GET", path, status, **more)

    async def ask(self, method: str, path: str, status: int = 200, **more: Any) -> Any:
        """The JSON of an answer that has to have `status`."""
        async with self.session.request(method, path, **more) as response:
            body = await response.read()
            assert response.status == status, body
            return msgspec.json.decode(body)

    async def summary(self) -> Any:
        """The summary, once all is settled."""
        return await self.get("/v1/summary?settle=1")


@asynccontextmanager
async def _running(settings: RecorderSettings, **session: Any) -> AsyncIterator[Client]:
    stop, listening = asyncio.Event(), asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve(settings, listening=listening.set_result, stop=stop))
    await asyncio.wait([task, listening], return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        await task
    try:
        async with aiohttp.ClientSession(await listening, **session) as opened:
            yield Client(await listening, opened)
    finally:
        stop.set()
        await task


@pytest.fixture
def running(tmp_path: Path) -> Callable[..., Any]:
    """`running(**settings)`: a recorder with a fresh SQLite store unless the settings say otherwise."""

    def start(*, session: dict[str, Any] | None = None, **settings: Any) -> Any:
        defaults = {"listen": "127.0.0.1:0", "store": f"sqlite:///{tmp_path}/recorder.db", "settle_s": 30.0}
        return _running(RecorderSettings(**(defaults | settings)), **(session or {}))

    return start


@pytest.fixture
async def client(running: Callable[..., Any]) -> AsyncIterator[Client]:
    """A recorder that settles when it is asked to."""
    async with running() as started:
        yield started


@pytest.fixture
def until() -> Callable[..., Awaitable[Any]]:
    """`await until(ask)`: the first true answer of the coroutine function `ask`."""

    async def wait(ask: Callable[[], Awaitable[Any]], timeout_s: float = 20.0) -> Any:
        async with asyncio.timeout(timeout_s):
            while not (answer := await ask()):
                await asyncio.sleep(0.02)
            return answer

    return wait
