"""Locust as a process: exactly so many requests, told as they are answered.

Knows Locust's command line and the lines that `load` prints. Must not know what the load is.
"""

from __future__ import annotations

import json
import queue
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from threading import Thread
from typing import Final

from mirrorproof_demo.proof import Load
from mirrorproof_demo.supervisor import StartError, Supervisor

__all__ = ["drive"]

_PROGRESS_KEY: Final = "shop_progress"
_REQUESTS_OF_A_VISIT: Final = 16  # two visits each, so that every customer comes to order
_MAX_CUSTOMERS: Final = 4
_REQUESTS_A_SECOND: Final = 60
"""What v2 keeps up with on a small machine. A v2 that falls behind holds its locks for longer, and where it
shares a database with v1 its work is then given up for v1's sake: honest, and no help to a first look."""
_PATIENCE_S: Final = 60.0


def drive(supervisor: Supervisor, host: str, requests: int, seed: int, tell: Callable[[int], None]) -> Load:
    """Send `requests` requests to `host`; `tell` hears how many are answered. Raises `StartError`."""
    customers = max(1, min(_MAX_CUSTOMERS, requests // _REQUESTS_OF_A_VISIT))
    locustfile = Path(__file__).with_name("load.py")
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "locust",
        "-f",
        locustfile,
        "--headless",
        "--host",
        host,
    ]
    command += ["--users", str(customers), "--spawn-rate", str(customers), "--only-summary"]
    command += ["--loglevel", "WARNING", "--exit-code-on-error", "0", "--shop-progress"]
    command += [
        "--shop-requests",
        str(requests),
        "--shop-rate",
        str(_REQUESTS_A_SECOND),
        "--shop-seed",
        str(seed),
    ]
    child = supervisor.start("locust", command, piped=True)
    lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    Thread(target=_pump, args=(child.stdout, lines), daemon=True).start()
    load = _follow(supervisor, lines, tell)
    supervisor.wait_for("Locust to end", lambda: child.status() is not None, timeout_s=_PATIENCE_S)
    supervisor.check()
    supervisor.stop(child)
    return load


def _pump(stream: Iterable[bytes], lines: queue.SimpleQueue[bytes | None]) -> None:
    for line in stream:
        lines.put(line)
    lines.put(None)


def _follow(
    supervisor: Supervisor, lines: queue.SimpleQueue[bytes | None], tell: Callable[[int], None]
) -> Load:
    load = Load()
    last_news_s = time.monotonic()
    while True:
        try:
            supervisor.check()
            line = lines.get(timeout=0.2)
        except queue.Empty:
            if time.monotonic() - last_news_s > _PATIENCE_S:
                raise StartError(f"Locust has said nothing for {_PATIENCE_S:g} s") from None
            continue
        if line is None:
            return load
        last_news_s = time.monotonic()
        load = _read(line) or load
        tell(load.answered)


def _read(line: bytes) -> Load | None:
    if not line.startswith(b'{"' + _PROGRESS_KEY.encode()):
        return None
    return Load(**json.loads(line)[_PROGRESS_KEY])
