"""The standard library's HTTP clients, and urllib3's connections below its pools."""

from __future__ import annotations

import http.client
import io
import json
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import urllib3.connection

from clients.http_peer import HttpPeer
from clients.table import Case, Client

JSON = {"Content-Type": "application/json"}


def _connection(peer: HttpPeer) -> Any:
    return closing(http.client.HTTPConnection(peer.host))


def _below_a_pool(peer: HttpPeer) -> Any:
    host, _, port = peer.host.partition(":")
    return closing(urllib3.connection.HTTPConnection(host, int(port)))


def _nothing(peer: HttpPeer) -> None:
    return None


def _succeeded(answer: http.client.HTTPResponse) -> None:
    assert isinstance(answer, http.client.HTTPResponse)
    assert answer.status in (200, 201)
    assert isinstance(json.load(answer), dict)
    assert answer.isclosed()


def _pieces() -> Iterator[bytes]:
    yield b"10"
    yield b".01"


def _request(client: http.client.HTTPConnection, peer: HttpPeer) -> None:
    client.request("POST", "/orders", json.dumps({"total": "10.01"}), JSON)
    _succeeded(client.getresponse())


def _chunked(client: http.client.HTTPConnection, peer: HttpPeer) -> None:
    client.request("PUT", "/orders/1", _pieces(), encode_chunked=True)
    _succeeded(client.getresponse())


def _file(client: http.client.HTTPConnection, peer: HttpPeer) -> None:
    client.request("PATCH", "/orders/1", io.BytesIO(b"10.01"))
    _succeeded(client.getresponse())


def _by_hand(client: http.client.HTTPConnection, peer: HttpPeer) -> None:
    client.connect()
    client.putrequest("POST", "/orders")
    client.putheader("Content-Length", "5")
    client.endheaders()
    client.send(b"10")
    client.send(io.BytesIO(b".0"))
    client.send([b"1"])  # type: ignore[arg-type]
    answer = client.getresponse()
    assert answer.read(1) == b"{"
    answer.close()


def _unasked(client: http.client.HTTPConnection, peer: HttpPeer) -> None:
    client.request("DELETE", "/orders/1")


def _get(client: http.client.HTTPConnection, peer: HttpPeer) -> None:
    for _ in range(2):
        client.request("GET", "/orders")
        assert json.load(client.getresponse()) == {"real": True}


def _open(client: None, peer: HttpPeer) -> None:
    request = urllib.request.Request(peer.url + "/orders", b'{"total": "10.01"}', JSON)
    with urllib.request.urlopen(request) as answer:
        _succeeded(answer)


def _open_read(client: None, peer: HttpPeer) -> None:
    with urllib.request.urlopen(peer.url + "/orders") as answer:
        assert json.load(answer) == {"real": True}


def _request_below(client: urllib3.connection.HTTPConnection, peer: HttpPeer) -> None:
    client.request("POST", "/orders", b"10.01")
    assert isinstance(client.getresponse().json(), dict)


def _chunks_below(client: urllib3.connection.HTTPConnection, peer: HttpPeer) -> None:
    client.request("POST", "/orders", _pieces(), chunked=True)
    assert client.getresponse().status in (200, 201)


def _get_below(client: urllib3.connection.HTTPConnection, peer: HttpPeer) -> None:
    client.request("GET", "/orders")
    assert client.getresponse().json() == {"real": True}


HTTP = ("http.request",)
CLIENTS = [
    Client(
        name="http.client",
        guard="http_client",
        peer="http",
        not_covered=(
            "what an application writes to a connection's `sock` itself; a connection whose subclass has a "
            "`send` of its own that never calls `http.client`'s"
        ),
        cases=(
            Case(name="request", client=_connection, write=_request, read=_get, kinds=HTTP),
            Case(name="request, chunked", client=_connection, write=_chunked, kinds=HTTP),
            Case(name="request with a file", client=_connection, write=_file, kinds=HTTP),
            Case(name="connect, putrequest, send", client=_connection, write=_by_hand, kinds=HTTP),
            Case(name="request, its answer not asked for", client=_connection, write=_unasked, kinds=HTTP),
        ),
    ),
    Client(name="urllib.request", guard="http_client", peer="http", cases=(
        Case(name="urlopen", client=_nothing, write=_open, read=_open_read, kept=False, kinds=HTTP),
    )),
    Client(name="urllib3.connection", guard="http_client", peer="http", cases=(
        Case(
            name="HTTPConnection.request", client=_below_a_pool, write=_request_below, read=_get_below,
            kinds=HTTP,
        ),
        Case(name="HTTPConnection.request, chunked", client=_below_a_pool, write=_chunks_below, kinds=HTTP),
    )),
]  # fmt: skip
