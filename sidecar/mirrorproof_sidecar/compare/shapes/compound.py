"""Text that has volatile values inside: web tokens, URLs, cookies, and sentences.

Pure. Knows how such text is cut into pieces. Must not know which pieces are volatile: it asks `Judge`. What
is between the pieces has to be equal.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import SplitResult, unquote, urlsplit

from mirrorproof_sidecar.compare.shapes.facts import Facts
from mirrorproof_sidecar.compare.shapes.names import Name, named
from mirrorproof_sidecar.compare.shapes.sentence import compare_words, unpacked
from mirrorproof_sidecar.compare.shapes.shape import Shape, drawn_by_chance, joined
from mirrorproof_sidecar.compare.shapes.tokens import decoded, same_alphabet

__all__ = ["cookie", "is_structured", "structured", "text"]

Judge = Callable[[Name, Any, Any, Facts], Shape | None]

_MAX_CHARS: Final = 16_384
_MAX_FIELDS: Final = 100
_JWT = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)
_LAYOUTS: Final = (
    ("trace", re.compile(r"[0-9a-f]{32}/\d{1,20}(;o=\d)?")),  # X-Cloud-Trace-Context
    ("timing", re.compile(r"S\d{10}\.\d+,VS\d+,VE\d+()")),  # X-Timer
)
"""Layouts of headers that proxies add; the group has to be equal."""
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_URL = re.compile(r"(?:https?:/)?/[^\s<>\"]*", re.ASCII)
_STORED: Final = Name(("id",), identifies=True)
_COOKIES: Final = frozenset({"cart", "basket", "visitor", "visit", "device", "anonymous", "client", "guest"})


def is_structured(value: str) -> bool:
    """Whether the text has a layout of its own, by which alone it is compared."""
    if len(value) > _MAX_CHARS:
        return False
    patterns = (_JWT, _TRACEPARENT, *(layout for _, layout in _LAYOUTS))
    return any(pattern.fullmatch(value) for pattern in patterns)


def structured(one: str, other: str, facts: Facts, judge: Judge) -> Shape | None:
    """The shape of two texts with a layout of their own: web tokens, and trace contexts (W3C)."""
    if _JWT.fullmatch(one) and _JWT.fullmatch(other):
        return _web_token(one, other, facts, judge)
    for name, layout in _LAYOUTS:
        mine, its = layout.fullmatch(one), layout.fullmatch(other)
        if mine and its:
            return Shape(name, "speaks of this one answer") if mine[1] == its[1] else None
    return _traceparent(one, other)


def text(name: Name, one: str, other: str, facts: Facts, judge: Judge) -> Shape | None:
    """The shapes inside two texts that are equal but for them."""
    if max(len(one), len(other)) > _MAX_CHARS:
        return None
    if _same_but_for_host(one, other, facts):
        return Shape("host", "each names the host that it was asked at")
    if _URL.fullmatch(one) and _URL.fullmatch(other):
        return _url(one, other, facts, judge)
    return _sentence(name, one, other, facts, judge)


def cookie(one: str, other: str, facts: Facts, judge: Judge) -> Shape | None:
    """Two values of Set-Cookie: of one name, with the same attributes, and values drawn by chance."""
    mine, its = ([part.strip() for part in side.split(";")] for side in (one, other))
    if len(mine) != len(its) or len(mine) > _MAX_FIELDS:
        return None
    shapes: list[Shape] = []
    for position, (part, its_part) in enumerate(zip(mine, its, strict=True)):
        if part == its_part:
            continue
        key, _, value = part.partition("=")
        its_key, _, its_value = its_part.partition("=")
        if key != its_key or (position and key.lower() != "expires"):
            return None
        shape = judge(named(key), value, its_value, facts)
        if shape is None and not position and not _COOKIES.isdisjoint(named(key).words):
            alphabet = same_alphabet(value, its_value)
            shape = drawn_by_chance(value, its_value, alphabet) if alphabet else None
        if shape is None:
            return None
        shapes.append(shape)
    return joined(shapes, "cookie")


def _same_but_for_host(one: str, other: str, facts: Facts) -> bool:
    mine, its = facts.hosts
    if not (mine and its) or mine == its:
        return False
    here, there = "://" + mine, "://" + its
    return here in one and one.replace(here, there) == other and other.replace(there, here) == one


def _web_token(one: str, other: str, facts: Facts, judge: Judge) -> Shape | None:
    """JSON Web Tokens (RFC 7519): the same header, and claims that are equal or volatile."""
    head, claims, signature = one.split(".")
    its_head, its_claims, its_signature = other.split(".")
    if head != its_head or len(signature) != len(its_signature):
        return None
    trees = [_json_object(decoded(part)) for part in (claims, its_claims)]
    if trees[0] is None or trees[1] is None:
        return None
    return _members(trees[0], trees[1], facts, judge, "web token")


def _members(
    one: dict[str, Any], other: dict[str, Any], facts: Facts, judge: Judge, title: str
) -> Shape | None:
    if list(one) != list(other):
        return None
    shapes: list[Shape] = []
    for key, value in one.items():
        its = other[key]
        if type(value) is type(its) and value == its:
            continue
        shape = judge(named(key), value, its, facts) if type(value) is type(its) else None
        if shape is None:
            return None
        shapes.append(shape)
    return joined(shapes, title)


def _json_object(text: str | bytes | None) -> dict[str, Any] | None:
    if not text or text[:1] not in ("{", b"{"):
        return None
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return tree if isinstance(tree, dict) and len(tree) <= _MAX_FIELDS else None


def _traceparent(one: str, other: str) -> Shape | None:
    mine, its = _TRACEPARENT.fullmatch(one), _TRACEPARENT.fullmatch(other)
    if mine is None or its is None or (mine[1], mine[4]) != (its[1], its[4]):
        return None
    return Shape("trace", "each is in its own trace")


def _url(one: str, other: str, facts: Facts, judge: Judge) -> Shape | None:
    """URLs that differ in their parameters only: signed ones, with a time, a nonce, a signature."""
    try:
        mine, its = urlsplit(one), urlsplit(other)
    except ValueError:
        return None
    if (mine.scheme, mine.fragment) != (its.scheme, its.fragment):
        return None
    if mine.netloc != its.netloc and (mine.netloc, its.netloc) != facts.hosts:
        return None
    segments = _segments(mine.path, its.path, facts, judge)
    parameters = _parameters(mine, its, facts, judge)
    if segments is None or parameters is None:
        return None
    return joined(segments + parameters, "signed URL" if parameters else "URL")


def _segments(one: str, other: str, facts: Facts, judge: Judge) -> list[Shape] | None:
    """Segments of a path name what is stored, unless they say themselves that they were made just now."""
    mine, its = one.split("/"), other.split("/")
    if len(mine) != len(its) or len(mine) > _MAX_FIELDS:
        return None
    shapes = []
    for segment, its_segment in zip(mine, its, strict=True):
        if segment == its_segment:
            continue
        shape = judge(_STORED, segment, its_segment, facts)
        if shape is None:
            return None
        shapes.append(shape)
    return shapes


def _parameters(one: SplitResult, other: SplitResult, facts: Facts, judge: Judge) -> list[Shape] | None:
    if one.query == other.query:
        return []
    mine, its = one.query.split("&"), other.query.split("&")
    if len(mine) != len(its) or len(mine) > _MAX_FIELDS:
        return None
    shapes: list[Shape] = []
    for field, its_field in zip(mine, its, strict=True):
        if field == its_field:
            continue
        key, _, value = field.partition("=")
        its_key, _, its_value = its_field.partition("=")
        shape = judge(named(key), _plain(value), _plain(its_value), facts) if key == its_key else None
        if shape is None:
            return None
        shapes.append(shape)
    return shapes


def _plain(value: str) -> str:
    return unquote(value) if len(value) <= _MAX_CHARS else value


def _sentence(name: Name, one: str, other: str, facts: Facts, judge: Judge) -> Shape | None:
    packed = unpacked(one), unpacked(other)
    if packed[0] is not None and packed[1] is not None:
        return _packed(packed[0], packed[1], facts, judge)

    def ask(before: tuple[str, ...], word: str, its: str) -> Shape | None:
        return judge(named(" ".join((*name.words, *before))), word, its, facts) if word != one else None

    shapes = compare_words(one, other, ask)
    return joined(shapes) if shapes else None


def _packed(one: str, other: str, facts: Facts, judge: Judge) -> Shape | None:
    """Text in base 64, such as a cursor: a JSON object by its members, else word by word."""
    trees = _json_object(one), _json_object(other)
    if trees[0] is not None and trees[1] is not None:
        return _members(trees[0], trees[1], facts, judge, "packed members")
    shapes = compare_words(
        one, other, lambda before, word, its: judge(named(" ".join(before)), word, its, facts)
    )
    return joined(shapes, "packed text") if shapes else None
