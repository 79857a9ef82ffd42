"""The report as Markdown, JUnit and HTML: complete, bounded, and safe whatever strangers have sent."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import pytest

from mirrorproof.exchange import Effect, Exchange, Outcome
from mirrorproof_sidecar.report import FORMATS, fetch_report, render
from mirrorproof_sidecar.report.pictures import durations, match_rate

Make = Callable[..., Exchange]
EVIL = (
    "\x1b[31m<script>alert(1)</script>\"'><img src=x onerror=alert(1)>|`@someone`\r\n\u202e[x](javascript:1)"
)


async def report_of(client: Any, *exchanges: Exchange) -> Any:
    if exchanges:
        await client.post(*exchanges)
    return await fetch_report(client.url)


def pair(make: Make, number: int, v2: bytes = b'{"a":1}', **more: Any) -> list[Exchange]:
    return [make("primary", f"p{number}", **more), make("shadow", f"p{number}", body=v2, **more)]


def evil(make: Make) -> list[Exchange]:
    effects = [Effect(kind=EVIL, target=EVIL, summary=EVIL, digest="d", outcome=Outcome.SUPPRESSED)]
    request = {"path": f"/{EVIL}", "route": EVIL, "method": EVIL[:60]}
    return [
        make("primary", body=json.dumps({EVIL: EVIL}).encode(), request=request, service=EVIL),
        make("shadow", body=b"{}", request=request, service=EVIL, effects=effects),
    ]


class Page(HTMLParser):
    """What elements, attributes and text a page has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("pairs", [0, 1, 30])
async def test_every_format_says_what_was_compared_however_little_it_was(
    client: Any, make_exchange: Make, form: str, pairs: int
) -> None:
    exchanges = [one for number in range(pairs) for one in pair(make_exchange, number, b'{"a":2}')]

    report = await report_of(client, *exchanges)
    text = render(report, form)

    said = "nothing has been compared yet" if not pairs else f"{pairs} pair{'s' * (pairs > 1)} compared"
    assert said in text or (form == "json" and json.loads(text)["totals"]["pairs"] == pairs)
    assert report["verdict"]["verdict"] in text
    if pairs:
        assert "/body/a" in text or form == "junit"


async def test_the_page_has_one_style_and_allows_nothing_else(client: Any, make_exchange: Make) -> None:
    text = render(await report_of(client, *evil(make_exchange), *pair(make_exchange, 1)), "html")

    page = Page(text)
    assert not page.open
    (policy,) = (value for name, value in page.attributes if name == "content" and "default-src" in value)
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy.split("; ") == [
        "default-src 'none'", f"style-src 'sha256-{digest}'", "base-uri 'none'", "form-action 'none'",
    ]  # fmt: skip
    assert {"script", "img", "link", "iframe", "a", "form"}.isdisjoint(page.tags)
    assert not [
        one for one in page.attributes if one[0] in ("src", "href", "style") or one[0].startswith("on")
    ]
    assert "url(" not in style
    assert "@import" not in style


async def test_what_strangers_sent_is_text_in_every_format(client: Any, make_exchange: Make) -> None:
    report = await report_of(client, *evil(make_exchange))

    assert "<script>alert(1)</script>" in Page(render(report, "html")).text
    suite = ElementTree.fromstring(render(report, "junit"))
    assert any("<script>" in case.attrib["classname"] for case in suite.iter("testcase"))
    for form in ("html", "junit", "markdown", "text"):
        assert not {"\x1b", "\r", "\u202e"} & set(render(report, form)), form
    markdown = render(report, "markdown")
    for line in markdown.splitlines():
        # Without its code spans nothing of it is left, and no cell of a table was opened by it.
        bare = re.sub(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)", "", line)
        assert not re.search(r"script|someone|onerror|javascript", bare), line
    columns = {line.replace("\\|", "").count("|") for line in markdown.splitlines() if "changed" in line}
    assert len(columns) <= 1


async def test_a_comment_on_a_pull_request_takes_the_longest_report(client: Any, make_exchange: Make) -> None:
    long = "`|<" * 150
    exchanges = [
        one
        for number in range(60)
        for one in pair(
            make_exchange, number, json.dumps({f"{long}{key}": long for key in range(30)}).encode(),
            request={"route": f"/{long[:250]}{number}"},
        )
    ]  # fmt: skip

    text = render(await report_of(client, *exchanges), "markdown")

    assert len(text) < 65_536
    assert re.search(r"… and \d+ more", text)


async def test_junit_is_red_unless_it_passes(client: Any, make_exchange: Make) -> None:
    report = await report_of(client, *pair(make_exchange, 1))
    undecided = ElementTree.fromstring(render(report, "junit"))
    assert undecided.find(".//testcase[@name='verdict']/error") is not None
    assert int(undecided.attrib["errors"]) == len(undecided.findall(".//error"))
    assert int(undecided.attrib["tests"]) == len(undecided.findall(".//testcase"))

    report["verdict"] |= {"verdict": "fail", "reasons": ["v2 is worse"]}
    (failure,) = ElementTree.fromstring(render(report, "junit")).findall(
        ".//testcase[@name='verdict']/failure"
    )
    assert failure.attrib["message"] == "v2 is worse"

    report["verdict"]["verdict"] = "pass"
    for scope in (report["verdict"]["evidence"]["all"], *report["verdict"]["evidence"]["endpoints"]):
        scope["completeness"] = []
        for check in scope["checks"]:
            check["verdict"] = "pass"
    passed = ElementTree.fromstring(render(report, "junit"))
    assert (passed.attrib["failures"], passed.attrib["errors"], passed.attrib["skipped"]) == ("0", "0", "0")


def slices(*counts: tuple[int, int, int]) -> dict[str, Any]:
    return {
        "slice_s": 60,
        "slices": [
            {"from_unix_s": 60 * at, "pairs": pairs, "matched": matched, "incomparable": 0}
            for at, pairs, matched in counts
        ],
    }


def test_the_line_of_match_rates_breaks_where_nothing_came() -> None:
    picture = match_rate(slices((1, 10, 10), (2, 10, 10), (5, 10, 10))) or ""

    (path,) = re.findall(r'<path d="([^"]*)" class="line', picture)
    assert (path.count("M"), path.count("L")) == (2, 1)


def test_a_match_rate_is_never_rounded_up_to_all_of_them() -> None:
    picture = match_rate(slices((1, 100_000, 99_999))) or ""

    assert "99.99 % matched" in picture


def test_pictures_of_nothing_are_none_and_of_one_value_are_drawn() -> None:
    assert match_rate({"slice_s": None, "slices": []}) is None
    assert durations({"edges_ms": [], "primary": [], "shadow": []}) is None
    assert "nan" not in str(durations({"edges_ms": [5.0, 5.0], "primary": [1], "shadow": [0]}))


async def test_trends_count_every_pair_once(client: Any, make_exchange: Make) -> None:
    await client.post(*(one for number in range(9) for one in pair(make_exchange, number, b"[]")))
    await client.summary()

    trends = await client.get("/v1/trends")

    assert sum(one["pairs"] for one in trends["timeline"]["slices"]) == 9
    assert sum(one["different"] for one in trends["timeline"]["slices"]) == 9
    latency = trends["latency"]
    assert sum(latency["primary"]) == sum(latency["shadow"]) == 9
    assert latency["edges_ms"][0] <= 5.0 < 8.0 <= latency["edges_ms"][-1]
    assert (await client.get("/v1/trends?endpoint=none"))["timeline"]["slices"] == []
    await client.get("/v1/trends?endpont=x", 400)
