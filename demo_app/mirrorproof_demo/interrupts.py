"""Interrupts that wait for a safe place.

Python raises `KeyboardInterrupt` between any two instructions: also where a process was started and is not
yet in the list of those to end, where `Popen.poll` holds its lock (every later `wait` then hangs for ever),
and while things are being ended. So a signal is only noted here; who waits asks with `check`.

Knows signals. Must not know what is interrupted.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Final

__all__ = ["Interrupts"]

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """A context in which Ctrl-C, SIGTERM and a closed terminal are noted. For the main thread."""

    def __init__(self) -> None:
        self.count = 0
        self._raises = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interrupts:
        for number in _SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # as `nohup` and a shell's `&` set it
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def check(self) -> None:
        """Raise `KeyboardInterrupt` if there was a signal."""
        if self.count:
            raise KeyboardInterrupt

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Let signals raise wherever they come: for what may take long and has nothing to lose."""
        self._raises = True
        try:
            self.check()
            yield
        finally:
            self._raises = False

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        if self._raises:
            raise KeyboardInterrupt
