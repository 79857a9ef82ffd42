"""The proof: from what was counted to figures and a yes or no, with reasons.

Pure. Three parties are held against each other that do not take each other's word: Envoy says how many
requests it mirrored, the recorder says what became of each, and the shop's own places say who wrote what.

Knows figures. Must not know where they come from or how they are shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mirrorproof_demo.planted import Sought, seek, unexpected
from mirrorproof_demo.witness import Writes

__all__ = ["Evidence", "Load", "Proof", "prove"]


@dataclass(frozen=True, slots=True)
class Load:
    """What Locust did: requests sent, answered, and answered otherwise than the shop should."""

    sent: int = 0
    answered: int = 0
    wrong: int = 0


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that was counted. `summary` is the recorder's, `mirrored` is Envoy's own count.

    `exporting` says whether there was anywhere to export spans to, `guards` whether v2's writes were seen.
    """

    wanted: int
    load: Load
    mirrored: int
    summary: Mapping[str, Any]
    writes: Writes
    spans_exported: int
    seconds: float
    exporting: bool = True
    guards: bool = True


@dataclass(frozen=True, slots=True)
class Proof:
    """What follows. It holds if there is no reason against it."""

    evidence: Evidence
    planted: tuple[Sought, ...]
    unexpected: tuple[Mapping[str, Any], ...]
    unpaired_by: Mapping[str, int]
    reasons: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether the demo showed what it set out to show."""
        return not self.reasons

    def figures(self) -> dict[str, Any]:
        """The one JSON object of `--format json`."""
        evidence, totals = self.evidence, self.evidence.summary["totals"]
        return {
            "requests": evidence.load.answered,
            "mirrored": evidence.mirrored,
            "pairs": totals["pairs"],
            "matched": totals["matched"],
            "different": totals["different"],
            "incomparable": totals["incomparable"],
            "unpaired": sum(self.unpaired_by.values()),
            "unpaired_by": dict(self.unpaired_by),
            "yielded": evidence.summary["completeness"]["yielded"],
            "effects_suppressed": evidence.summary["completeness"]["effects_suppressed"],
            "writes_by_primary": evidence.writes.by("v1"),
            "writes_by_shadow": evidence.writes.by("v2"),
            "writes": {place: dict(counts) for place, counts in evidence.writes.places.items()},
            "spans_exported": evidence.spans_exported,
            "planted": [_shown(sought) for sought in self.planted],
            "unexpected": [_named(difference) for difference in self.unexpected],
            "versions": {"primary": "v1", "shadow": "v2"},
            "seconds": round(evidence.seconds, 2),
            "proof": {"holds": self.holds, "reasons": list(self.reasons)},
        }


def prove(evidence: Evidence) -> Proof:
    """Hold the evidence against what has to be so."""
    summary = evidence.summary if evidence.guards else _without_effects(evidence.summary)
    planted = tuple(seek(summary))
    unpaired_by = unpaired(evidence.summary)
    reasons = (
        *_load_reasons(evidence),
        *_writes_reasons(evidence.writes),
        *_pairing_reasons(evidence, sum(unpaired_by.values())),
        *_planted_reasons(planted),
    )
    return Proof(evidence, planted, tuple(unexpected(summary)), unpaired_by, reasons)


def unpaired(summary: Mapping[str, Any]) -> dict[str, int]:
    """Mirrored requests without a pair, by what the recorder says of them."""
    held = summary["completeness"]
    return {
        "only v1 was recorded": held["unpaired"]["primary"],
        "only v2 was recorded": held["unpaired"]["shadow"],
        "ambiguous": max(held["ambiguous"]["primary"], held["ambiguous"]["shadow"]),
    }


def _without_effects(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Without guards v2 writes and sends unseen, and each effect of v1's looks like one that v2 lacks."""
    kept = [one for one in summary["differences"] if not one["path"].startswith("/effects/")]
    return {**summary, "differences": kept}


def _load_reasons(evidence: Evidence) -> Iterator[str]:
    load = evidence.load
    if load.answered != evidence.wanted:
        yield f"{evidence.wanted} requests were to be sent, {load.answered} were answered"
    if load.wrong:
        yield f"v1 answered {load.wrong} requests otherwise than a shop should"


def _writes_reasons(writes: Writes) -> Iterator[str]:
    for place, counts in writes.places.items():
        if counts.get("v2"):
            yield f"v2 wrote for real: {counts['v2']} {place}"
    if not writes.by("v1"):
        yield "v1 wrote nothing, so that v2 wrote nothing proves nothing"


def _pairing_reasons(evidence: Evidence, unpaired_in_all: int) -> Iterator[str]:
    pairs, mirrored = evidence.summary["totals"]["pairs"], evidence.mirrored
    if not pairs:
        yield "not one pair was compared"
    if pairs + unpaired_in_all != mirrored:
        told = f"{pairs} pairs and {unpaired_in_all} unpaired"
        yield f"Envoy mirrored {mirrored} requests; the recorder knows of {told}"


def _planted_reasons(planted: tuple[Sought, ...]) -> Iterator[str]:
    for sought in planted:
        if not sought.found:
            one = sought.planted
            yield f"a planted difference was not found: {one.name}, {one.endpoint} at {one.path}"


def _shown(sought: Sought) -> dict[str, Any]:
    one = sought.planted
    return {
        "name": one.name,
        "endpoint": one.endpoint,
        "path": sought.example.get("path", one.path),
        "found": sought.found,
        "pairs": sought.pairs,
    }


def _named(difference: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "endpoint": f"{difference['method']} {difference['route']}",
        "path": difference["path"],
        "kind": difference["kind"],
        "pairs": difference["pairs"],
        "example": difference["example"],
    }
