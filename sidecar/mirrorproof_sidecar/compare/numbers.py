"""JSON's numbers, exactly, at a cost that is linear in their text.

Knows the number grammar of RFC 8259. Must not know what holds a number.

`int()` is quadratic in the digits and refuses more than 4300 of them, `float()` rounds, and `Decimal` has
bounds of its own. So an integer is an `int` up to 640 digits (the least that any interpreter's limit
allows); a number with a point or an exponent is a `float` where its shortest form is the same number, else
a `Decimal`; what neither holds is a `LongNumber`. Two texts of one type give equal values exactly if they
are equal numbers: `1.0`, `1.00` and `1e0` are, `1` and `1.0` differ in type, `-0.0` and `0.0` are equal.
"""

from __future__ import annotations

import decimal
import math
import re
from dataclasses import dataclass
from typing import Final, NamedTuple

__all__ = ["LongNumber", "parse_constant", "parse_fraction", "parse_integer"]

_MAX_INT_DIGITS: Final = 640
_MAX_FLOAT_DIGITS: Final = 17  # a double's shortest form never has more
_MAX_EXPONENT: Final = decimal.MAX_EMAX // 2
_CONSTANTS: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_NUMBER = re.compile(r"(-?)(\d+)(?:\.(\d+))?(?:[eE]\+?(-?)0*(\d+))?")


@dataclass(frozen=True, slots=True)
class LongNumber:
    """A number that neither `int` (640 digits) nor `Decimal` holds, in a form that is equal for equals."""

    integer: bool
    text: str


class _Canonical(NamedTuple):
    sign: str
    digits: str  # without zeros at either end; empty for zero
    exponent: int


def parse_integer(text: str) -> int | LongNumber:
    """A number without point and exponent."""
    return int(text) if len(text) <= _MAX_INT_DIGITS else LongNumber(True, text)


def parse_fraction(text: str) -> float | decimal.Decimal | LongNumber:
    """A number with a point or an exponent."""
    if len(text) <= _MAX_FLOAT_DIGITS:
        value = float(text)
        if repr(value) == text:
            return value
    canonical = _canonical(text)
    if canonical is None:
        return LongNumber(False, text)
    sign, digits, exponent = canonical
    if not digits:
        return -0.0 if sign else 0.0
    if len(digits) <= _MAX_FLOAT_DIGITS:
        value = float(f"{sign}{digits}e{exponent}")
        if math.isfinite(value) and _canonical(repr(value)) == canonical:
            return value
    if abs(exponent) + len(digits) > _MAX_EXPONENT:
        return LongNumber(False, f"{sign}{digits}e{exponent}")
    # A context of its own: the caller's may trap or round. Nothing is rounded at this precision.
    exact = decimal.Context(prec=decimal.MAX_PREC, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN)
    return exact.create_decimal(text)


def parse_constant(text: str) -> float:
    """`NaN` and the infinities: no JSON, but many writers send them. Each is one object, equal to itself."""
    return _CONSTANTS[text]


def _canonical(text: str) -> _Canonical | None:
    """The number's one form; `None` where its exponent is too long to be added to."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    sign, whole, fraction, exponent_sign, exponent = match.groups(default="")
    significant = (whole + fraction).lstrip("0")
    if not significant:
        return _Canonical(sign, "", 0)
    if len(exponent) > _MAX_INT_DIGITS - 20:
        return None
    digits = significant.rstrip("0")
    shift = len(significant) - len(digits) - len(fraction)
    return _Canonical(sign, digits, int(f"{exponent_sign}{exponent or 0}") + shift)
