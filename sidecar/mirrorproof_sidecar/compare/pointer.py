"""JSON pointers (RFC 6901) and the patterns that rules name them by.

Knows segments and wildcards. Must not know what a pointer points into. There are no regular expressions in
a pattern: each step is linear in the segment, and `rules` bounds the steps of one comparison.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

__all__ = ["ANY_DEPTH", "MAX_PATH_CHARS", "check_pattern", "escape", "glob", "shorten", "split"]

ANY_DEPTH: Final = "**"
MAX_PATH_CHARS: Final = 600
"""A longer path is cut: 600 characters of any alphabet still fit into an index entry of PostgreSQL."""
_MAX_SEGMENTS: Final = 40
_MAX_ANY_DEPTHS: Final = 4
_PARTS: Final = ("status", "headers", "body", "effects")
_BAD_ESCAPE = re.compile(r"~(?![01])")


def split(pointer: str) -> tuple[str, ...]:
    """The unescaped segments of a pointer."""
    if not pointer:
        return ()
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in pointer[1:].split("/"))


def escape(segment: str) -> str:
    """One segment as it stands in a pointer, a long one cut."""
    return shorten(segment, MAX_PATH_CHARS).replace("~", "~0").replace("/", "~1")


def shorten(text: str, limit: int) -> str:
    """`text`, or its beginning and a digest of it all, so that two long texts stay apart."""
    if len(text) <= limit:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{text[: limit - 17]}…{digest}"


def glob(pattern: str, text: str) -> bool:
    """Whether `text` fits `pattern`, in which `*` stands for any characters. Linear in `text`."""
    first, *rest = pattern.split("*")
    if not rest:
        return pattern == text
    last = rest.pop()
    end = len(text) - len(last)
    if end < len(first) or not text.startswith(first) or not text.endswith(last):
        return False
    at = len(first)
    for part in rest:
        at = text.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True


def check_pattern(path: str) -> str:
    """What is wrong with a rule's path, in words that follow it; empty if nothing is."""
    segments = split(path)
    checks = (
        (not path.startswith("/"), 'is no JSON pointer: it has to start with "/"'),
        (_BAD_ESCAPE.search(path), 'holds a "~" that is not "~0" (a "~") or "~1" (a "/")'),
        (len(segments) > _MAX_SEGMENTS, f"has more than {_MAX_SEGMENTS} segments"),
        (segments.count(ANY_DEPTH) > _MAX_ANY_DEPTHS, f'has more than {_MAX_ANY_DEPTHS} segments "**"'),
        (any(ANY_DEPTH in part and part != ANY_DEPTH for part in segments), 'has "**" inside a segment'),
        (
            not any(glob(first, part) for first in segments[:1] for part in _PARTS),
            f"can hide nothing: paths start with /{', /'.join(_PARTS)}",
        ),
    )
    return next((words for wrong, words in checks if wrong), "")
