"""Putting an effect's payload into words that people may read.

Knows JSON-like values and redaction. Must not know where they come from.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from mirrorproof.redaction import REDACTED, Redactor

__all__ = ["readable"]

_MAX_VALUE_CHARS: Final = 60
_MAX_SCANNED_BYTES: Final = 4096


def readable(payload: Any, redactor: Redactor) -> str:
    """A payload as `name=value, …`, its secrets redacted, each value cut."""
    if isinstance(payload, dict):
        return ", ".join(
            f"{key}={REDACTED if redactor.sensitive(str(key)) else _short(value, redactor)}"
            for key, value in payload.items()
        )
    return "" if payload is None else _short(payload, redactor)


def _short(value: Any, redactor: Redactor) -> str:
    """A value as JSON, redacted however deep a secret lies; of what is no JSON, its type."""
    try:
        raw = msgspec.json.encode(value, enc_hook=lambda other: f"<{type(other).__qualname__}>")
    except Exception:
        return f"<{type(value).__qualname__}>"
    text = redactor.body(raw[:_MAX_SCANNED_BYTES], "application/json").decode("utf-8", "replace")
    return text if len(text) <= _MAX_VALUE_CHARS else text[:_MAX_VALUE_CHARS] + "…"
