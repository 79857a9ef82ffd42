"""Two values that differ and pass all the same, because a tolerance or a transform lets them.

Knows values and what a rule allows. Must not know where they come from. Symmetric: which value is whose does
not matter. Exact: numbers are compared as decimals, not as doubles.
"""

from __future__ import annotations

import decimal
import re
import unicodedata
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any, Final

from mirrorproof_sidecar.compare.ruletypes import Op, ToleranceRule, TransformRule

__all__ = ["instant", "transformed", "within"]

_MAX_CHARS: Final = 10_000
_NUMBER: Final = re.compile(r"-?\d{1,400}(\.\d{1,400})?([eE][+-]?\d{1,6})?", re.ASCII)
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d.{0,40}|[A-Z][a-z]{2}, .{1,40}", re.ASCII)
_EXACT: Final = decimal.Context(prec=1000, Emax=9_999_999, Emin=-9_999_999, traps=[])


def within(rule: ToleranceRule, one: Any, other: Any) -> bool:
    """Whether the two are no further apart than the rule allows."""
    if rule.seconds is not None:
        mine, its = instant(one), instant(other)
        if mine is not None and its is not None and abs((mine - its).total_seconds()) <= rule.seconds:
            return True
    if isinstance(one, str) is not isinstance(other, str):
        return False
    a, b = _number(one), _number(other)
    if a is None or b is None:
        return False
    apart = _EXACT.abs(_EXACT.subtract(a, b))
    return (rule.absolute is not None and apart <= Decimal(repr(rule.absolute))) or (
        rule.relative is not None
        and apart <= _EXACT.multiply(Decimal(repr(rule.relative)), max(_EXACT.abs(a), _EXACT.abs(b)))
    )


def transformed(rules: tuple[TransformRule, ...], value: Any) -> Any:
    """`value` as the rules make it, one after the other; what a rule does not fit stays as it is."""
    for rule in rules:
        if isinstance(value, str) and len(value) > _MAX_CHARS and rule.op not in _CHEAP:
            continue
        value = _OPS[rule.op](value, rule)
    return value


def instant(value: Any) -> datetime | None:
    """The instant that a timestamp names; one without a zone is taken for UTC."""
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        return None
    try:
        found = datetime.fromisoformat(value) if value[:1].isdigit() else parsedate_to_datetime(value)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError, IndexError):
        return None


def _number(value: Any) -> Decimal | None:
    """The exact number, of a number or of a text that is one; `None` if it is none, or not finite."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return Decimal(value)
    if isinstance(value, float):
        value = repr(value)  # the shortest form, which is what was sent
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = _EXACT.create_decimal(value)
    return value if isinstance(value, Decimal) and value.is_finite() else None


def _as_text(change: Any) -> Any:
    return lambda value, rule: change(value) if isinstance(value, str) else value


def _round(value: Any, rule: TransformRule) -> Any:
    number = _number(value)
    if number is None or isinstance(value, str) or number.adjusted() > 500:
        return value
    return _EXACT.quantize(number, Decimal(1).scaleb(-(rule.digits or 0)))


def _by_value(value: Any, _rule: TransformRule) -> Any:
    number = _number(value)
    return value if number is None else number


def _date(value: Any, _rule: TransformRule) -> Any:
    found = instant(value)
    return value if found is None else found


_CHEAP: Final = frozenset({Op.LOWER, Op.STRIP})
_OPS: Final = {
    Op.LOWER: _as_text(str.lower),
    Op.STRIP: _as_text(str.strip),
    Op.SPACES: _as_text(lambda text: " ".join(text.split())),
    Op.NFC: _as_text(lambda text: unicodedata.normalize("NFC", text)),
    Op.SORT_WORDS: _as_text(lambda text: " ".join(sorted(text.split()))),
    Op.ROUND: _round,
    Op.NUMBER: _by_value,
    Op.DATE: _date,
}
