"""Values that are made anew each time: UUIDs, sortable ids that hold a time, and random characters.

Pure. Knows alphabets and the layouts of ids. Must not know where a value stood, or what its name is.

A sortable id (ULID, KSUID, Snowflake, ObjectId, UUID of version 1, 6 and 7) says when it was made, and so
whether it is fresh; what is not fresh is stored, and does not differ by chance. A UUID of version 4 and
random characters say nothing of the kind: their name has to. A UUID of version 3 or 5 is made from content,
and is never taken here.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from mirrorproof_sidecar.compare.shapes.times import Moment, Stamp, fresh

__all__ = ["Token", "decoded", "is_random", "is_uuid", "made_now", "prefix_of", "same_alphabet", "token_of"]

_MAX_CHARS: Final = 4096
_MIN_RANDOM_CHARS: Final = 8
_UUID = re.compile(
    r"(urn:uuid:)?(\{)?([0-9a-fA-F]{8})(-?)([0-9a-fA-F]{4})\4([0-9a-fA-F])([0-9a-fA-F]{3})"
    r"\4([0-9a-fA-F]{4})\4([0-9a-fA-F]{12})(\})?"
)
_ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}|[0-7][0-9a-hjkmnp-tv-z]{25}")
_OBJECT_ID = re.compile(r"[0-9a-f]{24}")
_KSUID = re.compile(r"[0-9A-Za-z]{27}")
_SNOWFLAKE = re.compile(r"[1-9]\d{16,18}", re.ASCII)
_CROCKFORD: Final = {digit: value for value, digit in enumerate("0123456789ABCDEFGHJKMNPQRSTVWXYZ")}
_BASE62: Final = {
    digit: value
    for value, digit in enumerate("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
}
_GREGORIAN_S: Final = 12_219_292_800
_KSUID_EPOCH_S: Final = 1_400_000_000
_SNOWFLAKE_EPOCHS_MS: Final = (1_288_834_974_657, 1_420_070_400_000)  # Twitter's, Discord's
_ALPHABETS: Final = (
    ("digits", re.compile(r"[0-9]+")),
    ("lower-case hex", re.compile(r"[0-9a-f]+")),
    ("upper-case hex", re.compile(r"[0-9A-F]+")),
    ("base 32", re.compile(r"[A-Z2-7]+={0,6}")),
    ("lower-case base 36", re.compile(r"[0-9a-z]+")),
    ("upper-case base 36", re.compile(r"[0-9A-Z]+")),
    ("base 62", re.compile(r"[0-9A-Za-z]+")),
    ("base 64 for URLs", re.compile(r"[0-9A-Za-z_-]+={0,2}")),
    ("base 64", re.compile(r"[0-9A-Za-z+/]+={0,2}")),
    ("signed parts", re.compile(r"[0-9A-Za-z_.:~-]+={0,2}")),
)
_PART = re.compile(r"[-/.:~_]")
_PREFIX = re.compile(r"(?:[a-z]{2,12}[_-]){0,3}")
"""Words that say what the random rest is for."""
_CHANGES: Final = frozenset(("du", "dl", "ud", "ul", "ld", "lu"))
_CLASSES: Final = str.maketrans(
    dict.fromkeys("0123456789", "d")
    | dict.fromkeys("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "u")
    | dict.fromkeys("abcdefghijklmnopqrstuvwxyz", "l")
)


@dataclass(frozen=True, slots=True)
class Token:
    """An id of a known layout. `times_s`: the Unix seconds that it may say it was made at; none where it says
    nothing of the kind."""

    sort: str
    notation: str
    times_s: tuple[float, ...] = ()


def made_now(token: Token, moment: Moment) -> bool:
    """Whether the id says that it was made together with its answer."""
    return any(fresh(Stamp(time_s, "", 1.0), moment) for time_s in token.times_s)


def token_of(value: Any) -> Token | None:
    """The id of a known layout that `value` is."""
    if type(value) is int:
        return _snowflake(value, "integer") if 10**16 <= value < 10**19 else None
    if type(value) is not str or not 17 <= len(value) <= 45:
        return None
    return _uuid(value) or _ulid(value) or _object_id(value) or _ksuid(value) or _snowflake_text(value)


def same_alphabet(one: str, other: str, *, surely: bool = False) -> str | None:
    """The alphabet of two random strings of one length and one prefix (`sess_…`); `None` if they are not."""
    if len(one) != len(other) or not _MIN_RANDOM_CHARS <= len(one) <= _MAX_CHARS:
        return None
    prefixes = prefix_of(one), prefix_of(other)
    if prefixes[0] != prefixes[1]:
        # Random characters may begin with two or three letters and a dash as well.
        if all(prefixes) or max(map(len, prefixes)) > 4:
            return None
        prefixes = "", ""
    rest, its = one[len(prefixes[0]) :], other[len(prefixes[1]) :]
    if len(rest) < _MIN_RANDOM_CHARS or not (is_random(rest, surely) and is_random(its, surely)):
        return None
    if _words_differ(rest, its):
        return None
    for name, pattern in _ALPHABETS:
        if pattern.fullmatch(rest) and pattern.fullmatch(its):
            return name
    return None


def is_random(text: str, surely: bool = False) -> bool:
    """Whether the characters look drawn by chance: varied, and often changing between digits and cases.
    `surely`: a name says that they are, so that little is asked for."""
    if len(text) < _MIN_RANDOM_CHARS or len(set(text)) < min(6, len(text) // 2):
        return False
    classes = text.translate(_CLASSES)
    changes = sum(mine + its in _CHANGES for mine, its in pairwise(classes))
    return changes >= 2 if surely else changes * (7 if "d" in classes else 4) >= len(text)


def _words_differ(one: str, other: str) -> bool:
    """Whether parts of the same lengths differ in a short one without digits: a word, as in `…-FRA`."""
    mine, its = (_PART.split(side) for side in (one, other))
    return list(map(len, mine)) == list(map(len, its)) and any(
        part != its_part and len(part) < _MIN_RANDOM_CHARS and (part + its_part).isalpha()
        for part, its_part in zip(mine, its, strict=True)
    )


def prefix_of(text: str) -> str:
    """The words before a dash that say what the random rest is for; empty where there are none."""
    found = _PREFIX.match(text)
    return found[0] if found else ""


def is_uuid(value: Any) -> bool:
    """Whether this is a UUID, of any version, and by its dashes nothing else."""
    return type(value) is str and 36 <= len(value) <= 45 and _UUID.fullmatch(value) is not None


def _uuid(text: str) -> Token | None:
    found = _UUID.fullmatch(text)
    if found is None:
        return None
    urn, opened, low, dash, middle, version, high, clock, _, closed = found.groups()
    if bool(opened) != bool(closed) or clock[0] not in "89abAB":
        return None
    case = "upper" if any(c in "ABCDEF" for c in text[9:]) else "lower"
    notation = f"{urn or ''}{opened or ''}{dash}{case}"
    time_s = {
        "1": lambda: int(high + middle + low, 16) / 1e7 - _GREGORIAN_S,
        "6": lambda: int(low + middle + high, 16) / 1e7 - _GREGORIAN_S,
        "7": lambda: int(low + middle, 16) / 1e3,
    }.get(version)
    if version not in "14678":
        return None
    return Token(f"UUID of version {version}", notation, (time_s(),) if time_s else ())


def _ulid(text: str) -> Token | None:
    if _ULID.fullmatch(text) is None:
        return None
    milliseconds = 0
    for character in text[:10].upper():
        milliseconds = milliseconds * 32 + _CROCKFORD[character]
    return Token("ULID", "lower" if text.islower() else "upper", (milliseconds / 1e3,))


def _object_id(text: str) -> Token | None:
    return Token("ObjectId", "hex", (float(int(text[:8], 16)),)) if _OBJECT_ID.fullmatch(text) else None


def _ksuid(text: str) -> Token | None:
    if _KSUID.fullmatch(text) is None:
        return None
    number = 0
    for character in text:
        number = number * 62 + _BASE62[character]
    return Token("KSUID", "", (float((number >> 128) + _KSUID_EPOCH_S),))


def _snowflake_text(text: str) -> Token | None:
    return _snowflake(int(text), "text") if _SNOWFLAKE.fullmatch(text) else None


def _snowflake(number: int, notation: str) -> Token | None:
    milliseconds = number >> 22
    times_s = tuple((milliseconds + epoch_ms) / 1e3 for epoch_ms in _SNOWFLAKE_EPOCHS_MS)
    return Token("Snowflake", notation, times_s)


def decoded(part: str) -> bytes | None:
    """Base 64 for URLs, without its padding; `None` if it is none."""
    try:
        return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except ValueError:
        return None
