"""The command line: what it refuses, and how it says so."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from mirrorproof_demo import commands
from mirrorproof_demo.commands import demo
from mirrorproof_demo.stand import Stand


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(demo, list(arguments))
    return result.exit_code, result.output


def test_help_says_what_the_exit_status_means() -> None:
    status, text = run("--help")
    assert status == 0
    assert "Exits with 0 if the proof holds" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--reqests", "5"], "--requests"),
        (["--requests", "3"], "20"),
        (["--requests", "many"], "many"),
        (["--format", "xml"], "json"),
        (["--database", "mysql://u@h/d"], "sqlite:/// or postgresql://"),
        (["--database", "sqlite://"], "needs a file"),
        (["--database", "not a url"], "give a sqlite:/// or postgresql:// URL"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_starts(arguments: list[str], words: str) -> None:
    status, text = run(*arguments)
    assert status == 2, text
    assert words in text
    assert "Traceback" not in text


def test_an_existing_file_is_not_taken_for_a_database(tmp_path: Path) -> None:
    mine = tmp_path / "mine.db"
    mine.write_text("precious")
    status, text = run("--database", f"sqlite:///{mine}")
    assert (status, mine.read_text()) == (2, "precious")
    assert "already there" in text


def test_a_database_that_does_not_answer_is_told_in_a_sentence() -> None:
    status, text = run("--database", "postgresql://nobody@127.0.0.1:1/none")
    assert status == 1
    assert "127.0.0.1" in text
    assert "Traceback" not in text


def test_missing_extras_are_told_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = commands.find_spec
    monkeypatch.setattr(commands, "find_spec", lambda name: None if name == "locust" else installed(name))
    status, text = run()
    assert status == 1
    assert "locust cannot be imported" in text
    assert "pip install 'mirrorproof[demo]'" in text


def test_a_package_whose_parent_is_missing_is_missing_and_no_traceback() -> None:
    code = (
        "import sys; sys.modules['opentelemetry.instrumentation'] = None; "
        "from mirrorproof.cli import main; main()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, "demo"], capture_output=True, text=True, check=False, timeout=60
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    (line,) = ended.stderr.splitlines()
    assert "opentelemetry.instrumentation.asgi cannot be imported" in line
    assert "pip install 'mirrorproof[demo]'" in line


def test_what_keeps_running_is_told_with_what_to_ask_it(capsys: pytest.CaptureFixture[str]) -> None:
    class Interrupted:
        def watch(self) -> None:
            raise KeyboardInterrupt

    names = ("edge", "edge_admin", "sidecar", "v1", "v2", "v2_mirror_port", "payments", "recorder")
    commands._keep_serving(Stand(**{name: f"http://{name}" for name in names}), Interrupted())
    told = capsys.readouterr().err
    for words in (
        "curl http://edge/catalogue\n", "mirrorproof report --recorder http://recorder\n",
        "http://recorder/v1/summary  ", "Ctrl-C ends it.\n", "ending\n",
    ):  # fmt: skip
        assert words in told
