"""Content codings (RFC 9110, 8.4): a body back to what was encoded, within a bound.

Knows gzip, deflate, br and zstd. Must not know what the content is.

Theory of operation. 203 bytes of brotli can stand for 256 MiB, and codings can be nested, so every coding's
output is bounded by itself, and each library is fed so little at a time, or told a limit, that it cannot
overshoot by much. A stream may consist of many members; their number is bounded too, since each costs
a decoder. A body that was cut while it was captured simply ends early, and that is no error.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Any, Final

import brotli
import zstandard

__all__ = [
    "MAX_DECODED_BYTES",
    "BrokenContentError",
    "ContentTooLargeError",
    "UnknownCodingError",
    "codings",
    "decode",
]

MAX_DECODED_BYTES: Final = 4 << 20
_MAX_CODINGS: Final = 5
_MAX_MEMBERS: Final = 1000
_FEED_BYTES: Final = 4096
_ZSTD_FEED_BYTES: Final = 256  # a block of 4 bytes can stand for 128 KiB (RFC 8878, 3.1.1.2)
_ZSTD_WINDOW_BYTES: Final = 8 << 20  # what a decoder of Content-Encoding has to take (RFC 9659)
_TOO_MUCH_MEMORY: Final = "too much memory"  # zstd's words
_GZIP_BITS, _ZLIB_BITS, _RAW_BITS = 31, 15, -15


class BrokenContentError(ValueError):
    """The body is not in the coding that its header names."""


class ContentTooLargeError(ValueError):
    """The body decodes to more than the bound."""


class UnknownCodingError(ValueError):
    """A coding that is not known here, or too many of them."""


def codings(header_values: list[str]) -> tuple[str, ...]:
    """The codings in the order in which they were applied; `identity` says nothing and is left out."""
    names = (name.strip().lower() for value in header_values for name in value[:1000].split(","))
    return tuple(name for name in names if name and name != "identity")


def decode(body: bytes, applied: tuple[str, ...], *, whole: bool, limit: int = MAX_DECODED_BYTES) -> bytes:
    """What was encoded. Raises one of this module's three errors.

    An empty body is empty in any coding: answers to HEAD and 304 name one all the same.
    """
    if len(applied) > _MAX_CODINGS:
        raise UnknownCodingError(f"{len(applied)} content codings, one in another")
    for name in reversed(applied):
        if not body:
            return body
        coder = _DECODERS.get(name)
        if coder is None:
            raise UnknownCodingError(f"content coding {name[:40]!r} is not known here")
        try:
            body = _gather(coder(body, whole), limit)
        except (zlib.error, brotli.error, zstandard.ZstdError) as error:
            if _TOO_MUCH_MEMORY in str(error):
                raise ContentTooLargeError(f"{name} with a window over the bound") from error
            raise BrokenContentError(f"no {name}: {error}") from error
    return body


def _gather(pieces: Iterator[bytes], limit: int) -> bytes:
    found = bytearray()
    for piece in pieces:
        found += piece
        if len(found) > limit:
            raise ContentTooLargeError(f"decodes to more than {limit} bytes")
    return bytes(found)


def _gzip(body: bytes, whole: bool) -> Iterator[bytes]:
    return _members(body, whole, lambda: zlib.decompressobj(_GZIP_BITS), _FEED_BYTES)


def _deflate(body: bytes, whole: bool) -> Iterator[bytes]:
    # RFC 9110 means zlib's format; some servers send raw deflate. The two bytes of zlib's header tell.
    zlib_header = len(body) > 1 and body[0] & 15 == 8 and int.from_bytes(body[:2]) % 31 == 0
    bits = _ZLIB_BITS if zlib_header else _RAW_BITS
    return _members(body, whole, lambda: zlib.decompressobj(bits), _FEED_BYTES, most=1)


def _zstd(body: bytes, whole: bool) -> Iterator[bytes]:
    decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES)
    return _members(body, whole, decompressor.decompressobj, _ZSTD_FEED_BYTES)


def _members(
    body: bytes, whole: bool, new: Callable[[], Any], feed_bytes: int, most: int = _MAX_MEMBERS
) -> Iterator[bytes]:
    """The output of a chain of streams, each begun where the last one ended."""
    stream, members = new(), 1
    for start in range(0, len(body), feed_bytes):
        rest = body[start : start + feed_bytes]
        while rest:
            if stream.eof:
                members += 1
                if members > most:
                    raise BrokenContentError(f"more than {most} streams, one behind the other")
                stream = new()
            yield stream.decompress(rest)
            rest = stream.unused_data if stream.eof else b""
    if whole and not stream.eof:
        raise BrokenContentError("the stream breaks off")


def _brotli(body: bytes, whole: bool) -> Iterator[bytes]:
    stream = brotli.Decompressor()
    for start in range(0, len(body), _FEED_BYTES):
        if stream.is_finished():
            raise BrokenContentError("the stream ends before the body does")
        yield stream.process(body[start : start + _FEED_BYTES], output_buffer_limit=_FEED_BYTES)
        while not stream.can_accept_more_data():
            yield stream.process(b"", output_buffer_limit=_FEED_BYTES)
    if whole and not stream.is_finished():
        raise BrokenContentError("the stream breaks off")


_DECODERS: Final[dict[str, Callable[[bytes, bool], Iterator[bytes]]]] = {
    "br": _brotli,
    "deflate": _deflate,
    "gzip": _gzip,
    "x-gzip": _gzip,
    "zstd": _zstd,
}
