"""A verdict as people read it.

Pure: the answer of `GET /v1/verdict` in, text out. What it quotes came from strangers: it is shown as text,
never as markup or terminal codes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from mirrorproof_sidecar.examples import clean
from mirrorproof_sidecar.terminal import MAX_ROWS, VERDICT_STYLES, as_text

__all__ = ["progress_line", "render_verdict"]

_ORDER: Final = ("fail", "undecided", "pass")
_NAMES: Final = {
    "differences": "differences", "effects": "effects", "errors": "failures more",
    "latency_p50": "p50", "latency_p95": "p95",
}  # fmt: skip


def render_verdict(answer: Mapping[str, Any], *, width: int | None = None, colour: bool = False) -> str:
    """The verdict, its reasons and a row for each endpoint, `width` columns wide."""
    return as_text(_renderable(answer), width=width, colour=colour)


def progress_line(answer: Mapping[str, Any]) -> str:
    """One line on how far it is: for who waits."""
    pairs = answer["evidence"]["all"]["compared"]
    more = answer["more_requests"]
    if answer["verdict"] != "undecided":
        return f"{answer['verdict']} after {pairs:,} pairs"
    if more is not None:
        return f"undecided after {pairs:,} pairs; about {more:,} more requests would decide it"
    return f"undecided after {pairs:,} pairs; {clean(str(answer['reasons'][0]))}"


def _renderable(answer: Mapping[str, Any]) -> RenderableType:
    verdict, evidence = answer["verdict"], answer["evidence"]
    headline = Text("mirrorproof  ", style="bold").append(
        verdict.upper(), style=VERDICT_STYLES.get(verdict, "")
    )
    if verdict == "undecided" and answer["more_requests"] is not None:
        headline.append(f"  about {answer['more_requests']:,} more requests like these would decide it")
    parts: list[RenderableType] = [headline, Padding(_bullets(answer["reasons"]), (0, 0, 0, 2))]
    if evidence["endpoints"]:
        parts += [Text(""), _table(evidence)]
    if evidence["notes"]:
        parts += [Text(""), Padding(_bullets(evidence["notes"]), (0, 0, 0, 2))]
    return Group(*parts)


def _bullets(lines: list[str]) -> Table:
    table = Table.grid(padding=(0, 1))
    for line in lines:
        table.add_row("·", Text(clean(line)))
    return table


def _table(evidence: Mapping[str, Any]) -> RenderableType:
    """All together with every check, then the endpoints, failing ones first; of one that passes only that."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="dim")
    table.add_column("", overflow="fold", ratio=1)
    for title in ("seen", "between", "allowed"):
        table.add_column(title, justify="right")
    table.add_column("")
    scopes = [evidence["all"], *sorted(evidence["endpoints"], key=lambda one: _ORDER.index(one["verdict"]))]
    for number, scope in enumerate(scopes[: MAX_ROWS + 1]):
        pairs = f"{scope['compared']:,} pairs"
        table.add_row(Text(_label(scope), style="bold"), pairs, "", "", _verdict(scope))
        if number == 0 or scope["verdict"] != "pass":
            for check in scope["checks"]:
                name = Padding(Text(_NAMES[check["name"]]), (0, 0, 0, 2))
                table.add_row(name, *_figures(check, scope), _verdict(check))
    if len(scopes) <= MAX_ROWS + 1:
        return table
    rest = len(scopes) - MAX_ROWS - 1
    return Group(table, Text(f"… and {rest:,} more endpoints; --format json has them", style="dim"))


def _label(scope: Mapping[str, Any]) -> str:
    if "method" not in scope:
        return "all together"
    minor = " (minor)" if scope["minor"] else ""
    return clean(f"{scope['method']} {scope['route']}") + minor


def _verdict(judged: Mapping[str, Any]) -> Text:
    return Text(judged["verdict"], style=VERDICT_STYLES.get(judged["verdict"], ""))


def _figures(check: Mapping[str, Any], scope: Mapping[str, Any]) -> tuple[str, str, str]:
    """What was seen, between what it lies, and what is allowed; of latency, between which parts of that."""
    digits = 2 if check["unit"] == "share" else 0
    low, high = (_number(check[end], 100, digits) for end in ("low", "high"))
    if check["unit"] == "share":
        return f"{_number(check['seen'], 100)} %", f"{low} - {high} %", f"{_number(check['limit'], 100)} %"
    figures = scope["latency"][check["name"].removeprefix("latency_")]
    primary, shadow = (figures[side]["seen"] for side in ("primary_ms", "shadow_ms"))
    allowed = shadow / check["seen"] if check["seen"] else None
    seen = f"{_number(primary, 1, 1)} → {_number(shadow, 1, 1)} ms"
    return seen, f"{low} - {high} % of it", f"{_number(allowed, 1, 1)} ms"


def _number(value: float | None, factor: float, digits: int = 2) -> str:
    return "?" if value is None else f"{value * factor:.{digits}f}"
