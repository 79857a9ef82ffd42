"""Words and figures that every format of the report writes the same way. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["endpoint_name", "headline", "kind_words", "milliseconds", "percent"]


def headline(summary: Mapping[str, Any]) -> str:
    """What was compared and what came of it, in a sentence."""
    totals = summary["totals"]
    pairs = totals["pairs"]
    if not pairs:
        return "nothing has been compared yet"
    parts = [f"{totals['matched']:,} matched", f"{totals['different']:,} different"]
    if totals["incomparable"]:
        parts.append(f"{totals['incomparable']:,} not comparable")
    return f"{pairs:,} {'pair' if pairs == 1 else 'pairs'} compared: {', '.join(parts)}"


def endpoint_name(named: Mapping[str, Any]) -> str:
    """Method and route; of strangers, so still to be cleaned."""
    return f"{named['method']} {named['route']}"


def kind_words(kind: str) -> str:
    """A kind of difference as words."""
    return kind.replace("_", " ")


def milliseconds(value: float | None) -> str:
    """Milliseconds without their unit; `-` where there are none."""
    if value is None:
        return "-"
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def percent(share: float | None) -> str:
    """A share as per cent."""
    if share is None:
        return "-"
    return "<0.1 %" if 0 < share < 0.001 else f"{share * 100:.1f} %"
