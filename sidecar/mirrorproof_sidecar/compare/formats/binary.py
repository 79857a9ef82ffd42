"""Binary formats: MessagePack, and protobuf and gRPC where their messages are described.

Values that JSON has no name for are told by what they are: `{"bytes": …}` in hexadecimal, `{"ext": …}`.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any, Final

import msgspec

from mirrorproof_sidecar.compare.content import BrokenContentError, ContentTooLargeError, decode
from mirrorproof_sidecar.compare.formats.reading import MAX_LEVELS, Content, UnreadableError, bounded

__all__ = ["read_grpc", "read_msgpack", "read_protobuf"]

_MAX_SHOWN_BYTES: Final = 64
_FRAME_HEAD: Final = 5


def read_msgpack(content: Content) -> Any:
    """The tree. Keys that are no text are told with their type: `(int) 1`."""
    try:
        decoded = msgspec.msgpack.decode(content.data)
        return _Plain().plain(decoded, 0)
    except UnreadableError:
        raise
    except (msgspec.MsgspecError, RecursionError, ValueError, TypeError, OverflowError) as error:
        raise UnreadableError("no MessagePack") from error


class _Plain:
    def __init__(self) -> None:
        self._seen = 0

    def plain(self, value: Any, level: int) -> Any:
        self._seen += 1
        bounded(self._seen, "values")
        if level > MAX_LEVELS:
            raise UnreadableError(f"nested deeper than {MAX_LEVELS}")
        if isinstance(value, dict):
            return {_key(key): self.plain(item, level + 1) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.plain(item, level + 1) for item in value]
        if isinstance(value, bytes | bytearray | memoryview):
            return shown_bytes(bytes(value))
        if isinstance(value, msgspec.msgpack.Ext):
            return {"ext": value.code, **shown_bytes(bytes(value.data))}
        return value.isoformat() if isinstance(value, datetime) else value


def _key(key: Any) -> str:
    return key if isinstance(key, str) else f"({type(key).__name__}) {key}"


def shown_bytes(data: bytes) -> dict[str, Any]:
    """Bytes as JSON can tell them: in hexadecimal, or by digest where they are many."""
    if len(data) <= _MAX_SHOWN_BYTES:
        return {"bytes": data.hex()}
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def read_protobuf(content: Content) -> Any:
    """A message of the type that Content-Type names (`messageType` or `proto`), or that the call answers."""
    schemas = _schemas(content)
    name = content.media.parameters.get("messagetype") or content.media.parameters.get("proto")
    kind = schemas.message(name) if name else schemas.answer_of(content.call)
    return schemas.read(kind, content.data)


def read_grpc(content: Content) -> list[Any]:
    """The messages of a gRPC body (Length-Prefixed-Message), which may be compressed by gzip."""
    schemas = _schemas(content)
    kind = schemas.answer_of(content.call)
    return [schemas.read(kind, data) for data in _messages(content)]


def _schemas(content: Content) -> Any:
    if content.schemas is None:
        raise UnreadableError("protobuf without a descriptor set (MIRRORPROOF_DESCRIPTORS)")
    return content.schemas


def _messages(content: Content) -> list[bytes]:
    data, at, found = content.data, 0, []
    while at < len(data):
        head = data[at : at + _FRAME_HEAD]
        length = int.from_bytes(head[1:])
        body = data[at + _FRAME_HEAD : at + _FRAME_HEAD + length]
        if len(head) < _FRAME_HEAD or len(body) < length:
            if not content.whole:
                break
            raise UnreadableError("a gRPC message breaks off")
        at += _FRAME_HEAD + length
        if head[0] & 0x80:
            break  # the trailers of gRPC-Web
        found.append(_inflated(body) if head[0] & 1 else body)
        bounded(len(found), "messages")
    return found


def _inflated(body: bytes) -> bytes:
    try:
        return decode(body, ("gzip",), whole=True)
    except (BrokenContentError, ContentTooLargeError) as error:
        raise UnreadableError("a message is not compressed by gzip, or too large") from error
