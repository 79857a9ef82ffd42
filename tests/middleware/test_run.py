"""`mirrorproof run` and `mirrorproof guards`, with real programs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from clients.http_peer import HttpPeer
from clients.servers import free_port

from mirrorproof.injection import FOLDER, environment
from mirrorproof.injection.programs import Hearing, hearing
from mirrorproof.inventory import inventory, render

MIRRORPROOF = os.path.join(os.path.dirname(sys.executable), "mirrorproof")
POST = "import httpx, sys; print(httpx.post(sys.argv[1] + '/orders', json={}).status_code)"


@pytest.fixture
def outside() -> Iterator[HttpPeer]:
    peer = HttpPeer()
    yield peer
    peer.stop()


def env_for(**settings: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MIRRORPROOF_")}
    kept.pop("PYTHONPATH", None)
    return kept | {f"MIRRORPROOF_{name.upper()}": value for name, value in settings.items()}


def run(
    *command: str, env: dict[str, str] | None = None, **settings: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [MIRRORPROOF, "run", "--", *command], env=env_for(**settings) | (env or {}), capture_output=True,
        text=True, timeout=60, check=False,
    )  # fmt: skip


def test_its_help_says_that_a_service_without_the_middleware_takes_marked_requests_for_live_ones() -> None:
    told = subprocess.run([MIRRORPROOF, "run", "--help"], capture_output=True, text=True, check=True).stdout
    assert "A service without it takes marked requests for live ones in role mixed" in " ".join(told.split())


def test_a_script_in_a_shadow_writes_nothing_and_the_same_in_a_primary_does(outside: HttpPeer) -> None:
    before = outside.look()
    done = run(sys.executable, "-c", POST, outside.url, role="shadow")
    assert (done.returncode, outside.look()) == (0, before), done.stderr
    done = run(sys.executable, "-c", POST, outside.url, role="primary")
    assert done.stdout == "201\n", done.stderr
    assert outside.look() != before


def test_what_the_script_starts_is_dry_as_well(outside: HttpPeer, tmp_path: Path) -> None:
    (tmp_path / "spawning.py").write_text(
        "import httpx, multiprocessing, sys\n"
        "def post(url): print(httpx.post(url + '/orders').status_code, flush=True)\n"
        "if __name__ == '__main__':\n"
        "    for how in ('spawn', 'fork', 'forkserver'):\n"
        "        child = multiprocessing.get_context(how).Process(target=post, args=(sys.argv[1],))\n"
        "        child.start(); child.join(); assert not child.exitcode, child.exitcode\n"
    )
    before = outside.look()
    done = run(sys.executable, str(tmp_path / "spawning.py"), outside.url, role="shadow")
    assert (done.returncode, len(done.stdout.split()), outside.look()) == (0, 3, before), done.stderr


def test_the_exit_code_is_passed_on() -> None:
    assert run(sys.executable, "-c", "raise SystemExit(7)").returncode == 7
    assert run("false").returncode == 1


def test_signals_reach_the_program() -> None:
    program = (
        "import signal, time; signal.signal(15, lambda *_: exit(9)); print('up', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [MIRRORPROOF, "run", "--", sys.executable, "-c", program],
        env=env_for(),
        stdout=subprocess.PIPE,
        text=True,
    ) as started:
        assert started.stdout is not None
        assert started.stdout.readline() == "up\n"
        started.send_signal(signal.SIGTERM)
        assert started.wait(30) == 9


def test_options_of_the_program_are_its_own() -> None:
    assert run(sys.executable, "--version").stdout.startswith("Python 3")


def test_a_program_that_is_no_python_is_refused_in_a_shadow_and_otherwise_warned_of() -> None:
    for role in ("shadow", "control"):
        done = run("echo", "written", role=role)
        assert (done.returncode, done.stdout) == (2, "")
        assert "no guard is at work" in done.stderr
        assert "mirrorproof run -- sh -c 'echo written'" in done.stderr
    for role in ("mixed", "primary"):
        done = run("echo", "written", role=role)
        assert (done.returncode, done.stdout) == (0, "written\n")
        assert "Warning: echo is no Python program" in done.stderr


def test_a_shell_and_a_script_that_start_python_are_not_refused_and_it_is_dry(
    outside: HttpPeer, tmp_path: Path
) -> None:
    script = tmp_path / "start"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    script.chmod(0o755)
    before = outside.look()
    for command in (
        ("sh", "-c", 'exec "$@"', "sh", sys.executable),
        ("env", "A=1", sys.executable),
        (str(script),),
    ):
        done = run(*command, "-c", POST, outside.url, role="shadow")
        assert (done.returncode, done.stderr) == (0, "")
    assert outside.look() == before


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("#!/usr/bin/env python3", Hearing.INSTALLS),
        ("#!/usr/bin/env -S python3 -sE", Hearing.DEAF),
        ("#!/usr/bin/python3.11 -I", Hearing.DEAF),
        ("#!/bin/bash -e", Hearing.MAY_START),
        ("#!/usr/bin/env echo", Hearing.NO_PYTHON),
        ("#!", Hearing.MAY_START),
    ],
)
def test_of_a_script_its_first_line_tells(line: str, found: Hearing, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text(line + "\n")
    script.chmod(0o755)
    assert hearing([str(script)], os.environ) is found


def test_a_program_with_a_python_inside_and_one_that_cannot_be_found_or_told() -> None:
    real = os.path.realpath(sys.executable)
    assert hearing([real], os.environ) is Hearing.INSTALLS
    assert hearing(["true"], os.environ) is Hearing.NO_PYTHON
    assert hearing(["/no/such/program"], os.environ) is Hearing.MISSING
    assert hearing(["env", "-i", "python3"], os.environ) is Hearing.DEAF


def test_a_copy_of_python_by_another_name_is_one(tmp_path: Path) -> None:
    (tmp_path / "uwsgi").write_bytes(Path(os.path.realpath(sys.executable)).read_bytes())
    (tmp_path / "uwsgi").chmod(0o755)
    assert hearing(["uwsgi"], {"PATH": str(tmp_path)}) is Hearing.INSTALLS


@pytest.mark.parametrize("option", ["-I", "-E", "-S", "-sE"])
def test_a_python_that_would_not_hear_of_the_guards_is_refused(option: str) -> None:
    done = run(sys.executable, option, "-c", "print(1)")
    assert done.returncode == 2
    assert "would run without" in done.stderr


def test_a_program_that_is_not_there_is_told_of() -> None:
    done = run("/no/such/program")
    assert done.returncode == 127
    assert "/no/such/program cannot be started" in done.stderr


def test_wrong_settings_stop_it_with_a_line_before_and_inside_the_program() -> None:
    done = run(sys.executable, "-c", "print('ran')", sample="7")
    assert (done.returncode, done.stdout) == (1, "")
    assert "MIRRORPROOF_SAMPLE" in done.stderr
    program = [sys.executable, "-c", "print('ran')"]
    inside = subprocess.run(
        program, env=environment(env_for(sample="7")), capture_output=True, text=True, check=False
    )
    assert (inside.returncode, inside.stdout) == (2, "")
    assert inside.stderr.startswith("mirrorproof: MIRRORPROOF_SAMPLE")
    assert "Traceback" not in inside.stderr


def test_a_python_without_mirrorproof_does_not_run_unguarded() -> None:
    program = [sys.executable, "-S", "-c", "import sitecustomize; print('ran')"]
    done = subprocess.run(
        program, env=environment(env_for(role="shadow")), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "cannot import mirrorproof" in done.stderr


def test_a_sitecustomize_of_the_users_own_is_run_too(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import builtins; builtins.of_the_user = 'here'")
    program = (
        "import sys; from mirrorproof.guards import installed_guards as i; print(of_the_user, 'httpx' in i())"
    )
    done = run(sys.executable, "-c", program, env={"PYTHONPATH": str(tmp_path)})
    assert done.stdout == "here True\n", done.stderr


def test_the_folder_comes_first_and_once() -> None:
    once = environment({"PYTHONPATH": f"/a{os.pathsep}{FOLDER}"})
    assert once["PYTHONPATH"].split(os.pathsep) == [FOLDER, "/a"]
    assert environment(once) == once


APP = """
import os, httpx, mirrorproof.guards
httpx.post(os.environ["OUTSIDE"] + "/at-start")
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    httpx.post(os.environ["OUTSIDE"] + "/in-request")
    body = f"{os.getpid()} {'httpx' in mirrorproof.guards.installed_guards()}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
    await send({"type": "http.response.body", "body": body})
"""


def ask(port: int) -> str:
    deadline = time.monotonic() + 40
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
                return str(answer.read().decode())
        except (urllib.error.URLError, OSError):
            assert time.monotonic() < deadline, "the server never answered"
            time.sleep(0.05)


@pytest.mark.parametrize(
    "options", [["--workers", "2"], ["--reload"], []], ids=["workers", "reload", "plain"]
)
def test_a_servers_workers_and_reloaders_are_guarded(
    outside: HttpPeer, tmp_path: Path, options: list[str]
) -> None:
    (tmp_path / "shop_of_test.py").write_text(APP)
    port, before = free_port(), outside.look()
    command = [
        MIRRORPROOF,
        "run",
        "--",
        sys.executable,
        "-m",
        "uvicorn",
        "shop_of_test:app",
        "--port",
        str(port),
    ]
    env = env_for(role="shadow") | {"OUTSIDE": outside.url}
    with subprocess.Popen([*command, *options], env=env, cwd=tmp_path, stderr=subprocess.DEVNULL) as started:
        try:
            process, guarded = ask(port).split()
            assert guarded == "True"
            assert (int(process) == started.pid) is (not options)
        finally:
            started.send_signal(signal.SIGTERM)
        started.wait(40)
    assert outside.look() == before


# -- the inventory


def test_the_inventory_names_every_guard_and_what_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    class Distribution:
        def __init__(self, name: str) -> None:
            self.metadata: dict[str, Any] = {"Name": name}
            self.version = "1.0"

    here = [Distribution(name) for name in ("Google_Cloud.Storage", "paramiko", "httpx", "click")]
    monkeypatch.setattr("mirrorproof.inventory.distributions", lambda: here)
    found = inventory()
    assert [each["client"] for each in found["not_covered"]] == ["google-cloud-storage", "paramiko"]
    told = {each["guard"]: each for each in found["guards"]}
    assert told["httpx"]["state"] == "here"
    assert told["httpx"]["tested"] == ["0.28", "0.28"]
    text = render(found)
    assert "paramiko 1.0" in text
    assert "0.28 to 0.28" not in text
    assert all(each["covers"].split()[0] in text for each in found["guards"])
    monkeypatch.setattr("mirrorproof.inventory.distributions", lambda: [])
    assert "none is installed here" in render(inventory())


def test_the_command_prints_text_or_json() -> None:
    text = subprocess.run([MIRRORPROOF, "guards"], capture_output=True, text=True, check=True).stdout
    assert text.startswith("GUARD")
    told = subprocess.run(
        [MIRRORPROOF, "guards", "--format", "json"], capture_output=True, text=True, check=True
    )
    assert {"guards", "not_covered"} == set(json.loads(told.stdout))
