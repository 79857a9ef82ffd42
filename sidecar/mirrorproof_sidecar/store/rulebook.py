"""The rules in the store: the last set that was put holds, and how often each of them was of use.

Must not know what a rule does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec
from sqlalchemy import Connection, delete, select

from mirrorproof_sidecar.compare import DEFAULT_RULES, Rules, rule_id
from mirrorproof_sidecar.store import schema
from mirrorproof_sidecar.store.ingest import upsert

__all__ = ["count_usage", "current_rules", "put_rules", "rules_in_force", "usage"]

_ALL = ""
"""Stands for every pair that was compared, in the place of a rule."""


def current_rules(connection: Connection) -> Rules:
    """The rules that hold: those put last, else the default ones."""
    return rules_in_force(connection)[1]


def rules_in_force(connection: Connection) -> tuple[int, Rules]:
    """The rules that hold and the number of their set; the default ones have 0."""
    table = schema.rules
    newest = select(table.c.id, table.c.rules_json).order_by(table.c.id.desc()).limit(1)
    row = connection.execute(newest).first()
    return (0, DEFAULT_RULES) if row is None else (row.id, Rules.from_json(row.rules_json))


def put_rules(connection: Connection, rules: Rules, *, now_s: float) -> None:
    """Make `rules` hold for what is compared from now on, and count their use anew. The same again changes
    nothing."""
    if current_rules(connection) != rules:
        row = {"rules_json": rules.to_json().decode(), "created_s": now_s}
        connection.execute(schema.rules.insert(), [row])
        connection.execute(delete(schema.rule_usage))


def count_usage(connection: Connection, rules_number: int, used: Iterable[tuple[str, ...]]) -> None:
    """Count for each pair which rules (`rule_id`) of the set `rules_number` were of use."""
    counts: Counter[str] = Counter()
    for rules in used:
        counts[_ALL] += 1
        counts.update(rules)
    if counts:
        table = schema.rule_usage
        statement = upsert(connection, table)
        statement = statement.on_conflict_do_update(
            index_elements=["rules", "rule"], set_={"pairs": table.c.pairs + statement.excluded.pairs}
        )
        # In one order everywhere, so that two recorders never wait for each other.
        rows = [{"rules": rules_number, "rule": rule, "pairs": counts[rule]} for rule in sorted(counts)]
        connection.execute(statement, rows)


def usage(connection: Connection) -> dict[str, Any]:
    """How many pairs were compared since the rules that hold were put, and in how many each was of use."""
    number, rules = rules_in_force(connection)
    table = schema.rule_usage
    rows = connection.execute(select(table.c.rule, table.c.pairs).where(table.c.rules == number))
    pairs = {row.rule: row.pairs for row in rows}
    shown = [
        {"sort": sort, "pairs": pairs.get(rule_id(rule), 0), **msgspec.to_builtins(rule)}
        for sort, rule in rules.placed()
    ]
    return {
        "compared": pairs.get(_ALL, 0),
        "rules": shown,
        "unused": [rule for rule in shown if not rule["pairs"]],
    }
