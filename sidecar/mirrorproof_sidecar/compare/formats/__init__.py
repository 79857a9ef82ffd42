"""Bodies by their format: from a media type to a reader that makes a tree of the bytes.

One table. A type that is not in it is compared as text or by digest; JSON has its own way (`jsontree`), since
it is what most bodies are. Every reader is bounded and says `UnreadableError` of what is not in its format.
"""

from __future__ import annotations

from typing import Any, Final

from mirrorproof_sidecar.compare.formats.binary import read_grpc, read_msgpack, read_protobuf
from mirrorproof_sidecar.compare.formats.forms import multipart_reader, read_form
from mirrorproof_sidecar.compare.formats.lines import read_events, read_json_lines, read_json_sequence
from mirrorproof_sidecar.compare.formats.markup import read_html, read_xml
from mirrorproof_sidecar.compare.formats.reading import Content, Format, UnreadableError
from mirrorproof_sidecar.compare.formats.schemas import Schemas
from mirrorproof_sidecar.compare.formats.tables import meet_tables, read_table
from mirrorproof_sidecar.compare.jsontree import BrokenJSONError, TooDeepError, parse
from mirrorproof_sidecar.compare.media import CharsetError, Media, Sort, decode_text

__all__ = ["Content", "Format", "Schemas", "UnreadableError", "format_of", "read"]


def format_of(media: Media) -> Format | None:
    """The format of a body of this type; `None` for JSON, plain text and what is not known here."""
    found = _BY_TYPE.get(media.type)
    if found is None and media.type.endswith("+xml"):
        return _XML
    if found is None and media.type.startswith("multipart/"):
        return _MULTIPART
    return found


def read(form: Format, content: Content) -> Any:
    """The tree. Raises `UnreadableError`, and nothing else."""
    try:
        return form.read(content)
    except CharsetError as error:
        raise UnreadableError(str(error)) from error
    except RecursionError as error:  # the caller's own stack was nearly full
        raise UnreadableError("nested too deep for the stack that was left") from error


def _part(content: Content) -> Any:
    """What a part of a multipart body holds; parts within parts are not read."""
    if content.media.sort is Sort.JSON:
        try:
            return parse(decode_text(content.data, content.media.charset, whole=True))
        except (BrokenJSONError, TooDeepError) as error:
            raise UnreadableError("no JSON") from error
    form = format_of(content.media)
    if form is None or form is _MULTIPART:
        raise UnreadableError("no format that is read within another")
    return read(form, content)


_XML: Final = Format("XML", read_xml)
_MULTIPART: Final = Format("multipart", multipart_reader(_part))
_TABLE: Final = Format("CSV", read_table, meet=meet_tables)
_JSON_LINES: Final = Format("NDJSON", read_json_lines, by_items=True)
_MSGPACK: Final = Format("MessagePack", read_msgpack)
_PROTOBUF: Final = Format("protobuf", read_protobuf)
_GRPC: Final = Format("gRPC", read_grpc, by_items=True)

_BY_TYPE: Final[dict[str, Format]] = {
    "application/x-www-form-urlencoded": Format("form data", read_form),
    "application/xml": _XML, "text/xml": _XML,
    "text/html": Format("HTML", read_html),
    "text/csv": _TABLE, "application/csv": _TABLE, "text/tab-separated-values": _TABLE,
    **dict.fromkeys(
        ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/jsonlines",
         "application/x-jsonlines", "application/json-lines"), _JSON_LINES,
    ),
    "application/json-seq": Format("JSON text sequence", read_json_sequence, by_items=True),
    "text/event-stream": Format("server-sent events", read_events, by_items=True),
    **dict.fromkeys(("application/msgpack", "application/x-msgpack", "application/vnd.msgpack"), _MSGPACK),
    **dict.fromkeys(
        ("application/protobuf", "application/x-protobuf", "application/vnd.google.protobuf"), _PROTOBUF
    ),
    **dict.fromkeys(
        (f"application/grpc{kind}" for kind in ("", "+proto", "-web", "-web+proto")), _GRPC,
    ),
}  # fmt: skip
