"""Observing: SQLAlchemy's events become effects, on live connections and on shields.

Theory of operation. A statement that succeeded is noted; on a shield its checkout keeps the note until the
application commits, on a live connection a buffer here does, following SQLAlchemy's own events, so that
what was rolled back is never reported. On a connection with autocommit a note counts at once. A live
connection that a mirrored request got hold of (opened before it, kept in a global) is refused.

What a live request writes past SQLAlchemy, through a raw DBAPI cursor, is seen by the driver's own guard if
it has one.

Knows SQLAlchemy's events. Must not know pools or drivers.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.pool import Pool

from mirrorproof.context import Action, MirrorContext, current
from mirrorproof.errors import EffectRefusedError
from mirrorproof.exchange import Outcome
from mirrorproof.failsafe import failsafe
from mirrorproof.guards.sql.cursors import ShieldCursor
from mirrorproof.guards.sql.effects import Found
from mirrorproof.guards.sql.leased import announce, mark_announced
from mirrorproof.guards.sql.notes import Notes
from mirrorproof.guards.sql.statement import Control, Statement, read
from mirrorproof.guards.sqlalchemy.granting import CONNECTION, finder_of
from mirrorproof.guards.sqlalchemy.urls import is_off
from mirrorproof.ledger import digest_of

__all__ = ["Observer"]


class Observer:
    """The listeners, for all engines at once."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._notes: WeakKeyDictionary[Connection, Notes] = WeakKeyDictionary()
        self._reported: Any = None
        self._listeners: dict[str, Callable[..., None]] = {
            "before_cursor_execute": self._before,
            "after_cursor_execute": self._after,
            "handle_error": self._failed,
            "rollback": lambda connection: self._with(connection, Notes.roll_back),
            "rollback_twophase": lambda connection, *_: self._with(connection, Notes.roll_back),
        }

    def listen(self) -> None:
        """Start."""
        for name, listener in self._listeners.items():
            event.listen(Engine, name, listener)
        event.listen(Pool, "connect", _mark)

    def stop(self) -> None:
        """Stop, and forget what is not committed."""
        for name, listener in self._listeners.items():
            event.remove(Engine, name, listener)
        event.remove(Pool, "connect", _mark)
        self._notes.clear()

    # -- statements

    def _before(  # noqa: PLR0917 - SQLAlchemy's signature, as is _after's
        self, connection: Connection, cursor: Any, statement: str, parameters: Any, context: Any, many: bool
    ) -> None:
        if isinstance(cursor, ShieldCursor):
            cursor.announced = True
            self._refuse_in_read_only(cursor, statement, parameters, context)
            return
        mirror = current()
        if mirror is None:
            return
        if mirror.action(CONNECTION) in (Action.EXECUTE, Action.OBSERVE):
            announce(True)
            return
        if is_off(mirror, connection.engine):
            return
        label = read(statement)
        summary = f"{label.verb} {label.target} on a connection from outside the request".strip()
        kind = label.kind or CONNECTION
        mirror.record(kind, label.target, summary, digest_of(kind, label.target, summary), Outcome.BLOCKED)
        raise EffectRefusedError(
            "a mirrored request used a database connection that was opened outside of it; open it inside"
        )

    def _refuse_in_read_only(
        self, cursor: ShieldCursor, statement: str, parameters: Any, context: Any
    ) -> None:
        lease = cursor.checkout.lease
        mirror = lease.context
        refused = mirror.action("sql.write") is Action.REFUSE
        if mirror.ended or not (refused or lease.read_only):
            return
        for found in finder_of(mirror, self._now).in_context(context, statement, parameters):
            if refused:
                mirror.refuse(found.kind, found.target, found.summary, found.digest)
            lease.refuse_in_read_only([found])

    def _after(  # noqa: PLR0917
        self, connection: Connection, cursor: Any, statement: str, parameters: Any, context: Any, many: bool
    ) -> None:
        if isinstance(cursor, ShieldCursor):
            if cursor.announced:
                self._note_suppressed(cursor, context, statement, parameters)
            cursor.announced = False
            return
        live = current()
        if live is None:
            return
        announce(False)
        if live.action("sql.write") is Action.OBSERVE or (live.mirrored and is_off(live, connection.engine)):
            failsafe(
                "note a live statement", live.counters, self._note, live, connection, context, statement,
                parameters,
            )  # fmt: skip

    def _failed(self, failure: Any) -> None:
        """A statement that SQLAlchemy reports has failed; the checkout does not know its effects."""
        context = failure.execution_context
        cursor = getattr(context, "cursor", None)
        if not isinstance(cursor, ShieldCursor):
            announce(False)
            self._mark_failed(failure)
        else:
            lease, finder = cursor.checkout.lease, finder_of(cursor.checkout.lease.context, self._now)
            failsafe("note a conflict", lease.context.counters, lambda: lease.note_conflict(
                failure.original_exception,
                finder.in_context(context, failure.statement, failure.parameters),
            ))  # fmt: skip

    def _mark_failed(self, failure: Any) -> None:
        """A live statement's error takes its transaction along where PostgreSQL's server said so."""
        connection = failure.connection
        if connection is not None and failure.dialect.name == "postgresql" and not _autocommits(connection):
            notes = self._notes.get(connection)
            if notes is not None and _is_the_server_s(failure.original_exception):
                notes.failed = True

    def _note_suppressed(self, cursor: ShieldCursor, context: Any, statement: str, parameters: Any) -> None:
        mirror = cursor.checkout.lease.context
        found = failsafe(
            "note a suppressed statement", mirror.counters, self._find, mirror, context, statement, parameters
        )
        cursor.checkout.add(found or ())

    def _find(self, mirror: MirrorContext, context: Any, statement: str, parameters: Any) -> list[Found]:
        # `insertmanyvalues` sends one execution in several batches, and each of them comes by here.
        if context is not None and getattr(context, "_mirrorproof_noted", False):
            return []
        found = finder_of(mirror, self._now).in_context(context, statement, parameters)
        if context is not None and found:
            context._mirrorproof_noted = True
        return found

    def _note(
        self, live: MirrorContext, connection: Connection, context: Any, statement: str, parameters: Any
    ) -> None:
        found = self._find(live, context, statement, parameters)
        if found:
            notes = self._notes.setdefault(connection, Notes())
            notes.add(live, found)
            if _autocommits(connection):
                notes.commit()
        else:
            self._steer(connection, read(statement))

    def _steer(self, connection: Connection, statement: Statement) -> None:
        """Savepoints, whose events do not tell their names, and transactions that are ended by text."""
        if statement.control is Control.SAVEPOINT:
            self._notes.setdefault(connection, Notes())
        self._with(connection, lambda notes: notes.steer(statement))

    # -- transactions

    def commit(self, wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Around a connection's commit, whose event comes before it: it may fail."""
        notes = self._notes.get(instance)
        if notes is None:
            return wrapped(*args, **kwargs)
        try:
            result = wrapped(*args, **kwargs)
        except BaseException:
            notes.lose() if instance.invalidated else notes.roll_back()
            raise
        notes.commit()
        return result

    def _with(self, connection: Connection, what: Callable[[Notes], None]) -> None:
        notes = self._notes.get(connection)
        if notes is not None:
            what(notes)


def _is_the_server_s(error: Any) -> bool:
    cause = error.__cause__ or error
    if type(cause).__module__.startswith("asyncpg"):  # whose own errors have a state as well
        return "severity" in vars(cause)
    return bool(getattr(error, "sqlstate", None) or getattr(error, "pgcode", None))


def _mark(connection: Any, _: Any) -> None:
    mark_announced(getattr(connection, "_connection", connection))  # an async driver's own behind its adapter


def _autocommits(connection: Connection) -> bool:
    check = getattr(connection, "_is_autocommit_isolation", None)
    if check is not None:
        return bool(check())
    return connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT"
