"""How far long work is, for who waits: one line that changes on a terminal, elsewhere a line now and then.

Knows a clock and a stream. Must not know the work.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TextIO

__all__ = ["Tell", "shown_steps"]

_TELL_EVERY_S: Final = 10.0
_REDRAW_EVERY_S: Final = 0.1

Tell = Callable[[str], None]
"""Hears how far it is, as often as the work likes."""


@contextmanager
def shown_steps(file: TextIO, monotonic: Callable[[], float] = time.monotonic) -> Iterator[Tell]:
    """What is told, on `file`, not too often."""
    terminal = file.isatty()
    last_s = -_TELL_EVERY_S if terminal else monotonic()

    def tell(words: str) -> None:
        nonlocal last_s
        if monotonic() - last_s < (_REDRAW_EVERY_S if terminal else _TELL_EVERY_S):
            return
        last_s = monotonic()
        print(f"\r{words}\x1b[K" if terminal else words, end="" if terminal else "\n", file=file, flush=True)

    try:
        yield tell
    finally:
        if terminal:
            print("\r\x1b[K", end="", file=file, flush=True)
