"""Who wrote what, by count: the proof that does not take the guards' word for it.

Rows say who wrote them because the database filled it in; the payment service counted its callers; the
pick list's lines name their writer.

Knows where the shop's writes end up. Must not know mirrorproof.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import func, select, text

from mirrorproof_demo.shop.database import SCHEMA, open_plain_engine, plain_url, use_write_ahead_log
from mirrorproof_demo.shop.model import GOODS, WRITTEN, items, metadata
from mirrorproof_demo.web import get_json

__all__ = ["Writes", "count_writes", "prepare_database"]

_WHO = "demo"


@dataclass(frozen=True, slots=True)
class Writes:
    """Writes by place (`rows in orders`, `payments`, …) and by version."""

    places: Mapping[str, Mapping[str, int]]

    def by(self, version: str) -> int:
        """All writes of one version."""
        return sum(place.get(version, 0) for place in self.places.values())


def prepare_database(url: str) -> None:
    """Make the shop's tables and goods, afresh. Raises `ValueError` for a file that is already there."""
    parsed = plain_url(url)
    if parsed.get_backend_name() == "sqlite":
        _refuse_existing(parsed.database)
    engine = open_plain_engine(url, _WHO)
    use_write_ahead_log(engine)
    with engine.begin() as connection:
        if parsed.get_backend_name() == "postgresql":
            connection.execute(text(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE"))
            connection.execute(text(f"CREATE SCHEMA {SCHEMA}"))
        metadata.create_all(connection)
        connection.execute(items.insert(), list(GOODS))
    engine.dispose()


def _refuse_existing(path: str | None) -> None:
    if not path or path == ":memory:":
        raise ValueError("the demo's versions share one database, so SQLite needs a file: sqlite:///shop.db")
    if Path(path).exists():
        raise ValueError(f"{path} is already there; the demo makes a file of its own, so name a new one")


def count_writes(database: str, payments: str, pick_list: Path) -> Writes:
    """Count, at all three places."""
    places: dict[str, Mapping[str, int]] = dict(_rows(database))
    places["payments"] = get_json(f"{payments}/payments/count")
    places["pick-list lines"] = _lines(pick_list)
    return Writes(places)


def _rows(database: str) -> dict[str, dict[str, int]]:
    engine = open_plain_engine(database, _WHO)
    counted: dict[str, dict[str, int]] = {}
    with engine.connect() as connection:
        for table in WRITTEN:
            number = func.count().label("number")
            rows = connection.execute(select(table.c.written_by, number).group_by(table.c.written_by))
            counted[f"rows in {table.name}"] = {row.written_by: row.number for row in rows}
    engine.dispose()
    return counted


def _lines(pick_list: Path) -> dict[str, int]:
    if not pick_list.exists():
        return {}
    lines = pick_list.read_text(encoding="utf-8").splitlines()
    return dict(Counter(json.loads(line)["written_by"] for line in lines))
