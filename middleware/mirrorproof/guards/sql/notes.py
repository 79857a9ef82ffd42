"""Notes: what a live connection's transaction did so far, until it commits or is rolled back.

Knows effects and contexts. Must not know connections or who tells of their transactions.
"""

from __future__ import annotations

from collections.abc import Iterable

from mirrorproof.context import MirrorContext
from mirrorproof.exchange import Outcome
from mirrorproof.failsafe import failsafe
from mirrorproof.guards.sql.effects import Found
from mirrorproof.guards.sql.statement import Control, Statement

__all__ = ["Notes"]


class Notes:
    """One connection's, with marks for its savepoints."""

    def __init__(self) -> None:
        self.open: list[tuple[MirrorContext, Found]] = []
        self.failed = False
        """Whether the transaction can only be rolled back: PostgreSQL answers COMMIT so too."""
        self._marks: list[tuple[str, int]] = []

    def add(self, context: MirrorContext, found: Iterable[Found]) -> None:
        """What a statement did."""
        self.open += [(context, each) for each in found]

    def steer(self, statement: Statement) -> None:
        """A statement that steers the transaction has succeeded."""
        control = statement.control
        if control is Control.SAVEPOINT:
            self._marks.append((statement.name, len(self.open)))
        elif control is Control.ROLLBACK_TO:
            self._back_to(statement.name)
        elif control is Control.RELEASE:
            self._forget(statement.name)
        elif control in (Control.COMMIT, Control.COMMIT_PREPARED):
            self.commit()
        elif control in (Control.ROLLBACK, Control.ROLLBACK_PREPARED):
            self.roll_back()

    def commit(self) -> None:
        """It has happened, unless the transaction had failed."""
        if self.failed:
            self.roll_back()
        notes, self.open = self.open, []
        self._marks.clear()
        for context, each in notes:
            failsafe("report a live statement", context.counters, context.record,
                     each.kind, each.target, each.summary, each.digest, Outcome.EXECUTED)  # fmt: skip

    def roll_back(self) -> None:
        """It has not."""
        self.failed = False
        self.open.clear()
        self._marks.clear()

    def lose(self) -> None:
        """It is not known whether it has: the effects of those requests are not compared."""
        for context, _ in self.open:
            context.unobserved = True
        self.roll_back()

    def _back_to(self, name: str) -> None:
        # One that is not known was set before anything was noted.
        self.failed = False
        at = self._find(name)
        del self.open[self._marks[at][1] if at >= 0 else 0 :]
        del self._marks[at + 1 :]

    def _forget(self, name: str) -> None:
        at = self._find(name)
        del self._marks[max(at, 0) :]

    def _find(self, name: str) -> int:
        """The latest of this name; -1 if there is none."""
        found = (at for at in range(len(self._marks) - 1, -1, -1) if self._marks[at][0] == name)
        return next(found, -1)
