"""Claims: which differences would be explained if a thing's id had been renamed.

Pure. Knows values, URLs and names. Must not know which claims hold: that takes the whole pair, and is
`correspond`'s matter.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from mirrorproof_sidecar.compare.entities import BY_PRODUCTS, is_id, resource_of, role_of, singular
from mirrorproof_sidecar.compare.shapes import Facts, Shape
from mirrorproof_sidecar.compare.shapes.names import words_of
from mirrorproof_sidecar.compare.shapes.sentence import compare_words
from mirrorproof_sidecar.compare.shapes.tokens import made_now, same_alphabet, token_of

__all__ = ["Claim", "claims_of", "id_text", "line_claims", "url_claims"]

_MAX_CHARS: Final = 4096
_MAX_SEGMENTS: Final = 40
_LOCATIONS: Final = ("location", "content-location")
_DIGITS = re.compile(r"\d+", re.ASCII)
_IS_SOMETHING = re.compile(r"[1-9A-Za-z]")
"""What has none is a placeholder for an id."""
_ADDRESS = re.compile(r"<?([^@<>\s]{1,200})(@[^@<>\s]{1,200}>?)", re.ASCII)
"""A message's id (RFC 5322, 3.6.4)."""
_URL = re.compile(r"(?:https?:/)?/[^\s<>\"]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Claim:
    """That `thing`'s id `one` in v1's answer is `other` in v2's. `own`: the place speaks of what the answer
    is about."""

    thing: str
    one: str
    other: str
    own: bool = False


def id_text(value: Any) -> str | None:
    """An id as text: a whole number above zero, or a string."""
    if type(value) is int:
        return str(value) if 0 < value < 10**20 else None
    return value if type(value) is str and 0 < len(value) <= 1000 else None


def claims_of(path: Sequence[str], one: Any, other: Any, resource: str, facts: Facts) -> list[Claim]:
    """The claims that would explain this difference together; none where it is no matter of ids.

    `path`: unescaped segments from the root. `resource`: what the request's route is about.
    """
    mine, its = id_text(one), id_text(other)
    if type(one) is not type(other) or mine is None or its is None:
        return []
    if path[0] == "headers":
        located = path[-1].lower() in _LOCATIONS
        return url_claims(mine, its, facts, own=resource) if located else []
    if path[0] != "body":
        return []
    if type(one) is str and _URL.fullmatch(mine) and _URL.fullmatch(its):
        made = next(
            (thing for name in path[1:] for thing in map(singular, words_of(name)) if thing in BY_PRODUCTS),
            None,
        )
        return url_claims(mine, its, facts, by_product=made)
    drawn = type(one) is str and _drawn(mine, its, facts)
    role = role_of(path[1:], resource, drawn)
    if role is None or not (type(one) is int or drawn or _same_but_for_digits(mine, its)):
        return []
    return [Claim(role.thing, mine, its, role.own)]


def _alike(one: str, other: str, facts: Facts) -> bool:
    """Whether two strings can be ids of one sort."""
    return _same_but_for_digits(one, other) or _drawn(one, other, facts)


def _same_but_for_digits(one: str, other: str) -> bool:
    if not (_IS_SOMETHING.search(one) and _IS_SOMETHING.search(other)):
        return False
    return _DIGITS.sub("0", one) == _DIGITS.sub("0", other)


def _drawn(one: str, other: str, facts: Facts) -> bool:
    """Whether both are drawn from one alphabet, or ids of one known layout."""
    if not (_IS_SOMETHING.search(one) and _IS_SOMETHING.search(other)):
        return False
    addresses = _ADDRESS.fullmatch(one), _ADDRESS.fullmatch(other)
    if addresses[0] and addresses[1] and addresses[0][2] == addresses[1][2]:
        one, other = addresses[0][1], addresses[1][1]
    mine, its = token_of(one), token_of(other)
    if mine is not None and its is not None and (mine.sort, mine.notation) == (its.sort, its.notation):
        now = (made_now(mine, facts.moments[0]), made_now(its, facts.moments[1]))
        # An id that says when it was made, and says that it was not now, is not the one that was made now.
        return not mine.times_s or now[0] == now[1]
    return same_alphabet(one, other) is not None


def url_claims(
    one: str, other: str, facts: Facts, *, own: str | None = None, by_product: str | None = None
) -> list[Claim]:
    """The claims that would explain two URLs; none where no claims would.

    `own`: the thing whose URL it is. `by_product`: what the URL was made for, if it is one.
    """
    if max(len(one), len(other)) > _MAX_CHARS:
        return []
    try:
        mine, its = urlsplit(one), urlsplit(other)
    except ValueError:
        return []
    if (mine.scheme, mine.fragment) != (its.scheme, its.fragment):
        return []
    if mine.netloc != its.netloc and (mine.netloc, its.netloc) != facts.hosts:
        return []
    found = _segment_claims((mine.path, its.path), facts, own, by_product)
    asked = _query_claims(mine, its, facts)
    return [] if found is None or asked is None else found + asked


def _segment_claims(
    paths: tuple[str, str], facts: Facts, own: str | None, by_product: str | None
) -> list[Claim] | None:
    mine, its = (path.split("/") for path in paths)
    if len(mine) != len(its) or len(mine) > _MAX_SEGMENTS:
        return None
    found = []
    for position, (segment, its_segment) in enumerate(zip(mine, its, strict=True)):
        if segment == its_segment:
            continue
        thing = resource_of("/".join(a for a, b in zip(mine[:position], its, strict=False) if a == b))
        if by_product is not None and _drawn(segment, its_segment, facts):
            thing = by_product
        if not thing or not _alike(segment, its_segment, facts):
            return None
        found.append(Claim(thing, segment, its_segment, own is not None and thing == own))
    return found


def _query_claims(one: SplitResult, other: SplitResult, facts: Facts) -> list[Claim] | None:
    mine, its = one.query.split("&"), other.query.split("&")
    if len(mine) != len(its) or len(mine) > _MAX_SEGMENTS:
        return None
    found = []
    for field, its_field in zip(mine, its, strict=True):
        if field == its_field:
            continue
        key, _, value = field.partition("=")
        its_key, _, its_value = its_field.partition("=")
        words = words_of(key)
        if key != its_key or not is_id(key) or len(words) < 2 or not _alike(value, its_value, facts):
            return None
        found.append(Claim(singular(words[-2]), value, its_value))
    return found


def line_claims(target: str, one: str, other: str) -> list[Claim]:
    """The ids in the lines of two effects whose digests agree: all that differs was made by the write
    itself."""
    found: list[Claim] = []
    table = words_of(target.rpartition(".")[2])

    def ask(before: tuple[str, ...], word: str, its: str) -> Shape:
        if before[-1:] == ("id",) and table:
            named = before[-2:-1] if len(before) > 1 and before[-2] not in table else ()
            found.append(Claim(singular((named or table)[-1]), word, its, own=True))
        return Shape("", "")

    return found if compare_words(one, other, ask) is not None else []
