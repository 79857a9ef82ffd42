"""Processes that are started together and end together.

Waits are for conditions, bounded, and end at once with the tail of the log where a process has died. Only
what was started here is ever ended, by its own handle.

Knows processes. Must not know what they do.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, NoReturn, TypeVar

__all__ = ["Child", "StartError", "Supervisor"]

T = TypeVar("T")

_POLL_S = 0.05
_TAIL_LINES = 25


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

    def tail(self) -> str:
        """The last lines of its log."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(f"  | {line}" for line in lines[-_TAIL_LINES:]) or "  | (it wrote nothing)"


class Supervisor:
    """A context: on its end, however it comes, every process has ended.

    `grace_s` is how long each process may take to end by itself before it is killed.
    `env` is what they find in their environment.
    """

    def __init__(self, logs: Path, *, env: Mapping[str, str] | None = None, grace_s: float = 4.0) -> None:
        self._logs = logs
        self._env = dict(os.environ if env is None else env)
        self._grace_s = grace_s
        self._children: list[Child] = []

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
                start_new_session=True,  # Ctrl-C is for us; the processes are then ended in order
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
        """Raise `StartError` if any process has ended by itself with an error."""
        for child in self._children:
            status = child.process.poll()
            if status:
                raise StartError(f"{child.name} ended with status {status}:\n{child.tail()}")

    def watch(self) -> NoReturn:
        """Wait until a process ends with an error (`StartError`) or somebody interrupts."""
        while True:
            self.check()
            time.sleep(_POLL_S)

    def stop(self, child: Child) -> None:
        """End one process and wait for it."""
        try:
            _end(child, self._grace_s)
        except KeyboardInterrupt:  # somebody who interrupts the end is in a hurry
            _end(child, 0)
        self._children.remove(child)

    def stop_all(self) -> None:
        """End every process and wait for it, the last started first: each may still need those before it."""
        while self._children:
            self.stop(self._children[-1])


def _end(child: Child, grace_s: float) -> None:
    if child.process.poll() is None:
        child.process.terminate()
    try:
        child.process.wait(grace_s)
    except subprocess.TimeoutExpired:
        child.process.kill()
        child.process.wait()
    if child.process.stdout is not None:
        child.process.stdout.close()
