"""Rules about effects: which may really happen, which are answered how, which are refused.

Pure: an effect's kind, target and place in, the first rule that fits out. Must not know guards or requests.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

__all__ = ["NOWHERE", "CannedAnswer", "EffectRule", "RuleAction", "Where", "first_rule"]


class CannedAnswer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a suppressed HTTP request is answered."""

    status: Annotated[int, Meta(ge=200, le=599)] = 200
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    body: str = ""


class RuleAction(StrEnum):
    """What a rule says about the effects that it fits."""

    SUPPRESS = "suppress"  # the default of a mirrored request: answered, never done
    ALLOW = "allow"  # really done, mirrored or not
    BLOCK = "block"  # refused: the application gets an error


class EffectRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One rule: `kind`, `target`, `host`, `method`, `path`, `queue`, `table` are globs, and all have to fit.

    An effect that has no queue, say, is fitted by no other `queue` than `*`. `answer` is what a suppressed
    HTTP request is answered, `returns` (anything that JSON can say) what other suppressed calls return.
    """

    kind: str = "*"
    target: str = "*"
    host: str = "*"
    method: str = "*"
    path: str = "*"
    queue: str = "*"
    table: str = "*"
    action: RuleAction = RuleAction.SUPPRESS
    answer: CannedAnswer | None = None
    returns: Any | UnsetType = UNSET

    def __post_init__(self) -> None:
        if self.action is not RuleAction.SUPPRESS and (self.answer or self.returns is not UNSET):
            raise ValueError("only a rule with the action `suppress` has an `answer` or `returns`")
        if self.answer and self.returns is not UNSET:
            raise ValueError("a rule has either an `answer` (for HTTP) or `returns` (for the others)")


@dataclass(frozen=True, slots=True)
class Where:
    """What rules can name of an effect, `None` where it has no such thing: `host` without its port, `path`
    without its query."""

    host: str | None = None
    method: str | None = None
    path: str | None = None
    queue: str | None = None
    table: str | None = None


NOWHERE: Final = Where()


def first_rule(
    rules: tuple[EffectRule, ...], kind: str, target: str, where: Where = NOWHERE
) -> EffectRule | None:
    """The first rule that fits, or `None`."""
    return next((rule for rule in rules if _fits(rule, kind, target, where)), None)


def _fits(rule: EffectRule, kind: str, target: str, where: Where) -> bool:
    return (
        _matches(rule.kind, kind)
        and _matches(rule.target, target)
        and _matches(rule.host, where.host)
        and _matches(rule.method, where.method)
        and _matches(rule.path, where.path)
        and _matches(rule.queue, where.queue)
        and _matches(rule.table, where.table)
    )


def _matches(pattern: str, value: str | None) -> bool:
    return pattern == "*" or (value is not None and fnmatchcase(value, pattern))
