"""One checkout's statements: what runs on the lease, what is answered, what is refused.

Theory of operation. A statement that steers transactions is answered. Any other runs inside the
application's transaction, which it opens where the driver would. With autocommit each statement is a
transaction of its own. While another checkout has a transaction open, each statement runs in a savepoint
too, so that its failure does not take the other along.

Knows statements and what their effects were found to be. Must not know cursors, drivers or SQLAlchemy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from mirrorproof.errors import EffectRefusedError
from mirrorproof.exchange import Outcome
from mirrorproof.guards.sql.effects import Found
from mirrorproof.guards.sql.lease import Lease
from mirrorproof.guards.sql.statement import Control, Statement
from mirrorproof.guards.sql.transactions import INNER, Transactions
from mirrorproof.ledger import digest_of

__all__ = ["Checkout"]

Run = Callable[[str | None], Any]
"""Runs the application's statement, or another text in its place."""

_DML: Final = frozenset({"sql.insert", "sql.update", "sql.delete"})


class Checkout(Transactions):
    """A connection as one user of the lease sees it."""

    def __init__(self, lease: Lease) -> None:
        super().__init__(lease, autocommit=lease.autocommit)
        # Runs in place of what was answered here: it does nothing and returns no rows.
        self._nothing = lease.driver.nothing

    def perform(
        self, statement: Statement, run: Run, find: Callable[[], list[Found]], *, announced: bool = False,
        alone: bool = False,
    ) -> Any:  # fmt: skip
        """Run a statement of the application, or answer it. `find` says what it does, if it succeeds.

        `announced`: SQLAlchemy reports it. `alone`: it commits by itself unless a transaction is open.
        """
        with self.lease.turn:
            self._settle_debts()
            self._require(statement)
            if statement.control is not Control.NONE:
                return self._answer(statement, run, find)
            self._admit(statement, find, announced)
            if self.level is None and (alone or not self._opens(statement)):
                return self._alone(statement, run, find)
            self._begin()
            return self._inside(statement, run, find)

    def add(self, found: Iterable[Found]) -> None:
        """Effects of a statement that succeeded: noted until the transaction commits."""
        mine = self.lease.levels.of(self)
        if mine:
            mine[-1].effects += found
        else:
            self.lease.publish(found)

    @contextmanager
    def whole(self, statement: Statement, find: Callable[[], list[Found]]) -> Iterator[None]:
        """A statement that runs for as long as the block."""
        with self.lease.turn:
            self._settle_debts()
            self._require(statement)
            self._admit(statement, find, announced=False)
            alone = self.level is None and not self._opens(statement)
            self._begin()
        try:
            yield
        except BaseException:
            self._fail()
            if alone:
                self.rollback()
            raise
        self.report(statement, find())
        if alone:
            self.commit()

    def report(self, statement: Statement, found: list[Found]) -> None:
        """A statement that ran by another way has succeeded."""
        with self.lease.turn:
            self._done(statement, lambda: found)

    def _admit(self, statement: Statement, find: Callable[[], list[Found]], announced: bool) -> None:
        context = self.lease.context
        if why := self.lease.objection(statement):
            kind, target = statement.kind or "sql.call", statement.target
            summary = f"{statement.verb} {target}: {why}"
            context.record(kind, target, summary, digest_of(kind, target, statement.text), Outcome.BLOCKED)
            raise EffectRefusedError(
                f"a mirrored request may not run {statement.text[:80]!r}: {why}{context.way_out(kind)}"
            )
        if self.lease.read_only and statement.writes and not announced:
            self.lease.refuse_in_read_only(find())

    def _opens(self, statement: Statement) -> bool:
        """Whether the driver would open a transaction for it."""
        return not self.autocommit and (not self.lease.begins_late or statement.kind in _DML)

    def _inside(self, statement: Statement, run: Run, find: Callable[[], list[Found]]) -> Any:
        self.lease.used = True
        if self._failed and self.lease.failed_by is not self:
            with self._failing():
                return run(None)
        shared = self.lease.levels.shared(self)
        if shared:
            self.lease.steer([f"SAVEPOINT {INNER}"])
        try:
            with self.lease.writing(statement):
                result = run(None)
        except BaseException as error:
            if not shared:
                self._fail()
            self.lease.note_conflict(error, find())
            self.lease.judge(error)
            if shared:
                self.lease.steer([f"ROLLBACK TO SAVEPOINT {INNER}", f"RELEASE SAVEPOINT {INNER}"])
            raise
        if shared:
            self.lease.steer([f"RELEASE SAVEPOINT {INNER}"])
        self._done(statement, find)
        return result

    def _done(self, statement: Statement, find: Callable[[], list[Found]]) -> None:
        self.lease.require("", statement.target, statement.verb)
        mine = self.lease.levels.of(self)
        if statement.writes:
            self.lease.dirty = True
            mine[-1].wrote = True
        self.add(find())

    def _alone(self, statement: Statement, run: Run, find: Callable[[], list[Found]]) -> Any:
        """A transaction of one statement."""
        self._begin()
        try:
            result = self._inside(statement, run, find)
            self._commit()
        except BaseException:
            self._rollback()
            raise
        return result

    def _answer(self, statement: Statement, run: Run, find: Callable[[], list[Found]]) -> Any:
        answers: dict[Control, Callable[[Statement], object]] = {
            Control.BEGIN: lambda _: self._begin_anew(),
            Control.COMMIT: lambda _: self._commit(),
            Control.ROLLBACK: lambda _: self._rollback(),
            Control.SAVEPOINT: self._savepoint,
            Control.RELEASE: self._release,
            Control.ROLLBACK_TO: self._rollback_to,
            Control.PREPARE: lambda each: self._prepare(each.name),
            Control.COMMIT_PREPARED: lambda each: self._decide(each.name, commit=True),
            Control.ROLLBACK_PREPARED: lambda each: self._decide(each.name, commit=False),
            Control.CHECK_ALL: lambda _: self.lease.check_constraints(),
            Control.SETTING: lambda _: None,
            Control.APART: lambda _: self._apart(find),
        }
        try:
            answers[statement.control](statement)
        except Exception as error:
            if self.level is not None and statement.control is Control.CHECK_ALL:
                self._fail()
            self.lease.judge(error)
            raise
        return run(self._nothing)

    def _begin_anew(self) -> None:
        if self.lease.driver.mariadb:  # whose BEGIN commits what is open
            self._commit()
        self._begin()

    def _apart(self, find: Callable[[], list[Found]]) -> None:
        found = find()
        self.lease.refuse_in_read_only(found)
        self.add(found)
