"""The report as one HTML page with its pictures inside: nothing is loaded, nothing runs.

Pure. The page's Content-Security-Policy allows its one style sheet, by digest, and nothing else. Strangers'
text comes in through `tag` only, which escapes it.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from mirrorproof_sidecar.examples import shown
from mirrorproof_sidecar.report.losses import loss_lines
from mirrorproof_sidecar.report.markup import Markup, tag
from mirrorproof_sidecar.report.pictures import durations, match_rate, share_bar
from mirrorproof_sidecar.report.style import STYLE
from mirrorproof_sidecar.report.words import endpoint_name, headline, kind_words, milliseconds, percent

__all__ = ["render_html"]

_MAX_ROWS: Final = 100
_MAX_VALUE_CHARS: Final = 120
_DIGEST: Final = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
_POLICY: Final = f"default-src 'none'; style-src 'sha256-{_DIGEST}'; base-uri 'none'; form-action 'none'"
_CHECKS: Final = {
    "differences": "differences", "effects": "effects", "errors": "failures", "latency_p50": "median latency",
    "latency_p95": "95th percentile of latency",
}  # fmt: skip


def render_html(report: Mapping[str, Any]) -> str:
    """The whole page."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", f"mirrorproof: {headline(report)}"),
        tag("style", Markup(STYLE)),
    )
    body = tag("body", tag("main", *_parts(report)))
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _parts(report: Mapping[str, Any]) -> Iterator[Markup]:
    yield _banner(report)
    trends = report.get("trends") or {"timeline": {"slices": []}, "latency": {"edges_ms": []}}
    empty = "Nothing has been compared yet."
    yield _section("Match rate over time", match_rate(trends["timeline"]) or tag("p", empty, class_="dim"))
    yield _section(
        "How long both versions took",
        _legend(),
        durations(trends["latency"]) or tag("p", "No pair in which both versions answered.", class_="dim"),
        tag("p", "v2 ran dry: its writes were rolled back or answered by stubs.", class_="dim"),
    )
    yield _section("Fields that differ", *_fields(report["differences"]))
    if report["endpoints"]:
        yield _section("Endpoints", *_table(_ENDPOINTS, map(_endpoint, report["endpoints"])))
    if verdict := report.get("verdict"):
        yield _section("What the verdict rests on", *_checks(verdict["evidence"]))
    if report["ignored"]:
        yield _section("Differences that do not count", *_table(_HIDDEN, map(_hidden, report["ignored"])))
    if effects := [one for one in report["effects"] if one["side"] != "primary"]:
        yield _section("What v2 would have written", *_table(_EFFECTS, map(_effect, effects)))
    losses = (tag("li", line, class_="warn" if bad else "dim") for line, bad in loss_lines(report))
    yield _section("What is missing", tag("ul", *losses))


def _banner(report: Mapping[str, Any]) -> Markup:
    verdict = report.get("verdict")
    made = datetime.fromtimestamp(report["generated_unix_s"], UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    parts = [tag("p", f"mirrorproof · {made}", class_="dim")]
    if verdict is None:
        return tag("header", *parts, tag("h1", headline(report)))
    said = verdict["verdict"]
    parts += [
        tag("h1", tag("span", said, class_=f"verdict {said}")),
        tag("p", headline(report), class_="lead"),
    ]
    parts.append(tag("ul", *(tag("li", reason) for reason in verdict["reasons"][:_MAX_ROWS])))
    if verdict["more_requests"] is not None and said == "undecided":
        parts.append(
            tag("p", f"About {verdict['more_requests']:,} more requests like these would decide it.")
        )
    return tag("header", *parts)


def _legend() -> Markup:
    one, two = tag("span", "", class_="key one"), tag("span", "", class_="key two")
    return tag("p", one, "v1", two, "v2", class_="legend")


_FIELDS: Final = ("field", "pairs", "share", "v1", "v2")
_ENDPOINTS: Final = ("v1 → v2", "pairs", "matched", "differ", "p50 ms", "p95 ms", "failed")
_HIDDEN: Final = ("path", "by", "pairs", "why")
_EFFECTS: Final = ("effect", "target", "outcome", "count")
_VERDICT: Final = ("scope", "check", "verdict", "why")


def _fields(found: Sequence[Mapping[str, Any]]) -> Iterator[Markup]:
    if not found:
        yield tag("p", "None was found.", class_="dim")
        return
    words = "Red: share of the endpoint's pairs. Grey: share in which something there was hidden."
    yield tag("p", words, class_="dim")
    yield from _table(_FIELDS, map(_field, found))


def _field(one: Mapping[str, Any]) -> Sequence[Markup]:
    primary, shadow = shown(one["example"], _MAX_VALUE_CHARS)
    where = f"{endpoint_name(one)} · {kind_words(one['kind'])}"
    hidden = max((share or 0.0 for share in one["hidden"].values()), default=0.0)
    noise = one["noise_share"]
    shares = [tag("div", percent(one["share"])), share_bar(one["share"] or 0.0, hidden)]
    if noise:
        shares.append(tag("div", f"v1 against its control: {percent(noise)}", class_="dim"))
    return (
        tag("td", tag("code", one["path"]), tag("div", where, class_="dim")), _number(one["pairs"]),
        tag("td", *shares), tag("td", tag("code", primary)), tag("td", tag("code", shadow)),
    )  # fmt: skip


def _endpoint(one: Mapping[str, Any]) -> Sequence[Markup]:
    primary, shadow = one["primary"], one["shadow"]
    latency = (
        tag("td", f"{milliseconds(primary[name])} → {milliseconds(shadow[name])}", class_="number")
        for name in ("p50_ms", "p95_ms")
    )
    worse = " bad" if shadow["errors"] > primary["errors"] else ""
    return (
        tag("td", tag("code", endpoint_name(one)), tag("div", one["service"], class_="dim")),
        _number(one["pairs"]), _number(one["matched"]), _number(one["different"]), *latency,
        tag("td", f"{primary['errors']:,} → {shadow['errors']:,}", class_=f"number{worse}"),
    )  # fmt: skip


def _hidden(one: Mapping[str, Any]) -> Sequence[Markup]:
    why = one["reason"] or "(no reason given)"
    return tag("td", tag("code", one["path"])), tag("td", one["by"]), _number(one["pairs"]), tag("td", why)


def _effect(one: Mapping[str, Any]) -> Sequence[Markup]:
    class_ = "bad" if one["outcome"] == "executed" else ""
    return (
        tag("td", tag("code", one["kind"])), tag("td", tag("code", one["target"])),
        tag("td", one["outcome"], class_=class_), _number(one["count"]),
    )  # fmt: skip


def _checks(evidence: Mapping[str, Any]) -> Iterator[Markup]:
    rows = []
    for scope in (evidence["all"], *evidence["endpoints"]):
        name = endpoint_name(scope) if "method" in scope else "all together"
        for check in scope["checks"]:
            mark = tag("span", check["verdict"], class_=f"mark {check['verdict']}")
            what = _CHECKS.get(check["name"], check["name"])
            first = [tag("td", name, rowspan=len(scope["checks"]))] if check is scope["checks"][0] else []
            rows.append((*first, tag("td", what), tag("td", mark), tag("td", check["words"], class_="words")))
    yield from _table(_VERDICT, rows)
    if evidence["notes"]:
        yield tag("ul", *(tag("li", note, class_="dim") for note in evidence["notes"]))


def _number(value: int) -> Markup:
    return tag("td", f"{value:,}", class_="number")


def _section(title: str, *children: Markup) -> Markup:
    return tag("section", tag("h2", title), *children)


def _table(columns: Sequence[str], rows: Iterable[Sequence[Markup]]) -> Iterator[Markup]:
    made = [tag("tr", *row) for row in rows]
    head = tag("thead", tag("tr", *(tag("th", name, scope="col") for name in columns)))
    yield tag("div", tag("table", head, tag("tbody", *made[:_MAX_ROWS])), class_="wide")
    if len(made) > _MAX_ROWS:
        yield tag("p", f"… and {len(made) - _MAX_ROWS:,} more", class_="dim")
