"""Two bodies: which way they can be compared, and what to say where they cannot.

Must not know how JSON or text is compared, or how a body was captured.

What is fair, in this order. Equal digests are equal bodies, whatever they hold. Captures that are whole and
equal are equal as far as anybody may see. Then by content: JSON if both sides say so, text if both are
text or JSON, else by digest. A cut body is called different only where what was captured differs in a way
that the rest cannot mend.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

from mirrorproof.exchange import Exchange
from mirrorproof_sidecar.compare.captured import Captured, captured
from mirrorproof_sidecar.compare.content import (
    BrokenContentError,
    ContentTooLargeError,
    UnknownCodingError,
    decode,
)
from mirrorproof_sidecar.compare.formats import Content, Format, Schemas, UnreadableError, format_of, read
from mirrorproof_sidecar.compare.found import Found, Where
from mirrorproof_sidecar.compare.jsontree import BrokenJSONError, TooDeepError, parse
from mirrorproof_sidecar.compare.jsonwalk import walk, walk_raw
from mirrorproof_sidecar.compare.media import CharsetError, Sort, decode_text
from mirrorproof_sidecar.compare.model import MISSING, Kind
from mirrorproof_sidecar.compare.textdiff import changed_lines

__all__ = ["compare_bodies", "tree_of"]

_BOM: Final = "\ufeff"


@dataclass(frozen=True, slots=True)
class _Bodies:
    """Both sides, and who hears what is found about them."""

    sides: tuple[Captured, Captured]
    where: Where
    found: Found
    schemas: Schemas | None = None
    call: str = ""

    @property
    def whole(self) -> bool:
        return self.sides[0].whole and self.sides[1].whole

    @property
    def digests(self) -> bool:
        """Whether both sides' digests are known."""
        return bool(self.sides[0].digest and self.sides[1].digest)

    def differ(self, kind: Kind, primary: Any, shadow: Any) -> None:
        self.found.differ(self.where, kind, primary, shadow)

    def differ_by_digest(self) -> None:
        self.differ(Kind.BODY, *(side.figures for side in self.sides))

    def unknown(self, reason: str) -> None:
        ending = "digests differ" if self.digests else "digests are not known"
        self.found.unknown(self.where, f"{reason}, {ending}")

    def unknown_as_cut(self) -> None:
        names = " and the ".join(side.side for side in self.sides if not side.whole)
        self.unknown(f"truncated on the {names} side")

    def remark(self, text: str) -> None:
        self.found.remark(self.where, text)


def compare_bodies(
    primary: Captured, shadow: Captured, found: Found, schemas: Schemas | None = None, call: str = ""
) -> None:
    """Tell `found` where the two bodies differ.

    `schemas` describes protobuf messages, and `call` is the path of the request that was answered.
    """
    bodies = _Bodies((primary, shadow), found.at("body"), found, schemas, call)
    if _identical(bodies):
        return
    decoded = _decoded(bodies)
    if decoded is not None:
        _by_content(decoded)


def tree_of(exchange: Exchange) -> Any:
    """The tree of a body that is whole and JSON; `None` for every other."""
    response = exchange.response
    body = captured("", exchange, response) if response is not None else None
    if body is None or not body.whole or body.media.sort is not Sort.JSON:
        return None
    try:
        content = decode(body.content, body.codings, whole=True)
        return parse(decode_text(content, body.media.charset, whole=True).removeprefix(_BOM))
    except ValueError:
        return None


def _identical(bodies: _Bodies) -> bool:
    one, other = (side.response for side in bodies.sides)
    known = bool(one.sha256 and other.sha256)
    if known and (one.sha256, one.body_bytes) == (other.sha256, other.body_bytes):
        return True
    if not (bodies.whole and one.body == other.body):
        return False
    if known:
        bodies.remark("digests differ but the captures are equal: the difference was redacted")
    return True


def _decoded(bodies: _Bodies) -> _Bodies | None:
    """Both sides without content codings; `None` where that ends the comparison."""
    decoded: list[Captured] = []
    broken: list[str] = []
    closed: list[str] = []
    for side in bodies.sides:
        try:
            content = decode(side.content, side.codings, whole=side.whole)
        except BrokenContentError as error:
            broken.append(f"{error} on the {side.side} side")
        except (ContentTooLargeError, UnknownCodingError) as error:
            closed.append(f"{error} on the {side.side} side")
        else:
            decoded.append(replace(side, content=content))
    if len(decoded) == 2:
        return replace(bodies, sides=(decoded[0], decoded[1]))
    if decoded and broken:
        bodies.remark(broken[0])
        bodies.differ_by_digest()
    else:
        bodies.unknown(", ".join(broken + closed))
    return None


def _by_content(bodies: _Bodies) -> None:
    one, other = bodies.sides
    sorts = {one.media.sort, other.media.sort}
    if bodies.whole and one.content == other.content:
        return
    form = format_of(one.media)
    if form is not None and form is format_of(other.media) and _by_format(bodies, form):
        return
    texts = [] if Sort.BYTES in sorts else _texts(bodies)
    if len(texts) < 2:
        _by_digest(bodies)
    elif not bodies.whole:
        _by_beginning(bodies, texts, Sort.JSON in sorts)
    elif sorts == {Sort.JSON}:
        _by_structure(bodies, texts)
    else:
        _by_lines(bodies, texts)


def _by_format(bodies: _Bodies, form: Format) -> bool:
    """Compare as trees; false where that cannot be done."""
    if not (bodies.whole or form.by_items):
        return False
    trees: list[Any] = []
    for side in bodies.sides:
        content = Content(side.content, side.media, side.whole, bodies.schemas, bodies.call)
        try:
            trees.append(read(form, content))
        except UnreadableError as error:
            bodies.remark(f"not compared as {form.name}: {error} on the {side.side} side")
            return False
    primary, shadow = form.meet(*trees) if form.meet else trees
    if bodies.whole:
        walk(bodies.where, primary, shadow, bodies.found)
        return True
    both = min(len(primary), len(shadow))
    walk(bodies.where, primary[:both], shadow[:both], bodies.found)
    bodies.unknown_as_cut()
    return True


def _texts(bodies: _Bodies) -> list[str]:
    """Both texts, or fewer where a side cannot be decoded."""
    texts: list[str] = []
    for side in bodies.sides:
        try:
            texts.append(decode_text(side.content, side.media.charset, whole=side.whole))
        except CharsetError as error:
            bodies.remark(f"compared by digest: {error} on the {side.side} side")
    return texts


def _by_digest(bodies: _Bodies) -> None:
    # Of an encoded body that was cut, other bytes may stand for the same content.
    plain = not any(side.codings for side in bodies.sides)
    if bodies.whole or (plain and bodies.digests):
        bodies.differ_by_digest()
    else:
        bodies.unknown_as_cut()


def _by_beginning(bodies: _Bodies, texts: list[str], json: bool) -> None:
    """Text of which at least one side was cut: only as far as both were captured."""
    # JSON may differ in its text and be equal, or differ in ignored members only: a part cannot tell.
    end = min(len(text) for text, side in zip(texts, bodies.sides, strict=True) if not side.whole)
    beginnings = [text[:end] for text in texts]
    if json or beginnings[0] == beginnings[1]:
        bodies.unknown_as_cut()
    else:
        _by_lines(bodies, beginnings)


def _by_lines(bodies: _Bodies, texts: list[str]) -> None:
    if texts[0] != texts[1]:
        bodies.differ(Kind.CHANGED_VALUE, *changed_lines(*texts))


def _by_structure(bodies: _Bodies, texts: list[str]) -> None:
    marks = [text.startswith(_BOM) for text in texts]
    if marks[0] != marks[1]:
        # RFC 8259, 8.1: a sender must not add one, and many readers fail on it.
        bodies.differ(Kind.BODY, *({"byte_order_mark": mark} for mark in marks))
    plain = [text.removeprefix(_BOM) for text in texts]
    if not _lazily(bodies, plain):
        _parsed(bodies, texts, plain)


def _lazily(bodies: _Bodies, texts: list[str]) -> bool:
    """Compare by raw values, which is fast; false, with nothing told, where it takes a whole parse."""
    try:
        return walk_raw(bodies.where, texts[0].encode(), texts[1].encode(), bodies.found)
    except UnicodeEncodeError:  # half a surrogate pair, from a character set that has them
        return False
    except TooDeepError as error:
        bodies.unknown(str(error))
        return True


def _parsed(bodies: _Bodies, texts: list[str], plain: list[str]) -> None:
    trees: list[Any] = []
    deep: list[str] = []
    broken: list[str] = []
    for side, text in zip(bodies.sides, plain, strict=True):
        try:
            trees.append(parse(text) if text else MISSING)
        except TooDeepError as error:
            deep.append(f"{error} on the {side.side} side")
        except BrokenJSONError as error:
            broken.append(f"no JSON on the {side.side} side: {error}")
    if deep:
        bodies.unknown(", ".join(deep))
    elif broken:
        _unparsed(bodies, texts, broken)
    else:
        _by_tree(bodies, trees[0], trees[1])


def _unparsed(bodies: _Bodies, texts: list[str], broken: list[str]) -> None:
    bodies.remark("; ".join(broken))
    if len(broken) == 1:
        bodies.differ_by_digest()
    else:
        _by_lines(bodies, texts)


def _by_tree(bodies: _Bodies, primary: Any, shadow: Any) -> None:
    if primary is MISSING or shadow is MISSING:
        bodies.differ(Kind.MISSING if shadow is MISSING else Kind.EXTRA, primary, shadow)
    else:
        walk(bodies.where, primary, shadow, bodies.found)
