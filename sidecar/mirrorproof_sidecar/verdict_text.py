"""A verdict as people read it.

Pure: the answer of `GET /v1/verdict` in, text out. What it quotes came from strangers: it is shown as text,
never as markup or terminal codes.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any, Final

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from mirrorproof_sidecar.examples import clean

__all__ = ["progress_line", "render_verdict"]

_STYLES: Final = {"pass": "bold green", "fail": "bold red", "undecided": "bold yellow"}
_COLUMNS: Final = ("differences", "effects", "errors", "latency_p50", "latency_p95")
_MAX_ROWS: Final = 25
_PLAIN_WIDTH: Final = 110


def render_verdict(answer: Mapping[str, Any], *, width: int | None = None, colour: bool = False) -> str:
    """The verdict, its reasons and a row for each endpoint, `width` columns wide."""
    file = io.StringIO()
    wide = width or min(Console().width if colour else _PLAIN_WIDTH, 160)
    console = Console(
        file=file, width=wide, force_terminal=colour, no_color=not colour, highlight=False, emoji=False,
        legacy_windows=False, color_system="standard" if colour else None,
    )  # fmt: skip
    console.print(_renderable(answer))
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n"


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
    headline = Text("mirrorproof  ", style="bold").append(verdict.upper(), style=_STYLES.get(verdict, ""))
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
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="dim")
    table.add_column("seen, from - to, ≤ allowed", overflow="fold", ratio=1)
    table.add_column("pairs", justify="right", no_wrap=True)
    for name in ("differ %", "effects %", "errors %", "p50 ms", "p95 ms"):
        table.add_column(name, justify="right")
    table.add_column("", no_wrap=True)
    rows = [evidence["all"], *evidence["endpoints"]]
    for scope in rows[: _MAX_ROWS + 1]:
        table.add_row(
            Text(_label(scope)), f"{scope['compared']:,}", *(_cell(scope, name) for name in _COLUMNS),
            Text(scope["verdict"], style=_STYLES.get(scope["verdict"], "")),
        )  # fmt: skip
    if len(rows) <= _MAX_ROWS + 1:
        return table
    rest = len(rows) - _MAX_ROWS - 1
    return Group(table, Text(f"… and {rest:,} more endpoints; --format json has them", style="dim"))


def _label(scope: Mapping[str, Any]) -> str:
    if "method" not in scope:
        return "all together"
    minor = " (minor)" if scope["minor"] else ""
    return clean(f"{scope['method']} {scope['route']}") + minor


def _cell(scope: Mapping[str, Any], name: str) -> Text:
    """What was seen, where it lies, and what is allowed, one below the other; of latency the last two as
    parts of what is allowed."""
    check = next((one for one in scope["checks"] if one["name"] == name), None)
    if check is None:
        return Text("off", style="dim")
    style = {"fail": "red", "pass": "green"}.get(check["verdict"], "")
    if check["unit"] == "ratio":
        figures = scope["latency"][name.removeprefix("latency_")]
        versions = (_number(figures[side]["seen"], 1) for side in ("primary_ms", "shadow_ms"))
        text = Text(" → ".join(versions), style=style)
        text.append(f"\n{_number(check['low'])} - {_number(check['high'])}", style="dim")
        return text.append(f"\n≤ {_number(check['limit'])}", style="dim")
    text = Text(_number(check["seen"], 2, 100), style=style)
    text.append(f"\n{_number(check['low'], 2, 100)} - {_number(check['high'], 2, 100)}", style="dim")
    return text.append(f"\n≤ {_number(check['limit'], 2, 100)}", style="dim")


def _number(value: float | None, digits: int = 2, factor: float = 1.0) -> str:
    return "?" if value is None else f"{value * factor:.{digits}f}"
