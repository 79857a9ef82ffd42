"""What is known of the two answers beside their contents: what volatile values are measured against.

Pure. Knows exchanges and times. Must not know values or names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mirrorproof.exchange import Exchange
from mirrorproof_sidecar.compare.shapes.times import Moment

__all__ = ["Facts", "facts_of"]

_MAX_HOST_CHARS: Final = 255


@dataclass(frozen=True, slots=True)
class Facts:
    """Of each side: when it answered, the host that its request named, its trace.

    `asked` is the request's text: what stands in it was known before, and is not made anew. `safe`: the
    request only asks (RFC 9110, 9.2.1).
    """

    moments: tuple[Moment, Moment]
    hosts: tuple[str, str] = ("", "")
    traces: tuple[str | None, str | None] = (None, None)
    asked: str = ""
    safe: bool = True


def facts_of(
    primary: Exchange, shadow: Exchange, times_s: tuple[float | None, float | None] = (None, None)
) -> Facts:
    """The facts of two exchanges; `times_s`: Unix seconds at which each had answered, where known."""
    moments = []
    for side, time_s in zip((primary, shadow), times_s, strict=True):
        took_s = side.duration_ns / 1e9
        end_s = side.started_unix_ns / 1e9 + took_s if time_s is None else time_s
        moments.append(Moment(end_s - took_s, end_s))
    request = primary.request
    return Facts(
        (moments[0], moments[1]),
        (_host(primary), _host(shadow)),
        (primary.trace_id, shadow.trace_id),
        f"{request.path}?{request.query}",
        request.method.upper() in ("GET", "HEAD", "OPTIONS", "TRACE"),
    )


def _host(exchange: Exchange) -> str:
    values = [value for name, value in exchange.request.headers if name.lower() in ("host", ":authority")]
    return values[0][:_MAX_HOST_CHARS] if len(values) == 1 else ""
