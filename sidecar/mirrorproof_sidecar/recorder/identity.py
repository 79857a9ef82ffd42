"""Whether somebody's identity is in a request. Pure; knows the headers that carry one."""

from __future__ import annotations

from typing import Final

from mirrorproof.exchange import Request

__all__ = ["is_personal"]

_PERSONAL: Final = frozenset(("authorization", "cookie", "x-api-key", "proxy-authorization"))


def is_personal(request: Request) -> bool:
    """Whether the request carries credentials or a cookie."""
    return any(name.lower() in _PERSONAL for name, _ in request.headers)
