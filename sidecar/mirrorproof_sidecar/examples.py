"""How an example of a difference is shown: both values in a line, from shortly before they part ways.

Pure. Knows the shape of an example in a summary. Must not know who prints it. What an example quotes came
from strangers, so it comes out without anything that a terminal would obey.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import takewhile
from typing import Any, Final

__all__ = ["clean", "shown"]

_WIDTH: Final = 60
_CONTEXT_CHARS: Final = 12
_DIGEST_CHARS: Final = 12
_NOTHING: Final = "(nothing)"
_EFFECTS: Final = "/effects/"


def shown(example: Mapping[str, Any], width: int = _WIDTH) -> tuple[str, str]:
    """The values of both sides, each in at most `width` characters.

    `example` has `path`, `primary` and `shadow`; a side that it lacks has nothing there. Of two long
    values, the part that both begin with is left out but for a few characters. An effect is its summary:
    its outcome differs on every pair and is no difference.
    """
    primary, shadow = _text(example, "primary"), _text(example, "shadow")
    if max(len(primary), len(shadow)) <= width:
        return primary, shadow
    start = 0
    if primary != shadow and "primary" in example and "shadow" in example:
        alike = sum(1 for _ in takewhile(lambda two: two[0] == two[1], zip(primary, shadow, strict=False)))
        start = max(0, alike - min(_CONTEXT_CHARS, width // 3))
    return _cut(primary, start, width), _cut(shadow, start, width)


def clean(text: str) -> str:
    """`text` without what a terminal would obey: control characters, and marks that turn text around."""
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text)


def _text(example: Mapping[str, Any], side: str) -> str:
    if side not in example:
        return _NOTHING
    value = example[side]
    in_effects = str(example.get("path", _EFFECTS)).startswith(_EFFECTS)
    if in_effects and isinstance(value, Mapping) and "summary" in value:
        # The digest is there where redaction made both summaries equal.
        digest = f" #{str(value['digest'])[:_DIGEST_CHARS]}" if "digest" in value else ""
        return clean(f"{value['summary']}{digest}")
    return clean(json.dumps(value, ensure_ascii=False))


def _cut(text: str, start: int, width: int) -> str:
    shown = f"…{text[start:]}" if start else text
    return shown if len(shown) <= width else shown[: width - 1] + "…"
