"""Redis's floating point: sums of `long double` and how they are written.

INCRBYFLOAT and HINCRBYFLOAT add with a mantissa of 64 bits (as on x86-64) and write 17 decimals at most.

Pure.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final

from mirrorproof.guards.redis.overlay.space import ServerError

__all__ = ["added", "finite"]

_MANTISSA: Final = 64
_DECIMALS: Final = 17
_MAX_EXPONENT: Final = 4000
_NUMBER: Final = re.compile(rb"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE]([+-]?\d+))?")
_SPECIAL: Final = re.compile(rb"[+-]?(?:inf|infinity)", re.IGNORECASE)


def added(old: bytes, increment: bytes, bad_old: str, bad_increment: str) -> bytes:
    """The sum, as the server writes it. Raises `ServerError` with the words given."""
    first, second = _read(old, bad_old), _read(increment, bad_increment)
    if first is None or second is None:
        raise ServerError("ERR increment would produce NaN or Infinity")
    return _decimal(_rounded(first + second))


def finite(text: bytes, error: str) -> None:
    """Raises `ServerError` for what is no number, or infinite."""
    if _read(text, error) is None:
        raise ServerError("ERR value is NaN or Infinity")


def _read(text: bytes, error: str) -> Fraction | None:
    """The number, `None` for an infinite one."""
    if _SPECIAL.fullmatch(text):
        return None
    found = _NUMBER.fullmatch(text)
    if found is None or abs(int(found[1] or 0)) > _MAX_EXPONENT:
        raise ServerError(error)
    return _rounded(Fraction(text.decode()))


def _rounded(number: Fraction) -> Fraction:
    """To the nearest `long double`, ties to even."""
    if not number:
        return number
    size = abs(number)
    shift = _MANTISSA - (size.numerator.bit_length() - size.denominator.bit_length())
    scale = Fraction(2) ** shift
    if size * scale >= 2**_MANTISSA:
        scale /= 2
    return Fraction(round(number * scale)) / scale


def _decimal(number: Fraction) -> bytes:
    digits = round(number * 10**_DECIMALS)
    whole, rest = divmod(abs(digits), 10**_DECIMALS)
    text = f"{whole}.{rest:0{_DECIMALS}}".rstrip("0").rstrip(".")
    return (b"-" if digits < 0 else b"") + text.encode()
