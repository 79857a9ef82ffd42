"""`recognise`: what shape two values of one place have in common, if any.

Knows the order in which the recognisers are asked, and what their names may decide. Must not know notations.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import isfinite
from typing import Any, Final

from mirrorproof.redaction import REDACTED
from mirrorproof_sidecar.compare.shapes import compound
from mirrorproof_sidecar.compare.shapes.facts import Facts
from mirrorproof_sidecar.compare.shapes.machines import durations_alike, machines_alike, pods_alike
from mirrorproof_sidecar.compare.shapes.names import RANDOM_WORDS, Name, name_of, words_of
from mirrorproof_sidecar.compare.shapes.shape import Shape, drawn_by_chance, joined
from mirrorproof_sidecar.compare.shapes.times import Stamp, alike, fresh, stamp_of
from mirrorproof_sidecar.compare.shapes.tokens import is_uuid, made_now, prefix_of, same_alphabet, token_of

__all__ = ["recognise", "value_shape"]

_MOST_ROUNDING: Final = 2**-46
_CACHE_STATES: Final = frozenset(("hit", "miss", "expired", "stale", "updating", "revalidated"))
_TO_GO: Final = frozenset(("in", "left", "remaining", "ttl"))
_CARD_LIKE = re.compile(r"\d{13,19}", re.ASCII)
_STRETCH: Final = frozenset(("line", "lines", "text"))
"""Members of a stretch of lines that differ: see `textdiff`."""
_PAGE_TOKENS: Final = frozenset((("meta", "@content"), ("input", "@value")))
"""Where pages keep the tokens of their forms, beside other things: only long random characters are taken."""
_MIN_PAGE_TOKEN_CHARS: Final = 20
_MAX_VALUES: Final = 20
"""Values of one header; two headers with more are not looked at."""


def recognise(path: Sequence[str], primary: Any, shadow: Any, facts: Facts) -> Shape | None:
    """The shape that both values have; `path` holds the unescaped segments from the root. Never raises."""
    if type(primary) is not type(shadow):
        return None
    name = name_of(path)
    if path and path[0] == "headers":
        return _header(path, primary, shadow, facts)
    if type(primary) is dict and primary.keys() == shadow.keys() == _STRETCH:
        return _stretch(primary, shadow, facts)
    if type(primary) in (dict, list, tuple):
        return None
    if type(primary) is str and _surely_drawn(path, name, primary, facts):
        name = replace(name, random=True, identifies=False)
    return value_shape(name, primary, shadow, facts)


def _surely_drawn(path: Sequence[str], name: Name, value: str, facts: Facts) -> bool:
    if facts.safe and name.words == ("uuid",) and len(path) <= 3:
        # An answer to a question that named none: a `uuid` at its top is the answer's own.
        return True
    return tuple(path[-2:]) in _PAGE_TOKENS and len(value) >= _MIN_PAGE_TOKEN_CHARS


def _stretch(primary: dict[str, Any], shadow: dict[str, Any], facts: Facts) -> Shape | None:
    """Lines of text, as many on both sides, and shown whole."""
    texts = primary["text"], shadow["text"]
    if (primary["line"], primary["lines"]) != (shadow["line"], shadow["lines"]) or "…" in "".join(texts):
        return None
    return compound.text(Name(()), *texts, facts, value_shape)


def _header(path: Sequence[str], primary: Any, shadow: Any, facts: Facts) -> Shape | None:
    name = name_of(path)
    mine, its = ([value] if isinstance(value, str) else list(value) for value in (primary, shadow))
    if len(mine) != len(its) or len(mine) > _MAX_VALUES:
        return None
    shapes: list[Shape] = []
    for one, other in zip(mine, its, strict=True):
        if one == other:
            continue
        shape = _header_value(path[-1].lower(), name, one, other, facts)
        if shape is None:
            return None
        shapes.append(shape)
    return joined(shapes)


def _header_value(header: str, name: Name, one: str, other: str, facts: Facts) -> Shape | None:
    if header == "set-cookie":
        return compound.cookie(one, other, facts, value_shape)
    if header.startswith(("x-ratelimit", "ratelimit", "x-rate-limit")):
        return _allowance(name, one, other, facts)
    if (
        "cache" in name.words
        and {side.split(" ")[0].rstrip(",").lower() for side in (one, other)} <= _CACHE_STATES
    ):
        return Shape("cache", "who asks first fills the cache")
    return value_shape(name, one, other, facts)


def _allowance(name: Name, one: str, other: str, facts: Facts) -> Shape | None:
    """What is left of an allowance goes down with each request, v2's own included."""
    counts = one.isdecimal() and other.isdecimal() and max(len(one), len(other)) < 20
    if counts and name.words[-1] == "remaining":
        return Shape("allowance", "each request takes from what is left")
    if counts and name.words[-1] == "reset" and abs(int(one) - int(other)) <= 1:
        return Shape("allowance", "the time until the allowance is renewed goes down")
    return value_shape(name, one, other, facts)


def value_shape(name: Name, one: Any, other: Any, facts: Facts) -> Shape | None:
    """The shape that two values of one type have under a name. Never raises."""
    for recogniser in _RECOGNISERS:
        if shape := recogniser(name, one, other, facts):
            return shape
    if type(one) is not str or type(other) is not str or is_uuid(one) or is_uuid(other):
        return None
    if compound.is_structured(one) or compound.is_structured(other):
        return compound.structured(one, other, facts, value_shape)
    return _random(name, one, other, facts) or compound.text(name, one, other, facts, value_shape)


def _time(name: Name, one: Any, other: Any, facts: Facts) -> Shape | None:
    stamps = stamp_of(one), stamp_of(other)
    if stamps[0] is None or stamps[1] is None:
        return None
    numeric = type(one) is not str or stamps[0].notation.startswith("text")
    reason = alike(stamps[0], stamps[1], facts.moments, expiry=name.expiry)
    if reason is None or (numeric and not name.time and not _both_fresh((stamps[0], stamps[1]), facts)):
        return None
    return Shape("timestamp", reason)


def _both_fresh(stamps: tuple[Stamp, Stamp], facts: Facts) -> bool:
    return all(fresh(stamp, moment) for stamp, moment in zip(stamps, facts.moments, strict=True))


def _token(name: Name, one: Any, other: Any, facts: Facts) -> Shape | None:
    mine, its = token_of(one), token_of(other)
    if mine is None or its is None or (mine.sort, mine.notation) != (its.sort, its.notation):
        return None
    if _asked(one, other, facts):
        return None
    drawn = ((str(one), str(other)),)
    if mine.times_s:
        if made_now(mine, facts.moments[0]) and made_now(its, facts.moments[1]):
            return Shape(mine.sort, "each was made with its own answer", drawn)
        return None
    # A random UUID in an answer to a question may well name something that is stored.
    if name.content or (name.identifies and not name.random):
        return None
    return Shape(mine.sort, "each was made anew", drawn)


def _random(name: Name, one: str, other: str, facts: Facts) -> Shape | None:
    told = name.random or not RANDOM_WORDS.isdisjoint(words_of(prefix_of(one)))
    if not told or name.content or _asked(one, other, facts):
        return None
    alphabet = same_alphabet(one, other, surely=name.random)
    return drawn_by_chance(one, other, alphabet) if alphabet else None


def _trace(name: Name, one: Any, other: Any, facts: Facts) -> Shape | None:
    if type(one) is not str or not (facts.traces[0] and facts.traces[1]):
        return None
    mine, its = facts.traces
    if mine and its and _swapped(one, other, mine, its):
        return Shape("trace", "each is in its own trace")
    return None


def _swapped(one: str, other: str, mine: str, its: str) -> bool:
    return mine != its and mine in one and one.replace(mine, its) == other and other.replace(its, mine) == one


def _machine(name: Name, one: Any, other: Any, facts: Facts) -> Shape | None:
    if type(one) is not str:
        return None
    if all(facts.hosts) and one == facts.hosts[0] and other == facts.hosts[1]:
        return Shape("host", "each names the host that it was asked at")
    if pods_alike(one, other):
        return Shape("host", "each names the pod that answered")
    reason = machines_alike(one, other) if name.host else None
    return Shape("host", reason) if reason else None


def _rounded(name: Name, one: Any, other: Any, facts: Facts) -> Shape | None:
    """Sums of the same numbers in another order differ in the last of a double's places."""
    if type(one) is not float or type(other) is not float or not (isfinite(one) and isfinite(other)):
        return None
    if abs(one - other) > _MOST_ROUNDING * max(abs(one), abs(other)):
        return None
    return Shape("rounding", "equal but for the last of a double's places")


def _left(name: Name, one: Any, other: Any, facts: Facts) -> Shape | None:
    """What is left of an allowance, in a body."""
    if name.words != ("remaining",) or "rate" not in name.above or type(one) is not int:
        return None
    return Shape("allowance", "each request takes from what is left") if min(one, other) >= 0 else None


def _redacted(name: Name, one: Any, other: Any, facts: Facts) -> Shape | None:
    """A long number that looks like a card's on one side only, and was redacted there: nobody can tell."""
    values = {one, other} - {REDACTED} if type(one) is str else set()
    if REDACTED not in (one, other) or len(values) != 1 or not _CARD_LIKE.fullmatch(values.pop()):
        return None
    return Shape("redacted", "a number that looks like a card's on one side was redacted there")


def _countdown(name: Name, one: Any, other: Any, facts: Facts) -> Shape | None:
    """Seconds until something: who answers later has fewer left."""
    if not name.expiry or type(one) is not int or _TO_GO.isdisjoint(name.words) or min(one, other) < 0:
        return None
    later_s = facts.moments[1].end_s - facts.moments[0].end_s
    if abs(one - other - later_s) > 1 or (one - other) * later_s < 0:
        return None
    return Shape("countdown", "who answers later has less time left")


def _duration(name: Name, one: Any, other: Any, facts: Facts) -> Shape | None:
    reason = durations_alike(one, other, name, facts.moments)
    return Shape("duration", reason) if reason else None


def _asked(one: Any, other: Any, facts: Facts) -> bool:
    return str(one) in facts.asked or str(other) in facts.asked


_RECOGNISERS: Final[tuple[Callable[[Name, Any, Any, Facts], Shape | None], ...]] = (
    _time, _trace, _token, _machine, _duration, _countdown, _rounded, _left, _redacted,
)  # fmt: skip
