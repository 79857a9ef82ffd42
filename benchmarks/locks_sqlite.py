"""How long a live request waits for the writer lock of an SQLite file that a mirrored one has.

    python -m benchmarks.locks_sqlite [--rounds N]

As `benchmarks.locks`, with a rollback journal and with a write-ahead log. SQLite does not tell who waits, so
a mirrored request lets go after a while (`sqlite_writer_limit_ms`), and v1 asks again at intervals that are
SQLite's. What v1's own commit costs on the disk is left out.
"""

from __future__ import annotations

import argparse
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from benchmarks.waiting import Bench, Case, broken, measure, show
from mirrorproof import install_guards
from mirrorproof.settings import Settings

SETUP: Final = """
DROP TABLE IF EXISTS accounts;
DROP TABLE IF EXISTS more;
CREATE TABLE accounts (id INTEGER PRIMARY KEY, note TEXT);
INSERT INTO accounts VALUES (1, ''), (2, '');
"""
WRITE: Final = "UPDATE accounts SET note = 'v1' WHERE id = 1"
LONG: Final = """WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000000)
  SELECT max(i) FROM n"""
CASES: Final = {
    "a write": Case("UPDATE accounts SET note = 'v2' WHERE id = 2", (WRITE,)),
    "a write that was committed": Case(
        "UPDATE accounts SET note = 'v2' WHERE id = 2", (WRITE,), commits=True),
    "BEGIN IMMEDIATE": Case("INSERT INTO accounts VALUES (3, 'v2')", ("BEGIN IMMEDIATE", WRITE)),
    "a table's definition": Case("CREATE TABLE more (id INTEGER)", (WRITE,), commits=True),
    "while v2 runs a statement": Case(
        "UPDATE accounts SET note = 'v2' WHERE id = 2", (WRITE,),
        then=LONG),
}  # fmt: skip


class Sqlite(Bench):
    """A file."""

    cases = CASES
    error = sqlite3.Error

    def __init__(self, file: Path, journal: str) -> None:
        self._file = file
        self.engine = sa.create_engine(f"sqlite:///{file}")
        with closing(sqlite3.connect(file)) as setup:
            setup.execute(f"PRAGMA journal_mode = {journal}")

    def set_up(self) -> None:
        with closing(sqlite3.connect(self._file)) as setup:
            setup.executescript(SETUP)

    def connect(self) -> Any:
        connection = sqlite3.connect(self._file, isolation_level=None)
        connection.execute("PRAGMA synchronous = OFF")
        return connection

    @contextmanager
    def limits(self, *, defaults: bool) -> Iterator[Settings]:
        yield Settings() if defaults else Settings(sqlite_writer_limit_ms=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    install_guards("sqlalchemy")
    problems: list[str] = []
    for journal in ("DELETE", "WAL"):
        with tempfile.TemporaryDirectory(prefix="mirrorproof-bench-") as directory:
            results = measure(Sqlite(Path(directory) / "shop.db", journal), given.rounds)
        show(results, given.rounds, f"SQLite, journal_mode {journal}")
        problems += broken(results, given.rounds, CASES)
    if problems:
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main()
