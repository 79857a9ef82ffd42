"""One side's body as it was captured.

Knows that a capture may be cut (`truncated`), and that its bytes were redacted while digest and length are of
the original. Must not know the other side.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from mirrorproof.exchange import Exchange, Response
from mirrorproof_sidecar.compare.content import codings
from mirrorproof_sidecar.compare.media import Media, media

__all__ = ["Captured", "captured", "header_values"]


@dataclass(frozen=True, slots=True)
class Captured:
    """A body. `content` is what was captured, without content codings once they are undone."""

    side: str
    response: Response
    whole: bool
    media: Media
    codings: tuple[str, ...]
    content: bytes

    @property
    def digest(self) -> str:
        """Of the original where it is known, else of a whole capture; empty where neither is."""
        if self.response.sha256 or not self.whole:
            return self.response.sha256
        return hashlib.sha256(self.response.body).hexdigest()

    @property
    def figures(self) -> dict[str, Any]:
        """The body where it is shown by digest and length only."""
        return {"sha256": self.digest, "bytes": self.response.body_bytes}


def captured(side: str, exchange: Exchange, response: Response) -> Captured:
    """The body of `response`, which is `exchange`'s."""
    kept_nothing = not response.body and response.body_bytes > 0
    return Captured(
        side=side,
        response=response,
        whole=not (response.truncated or kept_nothing or exchange.error is not None),
        media=media(header_values(response, "content-type")),
        codings=codings(header_values(response, "content-encoding")),
        content=response.body,
    )


def header_values(response: Response, name: str) -> list[str]:
    """Every value of the header `name` (in lower case), in order."""
    return [value for key, value in response.headers if key.lower() == name]
