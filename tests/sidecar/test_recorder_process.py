"""The recorder as a process: what it acknowledged survives, and it ends when it is told to."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import make_url

from mirrorproof.exchange import Batch, Exchange, encode_batch

Make = Callable[..., Exchange]
CODE = "from mirrorproof_sidecar.commands import recorder; recorder()"


class Process:
    """A recorder in a process of its own, with the URL that it printed."""

    def __init__(self, store: str, *flags: str) -> None:
        command = [sys.executable, "-c", CODE, "--listen", "127.0.0.1:0", "--store", store, "--settle-s", "0"]
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("MIRRORPROOF_", "OTEL_"))
        }
        self.process = subprocess.Popen(
            [*command, "--log-format", "json", *flags], stderr=subprocess.PIPE, text=True, env=environment
        )
        assert self.process.stderr is not None
        self.line = json.loads(self.process.stderr.readline())
        self.url = self.line["message"].split("listens on ")[1].split(",")[0]

    def post(self, *exchanges: Exchange) -> Any:
        headers = {"Content-Type": "application/msgpack"}
        body = encode_batch(Batch(exchanges=list(exchanges)))
        return self._ask(urllib.request.Request(f"{self.url}/v1/exchanges", body, headers))

    def summary(self) -> Any:
        return self._ask(urllib.request.Request(f"{self.url}/v1/summary?settle=1"))

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        code = self.process.wait(20)
        assert self.process.stderr is not None
        self.process.stderr.close()
        return code

    def _ask(self, request: urllib.request.Request) -> Any:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)


@contextmanager
def process(store: str, *flags: str) -> Iterator[Process]:
    started = Process(store, *flags)
    try:
        yield started
    finally:
        if started.process.poll() is None:
            started.end(signal.SIGKILL)


def test_what_was_acknowledged_survives_kill_9_and_is_settled_later(
    store_url: str, make_exchange: Make
) -> None:
    with process(store_url, "--settle-s", "60") as first:
        for number in range(20):
            first.post(make_exchange("primary", f"p{number}"), make_exchange("shadow", f"p{number}"))
        first.end(signal.SIGKILL)

    with process(store_url) as second:
        found = second.summary()
        assert found["completeness"]["recorded"] == {"primary": 20, "shadow": 20, "control": 0}
        assert found["totals"]["pairs"] == 20


def test_two_recorders_started_at_once_share_an_empty_store(store_url: str, make_exchange: Make) -> None:
    with process(store_url) as one, process(store_url) as two:
        one.post(make_exchange())
        two.post(make_exchange("shadow"))

        assert one.summary()["totals"]["pairs"] == 1
        assert two.summary()["totals"]["pairs"] == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_cleanly(tmp_path: Any, number: signal.Signals, make_exchange: Make) -> None:
    with process(f"sqlite:///{tmp_path}/r.db") as running:
        running.post(make_exchange())
        assert running.end(number) == 0


def test_its_line_of_log_hides_the_password(fresh_postgres: str) -> None:
    url = make_url(fresh_postgres).set(password="pass-word")
    with process(url.render_as_string(hide_password=False)) as running:
        assert "pass-word" not in running.line["message"]
        assert "postgresql+psycopg://postgres:***@" in running.line["message"]
