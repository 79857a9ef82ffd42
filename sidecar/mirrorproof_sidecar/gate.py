"""Waiting for a verdict: ask a recorder again and again, and show how far it is.

Knows a clock and the terminal. Must not know what makes a verdict.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TextIO

from mirrorproof.errors import SettingsError
from mirrorproof_sidecar.asking import ReportError, ask
from mirrorproof_sidecar.verdict_text import progress_line

__all__ = ["EXIT_CODES", "Gate", "shown_progress", "since_unix_s"]

EXIT_CODES: Final = {"pass": 0, "fail": 1, "undecided": 2}

_POLL_S: Final = 2.0
_TELL_EVERY_S: Final = 10.0
_UNITS_S: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_AGO: Final = re.compile(r"([0-9]{1,6}(?:\.[0-9]+)?)([smhd])", re.ASCII)
_UNIX_S: Final = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,9})?", re.ASCII)

Tell = Callable[[dict[str, Any] | None, str], None]
"""Hears the latest answer, or `None` if there is none, and a line about it."""


class Gate:
    """A recorder that is asked for its verdict. `since` is as `since_unix_s` takes it."""

    def __init__(
        self, url: str, *, token: str | None = None, since: str | None = None, settle: bool = True,
        now: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:  # fmt: skip
        self._url = url
        self._token = token
        self._since_s = None if since is None else since_unix_s(since, now())
        self._settle = settle
        self._monotonic = monotonic
        self._sleep = sleep

    async def ask(self, timeout_s: float = 60.0) -> dict[str, Any]:
        """The verdict as it stands. Raises `ReportError`."""
        parameters = [
            *([f"since={self._since_s:.3f}"] if self._since_s is not None else []),
            *(["settle=1"] if self._settle else []),
        ]
        call = "/v1/verdict" + ("?" + "&".join(parameters) if parameters else "")
        answer = await ask(self._url, call, token=self._token, timeout_s=timeout_s)
        if answer.get("verdict") not in EXIT_CODES:
            raise ReportError(f"what answers at {self._url} is no recorder: it gives no verdict")
        return answer

    async def wait(
        self, timeout_s: float, *, poll_s: float = _POLL_S, tell: Tell | None = None
    ) -> dict[str, Any]:
        """The verdict once it is decided, or as it stands when the time is up.

        A recorder that does not answer is asked again while there is time. Raises `ReportError` where that
        does not help.
        """
        deadline_s = self._monotonic() + timeout_s
        with shown_progress(sys.stderr) if tell is None else _as_given(tell) as heard:
            while True:
                left_s = deadline_s - self._monotonic()
                answer, problem = await self._try(max(1.0, min(60.0, left_s)))
                heard(answer, str(problem) if problem else "")
                if answer is not None and answer["verdict"] != "undecided":
                    return answer
                if self._monotonic() + poll_s > deadline_s:
                    if answer is None:
                        raise problem or ReportError("no answer")
                    return answer
                await self._sleep(poll_s)

    async def _try(self, timeout_s: float) -> tuple[dict[str, Any] | None, ReportError | None]:
        try:
            return await self.ask(timeout_s), None
        except ReportError as error:
            if not error.passing:
                raise
            return None, error


def since_unix_s(text: str, now_s: float) -> float:
    """Seconds since 1970 from those, from how long ago (`90s`, `15m`, `2h`, `1d`), or from `now`.

    Raises `SettingsError`.
    """
    if text == "now":
        return now_s
    if ago := _AGO.fullmatch(text):
        return max(0.0, now_s - float(ago[1]) * _UNITS_S[ago[2]])
    if _UNIX_S.fullmatch(text):
        return float(text)
    raise SettingsError(f"--since {text!r} has to be seconds since 1970, 90s, 15m, 2h or `now`")


@contextmanager
def _as_given(tell: Tell) -> Iterator[Tell]:
    yield tell


@contextmanager
def shown_progress(file: TextIO) -> Iterator[Tell]:
    """A bar on a terminal; elsewhere, as in a log of CI, a line when it changes, at most every ten
    seconds."""
    if not file.isatty():
        yield _lines(file)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    bar = Progress(
        BarColumn(bar_width=24), TimeElapsedColumn(), TextColumn("{task.description}", markup=False),
        console=Console(file=file), transient=True,
    )  # fmt: skip
    with bar:
        task = bar.add_task("asking", total=None)

        def tell(answer: dict[str, Any] | None, problem: str) -> None:
            if answer is None:
                bar.update(task, total=None, description=problem)
                return
            pairs, more = answer["evidence"]["all"]["compared"], answer["more_requests"]
            total = None if more is None else pairs + more
            bar.update(task, total=total, completed=pairs, description=progress_line(answer))

        yield tell


def _lines(file: TextIO, monotonic: Callable[[], float] = time.monotonic) -> Tell:
    told: list[tuple[float, str]] = []

    def tell(answer: dict[str, Any] | None, problem: str) -> None:
        line = problem if answer is None else progress_line(answer)
        if told and (told[-1][1] == line or monotonic() - told[-1][0] < _TELL_EVERY_S):
            return
        told[:] = [(monotonic(), line)]
        print(line, file=file, flush=True)

    return tell
