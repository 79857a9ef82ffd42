"""A request as it goes over the wire, HTTP/1's framing taken off: how much of a body came, and was it all.

Knows HTTP/1's framing of requests. Must not know who sends, or why one listens.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from sys import maxsize
from typing import Any

from mirrorproof.body import BodySample

__all__ = ["Message", "as_bytes", "listened"]

_MAX_LINE_BYTES = 65536


class Message:
    """One request's bytes, head and body, in the pieces in which they come. `body` is sampled without the
    framing, so that equal bodies have equal digests whatever their chunks were."""

    def __init__(self, headers: Iterable[tuple[bytes, bytes]], kept: int) -> None:
        self.body = BodySample(kept)
        self.complete = False
        self.started = False
        self._in_head = True
        self._line = b""
        self._left = 0
        lower = {name.lower(): value.strip().lower() for name, value in headers}
        self._chunked = lower.get(b"transfer-encoding", b"").endswith(b"chunked")
        length = lower.get(b"content-length", b"")
        self._length = int(length) if length.isdigit() else 0
        self._trailer = False

    def feed(self, data: bytes) -> None:
        """The next piece. What comes after the message's end is no part of it."""
        self.started = True
        while data and not self.complete:
            if not self._left:
                data = self._lines(data)
                continue
            piece, data = data[: self._left], data[self._left :]
            self.body.feed(piece)
            self._left -= len(piece)
            self.complete = not self._left and not self._chunked

    def _lines(self, data: bytes) -> bytes:
        line, end, data = data.partition(b"\n")
        self._line = (self._line + line)[-_MAX_LINE_BYTES:]
        if end:
            line, self._line = self._line.strip(), b""
            self._take(line)
        return data

    def _take(self, line: bytes) -> None:
        if self._in_head:
            if not line:
                self._in_head = False
                self._left = 0 if self._chunked else self._length
                self.complete = not self._chunked and not self._length
        elif self._trailer:
            self.complete = not line
        elif line:
            try:
                self._left = int(line.partition(b";")[0], 16)
            except ValueError:  # no chunk: whatever comes is taken as it is
                self._left = maxsize
            self._trailer = not self._left


def listened(data: Any, message: Message, blocksize: int) -> Any:
    """What is sent in the place of `data` (as `http.client` takes it), so that `message` hears of it; `data`
    itself where it can be fed at once, once it is sent."""
    if hasattr(data, "read"):
        return _Read(data, message)
    if isinstance(data, str) or as_bytes(data) is not None or not isinstance(data, Iterable):
        return data
    return _each(data, message)


def as_bytes(data: Any) -> bytes | None:
    """The bytes of a buffer; `None` for what is none."""
    if isinstance(data, bytes):
        return data
    try:
        return memoryview(data).tobytes()
    except TypeError:
        return None


def _each(data: Iterable[Any], message: Message) -> Iterator[Any]:
    for piece in data:
        yield piece
        message.feed(as_bytes(piece) or b"")


class _Read:
    """A file that is heard as it is read; text as `http.client` encodes it."""

    def __init__(self, file: Any, message: Message) -> None:
        self._file = file
        self._message = message

    def read(self, *size: int) -> Any:
        block = self._file.read(*size)
        if isinstance(block, str):
            block = block.encode("iso-8859-1")
        self._message.feed(block)
        return block
