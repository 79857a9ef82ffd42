"""v1 is asked once more only where that is safe, and seldom."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from mirrorproof.exchange import Batch
from mirrorproof_sidecar.recorder.rereading import Rereader, is_safe
from mirrorproof_sidecar.recorder.settler import Settler
from mirrorproof_sidecar.settings import RecorderSettings
from mirrorproof_sidecar.store import Store
from mirrorproof_sidecar.store.ingest import ingest
from mirrorproof_sidecar.store.summary import summary


class Answering(BaseHTTPRequestHandler):
    asked: ClassVar[list[tuple[str, str | None]]] = []

    def do_GET(self) -> None:
        self.asked.append((self.path, self.headers.get("x-istio-mirror")))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(b'{"a":2}')

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    Answering.asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_safe_read_is_asked_again_unmarked(url: str, make_exchange: Any) -> None:
    first = make_exchange(request={"query": "page=2"})
    second = Rereader(url, 10).read(first)
    assert second is not None
    assert second.response is not None
    assert (second.response.status, second.response.body) == (200, b'{"a":2}')
    assert Answering.asked == [("/orders/7?page=2", None)]
    assert second.exchange_id != first.exchange_id


@pytest.mark.parametrize(
    "request_",
    [
        {"method": "POST"},
        {"body_bytes": 3},
        {"headers": [("authorization", "[redacted]")]},
        {"headers": [("Cookie", "[redacted]")]},
        {"query": "token=[redacted]"},
        {"path": "//elsewhere.example/x"},
        {"path": "http://elsewhere.example/x"},
        {"path": "/a\r\nx: y"},
        {"path": "/a b"},
    ],
)
def test_what_is_not_safe_is_never_asked_again(
    request_: dict[str, Any], url: str, make_exchange: Any
) -> None:
    one = make_exchange(request=request_)
    assert not is_safe(one)
    assert Rereader(url, 10).read(one) is None
    assert Answering.asked == []


def test_v1_is_asked_so_often_a_minute_and_no_more(url: str, make_exchange: Any) -> None:
    clock = [0.0]
    reader = Rereader(url, 2, now=lambda: clock[0])
    assert [reader.read(make_exchange()) is None for _ in range(3)] == [False, False, True]
    clock[0] = 61.0
    assert reader.read(make_exchange()) is not None


def test_a_v1_that_cannot_be_reached_is_no_answer(make_exchange: Any) -> None:
    assert Rereader("http://127.0.0.1:1", 10).read(make_exchange()) is None


def test_state_that_moved_does_not_make_a_pair_different(
    url: str, make_exchange: Any, tmp_path: Path
) -> None:
    settings = RecorderSettings(store=f"sqlite:///{tmp_path}/store.db", reread_primary_url=url)
    store = Store(settings.store)
    pair = make_exchange("primary", body=b'{"a":1}'), make_exchange("shadow", body=b'{"a":2}')
    store.write(ingest, Batch(exchanges=list(pair)), now_s=1.0, settle_s=0.0, max_endpoints=9)
    Settler(store, settings).round(2.0, everything=True)
    found = store.read(summary)
    assert found["totals"]["matched"] == 1
    assert ("/body/a", "moved") in {(one["path"], one["by"]) for one in found["ignored"]}
    store.close()
