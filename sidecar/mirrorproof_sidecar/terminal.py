"""What rich prints, as text for a terminal or a pipe.

Knows rich. Must not know what is printed.
"""

from __future__ import annotations

import io
from typing import Final

from rich.console import Console, RenderableType

__all__ = ["MAX_ROWS", "VERDICT_STYLES", "as_text"]

MAX_ROWS: Final = 25
"""Of one table."""
VERDICT_STYLES: Final = {"pass": "bold green", "fail": "bold red", "undecided": "bold yellow"}
_PLAIN_WIDTH: Final = 100


def as_text(shown: RenderableType, *, width: int | None = None, colour: bool = False) -> str:
    """The text, `width` columns wide: by default 100, in colour the terminal's width."""
    file = io.StringIO()
    wide = width or min(Console().width if colour else _PLAIN_WIDTH, 160)
    console = Console(
        file=file, width=wide, force_terminal=colour, no_color=not colour, highlight=False, emoji=False,
        legacy_windows=False, color_system="standard" if colour else None,
    )  # fmt: skip
    console.print(shown)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n"
