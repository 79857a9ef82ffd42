"""requests and urllib3."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import requests
import urllib3

from clients.http_peer import HttpPeer
from clients.table import Case, Client


def _session(peer: HttpPeer) -> requests.Session:
    return requests.Session()


def _pools(peer: HttpPeer) -> urllib3.PoolManager:
    return urllib3.PoolManager()


def _pieces() -> Iterator[bytes]:
    yield b"10"
    yield b".01"


def _post(client: requests.Session, peer: HttpPeer) -> None:
    answer = client.post(peer.url + "/orders", json={"total": "10.01"})
    assert answer.status_code in (200, 201)
    assert isinstance(answer.json(), dict)


def _upload(client: requests.Session, peer: HttpPeer) -> None:
    with client.put(peer.url + "/orders/1", data=_pieces(), stream=True) as answer:
        answer.raise_for_status()
        assert b"".join(answer.iter_content(2))


def _file(client: requests.Session, peer: HttpPeer) -> None:
    files: Any = {"bill": ("bill.txt", io.BytesIO(b"10.01"))}
    assert client.patch(peer.url + "/orders/1", files=files).ok


def _get(client: requests.Session, peer: HttpPeer) -> None:
    assert client.get(peer.url + "/orders").json() == {"real": True}


def _delete(client: None, peer: HttpPeer) -> None:
    assert requests.delete(peer.url + "/orders/1").ok


def _request(client: urllib3.PoolManager, peer: HttpPeer) -> None:
    assert client.request("POST", peer.url + "/orders", json={"total": "10.01"}).status in (200, 201)


def _unread(client: urllib3.PoolManager, peer: HttpPeer) -> None:
    answer = client.request("POST", peer.url + "/orders", body=io.BytesIO(b"x"), preload_content=False)
    assert b"".join(answer.stream(2))
    answer.release_conn()


def _pool(client: None, peer: HttpPeer) -> None:
    with urllib3.connection_from_url(peer.url) as pool:
        assert pool.urlopen("POST", "/orders", body=b"x").json() is not None


def _read(client: urllib3.PoolManager, peer: HttpPeer) -> None:
    assert client.request("GET", peer.url + "/orders").json() == {"real": True}


def _nothing(peer: HttpPeer) -> None:
    return None


HTTP = ("http.request",)
CLIENTS = [
    Client(name="requests", guard="urllib3", peer="http", cases=(
        Case(name="Session.post", client=_session, write=_post, read=_get, kinds=HTTP),
        Case(name="Session.put, streamed both ways", client=_session, write=_upload, kinds=HTTP),
        Case(name="Session.patch with a file", client=_session, write=_file, kinds=HTTP),
        Case(name="requests.delete", client=_nothing, write=_delete, kept=False, kinds=HTTP),
    )),
    Client(name="urllib3", guard="urllib3", peer="http", cases=(
        Case(name="PoolManager.request", client=_pools, write=_request, read=_read, kinds=HTTP),
        Case(name="PoolManager.request, not preloaded", client=_pools, write=_unread, kinds=HTTP),
        Case(name="HTTPConnectionPool.urlopen", client=_nothing, write=_pool, kept=False, kinds=HTTP),
    )),
]  # fmt: skip
