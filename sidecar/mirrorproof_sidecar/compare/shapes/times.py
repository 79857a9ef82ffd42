"""Points in time, in the notations that services write, and whether two are as fresh as each other.

Pure. Knows notations and the moments at which two answers were made. Must not know where a value stood.

Two stamps are alike if their notations agree and each is *fresh*: made while its own answer was made, give or
take `SLACK_S`. Or if both are away from their own answers by the same, round time, as an expiry is. A
stored time is neither: it is the same in both answers, or it differs.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

__all__ = ["SLACK_S", "Moment", "Stamp", "alike", "fresh", "stamp_of"]

SLACK_S: Final = 5.0
"""A stamp this far before its answer began or after it ended is still the answer's: clocks differ."""
_OFFSET_SLACK_S: Final = 0.75
_ROUND_S: Final = 60
_ROUND_EXPIRY_S: Final = 5
_LONGEST_OFFSET_S: Final = 400 * 86_400
_MAX_CHARS: Final = 48
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_S, _LAST_S = 978_307_200.0, 4_102_444_800.0  # 2001 to 2100
_DAY_S: Final = 86_400.0
_MONTH_NAMES: Final = "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec"
_MONTHS: Final = {month: number for number, month in enumerate(_MONTH_NAMES.split("|"), start=1)}
_ISO = re.compile(
    r"(\d{4})(-?)(\d\d)\2(\d\d)"
    r"(?:([Tt ])(\d\d)(:?)(\d\d)(?:\7(\d\d)(?:([.,])(\d{1,9}))?)?( ?)(Z|z|UTC|GMT|[+-]\d\d(?::?\d\d)?)?)?"
)
_HTTP = re.compile(
    rf"(?:(Mon|Tue|Wed|Thu|Fri|Sat|Sun)(,? ))?(\d\d?)([ -])({_MONTH_NAMES})\4(\d{{4}}) "
    r"(\d\d):(\d\d):(\d\d) (GMT|UTC|[+-]\d{4})"
)
_DIGITS = re.compile(r"\d{10}(?:\.\d{1,9}|\d{3}|\d{6}|\d{9})?")
_EPOCH_UNITS: Final = ((1.0, "seconds"), (1e3, "milliseconds"), (1e6, "microseconds"), (1e9, "nanoseconds"))


@dataclass(frozen=True, slots=True)
class Moment:
    """When an answer was made: Unix seconds of its beginning and its end."""

    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Stamp:
    """A point in time: Unix seconds, how it is written, and the seconds of its last place."""

    unix_s: float
    notation: str
    step_s: float


def stamp_of(value: Any) -> Stamp | None:
    """The point in time that `value` writes, if it writes one: text, or a number since 1970."""
    if type(value) is str:
        if not 8 <= len(value) <= _MAX_CHARS:
            return None
        return _iso(value) or _http(value) or _epoch_text(value)
    if type(value) in (int, float, Decimal):
        return _epoch(value, "integer" if type(value) is int else "number")
    return None


def fresh(stamp: Stamp, moment: Moment) -> bool:
    """Whether the stamp was made together with its answer."""
    if stamp.step_s >= _DAY_S:
        return moment.start_s - SLACK_S < stamp.unix_s + _DAY_S and stamp.unix_s <= moment.end_s + SLACK_S
    return moment.start_s - SLACK_S - stamp.step_s <= stamp.unix_s <= moment.end_s + SLACK_S


def alike(one: Stamp, other: Stamp, moments: tuple[Moment, Moment], *, expiry: bool = False) -> str | None:
    """In words how the two are alike with regard to their own answers; `None` if they are not.

    `expiry`: their name says that they lie ahead, so that less round times away from the answers will do.
    """
    if not _same_notation(one, other):
        return None
    if fresh(one, moments[0]) and fresh(other, moments[1]):
        return "each was made with its own answer"
    if one.step_s >= _DAY_S:
        return None
    mine, its = _offset(one, moments[0]), _offset(other, moments[1])
    low, high = max(mine[0], its[0]), min(mine[1], its[1])
    if low > high or abs(low) > _LONGEST_OFFSET_S:
        return None
    if low > SLACK_S and one.step_s <= 1.0:
        return f"both are {high:.0f} s ahead of their own answers"
    step = _ROUND_EXPIRY_S if expiry and high > 0 else _ROUND_S
    rounded = math.floor(high / step) * step
    return f"both are {rounded} s from their own answers" if rounded >= low else None


def _offset(stamp: Stamp, moment: Moment) -> tuple[float, float]:
    """The least and the most that the stamp can be away from when it was made."""
    return (
        stamp.unix_s - moment.end_s - _OFFSET_SLACK_S,
        stamp.unix_s + stamp.step_s - moment.start_s + _OFFSET_SLACK_S,
    )


def _same_notation(one: Stamp, other: Stamp) -> bool:
    if one.notation != other.notation:
        return False
    # Many writers leave out zeros at the end: a few places of many. Three places are another notation.
    places = sorted(round(-math.log10(min(stamp.step_s, 1.0))) for stamp in (one, other))
    return places[0] == places[1] or (places[1] >= 6 and places[1] - places[0] <= 2)


def _iso(text: str) -> Stamp | None:
    found = _ISO.fullmatch(text)
    if found is None:
        return None
    year, dash, month, day, between, hour, colon, minute, second, point, fraction, *ending = found.groups()
    if between is None and not dash:
        return None  # eight digits are a number
    written = (dash, between, colon, "s" if second else None, point, *ending)
    notation = "iso" + "".join(part or "" for part in written)
    step_s = _DAY_S if hour is None else 60.0 if second is None else 10.0 ** -len(fraction or "")
    return _stamp(
        (year, month, day, hour or 0, minute or 0, second or 0), fraction, ending[1], notation, step_s
    )


def _http(text: str) -> Stamp | None:
    found = _HTTP.fullmatch(text)
    if found is None:
        return None
    weekday, comma, day, dash, month, year, hour, minute, second, zone = found.groups()
    notation = f"http{'d' if weekday else ''}{comma or ''}{dash}{len(day)}{zone}"
    parts = (year, _MONTHS[month], day, hour, minute, second)
    return _stamp(parts, None, zone, notation, 1.0)


def _stamp(
    parts: tuple[Any, ...], fraction: str | None, zone: str | None, notation: str, step_s: float
) -> Stamp | None:
    try:
        year, month, day, hour, minute, second = map(int, parts)
        # A leap second is written as 60.
        moment = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC)
    except ValueError:
        return None
    unix_s = (moment - _EPOCH) / timedelta(seconds=1) + float(f"0.{fraction or 0}") + (second == 60)
    return Stamp(unix_s - _zone_s(zone), notation, step_s)


def _zone_s(zone: str | None) -> int:
    if zone is None or zone[0] not in "+-":
        return 0
    digits = zone[1:].replace(":", "")
    seconds = int(digits[:2]) * 3600 + int(digits[2:] or 0) * 60
    return -seconds if zone[0] == "-" else seconds


def _epoch_text(text: str) -> Stamp | None:
    if _DIGITS.fullmatch(text) is None:
        return None
    whole, _, fraction = text.partition(".")
    if fraction:
        return _in_range(float(text), "text seconds", 10.0 ** -len(fraction))
    return _epoch(int(whole), "text")


def _epoch(value: Any, notation: str) -> Stamp | None:
    if (type(value) is Decimal and not value.is_finite()) or not 0 < value < 1e20:
        return None
    number = float(value)
    for per_s, unit in _EPOCH_UNITS:
        step_s = 1.0 / per_s if notation != "number" else 1e-6
        if stamp := _in_range(number / per_s, f"{notation} {unit}", step_s):
            return stamp
    return None


def _in_range(unix_s: float, notation: str, step_s: float) -> Stamp | None:
    return Stamp(unix_s, notation, step_s) if _FIRST_S <= unix_s <= _LAST_S else None
