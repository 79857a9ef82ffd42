"""JSON text into a tree that loses nothing a comparison has to tell apart.

Knows RFC 8259 and the inputs that hurt a parser. Must not know what the tree is compared with.

Numbers are exact (`numbers`), an object that repeats a key becomes a `DuplicateKeys`, lone surrogates and
U+0000 stay in their strings. Nesting is measured before parsing, at C speed, because parsers recurse.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final

from mirrorproof_sidecar.compare.numbers import parse_constant, parse_fraction, parse_integer

__all__ = ["MAX_DEPTH", "BrokenJSONError", "DuplicateKeys", "TooDeepError", "parse"]

MAX_DEPTH: Final = 500

# Never fails to match at a quote, and possessive (`*+`), so that it is linear whatever the text.
_STRING = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_STEPS = bytes(2 if byte in b"[{" else 0 for byte in range(256))
_LEVELS: Final = (-1, 0, 1)  # what each of those steps means
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")


class BrokenJSONError(ValueError):
    """The text is no JSON; the message says where."""


class TooDeepError(ValueError):
    """The text is nested deeper than `MAX_DEPTH`."""


@dataclass(frozen=True, slots=True)
class DuplicateKeys:
    """An object in which a key occurs more than once: its pairs as they came."""

    pairs: tuple[tuple[str, Any], ...]


def parse(text: str) -> Any:
    """The tree. Raises `BrokenJSONError` or `TooDeepError`, and nothing else."""
    if _depth(text) > MAX_DEPTH:
        raise TooDeepError(f"nested deeper than {MAX_DEPTH}")
    try:
        return _DECODER.decode(text)
    except ValueError as error:
        raise BrokenJSONError(str(error)) from error
    except RecursionError as error:  # the caller's own stack was nearly full
        raise TooDeepError("nested too deep for the stack that was left") from error


def _depth(text: str) -> int:
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return 0
    bare = _STRING.sub("", text).encode("ascii", "replace")
    steps = bare.translate(_STEPS, _NO_BRACKETS)
    return max(accumulate(map(_LEVELS.__getitem__, steps)), default=0)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any] | DuplicateKeys:
    found = dict(pairs)
    return found if len(found) == len(pairs) else DuplicateKeys(tuple(pairs))


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_float=parse_fraction,
    parse_int=parse_integer,
    parse_constant=parse_constant,
)
