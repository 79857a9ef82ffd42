"""The supervisor: what it starts it ends, and what it waits for in vain it explains."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from mirrorproof_demo.supervisor import Child, StartError, Supervisor

FOREVER = "import threading; print('up', flush=True); threading.Event().wait()"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + FOREVER


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def up(child: Child) -> bool:
    return "up" in child.log.read_text()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_processes_end_with_their_supervisor(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor:
        children = [supervisor.start(name, python(FOREVER)) for name in ("one", "two")]
        for child in children:
            supervisor.wait_for("it", lambda child=child: up(child), timeout_s=30)
    assert [child.process.returncode for child in children] == [-signal.SIGTERM] * 2


def test_processes_end_when_an_error_ends_the_supervisor(tmp_path: Path) -> None:
    started: list[Child] = []

    def fail_after_starting() -> None:
        with Supervisor(tmp_path) as supervisor:
            started.append(supervisor.start("one", python(FOREVER)))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_after_starting()
    assert not alive(started[0].process.pid)


def test_a_process_that_ignores_the_request_to_end_is_killed(tmp_path: Path) -> None:
    with Supervisor(tmp_path, grace_s=0.2) as supervisor:
        child = supervisor.start("stubborn", python(STUBBORN))
        supervisor.wait_for("it", lambda: up(child), timeout_s=30)
    assert child.process.returncode == -signal.SIGKILL


def test_a_process_that_dies_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor:
        supervisor.start("broken", python("raise SystemExit('no such luck')"))
        with pytest.raises(StartError, match=r"(?s)broken ended with status 1.*no such luck"):
            supervisor.wait_for("what never comes", lambda: None, timeout_s=30)


def test_a_wait_in_vain_says_what_for_and_shows_the_logs(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor:
        child = supervisor.start("idle", python(FOREVER))
        supervisor.wait_for("it", lambda: up(child), timeout_s=30)
        with pytest.raises(StartError, match=r"(?s)in vain for a miracle.*idle:.*up"):
            supervisor.wait_for("a miracle", lambda: False, timeout_s=0)


def test_a_process_that_ends_well_is_no_error(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor:
        child = supervisor.start("quick", python("pass"))
        assert child.process.wait(30) == 0
        supervisor.check()


def test_a_wait_returns_what_it_waited_for(tmp_path: Path) -> None:
    found = iter([None, False, 17])
    with Supervisor(tmp_path) as supervisor:
        assert supervisor.wait_for("it", lambda: next(found), timeout_s=30) == 17


def test_a_pipe_gives_what_the_process_prints(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor:
        child = supervisor.start("piped", python("print('hello')"), piped=True)
        assert child.stdout.read() == b"hello\n"
        with pytest.raises(ValueError, match="not started with a pipe"):
            _ = supervisor.start("plain", python("pass")).stdout


def test_processes_find_the_environment_that_they_are_given(tmp_path: Path) -> None:
    code = "import os; print(os.environ.get('ONE'), os.environ.get('TWO'), os.environ.get('HOME'))"
    with Supervisor(tmp_path, env={"ONE": "1"}) as supervisor:
        child = supervisor.start("env", python(code), env={"TWO": "2"}, piped=True)
        assert child.stdout.read() == b"1 2 None\n"


def test_one_process_can_be_ended_alone(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor:
        one, two = (supervisor.start(name, python(FOREVER)) for name in ("one", "two"))
        supervisor.stop(one)
        assert one.process.returncode is not None
        assert two.process.poll() is None
        supervisor.check()
