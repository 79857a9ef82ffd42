"""Observing: what live requests write on a driver's own connections, recorded once it has been committed.

Theory of operation. A statement that succeeded is noted with its connection. The notes become effects when
the driver says that the transaction has committed, and go when it was rolled back, as does what a savepoint
took back; a statement that left no transaction open has committed by itself. Where a transaction ended by a
way that is not seen here, the request's effects are unknown, and so not compared. Effects are found as a
shield finds them, so that digests are equal on both sides.

Connections that SQLAlchemy or Django look after are theirs to record.

Knows transactions as drivers tell of them. Must not know any driver's interface.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from itertools import chain, islice
from typing import Any, Final
from weakref import WeakKeyDictionary

from mirrorproof.context import Action, MirrorContext, current
from mirrorproof.counters import Counters
from mirrorproof.failsafe import failsafe
from mirrorproof.guards.sql.effects import finder_of
from mirrorproof.guards.sql.leased import is_leased, is_observed
from mirrorproof.guards.sql.notes import Notes
from mirrorproof.guards.sql.statement import Control, Statement, as_text, read, statements_in

__all__ = ["Observed", "kept_rows"]

_CONNECTION: Final = "sql.connection"
_KEPT_ROWS: Final = 100
_nobodys: Final = Counters()


class Observed:
    """One driver's live connections. The three functions ask the client library only."""

    def __init__(
        self,
        in_transaction: Callable[[Any], bool],
        aborted: Callable[[Any], bool],
        closed: Callable[[Any], bool],
    ) -> None:
        self._in_transaction = in_transaction
        self._aborted = aborted
        self._closed = closed
        self._notes: WeakKeyDictionary[Any, Notes] = WeakKeyDictionary()

    def clear(self) -> None:
        """Forget what is not committed."""
        self._notes.clear()

    @property
    def idle(self) -> bool:
        """Whether there is no request here, and nothing noted on any connection."""
        return not self._notes and current() is None

    def run(
        self, connection: Any, operation: Any, parameters: Any, call: Callable[[], Any],
        tag: Callable[[Any], str | None] = lambda _: None,
    ) -> Any:  # fmt: skip
        """`call()`, which runs a statement. `tag` is what the server said of its result: `COMMIT`."""
        context = self.begin(connection)
        if context is None and not self._knows(connection):
            return call()
        try:
            result = call()
        except BaseException:
            self.failed(connection)
            raise
        self.done(context, connection, operation, parameters, lambda: tag(result))
        return result

    def begin(self, connection: Any) -> MirrorContext | None:
        """The request whose write on this connection is to be recorded, if any. Before each statement."""
        notes = self._notes.get(connection) if self._notes else None
        if notes is not None and notes.open and not self._in_transaction(connection):
            notes.lose()
        context = current()
        if context is None or is_leased(connection) or is_observed(connection):
            return None
        return context if context.action(_CONNECTION) is Action.OBSERVE else None

    def done(
        self, context: MirrorContext | None, connection: Any, operation: Any, parameters: Any = None,
        tag: Callable[[], str | None] = lambda: None,
    ) -> None:  # fmt: skip
        """A statement has succeeded."""
        if context is None and not self._knows(connection):
            return
        counters = _nobodys if context is None else context.counters
        failsafe(
            "note a live statement", counters, self._note, context, connection, operation, parameters, tag
        )

    def failed(self, connection: Any) -> None:
        """A statement has failed: its transaction may be over."""
        notes = self._notes.get(connection)
        if notes is not None and notes.open and not self._in_transaction(connection):
            notes.lose() if self._closed(connection) else notes.roll_back()

    def end(self, connection: Any, call: Callable[[], Any], *, commit: bool) -> Any:
        """`call()`, which ends the transaction."""
        notes = self._notes.get(connection)
        if notes is None:
            return call()
        aborted = self._aborted(connection)
        try:
            result = call()
        except BaseException:
            self.failed(connection)
            raise
        notes.commit() if commit and not aborted else notes.roll_back()
        return result

    def steered(self, connection: Any, command: Any, *, aborted: bool) -> None:
        """The driver has sent one of its own commands."""
        notes = self._notes.get(connection)
        if notes is not None:
            _steer(notes, read(as_text(command, connection)), aborted)

    def aborted(self, connection: Any) -> bool:
        """Whether its transaction can only be rolled back."""
        return self._aborted(connection)

    def unknown(self, context: MirrorContext | None, operation: Any, connection: Any) -> None:
        """A statement whose success is not known yet, and will not be seen."""
        if context is not None and not context.unobserved:
            context.unobserved = read(as_text(operation, connection)).writes

    def _knows(self, connection: Any) -> bool:
        return bool(self._notes) and connection in self._notes

    def _note(
        self, context: MirrorContext | None, connection: Any, operation: Any, parameters: Any,
        tag: Callable[[], str | None],
    ) -> None:  # fmt: skip
        if isinstance(operation, Statement):
            statements: Iterable[Statement] = (operation,)
        else:
            statements = statements_in(as_text(operation, connection), alone=not parameters)
        notes = self._notes.get(connection)
        for statement in statements:
            if statement.control is not Control.NONE:
                if notes is not None:
                    _steer(notes, statement, aborted=tag() == "ROLLBACK")
            elif context is not None and (
                found := finder_of(context, lambda: datetime.now(UTC)).in_text(statement, parameters)
            ):
                if notes is None:
                    notes = self._notes[connection] = Notes()
                notes.add(context, found)
        if notes is not None and not self._in_transaction(connection):
            notes.commit()


def _steer(notes: Notes, statement: Statement, aborted: bool) -> None:
    if aborted and statement.control is Control.COMMIT:
        notes.roll_back()
    else:
        notes.steer(statement)


def kept_rows(rows: Any) -> tuple[Any, list[Any]]:
    """Rows for the driver, and those that its effects are made of, as a list."""
    if isinstance(rows, list | tuple):
        return rows, list(rows[:_KEPT_ROWS])
    each: Iterator[Any] = iter(rows)
    kept = list(islice(each, _KEPT_ROWS))
    return chain(kept, each), kept
