"""Judging: from counted evidence to a verdict that may be looked at as often as anyone likes.

Pure. Knows counts. Must not know the store, a clock, or how a pair was compared.
"""

from __future__ import annotations

from mirrorproof_sidecar.judge.checks import Check, Verdict
from mirrorproof_sidecar.judge.completeness import Gap
from mirrorproof_sidecar.judge.durations import Durations
from mirrorproof_sidecar.judge.evidence import EndpointEvidence, Evidence, Sources
from mirrorproof_sidecar.judge.scope import Scope
from mirrorproof_sidecar.judge.thresholds import Limits, Thresholds
from mirrorproof_sidecar.judge.verdict import Judgement, judge
from mirrorproof_sidecar.judge.wire import to_wire

__all__ = [
    "Check",
    "Durations",
    "EndpointEvidence",
    "Evidence",
    "Gap",
    "Judgement",
    "Limits",
    "Scope",
    "Sources",
    "Thresholds",
    "Verdict",
    "judge",
    "to_wire",
]
