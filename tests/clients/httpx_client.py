"""httpx, sync and async."""

from __future__ import annotations

from typing import Any

import httpx

from clients.http_peer import HttpPeer
from clients.table import Case, Client


def _post(client: httpx.Client, peer: HttpPeer) -> None:
    assert client.post(peer.url + "/orders", json={"total": "10.01"}).status_code in (200, 201)


def _get(client: httpx.Client, peer: HttpPeer) -> None:
    assert client.get(peer.url + "/orders").json() == {"real": True}


async def _post_async(client: httpx.AsyncClient, peer: HttpPeer) -> None:
    assert (await client.post(peer.url + "/orders", json={"total": "10.01"})).status_code in (200, 201)


async def _stream_async(client: httpx.AsyncClient, peer: HttpPeer) -> None:
    async def pieces() -> Any:
        yield b"10"
        yield b".01"

    async with client.stream("PUT", peer.url + "/orders/1", content=pieces()) as answer:
        assert await answer.aread()


async def _get_async(client: httpx.AsyncClient, peer: HttpPeer) -> None:
    assert (await client.get(peer.url + "/orders")).json() == {"real": True}


def _sync(peer: HttpPeer) -> httpx.Client:
    return httpx.Client()


def _async(peer: HttpPeer) -> httpx.AsyncClient:
    return httpx.AsyncClient()


HTTP = ("http.request",)
CLIENTS = [
    Client(name="httpx", guard="httpx", peer="http", cases=(
        Case(name="Client.post", client=_sync, write=_post, read=_get, kinds=HTTP),
        Case(name="AsyncClient.post", client=_async, write=_post_async, read=_get_async, kinds=HTTP),
        Case(name="AsyncClient.stream", client=_async, write=_stream_async, kinds=HTTP),
    )),
]  # fmt: skip
