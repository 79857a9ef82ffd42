"""The differences that were planted in v2, as data: where each has to be found, and in what words.

The report and the tests say by this table what was found and what was missed. What v2 does otherwise is
in `shop.releases`; this is the expectation, written down apart from it.

Knows endpoints and paths. Must not know how differences are found.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final

__all__ = ["LATENCY", "PLANTED", "Planted", "Sought", "seek", "unexpected"]

LATENCY: Final = "/latency"
"""Stands for the time that answers take: a matter of many pairs, so no path within one of them."""

_SLOWER_BY_MS: Final = 15.0
"""The least by which the slower query has to show; the query itself sleeps twice as long."""


@dataclass(frozen=True, slots=True)
class Planted:
    """One place where a planted difference shows. `*` in `path` stands for any characters."""

    name: str
    method: str
    route: str
    path: str
    words: str

    @property
    def endpoint(self) -> str:
        """Method and route."""
        return f"{self.method} {self.route}"


_RENAMED: Final = "`stock` is called `in_stock` in v2"
_ROUNDED: Final = "v2 rounds tax line by line, so that some orders are a cent off"

PLANTED: Final = (
    Planted("rounding bug", "POST", "/orders", "/body/total", _ROUNDED),
    Planted(
        "other amount written",
        "POST",
        "/orders",
        "/effects/sql.insert/orders/*",
        "v2 would have stored that total",
    ),
    Planted(
        "other amount charged",
        "POST",
        "/orders",
        "/effects/http.request/POST http:*payments/*",
        "v2 would have charged that total",
    ),
    Planted("renamed field", "GET", "/catalogue/{sku}", "/body/stock", _RENAMED),
    Planted("renamed field", "GET", "/catalogue/{sku}", "/body/in_stock", _RENAMED),
    Planted("renamed field", "GET", "/catalogue", "/body/items/*/stock", _RENAMED),
    Planted("renamed field", "GET", "/catalogue", "/body/items/*/in_stock", _RENAMED),
    Planted(
        "missing null", "GET", "/carts/{cart}", "/body/discount", "v1 sends null, v2 leaves the field out"
    ),
    Planted(
        "new header",
        "GET",
        "/catalogue",
        "/headers/x-catalogue-revision",
        "v2 sends a header that v1 does not",
    ),
    Planted("slower query", "GET", "/search", LATENCY, "v2's search sleeps in the database"),
)


@dataclass(frozen=True, slots=True)
class Sought:
    """A planted difference, and in how many pairs it was found. `example` holds one, where there is one."""

    planted: Planted
    pairs: int
    example: Mapping[str, Any]

    @property
    def found(self) -> bool:
        """Whether it was seen at all."""
        return self.pairs > 0


def seek(summary: Mapping[str, Any]) -> list[Sought]:
    """Each planted difference, sought in the recorder's summary."""
    return [_latency(one, summary) if one.path == LATENCY else _field(one, summary) for one in PLANTED]


def unexpected(summary: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The differences in the summary that nobody planted."""
    found: Iterable[Mapping[str, Any]] = summary["differences"]
    return [difference for difference in found if not any(_fits(one, difference) for one in PLANTED)]


def _field(planted: Planted, summary: Mapping[str, Any]) -> Sought:
    fitting = [difference for difference in summary["differences"] if _fits(planted, difference)]
    if not fitting:
        return Sought(planted, 0, {})
    most = max(fitting, key=lambda difference: int(difference["pairs"]))
    return Sought(planted, most["pairs"], most["example"])


def _fits(planted: Planted, difference: Mapping[str, Any]) -> bool:
    endpoint = f"{difference['method']} {difference['route']}"
    path = difference["path"].replace("~1", "/").replace("~0", "~")
    return endpoint == planted.endpoint and fnmatchcase(path, planted.path)


def _latency(planted: Planted, summary: Mapping[str, Any]) -> Sought:
    for endpoint in summary["endpoints"]:
        if f"{endpoint['method']} {endpoint['route']}" == planted.endpoint and endpoint["pairs"]:
            primary, shadow = endpoint["primary"]["p50_ms"], endpoint["shadow"]["p50_ms"]
            slower = shadow - primary >= _SLOWER_BY_MS
            example = {"path": LATENCY, "primary": f"{primary} ms", "shadow": f"{shadow} ms"}
            return Sought(planted, endpoint["pairs"] if slower else 0, example)
    return Sought(planted, 0, {})
