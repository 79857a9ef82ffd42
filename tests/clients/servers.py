"""Starting the servers that the table's clients talk to.

Knows processes and ports. Must not know any one server.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest

__all__ = ["Process", "Unavailable", "free_port", "program", "started", "wait_for"]


Started = TypeVar("Started")


class Unavailable(Exception):
    """A server that this machine does not have; says how to get it."""


def started(peer: Callable[[], Started]) -> Started:
    """A server, started. A test that cannot have it is skipped with the reason; under CI it fails."""
    try:
        return peer()
    except Unavailable as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


def program(name: str, package: str) -> str:
    """The path of a server's program. Raises `Unavailable` that names Debian's package."""
    found = shutil.which(name, path="/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin")
    if found is None:
        raise Unavailable(
            f"{name} is not here; `apt-get install {package}` brings it, as tests/install-servers does"
        )
    return found


def free_port() -> int:
    """A port that nobody listens on at the moment."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def wait_for(ready: Callable[[], object], what: str, within_s: float = 60.0) -> None:
    """Return once `ready()` is true and raises nothing."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            if ready():
                return
        except Exception as error:
            if time.monotonic() > deadline:
                raise Unavailable(f"{what} did not come up") from error
        if time.monotonic() > deadline:
            raise Unavailable(f"{what} did not come up")
        time.sleep(0.02)


class Process:
    """A server's process, with a directory of its own. Ends with `stop`."""

    def __init__(self, command: Sequence[str], directory: Path | None = None, **options: Any) -> None:
        self.directory = directory or Path(tempfile.mkdtemp(prefix="mirrorproof-peer-"))
        self._log = (self.directory / "log.txt").open("wb")
        self._process = subprocess.Popen(
            command,
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            **options,
        )

    def said(self) -> str:
        """What it wrote to its output."""
        return (self.directory / "log.txt").read_text(errors="replace")

    def stop(self) -> None:
        """End it and remove its directory."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
        self._log.close()
        shutil.rmtree(self.directory, ignore_errors=True)
