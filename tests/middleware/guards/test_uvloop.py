"""Under uvloop, which connects and starts processes in C, no more passes than under asyncio's own loop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
import uvloop
from clients.http_peer import HttpPeer

from mirrorproof import Settings, install_guards, uninstall_guards
from mirrorproof.context import MirrorContext, detached, entered
from mirrorproof.decision import Decision, Mode
from mirrorproof.errors import LateEffectError, UnguardedError
from mirrorproof.exchange import Outcome


@pytest.fixture(autouse=True)
def _guards() -> Iterator[None]:
    install_guards()
    yield
    uninstall_guards()


class Outside:
    """What can be reached: a stream, a stream by path, datagrams, a file that a process makes."""

    def __init__(self, folder: Path) -> None:
        self.stream = socket.create_server(("127.0.0.1", 0))
        self.local = socket.socket(socket.AF_UNIX)
        self.local.bind(str(folder / "s"))
        self.local.listen()
        self.datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.datagrams.bind(("127.0.0.1", 0))
        self.made = folder / "made"
        for each in (self.stream, self.local, self.datagrams):
            each.setblocking(False)

    def reached(self) -> list[str]:
        found = ["process"] if self.made.exists() else []
        for name, its in (("stream", self.stream), ("local", self.local), ("datagrams", self.datagrams)):
            try:
                its.accept()[0].close() if name != "datagrams" else its.recv(100)
                found.append(name)
            except BlockingIOError:
                pass
        return found

    def close(self) -> None:
        for each in (self.stream, self.local, self.datagrams):
            each.close()


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Outside]:
    made = Outside(tmp_path)
    yield made
    made.close()


async def stream(to: Outside) -> None:
    _, writer = await asyncio.open_connection(*to.stream.getsockname())
    writer.close()


async def stream_by_anyio(to: Outside) -> None:
    await (await anyio.connect_tcp(*to.stream.getsockname())).aclose()


async def local(to: Outside) -> None:
    _, writer = await asyncio.open_unix_connection(to.local.getsockname())
    writer.close()


async def datagrams(to: Outside) -> None:
    made, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        asyncio.DatagramProtocol, remote_addr=to.datagrams.getsockname()
    )
    made.sendto(b"orders:1|c")
    made.close()


async def datagrams_to_anywhere(to: Outside) -> None:
    made, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)
    )
    made.sendto(b"orders:1|c", to.datagrams.getsockname())
    made.close()


async def process(to: Outside) -> None:
    await (await asyncio.create_subprocess_exec("touch", str(to.made))).wait()


async def shell(to: Outside) -> None:
    await (await asyncio.create_subprocess_shell(f"touch '{to.made}'")).wait()


WAYS: dict[str, Callable[[Outside], Awaitable[None]]] = {
    each.__name__: each
    for each in (stream, stream_by_anyio, local, datagrams, datagrams_to_anywhere, process, shell)
}
every_way = pytest.mark.parametrize("way", WAYS)


def context_for(mode: Mode = Mode.DRY_RUN, **settings: Any) -> MirrorContext:
    return MirrorContext(Decision(mode), settings=Settings.load(env={}, **settings), pair_id="pair-1")


@every_way
def test_what_uvloop_would_open_is_stopped_in_a_mirrored_request_and_written_down(
    outside: Outside, way: str
) -> None:
    with entered(context_for()) as context, pytest.raises((UnguardedError, ExceptionGroup)):
        uvloop.run(WAYS[way](outside))
    assert outside.reached() == []
    assert {each.outcome for each in context.ledger} == {Outcome.BLOCKED}


@every_way
@pytest.mark.parametrize("mode", [Mode.LIVE, Mode.OBSERVE])
def test_where_requests_really_write_it_is_as_ever(outside: Outside, way: str, mode: Mode) -> None:
    with entered(context_for(mode)):
        uvloop.run(WAYS[way](outside))
    assert len(outside.reached()) == 1


def test_after_the_response_it_is_refused(outside: Outside) -> None:
    with entered(context_for()) as context:
        context.end()
        with pytest.raises(LateEffectError):
            uvloop.run(stream(outside))
    assert outside.reached() == []


def test_outside_requests_and_where_it_is_allowed_it_is_as_ever(outside: Outside) -> None:
    with entered(context_for()), detached():
        uvloop.run(stream(outside))
    with entered(context_for(unguarded_allow=["socket 127.0.0.1:*"])):
        uvloop.run(stream(outside))
    assert outside.reached() == ["stream"]
    assert outside.reached() == ["stream"]


def test_a_guarded_client_connects_as_ever() -> None:
    peer = HttpPeer()

    async def read_and_write() -> list[int]:
        async with httpx.AsyncClient() as client:
            return [(await client.request(how, peer.url)).status_code for how in ("GET", "POST")]

    try:
        with entered(context_for()):
            assert uvloop.run(read_and_write()) == [201, 200]
        assert [each[0] for each in peer.requests] == ["GET"]
    finally:
        peer.stop()
