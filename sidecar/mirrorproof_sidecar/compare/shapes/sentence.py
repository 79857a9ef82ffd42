"""Text piece by piece: two texts that are equal but for some words.

Pure. Knows how a text is cut into words. Must not know which words may differ: it asks. What is between the
words has to be equal.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import Final

from mirrorproof_sidecar.compare.shapes.names import words_of
from mirrorproof_sidecar.compare.shapes.shape import Shape

__all__ = ["Ask", "compare_words", "unpacked"]

Ask = Callable[[tuple[str, ...], str, str], Shape | None]
"""The shape of two words that differ, with the words before them."""

_MAX_CHARS: Final = 16_384
_MAX_PIECES: Final = 400
_TAIL_CHARS: Final = 40
_PIECE = re.compile(
    r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)?)?(?![\w-])"
    r"|(?:[A-Z][a-z]{2}, )?\d\d[ -][A-Z][a-z]{2}[ -]\d{4} \d\d:\d\d:\d\d GMT"
    r"|\d{10}\.\d{1,9}"
    r"|(?<=nonce-)[A-Za-z0-9+/_-]+={0,2}"
    r"|[A-Za-z0-9_]+(?:-(?<!nonce-)[A-Za-z0-9_-]*)?={0,2}",
    re.ASCII,
)
_PARTS = re.compile(r"[-_]")
_PACKED = re.compile(r"[A-Za-z0-9+/_-]{8,}={0,2}", re.ASCII)

_STANDARD: Final = str.maketrans("-_", "+/")


def compare_words(one: str, other: str, ask: Ask) -> list[Shape] | None:
    """The shapes of all words that differ; `None` if `ask` has none for one of them, or other text
    differs."""
    if max(len(one), len(other)) > _MAX_CHARS:
        return None
    mine, its = list(_PIECE.finditer(one)), list(_PIECE.finditer(other))
    if len(mine) != len(its) or len(mine) > _MAX_PIECES:
        return None
    at = its_at = 0
    equal = ""  # what came before, without the words that differ
    shapes: list[Shape] = []
    for piece, its_piece in zip(mine, its, strict=True):
        between = one[at : piece.start()]
        if between != other[its_at : its_piece.start()]:
            return None
        at, its_at = piece.end(), its_piece.end()
        equal = (equal + between)[-_TAIL_CHARS:]
        if piece[0] == its_piece[0]:
            equal += piece[0]
            continue
        found = _word(words_of(equal[-_TAIL_CHARS:]), piece[0], its_piece[0], ask)
        if found is None:
            return None
        shapes += found
    return shapes if one[at:] == other[its_at:] else None


def _word(before: tuple[str, ...], one: str, other: str, ask: Ask) -> list[Shape] | None:
    """The shape of a word, or of those of its parts that differ: `orders-20260426T192844Z`, `pi_7227`."""
    if shape := ask(before, one, other):
        return [shape]
    mine, its = _PARTS.split(one), _PARTS.split(other)
    if len(mine) != len(its) or not 1 < len(mine) < 10 or _PARTS.findall(one) != _PARTS.findall(other):
        return None
    shapes = []
    for part, its_part in zip(mine, its, strict=True):
        if part != its_part:
            shape = ask(before, part, its_part)
            if shape is None:
                return None
            shapes.append(shape)
        before = (*before, part.lower()) if part == its_part else before
    return shapes


def unpacked(text: str) -> str | None:
    """The text that is written in base 64, if it is one that people could read; `None` if not."""
    if len(text) > _MAX_CHARS or _PACKED.fullmatch(text) is None:
        return None
    padded = text.rstrip("=").translate(_STANDARD)
    try:
        plain = base64.b64decode(padded + "=" * (-len(padded) % 4), validate=True).decode("ascii")
    except ValueError:
        return None
    return plain if len(plain) > 5 and plain.isprintable() else None
