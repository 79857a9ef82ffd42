"""The report as GitHub's Markdown, for a comment on a pull request.

Pure. Bounded so that it fits into one comment (65 536 characters). Whatever may be a stranger's text stands
in a code span: there it is no markup, no mention of a person and no link.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from mirrorproof_sidecar.examples import clean, shown
from mirrorproof_sidecar.report.losses import loss_lines
from mirrorproof_sidecar.report.words import endpoint_name, headline, kind_words, milliseconds, percent

__all__ = ["render_markdown"]

_MAX_ROWS: Final = 25
_MAX_CHARS: Final = 160
_MAX_VALUE_CHARS: Final = 40
_MAX_REASONS: Final = 20
_SIGNS: Final = {"pass": "✅", "fail": "❌", "undecided": "❔"}
_TICKS = re.compile("`+")


def render_markdown(report: Mapping[str, Any]) -> str:
    """The report as Markdown."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Mapping[str, Any]) -> Iterator[str]:
    verdict = report.get("verdict")
    if verdict is None:
        yield "## mirrorproof"
    else:
        yield f"## mirrorproof: {_SIGNS.get(verdict['verdict'], '❔')} {verdict['verdict']}"
    yield f"\n{headline(report)}.\n"
    if verdict is not None:
        yield from _bullets(verdict["reasons"])
    yield from _section("Endpoints", _table(_ENDPOINTS, map(_endpoint, report["endpoints"])))
    yield from _section("True differences", _table(_DIFFERENCES, map(_difference, report["differences"])))
    hidden = _table(_HIDDEN, map(_hidden, report["ignored"]))
    if hidden:
        yield f"\n<details><summary>{len(report['ignored'])} places that do not count, and why</summary>\n"
        yield from hidden
        yield "\n</details>"
    yield "\n### What is missing\n"
    yield from _bullets([line for line, _ in loss_lines(report)], code=False)


_ENDPOINTS: Final = (
    "| v1 → v2 | pairs | matched | differ | p50 ms | p95 ms | failed |",
    "| --- | --: | --: | --: | --: | --: | --: |",
)  # fmt: skip
_DIFFERENCES: Final = (
    "| endpoint | path | kind | pairs | share | v1 | v2 |", "| --- | --- | --- | --: | --: | --- | --- |",
)  # fmt: skip
_HIDDEN: Final = ("| path | by | pairs | why |", "| --- | --- | --: | --- |")


def _endpoint(one: Mapping[str, Any]) -> Sequence[str]:
    primary, shadow = one["primary"], one["shadow"]
    return (
        _code(endpoint_name(one)), f"{one['pairs']:,}", f"{one['matched']:,}", f"{one['different']:,}",
        f"{milliseconds(primary['p50_ms'])} → {milliseconds(shadow['p50_ms'])}",
        f"{milliseconds(primary['p95_ms'])} → {milliseconds(shadow['p95_ms'])}",
        f"{primary['errors']:,} → {shadow['errors']:,}",
    )  # fmt: skip


def _difference(one: Mapping[str, Any]) -> Sequence[str]:
    values = (_code(value) for value in shown(one["example"], _MAX_VALUE_CHARS))
    return (
        _code(endpoint_name(one)), _code(one["path"]), kind_words(one["kind"]), f"{one['pairs']:,}",
        percent(one["share"]), *values,
    )  # fmt: skip


def _hidden(one: Mapping[str, Any]) -> Sequence[str]:
    return _code(one["path"]), one["by"], f"{one['pairs']:,}", _code(one["reason"] or "(no reason given)")


def _section(title: str, rows: Sequence[str]) -> Iterator[str]:
    if rows:
        yield f"\n### {title}\n"
        yield from rows


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    made = [f"| {' | '.join(row)} |" for row in rows]
    if not made:
        return []
    rest = [f"\n… and {len(made) - _MAX_ROWS:,} more."] if len(made) > _MAX_ROWS else []
    return [*head, *made[:_MAX_ROWS], *rest]


def _bullets(lines: Sequence[str], *, code: bool = True) -> Iterator[str]:
    for line in lines[:_MAX_REASONS]:
        yield f"- {_code(line, 2 * _MAX_CHARS) if code else clean(line)}"
    if len(lines) > _MAX_REASONS:
        yield f"- … and {len(lines) - _MAX_REASONS:,} more"


def _code(text: str, limit: int = _MAX_CHARS) -> str:
    """`text` in a code span that it cannot leave, nor the table's cell."""
    text = clean(text)
    text = text if len(text) <= limit else text[: limit - 1] + "…"
    fence = "`" * (1 + max((len(run) for run in _TICKS.findall(text)), default=0))
    pad = " " if text.startswith("`") or text.endswith("`") or not text.strip() else ""
    return f"{fence}{pad}{text}{pad}{fence}".replace("|", "\\|")
