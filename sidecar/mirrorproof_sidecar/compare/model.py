"""What a comparison says: values only.

Knows the closed sets of kinds and results. Must not know how a difference is found.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from types import MappingProxyType
from typing import Any, Final

from mirrorproof_sidecar.compare.formats.schemas import Schemas

__all__ = [
    "CONFLICT_WITH_PRIMARY",
    "MISSING",
    "Cause",
    "Comparison",
    "Context",
    "Difference",
    "Ignored",
    "Kind",
    "Missing",
    "NoiseKey",
    "Result",
]


class Missing(Enum):
    """The type of `MISSING`."""

    MISSING = "missing"

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = Missing.MISSING
"""There is nothing here; not the same as a JSON null, which is `None`."""


CONFLICT_WITH_PRIMARY: Final = "conflict_with_primary"
"""Stands in `Comparison.incomparable` where v1 was first with the change that v2's database then refused."""


class Kind(StrEnum):
    """What sort of difference."""

    STATUS = "status"
    HEADER = "header"
    BODY = "body"  # the bodies differ as wholes: other bytes, or one side is no JSON
    MISSING = "missing"  # the primary has it, the shadow does not
    EXTRA = "extra"  # the shadow has it, the primary does not
    CHANGED_VALUE = "changed_value"
    CHANGED_TYPE = "changed_type"
    ORDER = "order"  # the same items in another order
    EFFECT_MISSING = "effect_missing"
    EFFECT_EXTRA = "effect_extra"
    EFFECT_CHANGED = "effect_changed"
    LATENCY = "latency"  # reserved: a matter of many pairs, not of one


class Result(StrEnum):
    """What a comparison comes to."""

    MATCHED = "matched"
    DIFFERENT = "different"
    INCOMPARABLE = "incomparable"


class Cause(StrEnum):
    """Why a difference does not count."""

    RULE = "rule"  # a rule names its place
    TOLERANCE = "tolerance"  # a rule lets the two values be this far apart
    SHAPE = "shape"  # both values are of one volatile sort, such as two fresh timestamps
    CORRESPONDENCE = "correspondence"  # v1's value stands for v2's wherever it appears in this pair
    NOISE = "noise"  # v1 differs from its control here as well
    MOVED = "moved"  # the state moved between the two reads


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference. `path` is a JSON pointer (RFC 6901); a very long one is cut and ends in a digest.

    `primary` and `shadow` are the values there: JSON values, with `Decimal` and `LongNumber` for numbers
    that a float or an int does not hold, `DuplicateKeys` for an object that repeats a key, and `MISSING`.
    """

    path: str
    kind: Kind
    primary: Any
    shadow: Any


@dataclass(frozen=True, slots=True)
class Ignored:
    """A difference that does not count, and why.

    `name` is what hid it: the path of a rule (the first in order that fits), or the name of a recogniser.
    `reason` is in words for those who read the report; it may be empty for a rule.
    """

    difference: Difference
    by: Cause
    name: str
    reason: str


NoiseKey = tuple[str, str, str]
"""Endpoint (`Endpoint.id`), path pattern (`endpoints.path_pattern`) and kind of a difference."""


@dataclass(frozen=True, slots=True)
class Context:
    """What the shell knows beside the two exchanges; nothing by default.

    The times are when each version answered, in seconds since 1970. `noise` holds what was learnt to differ
    between v1 and its control, with the reason to show. `schemas` describes protobuf messages.
    """

    primary_time_unix_s: float | None = None
    shadow_time_unix_s: float | None = None
    noise: Mapping[NoiseKey, str] = field(default_factory=lambda: MappingProxyType({}))
    schemas: Schemas | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """What two exchanges differ in.

    Both lists of differences are sorted by path and bounded; the `…_omitted` count the rest.
    `incomparable` says in plain words which part could not be compared and why, `remarks` what else a
    reader should know. `used` are the rules (`rule_id`) that hid something, or decided how it is compared.
    """

    differences: tuple[Difference, ...] = ()
    ignored: tuple[Ignored, ...] = ()
    incomparable: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    differences_omitted: int = 0
    ignored_omitted: int = 0
    used: tuple[str, ...] = ()

    @property
    def result(self) -> Result:
        """Different wins; a comparison that is not whole is never called matched."""
        if self.differences:
            return Result.DIFFERENT
        return Result.INCOMPARABLE if self.incomparable else Result.MATCHED
