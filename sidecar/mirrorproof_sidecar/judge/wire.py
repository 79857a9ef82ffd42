"""A judgement as plain data, as `GET /v1/verdict` answers it. Pure; what is infinite or unknown is `None`."""

from __future__ import annotations

import math
from typing import Any, Final

from mirrorproof_sidecar.judge.checks import Check
from mirrorproof_sidecar.judge.completeness import Gap
from mirrorproof_sidecar.judge.evidence import Evidence
from mirrorproof_sidecar.judge.scope import Scope
from mirrorproof_sidecar.judge.verdict import Judgement

__all__ = ["to_wire"]

_QUANTILES: Final = (0.5, 0.95)
_ALPHA: Final = 0.05


def to_wire(judgement: Judgement) -> dict[str, Any]:
    """`verdict`, `reasons`, `more_requests` and `evidence`."""
    return {
        "verdict": judgement.verdict.value,
        "reasons": list(judgement.reasons),
        "more_requests": judgement.more,
        "evidence": {
            "all": _scope(judgement.together),
            "endpoints": [_scope(one) for one in judgement.endpoints],
            "notes": list(judgement.notes),
        },
    }


def _scope(scope: Scope) -> dict[str, Any]:
    evidence, endpoint = scope.evidence, scope.endpoint
    named = {}
    if endpoint is not None:
        named = {
            "id": endpoint.id, "service": endpoint.service, "method": endpoint.method,
            "route": endpoint.route, "minor": scope.minor,
        }  # fmt: skip
    return named | {
        "verdict": scope.verdict.value,
        "share": round(scope.share, 6),
        "pairs": evidence.pairs,
        "compared": evidence.compared,
        "differing": evidence.differing,
        "more_requests": scope.more,
        "latency": {f"p{q * 100:.0f}": _quantile(evidence, q) for q in _QUANTILES},
        "checks": [_check(one) for one in scope.checks],
        "completeness": [_gap(one) for one in scope.gaps],
    }


def _quantile(evidence: Evidence, q: float) -> dict[str, Any]:
    """Of both versions and of the difference: what was seen, and between which bounds it is, all at once with
    95 % at every look."""
    end = _ALPHA / 4
    one, other = evidence.primary, evidence.shadow
    mine = one.quantile_bounds_ns(q, low_alpha=end, high_alpha=end)
    its = other.quantile_bounds_ns(q, low_alpha=end, high_alpha=end)
    seen, seen_other = one.quantile_ns(q), other.quantile_ns(q)
    slower = None if seen is None or seen_other is None else seen_other - seen
    return {
        "primary_ms": _milliseconds(seen, mine.low, mine.high),
        "shadow_ms": _milliseconds(seen_other, its.low, its.high),
        "slower_ms": _milliseconds(slower, its.low - mine.high, its.high - mine.low),
    }


def _milliseconds(*values_ns: float | None) -> dict[str, float | None]:
    names = ("seen", "low", "high")
    return {
        name: _number(None if value is None else value / 1e6)
        for name, value in zip(names, values_ns, strict=True)
    }


def _check(check: Check) -> dict[str, Any]:
    return {
        "name": check.name, "verdict": check.verdict.value, "words": check.words,
        "unit": check.unit, "limit": check.limit,
        "seen": _number(check.seen), "low": _number(check.low), "high": _number(check.high),
        "more_pairs": check.more,
    }  # fmt: skip


def _gap(gap: Gap) -> dict[str, Any]:
    return {
        "name": gap.name, "count": round(gap.count), "of": round(gap.of), "share": _number(gap.share),
        "limit": _number(gap.limit), "too_much": gap.too_much,
    }  # fmt: skip


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, 6)
