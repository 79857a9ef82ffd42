"""Processes that are started together and end together.

Waits are for conditions, bounded, and end at once with the tail of the log where a process has died. Only
what was started here is ever ended: each process leads a group of its own, and what it started ends with it.
The end is bounded as well: ask, wait, kill, wait, give up.

A process that has ended is reaped only when its group was ended. Until then the kernel keeps its number, so
that no signal can go to a stranger.

Knows processes. Must not know what they do.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import IO, NoReturn, TypeVar

from mirrorproof_demo.interrupts import Interrupts

__all__ = ["Child", "StartError", "Supervisor"]

T = TypeVar("T")

_POLL_S = 0.05
_TAIL_LINES = 25
_KILLED_S = 5.0
"""How long a killed process may take to be gone; longer only where the kernel itself is stuck."""
_CLOSE_S = 1.0


class StartError(Exception):
    """A process did not start, died, or what was waited for never came."""


@dataclass(frozen=True, slots=True)
class Child:
    """A process that was started here."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def stdout(self) -> IO[bytes]:
        """What the process prints, where it was started with `piped`."""
        if self.process.stdout is None:
            raise ValueError(f"{self.name} was not started with a pipe")
        return self.process.stdout

    def status(self) -> int | None:
        """Its exit status, negative for a signal, or `None` while it runs. Does not reap it."""
        if self.process.returncode is not None:
            return self.process.returncode
        try:
            ended = os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:  # reaped in the meantime, by another thread
            return self.process.poll()
        if ended is None:
            return None
        return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status

    def tail(self) -> str:
        """The last lines of its log."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(f"  | {line}" for line in lines[-_TAIL_LINES:]) or "  | (it wrote nothing)"


class Supervisor:
    """A context: on its end, however it comes, every process has ended.

    `grace_s` is how long each process may take to end by itself before it is killed.
    `env` is what they find in their environment. `interrupts` are heard in every wait; another one during
    the end takes the grace away.
    """

    def __init__(
        self, logs: Path, *, env: Mapping[str, str] | None = None, grace_s: float = 4.0,
        interrupts: Interrupts | None = None,
    ) -> None:  # fmt: skip
        self._logs = logs
        self._env = dict(os.environ if env is None else env)
        self._grace_s = grace_s
        self._children: list[Child] = []
        self.interrupts = interrupts or Interrupts()

    def __enter__(self) -> Supervisor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop_all()

    def start(
        self, name: str, command: Sequence[str | Path], *, env: Mapping[str, str] | None = None,
        piped: bool = False,
    ) -> Child:  # fmt: skip
        """Start a process. Its output goes into a log; with `piped`, standard output into a pipe."""
        log = self._logs / f"{name}.log"
        with log.open("ab") as file:
            process = subprocess.Popen(  # noqa: S603 - commands of ours, no shell
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if piped else file,
                stderr=file,
                env={**self._env, **(env or {})},
                start_new_session=True,  # Ctrl-C is for us; the groups are then ended in order
            )
        child = Child(name, process, log)
        self._children.append(child)
        return child

    def wait_for(self, what: str, ready: Callable[[], T | None], *, timeout_s: float) -> T:
        """The first result of `ready` that is neither `None` nor `False`.

        Raises `StartError` when a process has died or the time is up.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            result = ready()
            if result is not None and result is not False:
                return result
            self.check()
            if time.monotonic() > deadline:
                tails = "\n".join(f"{child.name}:\n{child.tail()}" for child in self._children)
                raise StartError(f"waited {timeout_s:g} s in vain for {what}\n{tails}")
            time.sleep(_POLL_S)

    def check(self) -> None:
        """Raise `StartError` if any process has ended by itself with an error.

        Raises `KeyboardInterrupt` if somebody interrupts.
        """
        self.interrupts.check()
        for child in self._children:
            status = child.status()
            if status:
                raise StartError(f"{child.name} ended with status {status}:\n{child.tail()}")

    def watch(self) -> NoReturn:
        """Wait until a process ends with an error (`StartError`) or somebody interrupts."""
        while True:
            self.check()
            time.sleep(_POLL_S)

    def stop(self, child: Child) -> None:
        """End one process with its group and wait for it, never for ever."""
        self._end(child, self.interrupts.count)
        self._children.remove(child)

    def stop_all(self) -> None:
        """End every process and wait for it, the last started first: each may still need those before it."""
        interrupted = self.interrupts.count
        while self._children:
            self._end(self._children[-1], interrupted)
            self._children.pop()

    def _end(self, child: Child, interrupted: int) -> None:
        """`interrupted` is how many interrupts there were when the end began."""
        if child.process.returncode is None:
            _signal_group(child, signal.SIGTERM)
            deadline = time.monotonic() + self._grace_s
            while child.status() is None and time.monotonic() < deadline:
                if self.interrupts.count > interrupted:
                    break  # somebody who interrupts the end is in a hurry
                time.sleep(_POLL_S)
            _signal_group(child, signal.SIGKILL)  # what it started and left behind, too
            _reap(child)
        if child.process.stdout is not None:
            _close(child.process.stdout)


def _signal_group(child: Child, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):  # nobody is left in it, or nobody whom we may end
        os.killpg(child.process.pid, number)  # the leader of its session, alive or not yet reaped


def _reap(child: Child) -> None:
    with suppress(subprocess.TimeoutExpired):  # stuck in the kernel: waiting for longer would not help
        child.process.wait(_KILLED_S)


def _close(stream: IO[bytes]) -> None:
    # Closing waits for whoever reads from it, as long as anything that left its group holds the other end.
    closing = Thread(target=stream.close, daemon=True)
    closing.start()
    closing.join(_CLOSE_S)
