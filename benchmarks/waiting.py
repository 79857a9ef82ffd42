"""What the measurements of v1's wait for a mirrored request's locks share, whatever the database.

Knows cases, rounds and the table. Must not know which database it is: `Bench` says that.
"""

from __future__ import annotations

import statistics
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field
from typing import Any, Final

import sqlalchemy as sa
from rich.console import Console
from rich.table import Table

from mirrorproof.context import MirrorContext, entered
from mirrorproof.decision import Decision, Mode
from mirrorproof.settings import Settings

__all__ = ["HOLD_S", "Bench", "Case", "broken", "measure", "show"]

HOLD_S: Final = 1.0
BOUND_MS: Final = 50.0


@dataclass(frozen=True)
class Case:
    """What v2 holds and what v1 then wants. `waits`: v1 would wait. `then`: what v2 wants once v1 waits.

    `commits`: v2 commits before, so that nothing of it is given up.
    """

    v2: str
    v1: tuple[str, ...]
    waits: bool = True
    then: str = ""
    commits: bool = False


@dataclass
class Seen:
    """What the rounds of a case showed, with or without the defaults."""

    waits_ms: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    yielded: int = 0


class Bench(ABC):
    """A database. `error` is what its driver raises."""

    cases: dict[str, Case]
    error: type[Exception]
    engine: sa.Engine

    @abstractmethod
    def set_up(self) -> None:
        """Make the tables anew."""

    @abstractmethod
    def connect(self) -> Any:
        """v1's connection."""

    @abstractmethod
    def limits(self, *, defaults: bool) -> AbstractContextManager[Settings]:
        """The defaults, or a lease with nothing that spares v1."""

    def wait_for_a_waiter(self) -> None:  # noqa: B027 - SQLite's cannot be seen
        """Return once somebody waits, or has waited: at most a second."""


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
                if case.commits:
                    connection.commit()
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


def one_round(bench: Bench, case: Case, settings: Settings, seen: Seen) -> None:
    bench.set_up()
    mirrored = Mirrored(bench.engine, case, settings, bench.wait_for_a_waiter)
    with closing(bench.connect()) as v1, closing(v1.cursor()) as cursor:
        cursor.execute("SELECT 1")
        cursor.fetchall()
        mirrored.start()
        mirrored.holds.wait()
        longest = 0.0
        for statement in case.v1:
            started = time.perf_counter()
            try:
                cursor.execute(statement)
            except bench.error as error:
                seen.errors.append(_named(error))
                break
            finally:
                longest = max(longest, (time.perf_counter() - started) * 1000)
        v1.rollback()
        mirrored.v1_is_through.set()
    mirrored.join()
    seen.waits_ms.append(longest)
    seen.yielded += mirrored.context.yielded


def _named(error: Exception) -> str:
    codes = [str(each) for each in error.args[:1] if isinstance(each, int)]
    return " ".join([type(error).__name__, *codes])


def measure(bench: Bench, rounds: int) -> dict[str, tuple[Seen, Seen]]:
    results = {name: (Seen(), Seen()) for name in bench.cases}
    with bench.limits(defaults=True) as settings:
        one_round(bench, next(iter(bench.cases.values())), settings, Seen())  # the first connects
    for _ in range(rounds):
        for name, case in bench.cases.items():
            for defaults, seen in enumerate(results[name]):
                with bench.limits(defaults=bool(defaults)) as settings:
                    one_round(bench, case, settings, seen)
    bench.engine.dispose()
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
        due = 0 if cases[name].commits else rounds
        if cases[name].waits and (seen.yielded != due or seen.errors):
            found.append(f"{name}: yielded {seen.yielded} of {rounds} times, v1's errors: {_errors(seen)}")
    return found
