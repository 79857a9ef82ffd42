"""Two answers, but for their bodies: the status, or that there was none, and the headers.

Knows responses and errors. Must not know rules: a header that changes with every answer is a rule's matter.
"""

from __future__ import annotations

from typing import Any

from mirrorproof.exchange import Exchange, Response
from mirrorproof_sidecar.compare.found import Found
from mirrorproof_sidecar.compare.model import MISSING, Kind

__all__ = ["compare_headers", "compare_status"]


def compare_status(primary: Exchange, shadow: Exchange, found: Found) -> None:
    """The status; or the error, where there was no answer or it broke off."""
    one, other = _status(primary), _status(shadow)
    if one != other:
        found.differ(found.at("status"), Kind.STATUS, one, other)


def _status(exchange: Exchange) -> Any:
    if exchange.error is None:
        return exchange.response.status if exchange.response else None
    if exchange.response is None:
        return {"error": exchange.error}
    return {"status": exchange.response.status, "error": exchange.error}


def compare_headers(primary: Response, shadow: Response, found: Found) -> None:
    """Per name, in any order of names; the values of one name keep theirs (two Set-Cookie are two)."""
    one, other = _by_name(primary), _by_name(shadow)
    if one == other:
        return
    for name in sorted(one.keys() | other.keys()):
        mine, its = one.get(name), other.get(name)
        if mine != its:
            found.differ(found.at("headers", name), Kind.HEADER, _shown(mine), _shown(its))


def _by_name(response: Response) -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    for name, value in response.headers:
        values.setdefault(name.lower(), []).append(value)
    return values


def _shown(values: list[str] | None) -> Any:
    if values is None:
        return MISSING
    return values[0] if len(values) == 1 else values
