"""`mirrorproof replay`: what is stored, compared again under other rules."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import select, update

from mirrorproof.exchange import Batch, Exchange
from mirrorproof_sidecar.commands import replay as command
from mirrorproof_sidecar.compare import DEFAULT_RULES, Cause, IgnoreRule, Rules
from mirrorproof_sidecar.recorder.settler import Settler
from mirrorproof_sidecar.replay import replay
from mirrorproof_sidecar.settings import RecorderSettings
from mirrorproof_sidecar.store import Store, schema
from mirrorproof_sidecar.store.ingest import ingest
from mirrorproof_sidecar.store.retention import sweep
from mirrorproof_sidecar.store.rulebook import current_rules
from mirrorproof_sidecar.store.summary import summary

Make = Callable[..., Exchange]
IGNORES_A = Rules((IgnoreRule("/body/a", reason="a clock"),)).with_defaults()


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    opened = Store(store_url)
    yield opened
    opened.close()


def fill(store: Store, make: Make, *bodies: bytes) -> None:
    exchanges = []
    for number, body in enumerate(bodies):
        exchanges += [make("primary", f"p{number}"), make("shadow", f"p{number}", body=body)]
    store.write(ingest, Batch(exchanges=exchanges), now_s=1.0, settle_s=0.0, max_endpoints=9)
    settler = Settler(store, RecorderSettings())
    while settler.round(2.0, everything=True):
        pass


def again(store: Store, rules: Rules, *, apply: bool = False) -> dict[str, Any]:
    return replay(store, rules, apply=apply, tell=lambda _: None)


def everything(store: Store) -> list[Any]:
    tables = (schema.pairs, schema.differences, schema.ignored, schema.rules)
    return [store.read(lambda one, table=table: one.execute(select(table)).all()) for table in tables]


def test_the_same_rules_change_nothing(store: Store, make_exchange: Make) -> None:
    fill(store, make_exchange, b'{"a":1}', b'{"a":2}', b'{"b":3}')
    before = store.read(summary)

    found = again(store, DEFAULT_RULES, apply=True)

    assert (found["pairs"], found["written"], found["became"], found["fields"]) == (3, 3, [], [])
    assert store.read(summary) == before


def test_a_trial_tells_what_would_change_and_writes_nothing(store: Store, make_exchange: Make) -> None:
    fill(store, make_exchange, b'{"a":1}', b'{"a":2}', b'{"a":3,"b":1}')
    before = everything(store)

    found = again(store, IGNORES_A)

    assert found["results"]["before"] == {"matched": 1, "different": 2, "incomparable": 0}
    assert found["results"]["after"] == {"matched": 2, "different": 1, "incomparable": 0}
    (step,) = found["became"]
    assert (step["from"], step["to"], step["pairs"]) == ("different", "matched", 1)
    assert [
        (one["path"], one["change"], one["pairs_before"], one["pairs_after"]) for one in found["fields"]
    ] == [("/body/a", "gone", 2, 0)]
    assert everything(store) == before


def test_what_is_applied_is_as_if_the_rules_had_always_held(store: Store, make_exchange: Make) -> None:
    fill(store, make_exchange, b'{"a":1}', b'{"a":2}', b'{"a":3,"b":1}')
    again(store, IGNORES_A, apply=True)

    found = store.read(summary)
    assert (found["totals"]["matched"], found["totals"]["different"]) == (2, 1)
    assert [one["path"] for one in found["differences"]] == ["/body/b"]
    assert "a clock" in {one["reason"] for one in found["ignored"]}

    back = again(store, DEFAULT_RULES, apply=True)
    assert [(one["path"], one["change"]) for one in back["fields"]] == [("/body/a", "new")]
    assert store.read(summary)["totals"]["different"] == 2


def test_what_a_second_read_explained_stays_explained(store: Store, make_exchange: Make) -> None:
    fill(store, make_exchange, b'{"a":2}')
    store.write(
        lambda one: one.execute(
            update(schema.ignored).values(by=Cause.MOVED.value, pattern="/body/a", name="second read")
        )
    )

    found = again(store, DEFAULT_RULES, apply=True)

    assert found["results"]["after"]["matched"] == 1
    assert "moved" in {one["by"] for one in store.read(summary)["ignored"]}


def test_a_pair_whose_exchanges_are_gone_is_counted_not_guessed(store: Store, make_exchange: Make) -> None:
    fill(store, make_exchange, b'{"a":2}', b'{"a":2}')
    store.write(lambda one: one.execute(schema.exchanges.delete()))

    found = again(store, IGNORES_A, apply=True)

    assert (found["pairs"], found["deleted"], found["written"]) == (0, 2, 0)
    assert store.read(summary)["totals"]["different"] == 2
    store.write(sweep, before_s=10.0, limit=10)
    assert again(store, IGNORES_A)["deleted"] == 0


def test_the_command_tries_and_applies_the_rules_of_a_file(tmp_path: Path, make_exchange: Make) -> None:
    url = f"sqlite:///{tmp_path}/s.db"
    opened = Store(url)
    fill(opened, make_exchange, b'{"a":1}', b'{"a":2}')
    (tmp_path / "rules.toml").write_text('[[ignore]]\npath = "/body/a"\nreason = "a clock"\n')
    flags = ["--store", url, "--rules", str(tmp_path / "rules.toml")]

    tried = CliRunner().invoke(command, flags)
    assert tried.exit_code == 0, tried.output
    assert "1 that were different are matched" in tried.output
    assert "- GET /orders/{id}  /body/a (changed value): 1 → 0" in tried.output
    assert "nothing was written" in tried.output
    assert opened.read(current_rules) == DEFAULT_RULES

    applied = CliRunner().invoke(command, [*flags, "--apply", "--format", "json"])
    assert json.loads(applied.stdout)["written"] == 2
    assert opened.read(current_rules) == IGNORES_A
    opened.close()


def test_a_store_or_a_file_of_rules_that_is_none_is_one_sentence(tmp_path: Path) -> None:
    missing = CliRunner().invoke(command, ["--store", "sqlite:////no/such/folder/x.db"])
    assert (missing.exit_code, missing.output.count("\n")) == (1, 1)
    unread = CliRunner().invoke(command, ["--store", f"sqlite:///{tmp_path}/s.db", "--rules", "/no/rules"])
    assert (unread.exit_code, unread.output.count("\n")) == (1, 1)
