"""The supervisor: what it starts it ends, and what it waits for in vain it explains."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from mirrorproof_demo.interrupts import Interrupts
from mirrorproof_demo.supervisor import Child, StartError, Supervisor

FOREVER = "import threading; print('up', flush=True); threading.Event().wait()"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + FOREVER


WITH_CHILD = (
    "import subprocess, sys; "
    "print(subprocess.Popen(['sleep', '600'], start_new_session={apart}).pid, flush=True); "
)


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def up(child: Child) -> bool:
    return "up" in child.log.read_text()


def alive(pid: int) -> bool:
    """Whether it runs: one that nobody has reaped yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def gone(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not alive(pid)


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


def test_a_status_is_told_before_and_after_the_process_is_reaped(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor:
        child = supervisor.start("three", python("raise SystemExit(3)"))
        while child.status() is None:
            time.sleep(0.01)
        assert (child.status(), child.process.returncode) == (3, None)
        killed = supervisor.start("killed", python(FOREVER))
        killed.process.send_signal(signal.SIGKILL)
        while killed.status() is None:
            time.sleep(0.01)
        assert killed.status() == -signal.SIGKILL
    assert (child.status(), killed.status()) == (3, -signal.SIGKILL)


@pytest.mark.parametrize("leader", [FOREVER, STUBBORN, "raise SystemExit"])
def test_what_a_process_has_started_ends_with_it(tmp_path: Path, leader: str) -> None:
    with Supervisor(tmp_path, grace_s=0.5) as supervisor:
        child = supervisor.start("parent", python(WITH_CHILD.format(apart=False) + leader), piped=True)
        grandchild = int(child.stdout.readline())
        assert alive(grandchild)
    assert gone(grandchild)


def test_a_stranger_that_holds_the_pipe_does_not_hold_up_the_end(tmp_path: Path) -> None:
    begun_s = time.monotonic()
    with Supervisor(tmp_path, grace_s=0.5) as supervisor:
        child = supervisor.start("parent", python(WITH_CHILD.format(apart=True) + FOREVER), piped=True)
        stranger = int(child.stdout.readline())
        child.stdout.readline()
        reader = Thread(target=child.stdout.read, daemon=True)
        reader.start()
    assert time.monotonic() - begun_s < 20
    assert not alive(child.process.pid)
    assert alive(stranger)
    os.kill(stranger, signal.SIGKILL)
    reader.join(10)


def started_and_interrupted(
    directory: Path, interrupts: Interrupts, *names: str, number: signal.Signals | None = None
) -> list[Child]:
    """What was started before an interrupt ended it all."""
    children: list[Child] = []
    with Supervisor(directory, grace_s=2, interrupts=interrupts) as supervisor:
        children += [supervisor.start(name, python(STUBBORN)) for name in names]
        if number is not None:
            os.kill(os.getpid(), number)
        with pytest.raises(KeyboardInterrupt):
            supervisor.watch()
    return children


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_is_heard_in_a_wait_and_everything_ends(tmp_path: Path, number: signal.Signals) -> None:
    with Interrupts() as interrupts:
        (child,) = started_and_interrupted(tmp_path, interrupts, "one", number=number)
    assert child.process.returncode is not None


def test_a_process_that_is_started_while_the_signal_comes_ends_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen

    def interrupted(*args: Any, **kwargs: Any) -> subprocess.Popen[bytes]:
        started.append(popen(*args, **kwargs))
        os.kill(os.getpid(), signal.SIGINT)
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", interrupted)
    with Interrupts() as interrupts:
        started_and_interrupted(tmp_path, interrupts, "one")
    assert gone(started[0].pid)


def test_a_storm_of_signals_ends_everything_and_nothing_hangs(tmp_path: Path) -> None:
    storm = "import os, sys, time\nfor _ in range(3000): os.kill(int(sys.argv[1]), 2); time.sleep(0.0005)"
    with Interrupts() as interrupts:
        sender = subprocess.Popen([*python(storm), str(os.getpid())])
        for _ in range(5):
            children = started_and_interrupted(tmp_path, interrupts, "one", "two")
            assert [child.process.returncode is None for child in children] == [False, False]
        sender.wait(60)


def test_another_interrupt_takes_the_grace_away(tmp_path: Path) -> None:
    signal_soon = f"import os, time; time.sleep(0.5); os.kill({os.getpid()}, 2)"
    with Interrupts() as interrupts, Supervisor(tmp_path, grace_s=60, interrupts=interrupts) as supervisor:
        child = supervisor.start("stubborn", python(STUBBORN))
        supervisor.wait_for("it", lambda: up(child), timeout_s=30)
        sender = subprocess.Popen(python(signal_soon))
    assert child.process.returncode == -signal.SIGKILL
    sender.wait(30)
