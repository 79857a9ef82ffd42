"""The demo that keeps running: what a caller can and cannot do to it, and that it ends cleanly."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

import pytest

pytestmark = pytest.mark.timeout(240)

COMMAND = [sys.executable, "-c", "from mirrorproof.cli import main; main()", "demo"]
MARKED = {"x-istio-mirror": "true"}


class Served:
    """A demo that was started with `--serve` and says where everything is."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.places: dict[str, str] = {}
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("Ctrl-C"):
                return
            if line.startswith("http"):
                url, what = line.strip().split("  ", 1)
                self.places[what] = url
        raise AssertionError(f"the demo ended with {process.wait()}: {process.communicate()}")

    @property
    def edge(self) -> str:
        return self.places["the shop, through Envoy"]

    @property
    def v2(self) -> str:
        return self.places["v2 by its live port"]

    def children(self) -> list[int]:
        """The processes that the demo has started."""
        return children_of(self.process.pid)


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def start() -> subprocess.Popen[str]:
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "MIRRORPROOF_"))
    }
    command = [*COMMAND, "--requests", "20", "--serve", "--format", "json"]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


@contextmanager
def serving() -> Iterator[Served]:
    with start() as process:
        try:
            yield Served(process)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.communicate(timeout=60)


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving() as demo:
        yield demo


def ask(method: str, url: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()
    request = Request(
        url, data=data, method=method, headers={"content-type": "application/json", **(headers or {})}
    )
    try:
        with build_opener(ProxyHandler({})).open(request, timeout=30) as answer:
            return answer.status, json.loads(answer.read())
    except HTTPError as error:
        return error.code, error.read().decode()


def order(base: str, cart: str, headers: dict[str, str] | None = None) -> tuple[int, Any]:
    assert ask("PUT", f"{base}/carts/{cart}/items/tea-01", {"quantity": 1}, headers)[0] in (200, 403)
    return ask("POST", f"{base}/orders", {"cart": cart, "email": "a@shop.example"}, headers)


def test_a_forged_mark_at_the_edge_is_stripped_and_the_write_is_real(served: Served) -> None:
    status, placed = order(served.edge, "forged", MARKED)
    assert status == 201
    assert ask("GET", f"{served.edge}/orders/{placed['id']}")[0] == 200
    assert placed["payment"]["id"] != "pay_mirrored"


def test_a_forged_mark_at_v2s_live_port_is_refused_and_nothing_is_written(served: Served) -> None:
    status, _ = order(served.v2, "forged-at-v2", MARKED)
    assert status == 403
    assert ask("GET", f"{served.v2}/carts/forged-at-v2")[1]["lines"] == []


def test_live_traffic_at_v2_is_live_even_while_mirrors_arrive(served: Served) -> None:
    status, placed = order(served.v2, "canary")
    assert status == 201
    assert ask("GET", f"{served.edge}/orders/{placed['id']}")[0] == 200


def test_the_recorder_serves_its_summary(served: Served) -> None:
    status, summary = ask("GET", served.places["what the recorder found"])
    assert status == 200
    assert summary["totals"]["pairs"] >= 20


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_everything_that_was_started(number: signal.Signals) -> None:
    with serving() as demo:
        children = demo.children()
        assert len(children) == 6
        demo.process.send_signal(number)
        stdout, _ = demo.process.communicate(timeout=60)
    assert demo.process.returncode == 0
    assert json.loads(stdout)["proof"]["holds"]
    assert [pid for pid in children if Path(f"/proc/{pid}").exists()] == []


def test_an_interrupt_while_things_start_ends_what_was_started() -> None:
    with start() as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("starting"):
                break
        while not (children := children_of(process.pid)):
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted; everything that was started has ended" in stderr
    assert [pid for pid in children if Path(f"/proc/{pid}").exists()] == []


def test_a_part_that_dies_ends_the_demo_and_is_named() -> None:
    with serving() as demo:
        children = demo.children()
        (v1,) = [pid for pid in children if b"v1" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")]
        os.kill(v1, signal.SIGKILL)
        _, stderr = demo.process.communicate(timeout=60)
    assert demo.process.returncode == 1
    assert "v1 ended with status -9" in stderr
    assert [pid for pid in children if Path(f"/proc/{pid}").exists()] == []
