"""Begin, commit and rollback as the application means them, where nothing may last.

Theory of operation. begin opens a savepoint, commit checks the deferred constraints and releases it,
rollback goes back to it; the application's own savepoints get names of ours and stand on the same stack.
A transaction that is prepared (two-phase) stays on the stack under its name until it is decided.
Methods without an underscore take the lease's turn, those with one have it.

Knows transactions as the application sees them. Must not know cursors, drivers or SQLAlchemy.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from mirrorproof.errors import EffectRefusedError
from mirrorproof.guards.sql.lease import Lease
from mirrorproof.guards.sql.levels import Level
from mirrorproof.guards.sql.statement import Statement

__all__ = ["INNER", "Transactions"]

INNER: Final = "mirrorproof_statement"
"""The savepoint around a single statement."""


class Transactions:
    """One user's transactions on a lease, one at a time."""

    def __init__(self, lease: Lease, *, autocommit: bool = False) -> None:
        self.lease = lease
        self.autocommit = autocommit
        self._failed = False

    @property
    def level(self) -> Level | None:
        """The application's transaction, if one is open."""
        return self.lease.levels.find(self, "")

    def begin(self) -> None:
        """Open a transaction if there is none."""
        with self.lease.turn:
            self._settle_debts()
            self._require(Statement("BEGIN", "BEGIN"))
            self._begin()

    def commit(self) -> None:
        """The application's commit. Raises what its deferred constraints raise."""
        if self.level is None:
            self._refresh()
            return
        with self.lease.turn:
            self._settle_debts()
            if self.lease.over and not any(each.effects for each in self.lease.levels.of(self)):
                return
            self._require(Statement("COMMIT", "COMMIT"))
            self._commit()

    def rollback(self) -> None:
        """The application's rollback, or what a pool does on return. Never fails."""
        if self.lease.over:
            return
        if self.lease.turn.mine:
            self.owe()
            return
        if self.level is None:
            self._refresh()
            return
        with self.lease.turn:
            self._settle_debts()
            self._rollback()

    def owe(self) -> None:
        """Roll back later: nothing can be run now."""
        self.lease.debts.append(self)

    def _refresh(self) -> None:
        if self.lease.can_refresh():
            with self.lease.turn:
                self.lease.refresh()

    def _settle_debts(self) -> None:
        if self.lease.failed_by not in (None, self):
            self.lease.mend()
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
        except Exception as error:
            self._failed = True
            self._rollback()
            self.lease.judge(error)
            raise
        statements, effects = self.lease.levels.release(level)
        self.lease.steer(statements)
        self.lease.publish(effects)
        self.lease.committed()

    def _rollback(self, level: Level | None = None, *, keep: bool = False) -> None:
        level = level or self.level
        if level is None or not self.lease.stands():
            return
        try:
            force = self.lease.failed_by is self
            statements = self.lease.levels.rollback(level, keep=keep, force=force)
            self.lease.steer(statements)
            if any(each.startswith("ROLLBACK") for each in statements):
                self.lease.failed_by = None
        except Exception:
            if not self.lease.lost():  # a connection that is gone has rolled back
                raise
        self._failed = False
        self.lease.levels.lost.discard(self)
        self.lease.refresh()

    def enter_block(self) -> str:
        """A transaction, or a savepoint in the one that is open. Returns its name, empty for the former."""
        with self.lease.turn:
            self._settle_debts()
            self._require(Statement("BEGIN", "BEGIN"))
            if self.level is None:
                self._begin()
                return ""
            self._meet_failure()
            alias = f"block {len(self.lease.levels.stack)}"
            self.lease.steer(self.lease.levels.open(self, alias))
            return alias

    def leave_block(self, alias: str, *, commit: bool) -> None:
        """The end of what `enter_block` began."""
        if not alias:
            self.commit() if commit else self.rollback()
            return
        with self.lease.turn:
            self._settle_debts()
            statement = Statement("", name=alias)
            if commit:
                self._release(statement)
            else:
                self._rollback_to(statement)
                self._release(statement)

    # -- in the lease's turn

    def _require(self, statement: Statement) -> None:
        label = statement.kind or "sql.other"
        self.lease.require(label, statement.target, f"{statement.verb} {statement.target}".strip())
        if self in self.lease.levels.lost:
            self.lease.levels.lost.discard(self)
            raise EffectRefusedError(
                "an outer transaction of the same mirrored request was rolled back first and took this one's "
                "work along: a dry run has one connection only"
            )

    def _begin(self) -> None:
        if self.level is None:
            self._failed = False
            self.lease.steer(self.lease.levels.open(self))

    def _meet_failure(self) -> None:
        """In a transaction that has failed, PostgreSQL takes no savepoint: let it say so in its own words."""
        if self._failed:
            with self._failing():
                self.lease.run("SAVEPOINT mirrorproof_failed")

    def _fail(self) -> None:
        """A statement failed, and with it the transaction."""
        if self.lease.driver.postgres:
            self._failed = True
            self.lease.failed_by = self

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """In here the transaction has failed on the server too, which went on with others' meanwhile."""
        if self.lease.failed_by is self:
            yield
            return
        self.lease.steer([f"SAVEPOINT {INNER}"])
        with suppress(Exception):
            self.lease.run("SELECT 1/0")
        try:
            yield
        finally:
            self.lease.steer([f"ROLLBACK TO SAVEPOINT {INNER}", f"RELEASE SAVEPOINT {INNER}"])

    def _savepoint(self, statement: Statement) -> None:
        self._begin()
        self._meet_failure()
        if self.lease.driver.mariadb and (before := self.lease.levels.find(self, statement.name)):
            before.alias = f"{before.alias} (replaced)"
        self.lease.steer(self.lease.levels.open(self, statement.name))

    def _own(self, statement: Statement) -> Level:
        level = self.lease.levels.find(self, statement.name) if statement.name else None
        if level is None:
            raise EffectRefusedError(f"savepoint {statement.name!r} does not exist")
        return level

    def _release(self, statement: Statement) -> None:
        self._meet_failure()
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
        waiting = self.lease.prepared[xid] = Transactions(self.lease)
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
