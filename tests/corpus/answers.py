"""An answer before it is bytes: a tree with marks, headers with marks, effects with marks.

Knows how trees become bodies. Must not know faults or labels.

`FORMATS` writes a tree in a media type. `pointers` says that paths into the body are the tree's own;
elsewhere the product chooses its paths, and labels go by value. `typed` says that the format tells numbers
from text.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode
from xml.sax.saxutils import escape, quoteattr

import msgspec

from mirrorproof.exchange import Effect, Outcome
from mirrorproof.ledger import digest_of
from mirrorproof.redaction import Redactor
from mirrorproof.wording import readable

from .marks import plain

__all__ = ["FORMATS", "Act", "Answer", "Format"]

_VERBS = {"sql.insert": "INSERT", "sql.update": "UPDATE", "sql.delete": "DELETE"}


@dataclass(slots=True)
class Act:
    """A write in the making. `drawn` are fields that the ledger's digest leaves out: the time, new ids."""

    kind: str
    target: Any
    fields: dict[str, Any]
    drawn: frozenset[str] = frozenset()

    def effect(self, outcome: Outcome) -> Effect:
        """As the guards of the product put it into the ledger."""
        fields = plain(self.fields)
        target = str(plain(self.target))
        words = ", ".join(f"{name}={value!r}" for name, value in fields.items())
        if self.kind == "http.request":
            summary = f"{target} {json.dumps(fields, separators=(',', ':'))}" if fields else target
        elif self.kind in _VERBS:
            summary = f"{_VERBS[self.kind]} {target} ({words})"
        else:
            words = readable(fields, Redactor.shared(()))
            summary = f"{self.kind} {target}{f' ({words})' if words else ''}"
        payload = {name: "<drawn>" if name in self.drawn else value for name, value in fields.items()}
        return Effect(
            kind=self.kind,
            target=target,
            summary=summary[:500],
            digest=digest_of(self.kind, target, payload),
            outcome=outcome,
        )


@dataclass(slots=True)
class Answer:
    """What a service answers. `format` names one of `FORMATS`; `path` is the request's path."""

    tree: Any = None
    format: str = "json"
    status: int = 200
    headers: dict[str, Any] = field(default_factory=dict)
    effects: list[Act] = field(default_factory=list)
    path: str = "/"
    query: str = ""
    content_type: str = ""
    render: Callable[[Any], str] | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Format:
    """How a tree is written. `lists` says whether items of arrays may be taken away or added."""

    content_type: str
    write: Callable[[Answer, Any], bytes]
    pointers: bool = False
    typed: bool = False


def _json(answer: Answer, tree: Any) -> bytes:
    return json.dumps(tree, separators=(",", ":"), ensure_ascii=False).encode()


def _ndjson(answer: Answer, tree: Any) -> bytes:
    return "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in tree).encode()


def _sse(answer: Answer, tree: Any) -> bytes:
    blocks = []
    for event in tree:
        lines = [f"{name}: {event[name]}" for name in ("event", "id", "retry") if event.get(name) is not None]
        data = event.get("data")
        text = data if isinstance(data, str) else json.dumps(data, separators=(",", ":"), ensure_ascii=False)
        blocks.append("\n".join([*lines, *(f"data: {line}" for line in text.split("\n"))]) + "\n\n")
    return "".join(blocks).encode()


def _csv(answer: Answer, tree: Any) -> bytes:
    text = io.StringIO()
    names = list(dict.fromkeys(name for row in tree for name in row))
    writer = csv.DictWriter(text, names)
    writer.writeheader()
    writer.writerows(tree)
    return text.getvalue().encode()


def _form(answer: Answer, tree: Any) -> bytes:
    return urlencode([(name, value) for name, value in tree.items()], doseq=True).encode()


def _multipart(answer: Answer, tree: Any) -> bytes:
    boundary = tree["boundary"]
    parts = []
    for part in tree["parts"]:
        body = part["content"]
        text = body if isinstance(body, str) else json.dumps(body, separators=(",", ":"))
        head = f'Content-Disposition: form-data; name="{part["name"]}"'
        kind = part.get("type") or ("text/plain" if isinstance(body, str) else "application/json")
        parts.append(f"--{boundary}\r\n{head}\r\nContent-Type: {kind}\r\n\r\n{text}\r\n")
    return ("".join(parts) + f"--{boundary}--\r\n").encode()


def _xml(answer: Answer, tree: Any) -> bytes:
    ((name, value),) = tree.items()
    return ('<?xml version="1.0" encoding="UTF-8"?>\n' + _element(name, value)).encode()


def _element(name: str, value: Any) -> str:
    """`@x` is an attribute, `#` the text, a list the element repeated."""
    if isinstance(value, list):
        return "".join(_element(name, each) for each in value)
    if not isinstance(value, dict):
        return f"<{name}/>" if value is None else f"<{name}>{escape(_text(value))}</{name}>"
    attributes = "".join(
        f" {key[1:]}={quoteattr(_text(each))}" for key, each in value.items() if key[0] == "@"
    )
    inside = "".join(
        escape(_text(each)) if key == "#" else _element(key, each)
        for key, each in value.items()
        if key[0] != "@"
    )
    return f"<{name}{attributes}>{inside}</{name}>"


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _rendered(answer: Answer, tree: Any) -> bytes:
    assert answer.render is not None
    return answer.render(tree).encode()


def _msgpack(answer: Answer, tree: Any) -> bytes:
    return msgspec.msgpack.encode(tree)


def _protobuf(answer: Answer, tree: Any) -> bytes:
    """Fields numbered in their order: protobuf's wire format without a schema."""
    return b"".join(_field(number, value) for number, value in enumerate(tree.values(), 1))


def _field(number: int, value: Any) -> bytes:
    import struct

    if isinstance(value, list):
        return b"".join(_field(number, each) for each in value)
    if isinstance(value, bool | int):
        return _varint(number << 3) + _varint(int(value) & (2**64 - 1))
    if isinstance(value, float):
        return _varint(number << 3 | 1) + struct.pack("<d", value)
    data = b"" if value is None else value.encode() if isinstance(value, str) else _protobuf(Answer(), value)
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])


FORMATS: dict[str, Format] = {
    "json": Format("application/json", _json, pointers=True, typed=True),
    "ndjson": Format("application/x-ndjson", _ndjson, typed=True),
    "sse": Format("text/event-stream", _sse, typed=True),
    "csv": Format("text/csv; charset=utf-8", _csv),
    "form": Format("application/x-www-form-urlencoded", _form),
    "multipart": Format("multipart/form-data", _multipart, typed=True),
    "xml": Format("application/xml", _xml),
    "html": Format("text/html; charset=utf-8", _rendered),
    "text": Format("text/plain; charset=utf-8", _rendered),
    "msgpack": Format("application/msgpack", _msgpack, typed=True),
    "protobuf": Format("application/x-protobuf", _protobuf, typed=True),
    "empty": Format("", lambda answer, tree: b""),
}


def sha256(body: bytes) -> str:
    """The digest that a capture has."""
    return hashlib.sha256(body).hexdigest()
