"""The report's pictures as inline SVG: match rate over time, durations of both versions, a bar for a share.

Pure. Knows the shape of `GET /v1/trends`. Colours are classes, so that the page's style decides them, light
and dark. Each picture says in words what it shows, for who cannot see it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from mirrorproof_sidecar.report.markup import Markup, tag

__all__ = ["durations", "match_rate", "share_bar"]

_WIDTH: Final = 720
_LEFT: Final = 56
_RIGHT: Final = 704
_TOP: Final = 16
_BOTTOM: Final = 180
_STRIP: Final = (190, 222)
"""Top and bottom of the columns that say how many pairs there were."""
_LABELS_Y: Final = 240
_FLOORS: Final = (0.999, 0.995, 0.99, 0.98, 0.95, 0.9, 0.8, 0.5, 0.0)
_TICKS_MS: Final = tuple(step * 10.0**power for power in range(-3, 8) for step in (1, 2, 5))
_MAX_TICKS: Final = 8


def match_rate(timeline: Mapping[str, Any]) -> Markup | None:
    """The share of matching pairs over time, and below it how many pairs there were. `None` without any."""
    slices = [one for one in timeline["slices"] if one["pairs"] - one["incomparable"]]
    if not slices:
        return None
    width_s = timeline["slice_s"]
    begin, end = slices[0]["from_unix_s"], slices[-1]["from_unix_s"] + width_s
    rates = [one["matched"] / (one["pairs"] - one["incomparable"]) for one in slices]
    floor = next(one for one in _FLOORS if one <= min(rates))
    most = max(one["pairs"] for one in slices)

    def x(at_s: float) -> float:
        return _round(_LEFT + (at_s - begin) / (end - begin) * (_RIGHT - _LEFT))

    def y(rate: float) -> float:
        return _round(_BOTTOM - (rate - floor) / (1 - floor) * (_BOTTOM - _TOP))

    parts = [_level(y(rate), _rate_words(rate)) for rate in (1.0, (1 + floor) / 2, floor)]
    dots, path, before = [], "", -1.0
    for one, rate in zip(slices, rates, strict=True):
        at = one["from_unix_s"]
        middle, words = (
            x(at + width_s / 2),
            f"{_moment(at)}: {one['pairs']:,} pairs, {_rate_words(rate)} matched",
        )
        # A line leads from slice to slice; where nothing came in between, there is none.
        path += f"{'L' if at - before == width_s else 'M'}{middle} {y(rate)}"
        before = at
        class_ = "dot" if rate == 1 else "dot bad"
        dots.append(tag("circle", tag("title", words), cx=middle, cy=y(rate), r=3.5, class_=class_))
        high = max(1.0, one["pairs"] / most * (_STRIP[1] - _STRIP[0]))
        wide = max(1.0, x(at + width_s) - x(at) - 1)
        dots.append(
            tag("rect", tag("title", words), x=x(at), y=_round(_STRIP[1] - high), width=_round(wide),
                height=_round(high), class_="column")
        )  # fmt: skip
    parts += [tag("path", d=path, class_="line one"), *dots, _label(8, _STRIP[1], "pairs", anchor="start")]
    parts += [
        _label(_LEFT, _LABELS_Y, _moment(begin), anchor="start"),
        _label(_RIGHT, _LABELS_Y, f"{_moment(end)} UTC", anchor="end"),
    ]
    lowest = _rate_words(min(rates))
    return _picture(250, f"Match rate over time: the lowest of {len(slices)} slices is {lowest}", parts)


def durations(latency: Mapping[str, Any]) -> Markup | None:
    """How long both versions took, as a share of answers in each bin. `None` without any."""
    edges = latency["edges_ms"]
    if not edges:
        return None
    low, high = math.log(edges[0]), math.log(edges[-1])
    sides = {name: _shares(latency[name]) for name in ("primary", "shadow")}
    top = max(max(shares) for shares in sides.values()) or 1.0

    def x(value_ms: float) -> float:
        return _round(_LEFT + (math.log(value_ms) - low) / max(high - low, 1e-9) * (_RIGHT - _LEFT))

    def y(share: float) -> float:
        return _round(_BOTTOM - share / top * (_BOTTOM - _TOP))

    parts = [_level(y(share), f"{share * 100:.0f} %") for share in (top, top / 2, 0.0)]
    ticks = [one for one in _TICKS_MS if edges[0] <= one <= edges[-1]]
    for one in ticks[:: max(1, math.ceil(len(ticks) / _MAX_TICKS))]:
        parts.append(_label(x(one), _BOTTOM + 18, f"{one:g}"))
        parts.append(tag("line", x1=x(one), x2=x(one), y1=_BOTTOM, y2=_BOTTOM + 4, class_="grid"))
    parts.append(_label(_RIGHT, _BOTTOM + 36, "milliseconds", anchor="end"))
    for name, class_ in (("primary", "one"), ("shadow", "two")):
        path = f"M{x(edges[0])} {_BOTTOM}"
        for number, share in enumerate(sides[name]):
            path += f"V{y(share)}H{x(edges[number + 1])}"
        parts.append(tag("path", d=f"{path}V{_BOTTOM}", class_=f"area {class_}"))
    return _picture(
        224, "Durations of v1 and v2 as two distributions; the table of endpoints has the figures", parts
    )


def share_bar(share: float, hidden: float = 0.0) -> Markup:
    """A bar for a share of pairs that differ, and behind it one for the share that is hidden."""
    parts = [tag("rect", x=0, y=0, width=100, height=8, rx=2, class_="track")]
    for value, class_ in ((hidden, "faint"), (share, "bad")):
        if value > 0:
            parts.append(
                tag(
                    "rect",
                    x=0,
                    y=0,
                    width=_round(max(1.0, min(1.0, value) * 100)),
                    height=8,
                    rx=2,
                    class_=class_,
                )
            )
    return tag(
        "svg", *parts, viewBox="0 0 100 8", preserveAspectRatio="none", class_="bar", aria_hidden="true"
    )


def _picture(height: int, words: str, parts: Sequence[Markup]) -> Markup:
    box = f"0 0 {_WIDTH} {height}"
    return tag("svg", tag("title", words), *parts, viewBox=box, role="img", class_="picture")


def _level(y: float, words: str) -> Markup:
    line = tag("line", x1=_LEFT, x2=_RIGHT, y1=y, y2=y, class_="grid")
    return Markup(line + _label(_LEFT - 6, y + 4, words, anchor="end"))


def _label(x: float, y: float, words: str, *, anchor: str = "middle") -> Markup:
    return tag("text", words, x=x, y=y, text_anchor=anchor)


def _shares(counts: Sequence[int]) -> list[float]:
    total = sum(counts)
    return [count / total if total else 0.0 for count in counts]


def _rate_words(rate: float) -> str:
    # Never rounded up to 100: that is said of all pairs only.
    return f"{math.floor(rate * 10_000) / 100:g} %"


def _moment(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _round(value: float) -> float:
    return round(value, 2)
