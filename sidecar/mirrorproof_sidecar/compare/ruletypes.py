"""The rules as people write them: what each says, and where it holds.

Knows the shape of a rule and what is wrong with one by itself. Must not know how rules are matched with
places, or what a comparison does with one.
"""

from __future__ import annotations

import hashlib
import json
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from mirrorproof.errors import SettingsError
from mirrorproof_sidecar.compare.pointer import check_pattern, glob

__all__ = [
    "IgnoreRule",
    "Op",
    "Order",
    "OrderRule",
    "PlacedRule",
    "ToleranceRule",
    "TransformRule",
    "rule_id",
]

_Text = Annotated[str, Meta(min_length=1, max_length=500)]
_Amount = Annotated[float, Meta(ge=0)]


class PlacedRule(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, repr_omit_defaults=True
):
    """Where a rule holds; every part that is given has to fit.

    `path` is a JSON pointer in which `*` within a segment stands for any characters and a segment `**` for
    any number of segments, none included. `endpoint` has to fit `"<METHOD> <route or path>"` of the primary,
    `content_type` the media type of both answers (`application/json`, without parameters), and in both `*`
    stands for any characters. `status` is one status (404) or a class ("4xx") that both answers have.
    """

    path: _Text
    endpoint: _Text | None = None
    reason: Annotated[str, Meta(max_length=500)] = ""
    content_type: _Text | None = msgspec.field(default=None)
    status: Annotated[int, Meta(ge=100, le=599)] | Annotated[str, Meta(pattern="^[1-5]xx$")] | None = None

    def __post_init__(self) -> None:
        if wrong := check_pattern(self.path):
            raise SettingsError(f"`path` {self.path!r} {wrong}")

    @property
    def everywhere(self) -> bool:
        """Whether it holds for each pair, whatever its endpoint, content type and status."""
        return self.endpoint is self.content_type is self.status is None

    def holds_for(self, endpoint: str, content_types: tuple[str, str], statuses: tuple[int, int]) -> bool:
        """Whether it holds for a pair of this endpoint, with these of both answers."""
        return (
            (self.endpoint is None or glob(self.endpoint, endpoint))
            and (self.content_type is None or all(glob(self.content_type, one) for one in content_types))
            and (self.status is None or all(self.status in (one, f"{one // 100}xx") for one in statuses))
        )

    def same_places(self, other: PlacedRule) -> bool:
        """Whether both name one path and no pair is known to come under only one of them."""
        parts = (
            (self.endpoint, other.endpoint),
            (self.content_type, other.content_type),
            (self.status, other.status),
        )
        return self.path == other.path and all(_overlap(mine, its) for mine, its in parts)

    def __str__(self) -> str:
        shown: dict[str, Any] = {
            name: value for name, value in msgspec.to_builtins(self).items() if name != "reason"
        }
        return ", ".join(f"{name} = {value!r}" for name, value in shown.items())


class IgnoreRule(PlacedRule, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Hides the differences whose path fits.

    It hides what it names and nothing below: `/body/meta` hides a changed or missing `meta`,
    `/body/meta/**` also what changed inside.
    """


class ToleranceRule(PlacedRule, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """Lets two values be a little apart. Of the three bounds one is given at least, and one has to hold.

    `absolute`: numbers, or texts that are numbers, with |a - b| <= absolute.
    `relative`: the same with |a - b| <= relative * max(|a|, |b|).
    `seconds`: timestamps (RFC 3339, or a date as HTTP headers have it) that are at most this far apart.
    """

    absolute: _Amount | None = None
    relative: _Amount | None = None
    seconds: _Amount | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.absolute is self.relative is self.seconds is None:
            raise SettingsError(
                f"the tolerance of {self.path!r} says not how much: give `absolute`, `relative` or `seconds`"
            )


class Op(StrEnum):
    """What a transform makes of a value before it is compared; of what it does not fit, nothing."""

    LOWER = "lower"  # text in lower case
    STRIP = "strip"  # text without white space at its ends
    SPACES = "spaces"  # text with each stretch of white space as one space, and none at its ends
    NFC = "nfc"  # text in Unicode's composed form
    SORT_WORDS = "sort_words"  # the words between white space, in order
    ROUND = "round"  # a number, to `digits` behind the point, a half to the even neighbour
    NUMBER = "number"  # a number by its value: 1, 1.0 and "1.00" are one
    DATE = "date"  # a timestamp by its instant, in whatever notation and zone


class TransformRule(PlacedRule, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """Compares a value as `op` makes it. Several for one place are applied in their order."""

    op: Op
    digits: Annotated[int, Meta(ge=0, le=30)] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.op is Op.ROUND) != (self.digits is not None):
            raise SettingsError(f"the transform of {self.path!r}: `digits` goes with `round`, and only there")


class Order(StrEnum):
    """How the items of two arrays find each other."""

    LIST = "list"  # the order counts; what was put in or taken out is found by the longest common run
    SET = "set"  # the order does not count, how often an item occurs does
    SORTED = "sorted"  # as if both were sorted first


class OrderRule(PlacedRule, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """How the items of an array find each other: `as`, or by the member `key` of each item.

    With `key` alone the order does not count; with `key` and `as = "list"` it does.
    """

    way: Order | None = msgspec.field(default=None, name="as")
    key: _Text | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.way is self.key is None:
            raise SettingsError(f"the order of {self.path!r} says nothing: give `as` or `key`")
        if self.key is not None and self.way not in (None, Order.LIST):
            raise SettingsError(f'the order of {self.path!r}: `key` goes alone or with `as = "list"`')

    @property
    def order_is_free(self) -> bool:
        """Whether the same items in another order are no difference."""
        return self.way != Order.LIST


@lru_cache(maxsize=2048)
def rule_id(rule: PlacedRule) -> str:
    """16 hex digits that stand for the rule: the same for an equal rule, wherever it is read."""
    said = json.dumps([type(rule).__name__, msgspec.to_builtins(rule)])
    return hashlib.blake2b(said.encode(), digest_size=8).hexdigest()


def _overlap(one: object, other: object) -> bool:
    if one is None or other is None or one == other:
        return True
    if isinstance(one, int) or isinstance(other, int):
        classes = {f"{part // 100}xx" if isinstance(part, int) else part for part in (one, other)}
        return len(classes) == 1 and not (isinstance(one, int) and isinstance(other, int))
    return glob(str(one), str(other)) or glob(str(other), str(one))
