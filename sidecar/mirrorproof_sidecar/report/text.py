"""The report as text for a terminal, by rich.

Pure: a report in, text out. What it quotes came from strangers: it is shown as text, never as markup or
terminal codes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from mirrorproof_sidecar.examples import clean, shown
from mirrorproof_sidecar.report.losses import loss_lines
from mirrorproof_sidecar.report.words import endpoint_name, kind_words, milliseconds, percent
from mirrorproof_sidecar.terminal import MAX_ROWS, VERDICT_STYLES, as_text

__all__ = ["render_text", "renderable"]

_MAX_VALUE_CHARS: Final = 60


def render_text(summary: Mapping[str, Any], *, width: int | None = None, colour: bool = False) -> str:
    """The report as text, `width` columns wide: by default 100, in colour the terminal's width."""
    return as_text(renderable(summary), width=width, colour=colour)


def renderable(summary: Mapping[str, Any]) -> RenderableType:
    """The report as something that rich prints."""
    return Group(
        _headline(summary),
        *_verdict(summary.get("verdict")),
        *_section("Endpoints", _endpoints(summary["endpoints"])),
        *_section("True differences", _differences(summary["differences"])),
        *_section("Differences that do not count", _ignored(summary["ignored"])),
        *_section("What the shadow would have written", _effects(summary["effects"])),
        *_section("What is missing", _bullets(loss_lines(summary))),
    )


def _headline(summary: Mapping[str, Any]) -> Text:
    totals = summary["totals"]
    text = Text("mirrorproof  ", style="bold")
    if not totals["pairs"]:
        return text + Text("nothing has been compared yet", style="yellow")
    pairs = totals["pairs"]
    text.append(f"{pairs:,} {'pair' if pairs == 1 else 'pairs'} compared: ")
    text.append(f"{totals['matched']:,} matched", style="green")
    text.append(", ")
    text.append(f"{totals['different']:,} different", style="red bold" if totals["different"] else "")
    if totals["incomparable"]:
        text.append(f", {totals['incomparable']:,} not comparable", style="yellow")
    return text


def _verdict(verdict: Mapping[str, Any] | None) -> list[RenderableType]:
    if verdict is None:
        return []
    said = Text("Verdict: ", style="bold").append(
        verdict["verdict"], style=VERDICT_STYLES.get(verdict["verdict"], "")
    )
    reasons = [(clean(reason), False) for reason in verdict["reasons"][:MAX_ROWS]]
    return [Text(""), said, Padding(_bullets(reasons), (0, 0, 0, 2))]


def _section(title: str, body: RenderableType | None) -> list[RenderableType]:
    if body is None:
        return []
    return [Text(""), Text(title, style="bold"), Padding(body, (0, 0, 0, 2))]


def _table(*columns: tuple[str, dict[str, Any]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="dim")
    for name, options in columns:
        table.add_column(name, **options)
    return table


_NUMBER: Final[dict[str, Any]] = {"justify": "right", "no_wrap": True}
_FOLD: Final[dict[str, Any]] = {"overflow": "fold"}


def _endpoints(endpoints: Sequence[Mapping[str, Any]]) -> RenderableType | None:
    if not endpoints:
        return None
    table = _table(
        ("v1 → v2", _FOLD | {"ratio": 1}), ("pairs", _NUMBER), ("matched", _NUMBER), ("differ", _NUMBER),
        ("p50 ms", _NUMBER), ("p95 ms", _NUMBER), ("failed", _NUMBER),
    )  # fmt: skip
    for endpoint in endpoints[:MAX_ROWS]:
        primary, shadow = endpoint["primary"], endpoint["shadow"]
        different = endpoint["different"]
        worse = shadow["errors"] > primary["errors"]
        table.add_row(
            _endpoint(endpoint),
            f"{endpoint['pairs']:,}",
            f"{endpoint['matched']:,}",
            Text(f"{different:,}", style="red" if different else ""),
            f"{milliseconds(primary['p50_ms'])} → {milliseconds(shadow['p50_ms'])}",
            f"{milliseconds(primary['p95_ms'])} → {milliseconds(shadow['p95_ms'])}",
            Text(f"{primary['errors']:,} → {shadow['errors']:,}", style="red" if worse else ""),
        )
    return _with_rest(table, len(endpoints))


def _differences(differences: Sequence[Mapping[str, Any]]) -> RenderableType:
    if not differences:
        return Text("none was found", style="green")
    parts: list[RenderableType] = []
    by_endpoint: dict[str, list[Mapping[str, Any]]] = {}
    for one in differences[:MAX_ROWS]:
        by_endpoint.setdefault(one["endpoint"], []).append(one)
    for found in by_endpoint.values():
        parts += [Text(""), _endpoint(found[0]), Padding(_found(found), (0, 0, 0, 2))]
    if len(differences) > MAX_ROWS:
        parts += [Text(""), _rest(len(differences))]
    return Group(*parts[1:])


def _found(differences: Sequence[Mapping[str, Any]]) -> Table:
    table = _table(
        ("path", _FOLD | {"ratio": 5}), ("kind", {"width": 14}), ("pairs", _NUMBER | {"width": 7}),
        ("share", _NUMBER | {"width": 7}), ("for example, v1 → v2", _FOLD | {"ratio": 6}),
    )  # fmt: skip
    table.expand = True
    for one in differences:
        table.add_row(
            Text(clean(one["path"]), style="bold"),
            kind_words(one["kind"]),
            f"{one['pairs']:,}",
            percent(one["share"]),
            Text(" → ".join(shown(one["example"], _MAX_VALUE_CHARS))),
        )
    return table


def _ignored(ignored: Sequence[Mapping[str, Any]]) -> RenderableType | None:
    if not ignored:
        return None
    table = _table(
        ("path", _FOLD), ("pairs", _NUMBER), ("by", {}), ("why it does not count", _FOLD | {"ratio": 1})
    )
    for one in ignored[:MAX_ROWS]:
        table.add_row(
            Text(clean(one["path"])),
            f"{one['pairs']:,}",
            one["by"],
            Text(clean(one["reason"]) or "(no reason given)"),
        )
    return _with_rest(table, len(ignored))


def _effects(effects: Sequence[Mapping[str, Any]]) -> RenderableType | None:
    mirrored = [one for one in effects if one["side"] != "primary"]
    if not mirrored:
        return None
    table = _table(("effect", _FOLD), ("target", _FOLD | {"ratio": 1}), ("outcome", {}), ("count", _NUMBER))
    for one in mirrored[:MAX_ROWS]:
        harm = one["outcome"] == "executed"
        table.add_row(
            Text(clean(one["kind"])), Text(clean(one["target"])),
            Text(one["outcome"], style="red bold" if harm else "green"), f"{one['count']:,}",
        )  # fmt: skip
    return _with_rest(table, len(mirrored))


def _bullets(lines: Iterable[tuple[str, bool]]) -> RenderableType:
    table = Table.grid(padding=(0, 1))
    for line, bad in lines:
        table.add_row("!" if bad else "·", Text(line, style="yellow" if bad else ""))
    return table


def _with_rest(table: Table, rows: int) -> RenderableType:
    if rows <= MAX_ROWS:
        return table
    return Group(table, _rest(rows))


def _rest(rows: int) -> Text:
    return Text(f"… and {rows - MAX_ROWS:,} more; --format json has them", style="dim")


def _endpoint(named: Mapping[str, Any]) -> Text:
    text = Text(clean(endpoint_name(named)))
    return text.append(f"  {clean(named['service'])}", style="dim")
