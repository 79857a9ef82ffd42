"""The application's own trace: where a request belongs, and `mirror.*` attributes on its current span.

Needs the OpenTelemetry API only; without an SDK all of it does nothing. Must not make spans of its own.
"""

from __future__ import annotations

from typing import Final

from opentelemetry import trace

from mirrorproof.context import MirrorContext
from mirrorproof.exchange import Outcome

__all__ = ["TraceIds", "annotate_end", "annotate_start", "parse_traceparent"]

TraceIds = tuple[str, str]
"""Trace id and span id, 32 and 16 lower-case hex digits."""

_NO_TRACE: Final = "0" * 32
_NO_SPAN: Final = "0" * 16
_HEX: Final = frozenset("0123456789abcdef")


def annotate_start(context: MirrorContext) -> TraceIds | None:
    """Mark the current span as mirrored or live, and say which one it is; `None` where there is none."""
    span = trace.get_current_span()
    span_context = span.get_span_context()
    if not span_context.is_valid:
        return None
    if span.is_recording():
        span.set_attributes(
            {
                "mirror.mirrored": context.mirrored,
                "mirror.role": context.settings.role.value,
                "mirror.mode": context.mode.value,
                "mirror.pair_id": context.pair_id,
            }
        )
    return trace.format_trace_id(span_context.trace_id), trace.format_span_id(span_context.span_id)


def annotate_end(context: MirrorContext) -> None:
    """Say on the current span how many effects were suppressed."""
    span = trace.get_current_span()
    if context.mirrored and span.is_recording():
        stopped = sum(effect.outcome is not Outcome.EXECUTED for effect in context.ledger)
        span.set_attribute("mirror.effects.suppressed", stopped)


def parse_traceparent(value: bytes) -> TraceIds | None:
    """Trace id and parent id of a `traceparent` header (W3C Trace Context, 3.2); `None` where it is none."""
    parts = value.decode("latin-1").split("-")
    if len(parts) < 4 or len(parts[1]) != 32 or len(parts[2]) != 16:
        return None
    if not _HEX.issuperset(parts[1] + parts[2]) or parts[1] == _NO_TRACE or parts[2] == _NO_SPAN:
        return None
    return parts[1], parts[2]
