"""aiohttp's client."""

from __future__ import annotations

from typing import Any

import aiohttp

from clients.http_peer import HttpPeer
from clients.table import Case, Client


class _Session:
    """A session that is opened in the loop it is used in."""

    def __init__(self, peer: HttpPeer) -> None:
        pass

    async def __aenter__(self) -> aiohttp.ClientSession:
        self._session = aiohttp.ClientSession()
        return self._session

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()


async def _post(client: aiohttp.ClientSession, peer: HttpPeer) -> None:
    async with client.post(peer.url + "/orders", json={"total": "10.01"}) as answer:
        assert answer.status in (200, 201)
        assert isinstance(await answer.json(content_type=None), dict)


async def _stream(client: aiohttp.ClientSession, peer: HttpPeer) -> None:
    async def pieces() -> Any:
        yield b"10"
        yield b".01"

    async with client.put(peer.url + "/orders/1", data=pieces()) as answer:
        assert [piece async for piece in answer.content.iter_any()]


async def _form(client: aiohttp.ClientSession, peer: HttpPeer) -> None:
    form = aiohttp.FormData()
    form.add_field("bill", b"x" * 200_000, filename="bill.txt")
    async with client.patch(peer.url + "/orders/1", data=form, raise_for_status=True) as answer:
        assert await answer.read()


async def _delete(client: aiohttp.ClientSession, peer: HttpPeer) -> None:
    async with aiohttp.request("DELETE", peer.url + "/orders/1") as answer:
        assert answer.ok


async def _get(client: aiohttp.ClientSession, peer: HttpPeer) -> None:
    async with client.get(peer.url + "/orders") as answer:
        assert await answer.json(content_type=None) == {"real": True}


HTTP = ("http.request",)
CLIENTS = [
    Client(
        name="aiohttp", guard="aiohttp", peer="http",
        not_covered="A request's body is not read where it is refused, so its digest is that of no body.",
        cases=(
            Case(name="ClientSession.post", client=_Session, write=_post, read=_get, kinds=HTTP),
            Case(name="ClientSession.put, streamed", client=_Session, write=_stream, kinds=HTTP),
            Case(name="ClientSession.patch with a form", client=_Session, write=_form, kinds=HTTP),
            Case(name="aiohttp.request", client=_Session, write=_delete, kept=False, kinds=HTTP),
        ),
    ),
]  # fmt: skip
