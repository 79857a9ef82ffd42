"""What is known about a pair: its true differences, its noise, and which findings answer to which label.

Knows paths, kinds and the values that a finding shows. Must not know how a difference is found or hidden.

Matching. A finding (a difference that the comparison shows) is *true* if it fits some `Truth` of its pair,
that is, if for one of the label's readings kind and path fit and, where the label names values, the finding
shows them; else it is *false*. A truth is *found* if at least one finding fits it. Precision = true findings
/ findings; recall = found truths / truths. Nothing else counts: not how many findings tell one truth, nor
what is hidden.

A reading is a (kind, path pattern). The first is the plain one; others are there where a person could tell
the same thing in another way as well (two items that changed places: an order, or two changed items). In a
pattern `*` inside a segment stands for any characters, and a segment `**` for any number of segments, none
included. In formats whose trees belong to the product (HTML, CSV, ...) the pattern is wide, and `primary` and
`shadow` say what the finding has to show: the very value if it shows one value, or text that holds it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Any

from mirrorproof.exchange import Exchange

__all__ = ["Noise", "Pair", "Part", "Truth", "Why", "fits", "pointer", "truth_of"]


class Why(StrEnum):
    """Why two right answers differ in a place."""

    FRESH_TIME = "fresh time"  # the time of the answer, or one counted from it
    RANDOM_ID = "random id"  # UUID, ULID, KSUID, ... drawn for this request
    SEQUENCE = "id by sequence"  # the database's next number
    SET_ORDER = "order of a set"
    NONCE = "nonce"  # CSRF token, CSP nonce, boundary
    TOKEN = "token"
    HOST = "host name"
    TRACE = "trace or request id"
    SIGNED_URL = "signed url"
    CURSOR = "cursor"  # opaque, with a time or a random part inside
    FLOAT = "float jitter"  # the same sum in another order
    DURATION = "duration"  # how long this answer took
    RATE_LIMIT = "rate limit"
    MOVED = "moved state"  # somebody else wrote between the two reads
    CACHE = "cache"  # hit or miss, age
    PROCESS = "process figures"  # memory, threads, uptime
    FORM = "form"  # white space, key order, escapes: the same content written differently


class Part(StrEnum):
    """Which part of the corpus. Nobody tunes on the held-out part."""

    TUNING = "tuning"
    HELD_OUT = "held-out"


@dataclass(frozen=True, slots=True)
class Truth:
    """A difference that v2 causes. `what` says it in words; `hard` marks those that look like noise."""

    what: str
    readings: tuple[tuple[str, str], ...]
    primary: str | None = None
    shadow: str | None = None
    hard: bool = False

    @property
    def kind(self) -> str:
        """The plain reading's kind."""
        return self.readings[0][0]

    @property
    def where(self) -> str:
        """The plain reading's path."""
        return self.readings[0][1]


@dataclass(frozen=True, slots=True)
class Noise:
    """A place that differs although v2 is right. `alone`: without a control nobody could know."""

    where: str
    why: Why
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Pair:
    """Two answers to one request, what truly differs, and what else does.

    `control` is a second v1's answer to the same request; `reread` is v1's own, asked again after v2's, and
    `None` where asking again would not be safe.
    """

    name: str
    family: str
    part: Part
    primary: Exchange
    shadow: Exchange
    control: Exchange
    reread: Exchange | None = None
    truths: tuple[Truth, ...] = ()
    noise: tuple[Noise, ...] = ()
    notes: tuple[str, ...] = field(default=())

    @property
    def endpoint(self) -> str:
        """As rules name it."""
        request = self.primary.request
        return f"{request.method} {request.route or request.path}"


def pointer(*segments: str | int) -> str:
    """A JSON pointer."""
    return "".join("/" + str(segment).replace("~", "~0").replace("/", "~1") for segment in segments)


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    parts = []
    for segment in pattern.split("/")[1:]:
        if segment == "**":
            parts.append("(?:/[^/]*)*")
        else:
            parts.append("/" + "[^/]*".join(re.escape(piece) for piece in segment.split("*")))
    return re.compile("".join(parts))


def fits(pattern: str, path: str) -> bool:
    """Whether a path fits a pattern."""
    return _compiled(pattern).fullmatch(path) is not None


def truth_of(truths: Iterable[Truth], kind: str, path: str, primary: Any, shadow: Any) -> list[Truth]:
    """The truths that a finding fits: none makes it false."""
    return [
        truth
        for truth in truths
        if any(kind == its and fits(where, path) for its, where in truth.readings)
        and _shows(primary, truth.primary)
        and _shows(shadow, truth.shadow)
    ]


def _shows(value: Any, text: str | None) -> bool:
    if text is None:
        return True
    if isinstance(value, dict | list | tuple):
        return any(_shows(each, text) for each in (value.values() if isinstance(value, dict) else value))
    shown = str(value).lower() if isinstance(value, bool) else "" if value is None else str(value)
    if shown == text or _plain(shown) == _plain(text):
        return True
    return isinstance(value, str) and _plain(text) in _plain(shown)


def _plain(text: str) -> str:
    return " ".join(text.replace("…", "").split())
