"""What the recorder's summary comes to after a load test: a verdict for the exit status, a table for people.

Pure. Knows the summary's JSON. Must not know Locust or HTTP.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

__all__ = ["EXIT_DIFFERENT", "EXIT_UNDECIDED", "exit_code", "quiet", "table"]

EXIT_DIFFERENT: Final = 1
EXIT_UNDECIDED: Final = 2
_MAX_DIFFERENCES: Final = 20
_WIDTH: Final = 46


def exit_code(summary: Mapping[str, Any] | None) -> int:
    """0 if all pairs are alike, 1 if some differ, 2 if nothing was compared or could be asked."""
    if summary is None or not summary["totals"]["pairs"]:
        return EXIT_UNDECIDED
    return EXIT_DIFFERENT if summary["totals"]["different"] else 0


def quiet(before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> bool:
    """Whether the recorder has come to rest: nothing waits, and nothing changed since it was last asked."""
    if before is None or any(now["completeness"]["waiting"].values()):
        return False
    return bool(before["totals"] == now["totals"] and before["completeness"] == now["completeness"])


def table(summary: Mapping[str, Any]) -> str:
    """The summary in lines: a row for each endpoint, then what differs, the most frequent first."""
    return "\n".join([*_endpoints(summary), *_differences(summary)])


def _endpoints(summary: Mapping[str, Any]) -> Iterator[str]:
    yield f"{'mirrorproof':<{_WIDTH}} {'pairs':>8} {'alike':>8} {'different':>10} {'v1 p50':>9} {'v2 p50':>9}"
    for one in summary["endpoints"]:
        yield _row(f"{one['method']} {one['route']}", one)
    yield _row("all", summary["totals"])
    waiting = sum(summary["completeness"]["waiting"].values())
    unpaired = sum(summary["completeness"]["unpaired"].values())
    if waiting or unpaired:
        yield f"not compared: {waiting} still wait for their partner, {unpaired} have none"


def _row(name: str, figures: Mapping[str, Any]) -> str:
    primary, shadow = (_milliseconds(figures[side]["p50_ms"]) for side in ("primary", "shadow"))
    counts = f"{figures['pairs']:>8} {figures['matched']:>8} {figures['different']:>10}"
    return f"{name[:_WIDTH]:<{_WIDTH}} {counts} {primary:>9} {shadow:>9}"


def _differences(summary: Mapping[str, Any]) -> Iterator[str]:
    found = summary["differences"]
    for one in found[:_MAX_DIFFERENCES]:
        yield f"  {one['pairs']:>6} x {one['method']} {one['route']}  {one['path']}  ({one['kind']})"
    if len(found) > _MAX_DIFFERENCES:
        yield f"  … and {len(found) - _MAX_DIFFERENCES} more"


def _milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} ms"
