"""Form data: `application/x-www-form-urlencoded` (WHATWG URL, 5) and multipart (RFC 7578, RFC 2046).

Must not know what a part holds: it is read by whoever reads a body of that type.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import parse_qsl

from multipart import MultipartError, MultipartSegment, PushMultipartParser

from mirrorproof_sidecar.compare.formats.reading import MAX_NODES, Content, UnreadableError, bounded
from mirrorproof_sidecar.compare.media import CharsetError, Media, decode_text, media

__all__ = ["multipart_reader", "read_form"]

_MAX_PARTS: Final = 1000


def read_form(content: Content) -> dict[str, Any]:
    """The fields by name, in any order of names; a name that is there more than once has a list."""
    bounded(content.data.count(b"%"), "escapes")
    text = decode_text(content.data, "latin-1", whole=True)  # bytes beyond ASCII have to be escaped
    try:
        pairs = parse_qsl(
            text, keep_blank_values=True, max_num_fields=MAX_NODES, errors="surrogateescape",
            encoding=_codec(content.media),
        )  # fmt: skip
    except (ValueError, LookupError) as error:
        raise UnreadableError("no form data, or too many fields") from error
    return _by_name(pairs)


def _codec(kind: Media) -> str:
    return kind.charset if kind.charset in ("utf-8", "iso-8859-1", "us-ascii") else "utf-8"


def _by_name(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, list[Any]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def multipart_reader(read_part: Callable[[Content], Any]) -> Callable[[Content], Any]:
    """A reader of multipart bodies, whose parts `read_part` reads."""

    def read(content: Content) -> Any:
        parts = _parts(content)
        if content.media.type == "multipart/form-data":
            named = [(segment.name or "", _shown(segment, data, read_part)) for segment, data in parts]
            return _by_name(named)
        return [_shown(segment, data, read_part) for segment, data in parts]

    return read


def _parts(content: Content) -> list[tuple[MultipartSegment, bytes]]:
    boundary = content.media.parameters.get("boundary", "")
    if not boundary:
        raise UnreadableError("multipart without a boundary")
    found: list[tuple[MultipartSegment, bytearray]] = []
    try:
        with PushMultipartParser(boundary, max_segment_count=_MAX_PARTS) as parser:
            for event in parser.parse(content.data):
                if isinstance(event, MultipartSegment):
                    found.append((event, bytearray()))
                elif event:
                    found[-1][1].extend(event)
    except (MultipartError, ValueError, IndexError) as error:
        raise UnreadableError("no multipart body, or too many parts") from error
    return [(segment, bytes(data)) for segment, data in found]


def _shown(segment: MultipartSegment, data: bytes, read_part: Callable[[Content], Any]) -> Any:
    kind = media([value for name, value in segment.headerlist if name.lower() == "content-type"])
    headers = {
        name.lower(): value
        for name, value in segment.headerlist
        if name.lower() not in ("content-type", "content-disposition", "content-length")
    }
    if kind.type in ("", "text/plain") and not segment.filename and not headers:
        return _text(data, kind)
    shown: dict[str, Any] = {"type": kind.type, "content": _content(data, kind, read_part)}
    if segment.filename:
        shown["filename"] = segment.filename
    if headers:
        shown["headers"] = headers
    return shown


def _content(data: bytes, kind: Media, read_part: Callable[[Content], Any]) -> Any:
    try:
        return read_part(Content(data, kind))
    except UnreadableError:
        return _text(data, kind)


def _text(data: bytes, kind: Media) -> Any:
    try:
        return decode_text(data, kind.charset, whole=True)
    except CharsetError:
        return {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
