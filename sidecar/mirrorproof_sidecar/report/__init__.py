"""The report: what a recorder knows, as people and machines read it.

`fetch_report` asks a recorder over HTTP; `render` is pure: a report in, text out, in one of `FORMATS`. A
report is a summary with two keys more, `verdict` and `trends`. Must not know the store. What a report quotes
came from strangers: it is shown as text, never as markup or terminal codes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from mirrorproof_sidecar.asking import ReportError, ask
from mirrorproof_sidecar.report.text import render_text, renderable

__all__ = ["FORMATS", "ReportError", "fetch_report", "fetch_summary", "render", "render_text", "renderable"]

FORMATS: Final = ("text", "json", "markdown", "junit", "html")
_TIMEOUT_S: Final = 60.0


async def fetch_summary(
    url: str, *, token: str | None = None, settle: bool = True, timeout_s: float = _TIMEOUT_S
) -> dict[str, Any]:
    """The summary of the recorder at `url`. Raises `ReportError`."""
    return await ask(url, "/v1/summary" + ("?settle=1" if settle else ""), token=token, timeout_s=timeout_s)


async def fetch_report(
    url: str, *, token: str | None = None, settle: bool = True, timeout_s: float = _TIMEOUT_S
) -> dict[str, Any]:
    """The whole report of the recorder at `url`. Raises `ReportError`."""
    summary = await fetch_summary(url, token=token, settle=settle, timeout_s=timeout_s)
    verdict = await ask(url, "/v1/verdict", token=token, timeout_s=timeout_s)
    trends = await ask(url, "/v1/trends", token=token, timeout_s=timeout_s)
    return summary | {"verdict": verdict, "trends": trends}


def render(report: Mapping[str, Any], form: str, *, width: int | None = None, colour: bool = False) -> str:
    """`report` in one of `FORMATS`; `width` and `colour` are for text."""
    if form == "json":
        return json.dumps(report, indent=2) + "\n"
    if form == "markdown":
        from mirrorproof_sidecar.report.markdown import render_markdown

        return render_markdown(report)
    if form == "junit":
        from mirrorproof_sidecar.report.junit import render_junit

        return render_junit(report)
    if form == "html":
        from mirrorproof_sidecar.report.html import render_html

        return render_html(report)
    return render_text(report, width=width, colour=colour)
