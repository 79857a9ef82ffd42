"""One checkout's part of a lease: what begin, commit and rollback mean when nothing may last.

Theory of operation. begin opens a savepoint, commit checks the deferred constraints and releases it,
rollback goes back to it; the application's own savepoints get names of ours and stand on the same stack.
With autocommit each statement is such a transaction of its own. While another checkout has a transaction
open, each statement runs in a savepoint too, so that its failure does not take the other along. A
transaction that is prepared (two-phase) stays on the stack under its name until it is decided.

Knows transactions as the application sees them. Must not know cursors, drivers or SQLAlchemy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from mirrorproof.decision import Mode
from mirrorproof.errors import EffectRefusedError
from mirrorproof.exchange import Outcome
from mirrorproof.guards.sqlalchemy.effects import Found
from mirrorproof.guards.sqlalchemy.lease import Lease
from mirrorproof.guards.sqlalchemy.levels import Level
from mirrorproof.guards.sqlalchemy.statement import Control, Statement, doubts
from mirrorproof.ledger import digest_of

__all__ = ["Checkout"]

Run = Callable[[str | None], Any]
"""Runs the application's statement, or another text in its place."""

_INNER: Final = "mirrorproof_statement"
_DML: Final = frozenset({"sql.insert", "sql.update", "sql.delete"})


class Checkout:
    """A connection as one user of the lease sees it."""

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self.autocommit = lease.autocommit
        self._failed = False
        # Runs in place of what was answered here: it does nothing and returns no rows.
        self._nothing = "SET LOCAL mirrorproof.nothing = ''" if lease.driver.postgres else ""

    @property
    def level(self) -> Level | None:
        """The application's transaction, if one is open."""
        return self.lease.levels.find(self, "")

    # -- statements

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
            self._failed = True
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

    def enter_block(self) -> str:
        """A transaction, or a savepoint in the one that is open. Returns its name, empty for the former."""
        with self.lease.turn:
            self._settle_debts()
            self._require(Statement("BEGIN", "BEGIN"))
            if self.level is None:
                self._begin()
                return ""
            alias = f"block {len(self.lease.levels.stack)}"
            self.lease.steer(self.lease.levels.open(self, alias))
            return alias

    def leave_block(self, alias: str, *, commit: bool) -> None:
        """The end of what `enter_block` began."""
        if not alias:
            self.commit() if commit else self.rollback()
            return
        with self.lease.turn:
            statement = Statement("", name=alias)
            if commit:
                self._release(statement)
            else:
                self._rollback_to(statement)
                self._release(statement)

    def _require(self, statement: Statement) -> None:
        label = statement.kind or "sql.other"
        self.lease.require(label, statement.target, f"{statement.verb} {statement.target}".strip())
        if self in self.lease.levels.lost:
            self.lease.levels.lost.discard(self)
            raise EffectRefusedError(
                "an outer transaction of the same mirrored request was rolled back first and took this one's "
                "work along: a dry run has one connection only"
            )

    def _admit(self, statement: Statement, find: Callable[[], list[Found]], announced: bool) -> None:
        context = self.lease.context
        if self.lease.driver.postgres and (why := doubts(statement.text)):
            kind, target = statement.kind or "sql.call", statement.target
            summary = f"{statement.verb} {target}: {why}"
            context.record(kind, target, summary, digest_of(kind, target, statement.text), Outcome.BLOCKED)
            raise EffectRefusedError(f"a mirrored request may not run {statement.text[:80]!r}: {why}")
        if context.mode is Mode.READ_ONLY and statement.writes and not announced:
            for each in find():
                context.refuse(each.kind, each.target, each.summary, each.digest)

    def _opens(self, statement: Statement) -> bool:
        """Whether the driver would open a transaction for it."""
        return not self.autocommit and (not self.lease.begins_late or statement.kind in _DML)

    def _begin(self) -> None:
        if self.level is None:
            self._failed = False
            self.lease.steer(self.lease.levels.open(self))

    def _inside(self, statement: Statement, run: Run, find: Callable[[], list[Found]]) -> Any:
        shared = self.lease.levels.shared(self)
        if shared:
            self.lease.steer([f"SAVEPOINT {_INNER}"])
        try:
            result = run(None)
        except BaseException as error:
            self._failed = not shared
            self.lease.judge(error)
            if shared:
                self.lease.steer([f"ROLLBACK TO SAVEPOINT {_INNER}", f"RELEASE SAVEPOINT {_INNER}"])
            raise
        if shared:
            self.lease.steer([f"RELEASE SAVEPOINT {_INNER}"])
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

    # -- transactions

    def begin(self) -> None:
        """Open a transaction if there is none."""
        with self.lease.turn:
            self._settle_debts()
            self._require(Statement("BEGIN", "BEGIN"))
            self._begin()

    def commit(self) -> None:
        """The application's commit. Raises what its deferred constraints raise."""
        if self.level is None:
            return
        with self.lease.turn:
            self._settle_debts()
            if self.lease.over and not any(each.effects for each in self.lease.levels.of(self)):
                return
            self._require(Statement("COMMIT", "COMMIT"))
            self._commit()

    def rollback(self) -> None:
        """The application's rollback, or what a pool does on return. Never fails."""
        if self.level is None or self.lease.over:
            return
        if self.lease.turn.mine:
            self.lease.debts.append(self)
            return
        with self.lease.turn:
            self._settle_debts()
            self._rollback()

    def owe(self) -> None:
        """Roll back later: nothing can be run now."""
        self.lease.debts.append(self)

    def _settle_debts(self) -> None:
        while self.lease.debts:
            self.lease.debts.pop()._rollback()

    def _commit(self) -> None:
        level = self.level
        if level is None:
            return
        if self._failed:  # PostgreSQL answers COMMIT with ROLLBACK then
            self._rollback()
            return
        try:
            self.lease.check_constraints()
        except Exception:
            self._failed = True
            self._rollback()
            raise
        statements, effects = self.lease.levels.release(level)
        self.lease.steer(statements)
        self.lease.publish(effects)
        self.lease.refresh()

    def _rollback(self, level: Level | None = None, *, keep: bool = False) -> None:
        level = level or self.level
        if level is None or not self.lease.stands():
            return
        self.lease.steer(self.lease.levels.rollback(level, keep=keep, force=self._failed))
        self._failed = False
        self.lease.levels.lost.discard(self)
        self.lease.refresh()

    # -- what steers them

    def _answer(self, statement: Statement, run: Run, find: Callable[[], list[Found]]) -> Any:
        answers: dict[Control, Callable[[Statement], object]] = {
            Control.BEGIN: lambda _: self._begin(),
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
            self._failed |= self.level is not None and statement.control is Control.CHECK_ALL
            self.lease.judge(error)
            raise
        return run(self._nothing)

    def _apart(self, find: Callable[[], list[Found]]) -> None:
        found = find()
        if self.lease.context.mode is Mode.READ_ONLY:
            for each in found:
                self.lease.context.refuse(each.kind, each.target, each.summary, each.digest)
        self.add(found)

    def _savepoint(self, statement: Statement) -> None:
        self._begin()
        self.lease.steer(self.lease.levels.open(self, statement.name))

    def _own(self, statement: Statement) -> Level:
        level = self.lease.levels.find(self, statement.name) if statement.name else None
        if level is None:
            raise EffectRefusedError(f"savepoint {statement.name!r} does not exist")
        return level

    def _release(self, statement: Statement) -> None:
        statements, _ = self.lease.levels.release(self._own(statement))
        self.lease.steer(statements)

    def _rollback_to(self, statement: Statement) -> None:
        self._rollback(self._own(statement), keep=True)

    # -- two-phase commit

    def prepare(self, xid: str) -> None:
        """The first phase: checks what a commit checks, and leaves the transaction to its name."""
        with self.lease.turn:
            self._require(Statement("PREPARE TRANSACTION", "PREPARE"))
            self._prepare(xid)

    def decide(self, xid: str, *, commit: bool) -> None:
        """The second phase."""
        with self.lease.turn:
            self._require(Statement("COMMIT PREPARED", "COMMIT"))
            self._decide(xid, commit=commit)

    def prepared(self) -> list[str]:
        """The names that wait for their second phase in this request."""
        return list(self.lease.prepared)

    def _prepare(self, xid: str) -> None:
        level = self.level
        if level is None:
            return
        self.lease.check_constraints()
        waiting = self.lease.prepared[xid] = _Prepared(self.lease)
        for each in self.lease.levels.of(self):
            each.owner = waiting

    def _decide(self, xid: str, *, commit: bool) -> None:
        waiting = self.lease.prepared.pop(xid, None)
        if waiting is None:
            raise EffectRefusedError(f"no transaction {xid!r} was prepared in this mirrored request")
        if commit:
            waiting._commit()
        else:
            waiting._rollback()


class _Prepared(Checkout):
    """A transaction between its two phases."""

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self.autocommit = False
        self._failed = False
