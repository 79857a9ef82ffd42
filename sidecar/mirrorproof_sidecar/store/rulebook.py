"""The rules in the store: the last set that was put holds. Must not know what a rule does."""

from __future__ import annotations

from sqlalchemy import Connection, select

from mirrorproof_sidecar.compare import DEFAULT_RULES, Rules
from mirrorproof_sidecar.store import schema

__all__ = ["current_rules", "put_rules"]


def current_rules(connection: Connection) -> Rules:
    """The rules that hold: those put last, else the default ones."""
    table = schema.rules
    text = connection.execute(select(table.c.rules_json).order_by(table.c.id.desc()).limit(1)).scalar()
    return DEFAULT_RULES if text is None else Rules.from_json(text)


def put_rules(connection: Connection, rules: Rules, *, now_s: float) -> None:
    """Make `rules` hold for what is compared from now on. The same again changes nothing."""
    if current_rules(connection) != rules:
        row = {"rules_json": rules.to_json().decode(), "created_s": now_s}
        connection.execute(schema.rules.insert(), [row])
