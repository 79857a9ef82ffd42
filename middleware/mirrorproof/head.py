"""A request's head: what one pass over its raw headers finds.

The hottest loop of the middleware. Knows names of headers. Must not know what follows from them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from mirrorproof.decision import (
    ATTEMPT_HEADER,
    MARK_HEADER,
    PAIR_ID_HEADER,
    SIGNATURE_HEADER,
    Mark,
    pair_id_from,
    read_mark,
)

__all__ = ["TRACEPARENT_HEADER", "RequestHead"]

TRACEPARENT_HEADER: Final = b"traceparent"
_REQUEST_ID_HEADER: Final = b"x-request-id"
_INTERESTING: Final = frozenset(
    {PAIR_ID_HEADER, SIGNATURE_HEADER, ATTEMPT_HEADER, _REQUEST_ID_HEADER, TRACEPARENT_HEADER,
     b"content-length", b"transfer-encoding"}
)  # fmt: skip
_CONNECTION: Final = b"connection"
_MARK_LENGTH: Final = len(MARK_HEADER)
_BODYLESS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


class RequestHead:
    """The headers that matter here; of each name the first value counts. `marks` may be the mark, mangled."""

    __slots__ = ("found", "marks", "pair_id")

    def __init__(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        found: dict[bytes, bytes] = {}
        marks: list[tuple[bytes, bytes]] = []
        for name, value in headers:
            if name in _INTERESTING:
                found.setdefault(bytes(name), bytes(value))
            elif len(name) == _MARK_LENGTH or name == _CONNECTION:
                # Whatever is as long as the mark's name may be the mark, mangled: `read_mark` decides.
                marks.append((name, value))
        if marks:
            marks = [pair for pair in marks if read_mark([pair]) is not Mark.ABSENT]
        self.found = found
        self.marks = marks
        self.pair_id = pair_id_from(found.get(PAIR_ID_HEADER), found.get(_REQUEST_ID_HEADER))

    @property
    def attempt(self) -> int:
        """Envoy's count of tries, from 1."""
        text = self.found.get(ATTEMPT_HEADER, b"1")
        return max(1, int(text)) if text.isdigit() and len(text) < 6 else 1

    def bodyless(self, method: str) -> bool:
        """Whether the request has no body, as far as its head tells."""
        length = self.found.get(b"content-length")
        if length is None:
            return method in _BODYLESS and b"transfer-encoding" not in self.found
        return length == b"0"
