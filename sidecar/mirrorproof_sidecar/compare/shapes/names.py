"""What the name of a member says of its value.

Knows words. Must not know values. A name is cut into its words (`createdAt`, `x-request-id`), so that
spelling does not matter. That a word is missing here costs a difference too many, never one too few.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

__all__ = ["RANDOM_WORDS", "Name", "name_of", "named", "words_of"]

_MAX_NAME_CHARS: Final = 200
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_RANDOM: Final = _words(
    "nonce boundary state ray csrf xsrf trace traceparent span session sess token jti sid challenge "
    "impression idempotency signature sig hmac verifier salt sessionid csrftoken traceid spanid b3 jwt otp"
)
"""Words of names whose values are made anew by chance, each time."""
_RANDOM_IDS: Final = _words(
    "request req correlation trace span session impression operation query search event message msg "
    "delivery run invocation execution attempt transaction txn log error incident ray"
)
"""With `id` behind it, the name of this one answer or of a step on the way to it."""
_DRAWN_HEADERS: Final = _words("x-amz-cf-id x-amz-id-2 x-amz-rid x-vercel-id x-fastly-id cf-request-id")
RANDOM_WORDS: Final = _RANDOM | _RANDOM_IDS
"""Prefixes of random characters that say by themselves that they are an answer's own: `req_…`, `sess_…`."""
_CONTENT: Final = _words(
    "hash digest checksum sha sha1 sha256 sha512 md5 crc crc32 etag fingerprint integrity commit revision "
    "colour color sku isbn ean gtin version"
)
"""Words of names whose values are made from content: where the content is the same, so are they."""
_HOST: Final = _words(
    "host hostname pod node server instance backend machine worker replica container upstream served"
)
_TIME: Final = _words(
    "at time timestamp ts date on now iat nbf exp eta etd arrives arrival departs departure due scheduled"
)
_EXPIRY: Final = _words(
    "exp expires expire expiry expiration until ttl valid deadline reset retry timeout max se"
)
_DURATION: Final = _words(
    "took elapsed latency runtime duration processing execution query response render timing time"
)
_UNITS: Final = {
    "ns": 1e-9, "nanos": 1e-9, "nanoseconds": 1e-9, "us": 1e-6, "micros": 1e-6, "microseconds": 1e-6,
    "ms": 1e-3, "millis": 1e-3, "milliseconds": 1e-3, "msec": 1e-3, "s": 1.0, "sec": 1.0, "secs": 1.0,
    "seconds": 1.0,
}  # fmt: skip
_CLOCKED: Final = frozenset({"took", "elapsed", "latency", "runtime"})
"""Durations even where no unit is named."""
_CLOCKS: Final = _words("tracing timing timings profile profiling")
"""Above a `duration`: it is how long this answer took, in whatever unit."""
_IDS: Final = _words("id ids uuid guid uid oid ref reference href url uri link location self")


@dataclass(frozen=True, slots=True)
class Name:
    """What a member's name tells. `unit_s`: seconds of one unit, if it names a
    duration and a unit. `above`: the words of the member that holds this one."""

    words: tuple[str, ...]
    random: bool = False
    content: bool = False
    host: bool = False
    time: bool = False
    expiry: bool = False
    duration: bool = False
    unit_s: float | None = None
    identifies: bool = False
    above: tuple[str, ...] = ()


_STEMS: Final = (_RANDOM | _RANDOM_IDS | _words("order user customer payment")) - {"session", "trace", "span"}


@lru_cache(maxsize=4096)
def words_of(name: str) -> tuple[str, ...]:
    """The words of a name, in lower case; an XML name's namespace is none of it."""
    found: list[str] = []
    for word in _WORD.findall(name[:_MAX_NAME_CHARS].rpartition("}")[2]):
        small = word.lower()
        stem = small.removesuffix("id")
        # `CORRELATIONID`: no sign shows where one word ends, but both are known.
        found += (stem, "id") if stem != small and stem in _STEMS else (small,)
    return tuple(found)


@lru_cache(maxsize=4096)
def named(text: str) -> Name:
    """What a name says, or the text in front of a value: its last 200 characters."""
    words = words_of(text[-_MAX_NAME_CHARS:])
    known = frozenset(words)
    unit_s = next((_UNITS[word] for word in reversed(words) if word in _UNITS), None)
    identifies = bool(words) and (words[-1] in _IDS or (len(words) > 1 and words[0] == "id"))
    random = (
        bool(known & _RANDOM)
        or text.lower() in _DRAWN_HEADERS
        or (words[-1:] in (("id",), ("uuid",)) and bool(known & _RANDOM_IDS))
    )
    clocked = bool(known & _CLOCKED) or (unit_s is not None and bool(known & _DURATION))
    return Name(
        words,
        random=random and not known & _CONTENT,
        content=bool(known & _CONTENT),
        host=bool(known & _HOST),
        time=bool(known & (_TIME | _EXPIRY)),
        expiry=bool(known & _EXPIRY),
        duration=clocked,
        unit_s=unit_s,
        identifies=identifies and not random,
    )


def name_of(segments: Sequence[str]) -> Name:
    """What the last segment of a path says that is no position in a list."""
    told = [segment for segment in segments if not segment.isdecimal() and segment != "#"][-2:]
    if not told:
        return Name(())
    return _below(told[-1], told[0] if len(told) == 2 else "")


@lru_cache(maxsize=4096)
def _below(segment: str, above: str) -> Name:
    found = replace(named(segment), above=words_of(above))
    if found.words == ("duration",) and not _CLOCKS.isdisjoint(found.above):
        return replace(found, duration=True, unit_s=1e-9)
    return found
