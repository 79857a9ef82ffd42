"""What v2 does otherwise than v1: all of it, in one place.

Every behaviour that differs is a field of `Release`; the rest of the shop asks the release it was built
with and compares no version strings. `mirrorproof_demo.planted` says how each difference is expected to
be found.

Knows behaviours. Must not know HTTP or the database.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from enum import Enum
from typing import Final

__all__ = ["RELEASES", "Release", "TaxRounding"]

_TAX_RATE: Final = Decimal("0.19")


class TaxRounding(Enum):
    """Where an order's tax is rounded to cents."""

    ONCE = "once"  # on the order's sum
    PER_LINE = "per line"  # the rounding bug: on each line, so that some orders are a cent off


@dataclass(frozen=True, slots=True)
class Release:
    """One version's behaviour. `search_pause_s` is how much longer its search query takes, in seconds."""

    version: str
    tax_rounding: TaxRounding
    stock_field: str
    sends_null_discount: bool
    catalogue_headers: tuple[tuple[str, str], ...]
    search_pause_s: float

    def total_cents(self, line_cents: Iterable[int]) -> int:
        """What an order of these lines costs, tax included, in cents."""
        lines = list(line_cents)
        if self.tax_rounding is TaxRounding.PER_LINE:
            return sum(lines) + sum(_tax_cents(line) for line in lines)
        return sum(lines) + _tax_cents(sum(lines))


def _tax_cents(cents: int) -> int:
    return int((cents * _TAX_RATE).quantize(Decimal(1), ROUND_HALF_UP))


_V1: Final = Release(
    version="v1",
    tax_rounding=TaxRounding.ONCE,
    stock_field="stock",
    sends_null_discount=True,
    catalogue_headers=(),
    search_pause_s=0.0,
)
_V2: Final = Release(
    version="v2",
    tax_rounding=TaxRounding.PER_LINE,
    stock_field="in_stock",
    sends_null_discount=False,
    catalogue_headers=(("x-catalogue-revision", "7"),),
    search_pause_s=0.03,
)

RELEASES: Final = {release.version: release for release in (_V1, _V2)}
