"""How long a live request waits for a mirrored one's locks, on a real MariaDB.

    python -m benchmarks.locks_mariadb [--rounds N]

As `benchmarks.locks`, with what MariaDB locks: keys and the gaps between them, and a table's definition.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pymysql
import sqlalchemy as sa

from benchmarks.waiting import HOLD_S, Bench, Case, broken, measure, show
from mirrorproof import install_guards
from mirrorproof.guards.sql import mariadb_fuse
from mirrorproof.settings import Settings

SETUP: Final = (
    "DROP TABLE IF EXISTS children, parents, accounts",
    "CREATE TABLE accounts (id int PRIMARY KEY, note varchar(20))",
    "CREATE TABLE parents (id int PRIMARY KEY)",
    "CREATE TABLE children (id int PRIMARY KEY, parent int, FOREIGN KEY (parent) REFERENCES parents (id))",
    "INSERT INTO accounts VALUES (1, ''), (2, ''), (9, '')",
    "INSERT INTO parents VALUES (1)",
)
CASES: Final = {
    "same row": Case("UPDATE accounts SET note = 'v2' WHERE id = 1",
                     ("UPDATE accounts SET note = 'v1' WHERE id = 1",)),
    "same key": Case("INSERT INTO accounts VALUES (3, 'v2')", ("INSERT INTO accounts VALUES (3, 'v1')",)),
    "same key, ON DUPLICATE KEY": Case(
        "INSERT INTO accounts VALUES (3, 'v2') ON DUPLICATE KEY UPDATE note = 'v2'",
        ("INSERT INTO accounts VALUES (3, 'v1') ON DUPLICATE KEY UPDATE note = 'v1'",)),
    "a gap": Case("SELECT * FROM accounts WHERE id BETWEEN 3 AND 8 FOR UPDATE",
                  ("INSERT INTO accounts VALUES (5, 'v1')",)),
    "foreign key's parent": Case("INSERT INTO children VALUES (1, 1)", ("DELETE FROM parents WHERE id = 1",)),
    "FOR UPDATE": Case("SELECT * FROM accounts WHERE id = 1 FOR UPDATE",
                       ("SELECT * FROM accounts WHERE id = 1 FOR UPDATE",)),
    "a table's definition": Case("SELECT * FROM accounts", ("LOCK TABLES accounts WRITE",)),
    "NOWAIT": Case("UPDATE accounts SET note = 'v2' WHERE id = 1",
                   ("SELECT * FROM accounts WHERE id = 1 FOR UPDATE NOWAIT",), waits=False),
    "SKIP LOCKED": Case("SELECT * FROM accounts WHERE id = 1 FOR UPDATE",
                        ("SELECT id FROM accounts ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED",), waits=False),
    "deadlock": Case("UPDATE accounts SET note = 'v2' WHERE id = 1",
                     ("UPDATE accounts SET note = 'v1' WHERE id = 2",
                      "UPDATE accounts SET note = 'v1' WHERE id = 1"),
                     then="UPDATE accounts SET note = 'v2' WHERE id = 2"),
}  # fmt: skip


class Mariadb(Bench):
    """A server of its own."""

    cases = CASES
    error = pymysql.Error

    def __init__(self, peer: Any) -> None:
        self._peer = peer
        self.engine = sa.create_engine(peer.url())

    def set_up(self) -> None:
        for statement in SETUP:
            self._peer.ask(statement)

    def connect(self) -> Any:
        return self._peer.connect(autocommit=False)

    @contextmanager
    def limits(self, *, defaults: bool) -> Iterator[Settings]:
        if defaults:
            yield Settings()
            return
        before = mariadb_fuse.LOCK_LIMIT_S, mariadb_fuse.IDLE_LIMIT_S
        mariadb_fuse.LOCK_LIMIT_S, mariadb_fuse.IDLE_LIMIT_S = 50, 0  # type: ignore[misc]
        try:
            yield Settings(yield_poll_ms=0)
        finally:
            mariadb_fuse.LOCK_LIMIT_S, mariadb_fuse.IDLE_LIMIT_S = before  # type: ignore[misc]

    def wait_for_a_waiter(self) -> None:
        give_up_s = time.monotonic() + HOLD_S
        with self._peer.connect() as look, look.cursor() as cursor:
            while time.monotonic() < give_up_s:
                cursor.execute("SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_current_waits'")
                if int(cursor.fetchone()[1]):
                    return
                time.sleep(0.001)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    sys.path.append(str(Path(__file__).parents[1] / "tests"))  # how to start a server is known there
    from clients.mariadb import MariadbPeer
    from clients.servers import Unavailable

    install_guards("sqlalchemy")
    try:
        peer = MariadbPeer()
    except Unavailable as error:
        print(f"not measured: {error}")
        return
    try:
        peer.ask("USE shop")
        results = measure(Mariadb(peer), given.rounds)
    finally:
        peer.stop()
    show(results, given.rounds, "MariaDB")
    if problems := broken(results, given.rounds, CASES):
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main()
