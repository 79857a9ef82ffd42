"""The shipped filters in the real Envoy, attacked: what reaches v1, and what reaches v2's mirror port."""

from __future__ import annotations

import socket
import socketserver
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread

import pytest

from mirrorproof.decision import Mark, read_mark
from mirrorproof_demo.envoy import EDGE, SIDECAR, edge_config, sidecar_config
from mirrorproof_demo.envoy_process import start_envoy
from mirrorproof_demo.supervisor import Supervisor
from mirrorproof_demo.web import port_of

RawHeaders = list[tuple[bytes, bytes]]


class Backend(socketserver.ThreadingTCPServer):
    """An HTTP server that keeps each request's headers as they came, byte for byte."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Keep)
        self.heads: SimpleQueue[RawHeaders] = SimpleQueue()

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class _Keep(socketserver.StreamRequestHandler):
    server: Backend

    def handle(self) -> None:
        while self.rfile.readline():
            headers: RawHeaders = []
            while (line := self.rfile.readline().rstrip(b"\r\n")) != b"":
                name, _, value = line.partition(b":")
                headers.append((name, value.strip()))
            self.server.heads.put(headers)
            self.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")


@dataclass(frozen=True, slots=True)
class Mesh:
    """The edge, and what stands behind it."""

    port: int
    v1: Backend
    v2: Backend

    def send(self, *lines: bytes) -> tuple[int, RawHeaders | None, RawHeaders | None]:
        """A request with these header lines; the status, and what v1 and v2 got of it, if anything."""
        head = b"\r\n".join([b"GET / HTTP/1.1", b"host: shop", b"connection: close", *lines, b"", b""])
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
            connection.sendall(head)
            answer = b""
            while chunk := connection.recv(65536):
                answer += chunk
        status = int(answer.split()[1])
        if status != 200:
            return status, None, None
        return status, self.v1.heads.get(timeout=20), self.v2.heads.get(timeout=20)


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    directory: Path = tmp_path_factory.mktemp("envoy")
    with Backend() as v1, Backend() as v2, Supervisor(directory) as supervisor:
        for backend in (v1, v2):
            Thread(target=backend.serve_forever, daemon=True).start()
        sidecar = start_envoy(supervisor, directory, SIDECAR, sidecar_config(app_port=v2.port))
        config = edge_config(live_port=v1.port, mirror_port=port_of(sidecar.url))
        edge = start_envoy(supervisor, directory, EDGE, config)
        yield Mesh(port_of(edge.url), v1, v2)
        for backend in (v1, v2):
            backend.shutdown()


ATTACKS = {
    "nothing": [],
    "a forged mark": [b"x-istio-mirror: true"],
    "another value": [b"x-istio-mirror: false"],
    "no value": [b"x-istio-mirror:"],
    "odd case": [b"X-IsTiO-MiRRoR: TRUE"],
    "doubled": [b"x-istio-mirror: true", b"x-istio-mirror: false"],
    "a list": [b"x-istio-mirror: true, true"],
    "underscores": [b"x_istio_mirror: true"],
    "one underscore": [b"x-istio_mirror: true"],
    "the other underscore": [b"x_istio-mirror: true"],
    "odd case with underscores": [b"X_Istio_Mirror: true"],
    "nominated in Connection": [b"connection: x-istio-mirror", b"x-istio-mirror: true"],
    "forty of them": [b"x-istio-mirror: true"] * 40,
    "a space before the colon": [b"x-istio-mirror : true"],
    "a folded line": [b"x-other: a", b" x-istio-mirror: true"],
    "a NUL in the value": [b"x-istio-mirror: tr\x00ue"],
}


@pytest.mark.parametrize("lines", ATTACKS.values(), ids=ATTACKS.keys())
def test_v1_never_sees_a_mark_and_the_mirror_port_sees_exactly_one(mesh: Mesh, lines: list[bytes]) -> None:
    status, live, mirrored = mesh.send(*lines)
    if status != 200:
        assert status == 400  # refused by the edge: neither side got it
        with pytest.raises(Empty):
            mesh.v1.heads.get_nowait()
        return
    assert live is not None
    assert mirrored is not None
    assert read_mark(live) is Mark.ABSENT
    assert read_mark(mirrored) is Mark.WELL_FORMED


@pytest.mark.parametrize("name", ["a forged mark", "doubled", "underscores", "odd case", "forty of them"])
def test_a_forged_mark_is_stripped_and_its_request_served(mesh: Mesh, name: str) -> None:
    assert mesh.send(*ATTACKS[name])[0] == 200


def ids(headers: RawHeaders | None) -> list[bytes]:
    return [value for name, value in headers or [] if name == b"x-mirror-id"]


def test_both_sides_get_one_id_and_no_caller_chooses_it(mesh: Mesh) -> None:
    chosen = [b"x-mirror-id: mine", b"x-mirror-id: mine too"]
    _, live, mirrored = mesh.send(*chosen)
    assert len(ids(live)) == 1
    assert ids(live) == ids(mirrored)
    assert not ids(live)[0].startswith(b"mine")
    assert ids(mesh.send(*chosen)[1]) != ids(live)


def test_the_mirror_is_in_the_trace_of_the_request_and_not_sampled(mesh: Mesh) -> None:
    _, live, mirrored = mesh.send()
    (primary,) = [value.split(b"-") for name, value in live or [] if name == b"traceparent"]
    (shadow,) = [value.split(b"-") for name, value in mirrored or [] if name == b"traceparent"]
    assert primary[1] == shadow[1]
    assert (primary[3], shadow[3]) == (b"01", b"00")
