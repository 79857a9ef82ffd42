"""Formats of one item behind the other: NDJSON, JSON text sequences (RFC 7464), server-sent events."""

from __future__ import annotations

from typing import Any, Final

from mirrorproof_sidecar.compare.formats.reading import Content, UnreadableError, bounded
from mirrorproof_sidecar.compare.jsontree import BrokenJSONError, TooDeepError, parse
from mirrorproof_sidecar.compare.media import decode_text

__all__ = ["read_events", "read_json_lines", "read_json_sequence"]

_RECORD_SEPARATOR: Final = "\x1e"


def read_json_lines(content: Content) -> list[Any]:
    """One JSON text a line; empty lines say nothing."""
    return _items(content, decode_text(content.data, content.media.charset, whole=content.whole).split("\n"))


def read_json_sequence(content: Content) -> list[Any]:
    """One JSON text behind each record separator."""
    text = decode_text(content.data, content.media.charset, whole=content.whole)
    return _items(content, text.split(_RECORD_SEPARATOR))


def _items(content: Content, texts: list[str]) -> list[Any]:
    if not content.whole:
        texts = texts[:-1]  # which may have been cut
    bounded(len(texts), "items")
    return [_json(text) for text in texts if text.strip()]


def _json(text: str) -> Any:
    try:
        return parse(text)
    except (BrokenJSONError, TooDeepError) as error:
        raise UnreadableError("an item is no JSON, or nested too deep") from error


def read_events(content: Content) -> list[dict[str, Any]]:
    """Server-sent events (WHATWG HTML, 9.2.6): `data`, and `event`, `id` and `retry` where they are named.

    Data that is a JSON object or array is read as such. Comments say nothing to a client and are left out.
    """
    text = decode_text(content.data, "utf-8", whole=content.whole).removeprefix("\ufeff")
    bounded(text.count("\n") + text.count("\r"), "lines")
    found: list[dict[str, Any]] = []
    event: dict[str, Any] = {}
    for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        if line:
            _field(event, line)
        elif event:
            found.append(_event(event))
            event = {}
    return found  # the last block is no event without an empty line behind it


def _field(event: dict[str, Any], line: str) -> None:
    name, _, value = line.partition(":")
    value = value.removeprefix(" ")
    if name == "data":
        event.setdefault("data", []).append(value)
    elif name in ("event", "id", "retry"):
        event[name] = value


def _event(event: dict[str, Any]) -> dict[str, Any]:
    if "data" not in event:
        return event
    data = "\n".join(event["data"])
    if data[:1] in ("{", "["):
        try:
            return event | {"data": parse(data)}
        except (BrokenJSONError, TooDeepError):
            pass
    return event | {"data": data}
