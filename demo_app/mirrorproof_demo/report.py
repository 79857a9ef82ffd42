"""The demo's report for people.

Knows how figures are shown. Must not know where they come from, or judge them.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from typing import Any, Final

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from mirrorproof_demo.planted import LATENCY
from mirrorproof_demo.proof import Proof
from mirrorproof_sidecar.examples import shown

__all__ = ["piped_report", "print_report"]

_PIPED_COLUMNS: Final = 100
_UNSEEN: Final = "Without guards, what v2 writes and sends goes unseen: paths in /effects are left out here."

_FOUND, _MISSED = Text("found", "green"), Text("NOT FOUND", "bold red")


def print_report(console: Console, proof: Proof) -> None:
    """Print the whole report."""
    summary = proof.evidence.summary
    sections = (
        ("What ran", _what_ran(proof)),
        ("Endpoints", _endpoints(summary["endpoints"])),
        ("Planted differences", _planted(proof)),
        ("Differences that nobody planted", _unexpected(proof)),
        ("Noise, hidden by rules", _noise(summary["ignored"])),
        ("Side effects of v2 that did not happen", _suppressed(summary["effects"])),
        ("Completeness", _completeness(proof)),
        ("The proof: who wrote what, counted where it would show", _writes(proof)),
    )
    for title, body in sections:
        console.print(Text(f"\n{title}", "bold"))
        console.print(Padding(body, (0, 0, 0, 2), expand=False))
    console.print()
    console.print(_verdict(proof))


def piped_report(proof: Proof) -> str:
    """The whole report for a file or a pipe: of a fixed width, and nothing at the ends of lines."""
    console = Console(highlight=False, width=_PIPED_COLUMNS, file=io.StringIO(), record=True)
    print_report(console, proof)
    return "\n".join(line.rstrip() for line in console.export_text().splitlines())


def _what_ran(proof: Proof) -> RenderableType:
    figures = proof.figures()
    return Text(
        f"{figures['requests']} requests to v1 through Envoy, {figures['mirrored']} of them mirrored to v2, "
        f"{figures['pairs']} pairs compared: {figures['matched']} alike, {figures['different']} different; "
        f"{_spans(proof)}; {figures['seconds']} s in all."
    )


def _spans(proof: Proof) -> str:
    if proof.evidence.exporting:
        return f"{proof.evidence.spans_exported} spans exported"
    return "no OTLP endpoint set, so no spans exported"


def _endpoints(endpoints: Iterable[Mapping[str, Any]]) -> RenderableType:
    table = _table("endpoint", ">pairs", ">alike", ">different", ">v1 p50 ms", ">v2 p50 ms", ">v2 errors")
    for one in endpoints:
        counts = (one["pairs"], one["matched"], one["different"])
        latencies = (_number(one["primary"]["p50_ms"]), _number(one["shadow"]["p50_ms"]))
        errors = str(one["shadow"]["errors"])
        table.add_row(f"{one['method']} {one['route']}", *map(str, counts), *latencies, errors)
    return table


def _planted(proof: Proof) -> RenderableType:
    # Two lines each rather than columns: paths and values are long, and terminals are not.
    table = _table("", "")
    table.show_header = False
    for sought in proof.planted:
        one = sought.planted
        head = Text.assemble((one.name, "bold"), f" - {one.endpoint}, {sought.pairs} pairs\n")
        path = _plain_path(str(sought.example.get("path", one.path)))
        detail = _change(sought.example) if sought.example else one.words
        table.add_row(_FOUND if sought.found else _MISSED, head + Text(f"{path}  {detail}"))
    return table


def _unexpected(proof: Proof) -> RenderableType:
    table = _table("endpoint", "path", ">pairs", "v1 → v2")
    for one in proof.unexpected:
        endpoint = f"{one['method']} {one['route']}"
        table.add_row(endpoint, _plain_path(one["path"]), str(one["pairs"]), _change(one["example"]))
    found: RenderableType = table if table.row_count else Text("none", "green")
    return found if proof.evidence.guards else Group(found, Text(_UNSEEN, "red"))


def _noise(ignored: Iterable[Mapping[str, Any]]) -> RenderableType:
    table = _table("path", ">pairs", "why it is noise")
    for one in ignored:
        table.add_row(one["path"], str(one["pairs"]), one["reason"])
    return table


def _suppressed(effects: Iterable[Mapping[str, Any]]) -> RenderableType:
    table = _table(">count", "kind", "target", "outcome")
    for one in effects:
        if one["side"] == "shadow" and one["outcome"] != "executed":
            table.add_row(str(one["count"]), one["kind"], one["target"], one["outcome"])
    return table if table.row_count else Text("none", "bold red")


def _completeness(proof: Proof) -> RenderableType:
    figures, held = proof.figures(), proof.evidence.summary["completeness"]
    unpaired = ", ".join(f"{count} {reason}" for reason, count in figures["unpaired_by"].items() if count)
    lines = [
        f"{figures['writes_by_primary']} writes of v1, {figures['effects_suppressed']} side effects of v2 "
        "that did not happen",
        f"{figures['mirrored']} mirrored = {figures['pairs']} pairs + {figures['unpaired']} unpaired"
        + (f" ({unpaired})" if unpaired else ""),
        f"yielded so that v1 need not wait: {figures['yielded']}; truncated: {held['truncated']}; "
        f"refused: {sum(held['refused'].values())}; dropped: {sum(held['dropped'].values())}",
    ]
    return Text("\n".join(lines))


def _writes(proof: Proof) -> RenderableType:
    table = _table("where", ">by v1", ">by v2")
    for place, counts in proof.evidence.writes.places.items():
        by_shadow = counts.get("v2", 0)
        table.add_row(place, str(counts.get("v1", 0)), Text(str(by_shadow), "red" if by_shadow else "green"))
    return table


def _verdict(proof: Proof) -> RenderableType:
    if proof.holds:
        return Text("The proof holds: v2 wrote nothing, and what it does otherwise was found.", "bold green")
    reasons = [Text(f"  - {reason}", "red") for reason in proof.reasons]
    return Group(Text("The proof does not hold:", "bold red"), *reasons)


def _table(*columns: str) -> Table:
    """Columns whose name starts with `>` are numbers."""
    table = Table(box=None, pad_edge=False, header_style="dim", show_edge=False)
    for column in columns:
        justify: Any = "right" if column.startswith(">") else "left"
        table.add_column(column.removeprefix(">"), justify=justify, overflow="fold")
    return table


def _change(example: Mapping[str, Any]) -> str:
    if example.get("path") == LATENCY:
        return f"{example['primary']} → {example['shadow']}"
    return " → ".join(shown(example))


def _plain_path(path: str) -> str:
    return path.replace("~1", "/").replace("~0", "~")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
