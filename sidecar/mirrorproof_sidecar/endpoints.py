"""Endpoints: which requests count together, by service, method and path template.

Pure. Knows paths and templates. Must not know the store or how many endpoints there are.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Final

from mirrorproof.exchange import Exchange

__all__ = ["OTHER_ROUTE", "Endpoint", "endpoint_asked", "endpoint_of", "path_pattern", "template_of"]

OTHER_ROUTE: Final = "(other)"
"""The route of the endpoint that takes what comes after the bound on endpoints."""

_MAX_ROUTE_CHARS: Final = 300
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}")
_HEX: Final = re.compile(r"(?=[0-9a-fA-F]*[0-9])[0-9a-fA-F]{8,}")
_LONG_HEX: Final = re.compile(r"(?=[a-f]*[0-9])[0-9a-f]{16,}")
_RANDOM: Final = re.compile(r"(?=[^/]*[0-9])(?=[^/]*[A-Za-z])[A-Za-z0-9_=~.-]{20,}")
_INDEX: Final = re.compile(r"[0-9]+")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Requests that count together. `id` is short, stable and safe in a URL."""

    service: str
    method: str
    route: str

    @property
    def id(self) -> str:
        """16 hex digits of a digest of the three."""
        named = "\n".join((self.service, self.method, self.route))
        return hashlib.sha256(named.encode("utf-8", "replace")).hexdigest()[:16]


def endpoint_of(service: str, method: str, path: str, route: str | None) -> Endpoint:
    """The endpoint of a request; `route` is the framework's template where it is known."""
    return Endpoint(service, method, (route or template_of(path))[:_MAX_ROUTE_CHARS])


def endpoint_asked(exchange: Exchange) -> Endpoint:
    """The endpoint of an exchange's request."""
    request = exchange.request
    return endpoint_of(exchange.service, request.method, request.path, request.route)


def template_of(path: str) -> str:
    """`path` with the segments that look like ids replaced by `{id}`."""
    if len(path) > 4096:
        return "(long)"
    return "/".join("{id}" if _is_id(segment) else segment for segment in path.split("/"))


def _is_id(segment: str) -> bool:
    if segment.isascii() and segment.isdigit():
        return True
    return any(pattern.fullmatch(segment) for pattern in (_UUID, _HEX, _RANDOM))


def path_pattern(pointer: str) -> str:
    """A JSON pointer with what differs from item to item replaced: array indices and keys that are ids by
    `*`, ids inside an effect's target by `{id}`. So the same field has one name everywhere."""
    tokens = pointer.split("/")
    if tokens[:2] == ["", "effects"]:
        return "/".join(_target_pattern(token) for token in tokens)
    return "/".join("*" if _is_key_of_item(token) else token for token in tokens)


def _is_key_of_item(token: str) -> bool:
    return bool(_INDEX.fullmatch(token) or _UUID.fullmatch(token) or _LONG_HEX.fullmatch(token))


def _target_pattern(token: str) -> str:
    if _INDEX.fullmatch(token):
        return "*"
    return template_of(token.replace("~1", "/")).replace("/", "~1")
