"""The Locust plugin: a real Locust, a small server, and a recorder that says what a test makes it say."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from mirrorproof_locust.findings import EXIT_DIFFERENT, EXIT_UNDECIDED, exit_code, quiet, table

LOCUSTFILE = """
from locust import HttpUser, task
import mirrorproof_locust

class Visitor(HttpUser):
    @task
    def visit(self):
        self.client.get("/")
        self.environment.runner.quit()
"""
_SIDES = {"primary": 0, "shadow": 0, "control": 0}


def summary(different: int = 0, pairs: int = 4, waiting: int = 0) -> dict[str, Any]:
    figures = {
        "pairs": pairs, "matched": pairs - different, "different": different,
        "primary": {"p50_ms": 1.5}, "shadow": {"p50_ms": 2.5 if pairs else None},
    }  # fmt: skip
    found = {"method": "GET", "route": "/a", "path": "/body/x", "kind": "changed_value", "pairs": different}
    return {
        "totals": figures,
        "endpoints": [{"method": "GET", "route": "/a", **figures}],
        "completeness": {"waiting": _SIDES | {"primary": waiting}, "unpaired": dict(_SIDES)},
        "differences": [found] if different else [],
    }


class _Server(ThreadingHTTPServer):
    """Answers `/v1/summary` with `answers` in turn, the last one again and again; anything else with 200."""

    def __init__(self, answers: list[Any]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers = answers
        self.tokens: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        status, body = 200, b'{"items": [{"sku": "tea-01"}]}'
        if self.path == "/v1/summary":
            self.server.tokens.append(self.headers["authorization"])
            answers = self.server.answers
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
            status, body = answer if isinstance(answer, tuple) else (200, json.dumps(answer).encode())
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def serving(*answers: Any) -> Iterator[_Server]:
    with _Server(list(answers)) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def locust(tmp_path: Path, server: _Server, *options: str) -> subprocess.CompletedProcess[str]:
    file = tmp_path / "locustfile.py"
    file.write_text(LOCUSTFILE)
    command = [sys.executable, "-m", "locust", "-f", str(file), "--headless", "-u", "1", "--host", server.url]
    return subprocess.run([*command, *options], capture_output=True, text=True, timeout=60, check=False)


def test_the_test_ends_with_a_table_and_the_differences(tmp_path: Path) -> None:
    with serving(summary(different=1)) as server:
        ended = locust(tmp_path, server, "--mirrorproof-recorder", server.url)
    assert ended.returncode == 0, ended.stderr
    assert "GET /a" in ended.stderr
    assert "/body/x" in ended.stderr


@pytest.mark.parametrize(
    ("answer", "status"),
    [(summary(), 0), (summary(different=1), EXIT_DIFFERENT), (summary(pairs=0), EXIT_UNDECIDED)],
    ids=["alike", "different", "nothing compared"],
)
def test_failing_on_differences_sets_the_exit_status(tmp_path: Path, answer: Any, status: int) -> None:
    with serving(answer) as server:
        ended = locust(
            tmp_path, server, "--mirrorproof-recorder", server.url, "--mirrorproof-fail-on-difference"
        )
    assert ended.returncode == status, ended.stderr


@pytest.mark.parametrize(
    "answer",
    [(500, b"oops"), (200, b"<html>"), (200, b"[1]"), (200, b"{}"), (200, b'{"totals": null}')],
    ids=["an error", "no JSON", "no object", "no summary", "half a summary"],
)
def test_a_recorder_that_answers_nonsense_is_told_and_harms_nothing(tmp_path: Path, answer: Any) -> None:
    with serving(answer) as server:
        ended = locust(tmp_path, server, "--mirrorproof-recorder", server.url)
    assert ended.returncode == 0, ended.stderr
    assert "could not be asked" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "ftp://h", "nonsense"])
def test_a_recorder_that_cannot_be_reached_counts_only_where_it_is_to_decide(
    tmp_path: Path, url: str
) -> None:
    with serving(summary()) as server:
        kept = locust(tmp_path, server, "--mirrorproof-recorder", url)
        failed = locust(tmp_path, server, "--mirrorproof-recorder", url, "--mirrorproof-fail-on-difference")
    assert (kept.returncode, failed.returncode) == (0, EXIT_UNDECIDED)
    assert "could not be asked" in failed.stderr


def test_failing_on_differences_without_a_recorder_is_undecided(tmp_path: Path) -> None:
    with serving(summary()) as server:
        ended = locust(tmp_path, server, "--mirrorproof-fail-on-difference")
    assert ended.returncode == EXIT_UNDECIDED
    assert "needs --mirrorproof-recorder" in ended.stderr


def test_without_options_the_plugin_does_nothing(tmp_path: Path) -> None:
    with serving(summary()) as server:
        ended = locust(tmp_path, server)
    assert ended.returncode == 0
    assert server.tokens == []
    assert "mirrorproof" not in ended.stderr


def test_the_recorder_is_asked_again_until_nothing_waits(tmp_path: Path) -> None:
    with serving(summary(waiting=3), summary(different=1)) as server:
        options = ("--mirrorproof-recorder", server.url, "--mirrorproof-token", "secret")
        ended = locust(tmp_path, server, *options)
    assert "still wait" not in ended.stderr
    assert "/body/x" in ended.stderr
    assert len(server.tokens) >= 3
    assert set(server.tokens) == {"Bearer secret"}


def test_patience_ends_and_says_what_was_not_compared(tmp_path: Path) -> None:
    with serving(summary(waiting=3)) as server:
        options = ("--mirrorproof-recorder", server.url, "--mirrorproof-wait", "0")
        ended = locust(tmp_path, server, *options)
    assert "3 still wait" in ended.stderr


def test_a_load_test_that_failed_by_itself_still_fails(tmp_path: Path) -> None:
    with serving(summary()) as server:
        options = ("--mirrorproof-recorder", server.url, "--mirrorproof-fail-on-difference")
        ended = locust(tmp_path, server, *options, "--host", "http://127.0.0.1:1")
    assert ended.returncode == 1


def test_what_comes_to_rest_is_quiet_and_what_moves_is_not() -> None:
    assert not quiet(None, summary())
    assert quiet(summary(), summary())
    assert not quiet(summary(pairs=3), summary())
    assert not quiet(summary(waiting=1), summary(waiting=1))


def test_the_verdict_is_a_function_of_the_totals() -> None:
    assert [exit_code(one) for one in (None, summary(pairs=0), summary(), summary(different=2))] == [
        2,
        2,
        0,
        1,
    ]


def test_a_long_list_of_differences_is_cut_and_says_so() -> None:
    found = summary(different=1)
    found["differences"] *= 25
    assert "… and 5 more" in table(found)


def test_the_example_locustfile_sends_exactly_what_it_is_told_to_and_reports(tmp_path: Path) -> None:
    example = Path(__file__).parents[2] / "loadtests" / "locustfile.py"
    with serving(summary(different=1)) as server:
        command = [sys.executable, "-m", "locust", "-f", str(example), "--headless", "--host", server.url]
        options = ["--shop-requests", "3", "--shop-progress", "--mirrorproof-recorder", server.url]
        ended = subprocess.run([*command, *options], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout.splitlines()[-1]) == {
        "shop_progress": {"sent": 3, "answered": 3, "wrong": 0}
    }
    assert "/body/x" in ended.stderr
