"""The Makefile: standard output belongs to what it runs."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def make_demo(*variables: str) -> subprocess.CompletedProcess[str]:
    # As a user calls it, even where `make test` calls the tests: a make in a make tells its directory.
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))
    }
    command = ["make", "demo", *variables]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=60
    )


def test_the_demos_json_is_all_that_make_prints(tmp_path: Path) -> None:
    script = tmp_path / "bin" / "mirrorproof"
    script.parent.mkdir()
    script.write_text('#!/bin/sh\nprintf \'{"told": "%s"}\\n\' "$*"\n')
    script.chmod(0o755)
    (tmp_path / ".installed").touch()
    made = make_demo(f"VENV={tmp_path}", "ARGS=--requests 100 --format json")
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout) == {"told": "demo --requests 100 --format json"}


def test_the_setting_up_is_told_on_standard_error(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho noise; exit 1\n")
    python.chmod(0o755)
    made = make_demo(f"VENV={tmp_path / 'venv'}", f"PYTHON={python}")
    assert made.stdout == ""
    assert "setting up" in made.stderr
    assert "noise" in made.stderr
