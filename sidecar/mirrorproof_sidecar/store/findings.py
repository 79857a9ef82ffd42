"""A finding as rows.

Knows what is kept of a comparison, and its bounds. Must not know when it is written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from mirrorproof.exchange import EFFECTS_LATE, EFFECTS_UNOBSERVED
from mirrorproof_sidecar.compare import CONFLICT_WITH_PRIMARY, Kind, Result
from mirrorproof_sidecar.endpoints import path_pattern
from mirrorproof_sidecar.finding import Finding, failed, values_json
from mirrorproof_sidecar.judge.durations import bucket_of
from mirrorproof_sidecar.store.schema import safe_text

__all__ = ["difference_rows", "ignored_rows", "pair_row"]

_EFFECT_KINDS: Final = frozenset({Kind.EFFECT_MISSING, Kind.EFFECT_EXTRA, Kind.EFFECT_CHANGED})
_MAX_DIFFERENCES: Final = 200
_MAX_IGNORED: Final = 200


def pair_row(pair: str, finding: Finding) -> dict[str, Any]:
    """The row of the pair itself."""
    primary, other, comparison = finding.primary, finding.other, finding.comparison
    return {
        "id": pair,
        "key": finding.key,
        "pair_id": safe_text(primary.pair_id),
        "endpoint": finding.endpoint,
        "against": finding.match.against.value,
        "primary_uid": finding.match.primary,
        "other_uid": finding.match.other,
        "result": comparison.result.value,
        "reason": safe_text("; ".join(comparison.incomparable), 1000),
        "started_ns": primary.started_unix_ns,
        "received_s": finding.received_s,
        "primary_ns": primary.duration_ns,
        "other_ns": other.duration_ns,
        "primary_status": primary.response.status if primary.response else None,
        "other_status": other.response.status if other.response else None,
        "primary_error": failed(primary),
        "other_error": failed(other),
        "differences": len(comparison.differences) + comparison.differences_omitted,
        "ignored": len(comparison.ignored) + comparison.ignored_omitted,
        "effects": _effects(finding),
        "primary_bucket": bucket_of(primary.duration_ns) if _both_answered(finding) else None,
        "other_bucket": bucket_of(other.duration_ns) if _both_answered(finding) else None,
    }


def _both_answered(finding: Finding) -> bool:
    whole = finding.comparison.result is not Result.INCOMPARABLE
    return whole and not failed(finding.primary) and not failed(finding.other)


def _effects(finding: Finding) -> str:
    """Whether both wrote the same, as far as that was seen, or stood in each other's way; of a pair with the
    control `noise` where all that differs was known as such."""
    if finding.known_noise and finding.comparison.differences:
        return "noise"
    if any(CONFLICT_WITH_PRIMARY in part for part in finding.comparison.incomparable):
        return "conflict"
    notes = {*finding.primary.notes, *finding.other.notes}
    if notes & {EFFECTS_UNOBSERVED, EFFECTS_LATE}:
        return "unknown"
    if any(difference.kind in _EFFECT_KINDS for difference in finding.comparison.differences):
        return "different"
    return "unknown" if finding.comparison.differences_omitted else "alike"


def difference_rows(pair: str, finding: Finding) -> Iterator[dict[str, Any]]:
    """A row for each difference, up to a bound; the pair's row has the true number."""
    for difference in finding.comparison.differences[:_MAX_DIFFERENCES]:
        values = values_json(difference)
        yield {
            "pair": pair,
            "endpoint": finding.endpoint,
            "against": finding.match.against.value,
            "path": safe_text(difference.path),
            "pattern": safe_text(path_pattern(difference.path)),
            "kind": safe_text(str(difference.kind), 64),
            "primary_json": values.get("primary"),
            "other_json": values.get("shadow"),
        }


def ignored_rows(pair: str, finding: Finding) -> Iterator[dict[str, Any]]:
    """What was hidden, counted by path pattern, cause, name and reason."""
    counts = Counter(
        (path_pattern(one.difference.path), one.by, one.name, one.reason)
        for one in finding.comparison.ignored
    )
    for (pattern, by, name, reason), count in counts.most_common(_MAX_IGNORED):
        yield {
            "pair": pair,
            "endpoint": finding.endpoint,
            "against": finding.match.against.value,
            "pattern": safe_text(pattern),
            "reason": safe_text(reason, 500),
            "count": count,
            "by": by.value,
            "name": safe_text(name, 600),
        }
