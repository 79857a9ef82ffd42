"""What the documents show works as it stands there."""

from __future__ import annotations

import json
import re
import runpy
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mirrorproof.exchange import Exchange, Request, Response
from mirrorproof.rulings import RuleAction
from mirrorproof.settings import Settings
from mirrorproof_sidecar.compare import (
    DEFAULT_RULES,
    Kind,
    Op,
    Order,
    OrderRule,
    Result,
    Rules,
    ToleranceRule,
    TransformRule,
)
from mirrorproof_sidecar.judge import Limits, Thresholds
from mirrorproof_sidecar.recorder.handlers import ROUTES

DOCS = Path(__file__).parents[2] / "docs"


def blocks(page: str, language: str) -> list[str]:
    found = re.findall(rf"```{language}\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)
    assert found
    return found


def test_the_examples_of_rules_are_rules() -> None:
    first, others, more = (Rules.from_dict(tomllib.loads(text)) for text in blocks("rules.md", "toml"))
    (same,) = (Rules.from_json(text) for text in blocks("rules.md", "json"))

    assert first == same
    assert (len(others.tolerance), len(others.transform), len(others.order)) == (1, 1, 2)
    assert len(more.ignore) == 6


def test_the_page_on_rules_names_every_key_op_and_order() -> None:
    text = (DOCS / "rules.md").read_text()
    named = {
        field.encode_name
        for sort in (ToleranceRule, TransformRule, OrderRule)
        for field in msgspec.structs.fields(sort)
    }
    named |= {field.name for field in msgspec.structs.fields(Rules)}
    missing = [name for name in sorted(named | set(Op)) if f"`{name}" not in text]
    missing += [f'as = "{way}"' for way in Order if f'as = "{way}"' not in text]
    assert missing == []


@pytest.mark.parametrize("header", ["date", "server", "x-request-id", "traceparent", "etag"])
def test_the_default_rules_are_those_that_the_page_names(header: str) -> None:
    assert f"`{header}`" in (DOCS / "rules.md").read_text()
    assert f"/headers/{header}" in {rule.path for rule in DEFAULT_RULES.ignore}


def test_the_page_on_the_api_names_every_call_filter_and_field() -> None:
    text = (DOCS / "http-api.md").read_text()
    named: list[str] = [f"{route.method} {route.path}" for route in ROUTES if route.method != "HEAD"]
    named += [str(value) for value in (*Kind, *Result)]
    named += [field.name for kind in (Exchange, Request, Response) for field in msgspec.structs.fields(kind)]

    missing = [name for name in named if f"`{name}`" not in text]
    assert missing == []


def test_the_examples_of_effect_rules_and_modes_are_settings(tmp_path: Path) -> None:
    page = runpy.run_path(str(DOCS / "settings_page.py"))["page"]()
    (tmp_path / "file.toml").write_text("".join(blocks("settings.md", "toml")))
    variable = re.search(r"`MIRRORPROOF_EFFECT_RULES='(.*?)'`", page)
    assert variable is not None

    from_file = Settings.load({"MIRRORPROOF_CONFIG": str(tmp_path / "file.toml")})
    from_variable = Settings.load({"MIRRORPROOF_EFFECT_RULES": variable[1]})

    assert list(from_file.modes) == ["/search/*", "/admin/*"]
    charge, search, refund = from_file.effect_rules
    assert charge.answer is not None
    assert charge.answer.headers == {"content-type": "application/json"}
    assert (search.action, refund.action) == (RuleAction.ALLOW, RuleAction.BLOCK)
    assert from_variable.effect_rules[0].answer is not None
    body: Any = json.loads(from_variable.effect_rules[0].answer.body)
    assert body == {"id": 1}


def test_the_page_on_the_verdict_names_every_threshold_with_its_default() -> None:
    text = (DOCS / "verdict.md").read_text()
    thresholds = Thresholds()
    for name in Thresholds.__struct_fields__:
        value = getattr(thresholds, name)
        if isinstance(value, bool | float):
            assert re.search(rf"\| [^|]*`{name}`[^|]* \| {str(value).lower()} \|", text), name
    for name in Limits.__struct_fields__:
        own = thresholds.of("GET /").number(name)
        shared = "" if name == "mirrored_share" else f" {thresholds.together.number(name):g}"
        pair = rf"{shared} \| {own:g}"
        assert re.search(rf"\| [^|]*`{name}`[^|]* \|{pair} \|", text), name


def test_the_thresholds_on_the_page_can_be_read() -> None:
    (example,) = blocks("verdict.md", "toml")

    assert Thresholds.from_dict(tomllib.loads(example)).of("GET /search/x").number("mirrored_share") == 0.1
