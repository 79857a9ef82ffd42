"""Comparison: what differs between two versions' answers to one request, and in what they wrote.

Pure. Knows exchanges and rules. Must not know where exchanges come from, what a report does with a
difference, the clock, the network or a store.

Three ideas that do not know each other: *what* is compared (`answers`, `bodies` with `jsonwalk` and
`textdiff`, `effects`), *where* a difference is and which rule hides it (`pointer`, `rules`), and *who hears*
of it (`found`, which becomes the `Comparison`).

Laws, which the property tests hold it to: an exchange does not differ from itself; swapping the sides swaps
each difference and moves none; the result depends on nothing but the arguments; no input makes it raise.
What cannot be compared is named in `Comparison.incomparable`; it is never called equal.
"""

from __future__ import annotations

from mirrorproof_sidecar.compare.engine import compare
from mirrorproof_sidecar.compare.jsontree import DuplicateKeys
from mirrorproof_sidecar.compare.model import (
    CONFLICT_WITH_PRIMARY,
    MISSING,
    Cause,
    Comparison,
    Context,
    Difference,
    Ignored,
    Kind,
    Missing,
    NoiseKey,
    Result,
)
from mirrorproof_sidecar.compare.numbers import LongNumber
from mirrorproof_sidecar.compare.rules import DEFAULT_RULES, Rules
from mirrorproof_sidecar.compare.ruletypes import (
    IgnoreRule,
    Op,
    Order,
    OrderRule,
    ToleranceRule,
    TransformRule,
    rule_id,
)
from mirrorproof_sidecar.compare.wire import difference_to_wire, to_wire

__all__ = [
    "CONFLICT_WITH_PRIMARY",
    "DEFAULT_RULES",
    "MISSING",
    "Cause",
    "Comparison",
    "Context",
    "Difference",
    "DuplicateKeys",
    "IgnoreRule",
    "Ignored",
    "Kind",
    "LongNumber",
    "Missing",
    "NoiseKey",
    "Op",
    "Order",
    "OrderRule",
    "Result",
    "Rules",
    "ToleranceRule",
    "TransformRule",
    "compare",
    "difference_to_wire",
    "rule_id",
    "to_wire",
]
