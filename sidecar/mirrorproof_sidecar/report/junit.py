"""The report as JUnit XML, for CI: a test for each check of the verdict.

Pure. A check that fails is a failure. One that is undecided is an error, since a build must not turn green
without evidence; where the endpoint is too small to hold up a pass, it is skipped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, Final

from mirrorproof_sidecar.examples import clean
from mirrorproof_sidecar.report.losses import loss_lines
from mirrorproof_sidecar.report.words import endpoint_name, headline

__all__ = ["render_junit"]

_ALL: Final = "all endpoints"
_OUTCOMES: Final = {"fail": "failure", "undecided": "error"}
_Case = tuple[str, str, str, str]
"""Class, name, `failure`, `error`, `skipped` or nothing, and a message."""


def render_junit(report: Mapping[str, Any]) -> str:
    """The report as XML."""
    cases = list(_cases(report["verdict"]))
    counts = {what: sum(one[2] == what for one in cases) for what in ("failure", "error", "skipped")}
    head = (
        f'tests="{len(cases)}" failures="{counts["failure"]}" errors="{counts["error"]}" '
        f'skipped="{counts["skipped"]}"'
    )
    out = "\n".join(
        [headline(report), *report["verdict"]["reasons"], *(line for line, _ in loss_lines(report))]
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<testsuites {head}>\n<testsuite name="mirrorproof" {head}>\n'
        + "".join(_xml(*case) for case in cases)
        + f"<system-out>{_text(out)}</system-out>\n</testsuite>\n</testsuites>\n"
    )


def _cases(verdict: Mapping[str, Any]) -> Iterator[_Case]:
    evidence = verdict["evidence"]
    outcome = _OUTCOMES.get(verdict["verdict"], "")
    yield _ALL, "verdict", outcome, "; ".join(verdict["reasons"]) if outcome else ""
    yield from _checks(_ALL, evidence["all"], minor=False)
    for endpoint in evidence["endpoints"]:
        name = f"{endpoint['service']}: {endpoint_name(endpoint)}"
        yield from _checks(name, endpoint, minor=endpoint["minor"])


def _checks(group: str, scope: Mapping[str, Any], *, minor: bool) -> Iterator[_Case]:
    unsure = "skipped" if minor else "error"
    for check in scope["checks"]:
        outcome = {"fail": "failure", "undecided": unsure}.get(check["verdict"], "")
        yield group, check["name"], outcome, check["words"] if outcome else ""
    for gap in scope["completeness"]:
        words = f"{gap['count']:,} of {gap['of']:,}; at most {gap['limit']} of them may be"
        yield group, f"complete: {gap['name']}", unsure if gap["too_much"] else "", words


def _xml(group: str, name: str, outcome: str, message: str) -> str:
    test = f'<testcase classname="{_text(group)}" name="{_text(name)}"'
    if not outcome:
        return f"{test}/>\n"
    kind = "fail" if outcome == "failure" else "undecided"
    return f'{test}><{outcome} type="{kind}" message="{_text(message)}"/></testcase>\n'


def _text(text: str) -> str:
    """Escaped, and without the characters that XML has no way to hold; lines stay lines."""
    return escape("\n".join(clean(line) for line in text.split("\n")))
