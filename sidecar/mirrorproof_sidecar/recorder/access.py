"""Who may do what. Pure: a decision from a request's headers; knows neither aiohttp nor routes.

With a token set, a request needs one. Without one the recorder listens on loopback only; then what
threatens it is a web page in a browser on this machine, which could reach it by a name that resolves to
127.0.0.1 (DNS rebinding) or post to it from another origin. So Host, and Origin where there is one, have to
be loopback.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from enum import Enum
from urllib.parse import urlsplit

from mirrorproof_sidecar.settings import is_loopback

__all__ = ["Access", "Denial", "Right"]


class Right(Enum):
    """What a request needs."""

    NONE = "none"  # probes
    READ = "read"
    WRITE = "write"


@dataclass(frozen=True, slots=True)
class Denial:
    """Why not, as status and words."""

    status: int
    error: str


@dataclass(frozen=True, slots=True)
class Access:
    """The tokens that count. `token` has all rights, `read_token` may only read."""

    token: str | None = None
    read_token: str | None = None

    def denial(
        self, right: Right, *, authorization: str | None, host: str | None, origin: str | None
    ) -> Denial | None:
        """Why a request with these headers may not, or `None` if it may."""
        if right is Right.NONE:
            return None
        if self.token is None:
            return _browser_denial(host, origin)
        given = _bearer(authorization)
        if given is None:
            return Denial(401, "a token is needed: Authorization: Bearer <MIRRORPROOF_TOKEN>")
        if _same(given, self.token):
            return None
        if self.read_token is not None and _same(given, self.read_token):
            return None if right is Right.READ else Denial(403, "this token may only read")
        return Denial(401, "the token is not the one this recorder has (MIRRORPROOF_TOKEN)")


def _bearer(authorization: str | None) -> str | None:
    scheme, _, token = (authorization or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode("utf-8", "replace"))


def _browser_denial(host: str | None, origin: str | None) -> Denial | None:
    if not _names_loopback(f"//{host or ''}"):
        return Denial(
            403, "without a token this recorder answers to localhost or 127.0.0.1 only, not to this Host"
        )
    if origin is not None and not _names_loopback(origin):
        return Denial(403, "without a token this recorder does not answer pages of other origins")
    return None


def _names_loopback(url: str) -> bool:
    try:
        hostname = urlsplit(url).hostname
    except ValueError:
        return False
    return hostname is not None and is_loopback(hostname)
