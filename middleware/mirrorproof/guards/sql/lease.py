"""The lease: one physical connection for one mirrored request and engine, and what ends it.

Theory of operation. The connection comes from a pool made with `recreate()`, so no live request ever
shares it. Its real transaction is opened and fused before the application sees it, and ends with a real
ROLLBACK; then the connection is closed. What can go wrong ends in a lease that is `broken` and answers
nothing but errors: the transaction is gone (the server or the watchdog ended it), or a statement of our
own failed. Statements take turns. The request may end while one runs: then whoever holds the turn closes
the connection after it.

Knows the connection and the context. Must not know cursors or how the application steers transactions.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from threading import Lock
from typing import Any

from mirrorproof.context import MirrorContext
from mirrorproof.decision import Mode
from mirrorproof.errors import EffectRefusedError, ReadOnlyError
from mirrorproof.exchange import Outcome
from mirrorproof.guards.sql import mariadb_text
from mirrorproof.guards.sql.drivers import Aiosqlite, Driver, Pysqlite
from mirrorproof.guards.sql.effects import Found
from mirrorproof.guards.sql.fuse import (
    CHECK_CONSTRAINTS,
    LIFT,
    SQLITE_BUSY_LIMIT_S,
    Phase,
    SqliteFuse,
    postgres_setup,
)
from mirrorproof.guards.sql.lasting import Lasting, lasting_of
from mirrorproof.guards.sql.levels import Levels
from mirrorproof.guards.sql.mariadb_fuse import ABOUT, ONLY_READ, MariadbFuse
from mirrorproof.guards.sql.outside import announce
from mirrorproof.guards.sql.statement import Statement, doubts
from mirrorproof.guards.sql.turn import turn_for
from mirrorproof.guards.sql.writer_limit import WriterLimit
from mirrorproof.ledger import digest_of
from mirrorproof.settings import DatabaseMode

__all__ = ["Lease"]

_log = logging.getLogger("mirrorproof")
_END_PATIENCE_S = 0.05
_LET_GO = "the mirrored request's transaction was ended so that others need not wait"
# PostgreSQL's SQLSTATEs for: lock not available, deadlock, idle in transaction, ended by an administrator.
# MariaDB's codes for: lock wait timeout, deadlock, a statement's time limit, connection ended (by three).
_MARIADB_DEADLOCK = 1213
_YIELD_STATES = frozenset({
    "55P03", "40P01", "25P03", "57P01", 1205, _MARIADB_DEADLOCK, 1969, 1927, 2006, 2013,
})  # fmt: skip
# Unique violation, serialization failure; MariaDB's duplicate key, record changed since it was read.
_CONFLICT_STATES = frozenset({"23505", "40001", 1062, 1020})


class Lease:
    """One connection whose work never lasts. `record` is the pool's entry that holds it."""

    def __init__(
        self, context: MirrorContext, driver: Driver, record: Any, fuse: SqliteFuse | None,
        treatment: DatabaseMode = DatabaseMode.DRY_RUN,
    ) -> None:  # fmt: skip
        self.context = context
        self.driver = driver
        self.connection = record.dbapi_connection
        self.autocommit = driver.autocommits(self.connection)
        self.begins_late = isinstance(driver, Pysqlite) and driver.begins_late(self.connection)
        self.info = dict(record.info)
        self.levels = Levels()
        self.debts: list[Any] = []
        self.failed_by: object = None
        """PostgreSQL: whose statement failed, so that the transaction takes none until it is mended."""
        self.prepared: dict[str, Any] = {}
        self.turn = turn_for(driver.is_async, self._after_turn)
        self.read_only = context.mode is Mode.READ_ONLY or treatment is DatabaseMode.READ_ONLY
        self.dirty = False
        self.used = False
        """Whether anything ran in its transaction since that began."""
        self.backend = (0, 0)
        """PostgreSQL: the backend's process id, and when its transaction began."""
        self.cut_off = False
        """Whether the connection was gone before the lease ended: its statement may still run."""
        self.checkouts = 0
        self.database = "a database"
        """What the log calls it."""
        self.on_closed: Callable[[], None] = lambda: None
        self.writer_limit: WriterLimit | None = None
        """SQLite, where it has a file to lock."""
        self._loop = asyncio.get_running_loop() if driver.is_async else None
        self._record = record
        self._fuse = fuse
        self._mariadb_fuse = MariadbFuse()
        self._lasting: Lasting | None = None
        self._rolls_back_at_commit = treatment is DatabaseMode.ROLLBACK_AT_COMMIT
        self._broken = ""
        self._over = False
        self._cut_short = False
        self._ended = False
        self._end_lock = Lock()

    # -- beginning

    def begin(self) -> None:
        """Open the real transaction and light the fuse. Whatever fails here refuses the lease."""
        if self._fuse is not None:
            self._begin_sqlite(self._fuse)
        elif self.driver.mariadb:
            self._begin_mariadb()
        else:
            self._begin_postgres()
        if not self.driver.in_transaction(self.connection):
            raise EffectRefusedError("mirrorproof could not open a transaction for a mirrored request")

    def _begin_postgres(self) -> None:
        # The driver goes on to begin read-only transactions, of which only the lease's is lifted: were
        # that one ever lost, the next would not write.
        driver, standby = self.driver, False
        if driver.only_reads(self.connection) or not driver.in_transaction(self.connection):
            (standby,) = self._ask("SELECT pg_catalog.pg_is_in_recovery()")
            driver.settle(self.connection)
        driver.hold_open(self.connection)
        if driver.only_reads(self.connection) and not standby:
            self.run(LIFT)
        first, *others = postgres_setup(self.read_only)
        pid, began, *_ = self._ask(first)
        self.backend = (int(pid), int(began))
        for statement in others:
            self.run(statement)

    def _ask(self, question: str) -> Any:
        with self.driver.plain_rows(self.connection):
            return self._rows(question)[0]

    def _begin_sqlite(self, fuse: SqliteFuse) -> None:
        fuse.phase = Phase.BEGINNING
        self.driver.hold_open(self.connection)
        self.run(f"PRAGMA busy_timeout = {SQLITE_BUSY_LIMIT_S * 1000:.0f}")
        if self.read_only:
            self.run("PRAGMA query_only = ON")
        if not self.driver.in_transaction(self.connection):
            self.run("BEGIN")
        fuse.phase = Phase.LIT

    def _begin_mariadb(self) -> None:
        self.driver.settle(self.connection)
        ((version, backend, *where),) = self._rows(ABOUT)
        if "mariadb" not in str(version).lower():
            raise EffectRefusedError(f"leases were tried on MariaDB only, not on MySQL {version}")
        self.backend = (int(backend), 0)
        self._lasting = lasting_of((*where, self.database), where[1], self._rows)
        self.run(ONLY_READ)
        self.run(MariadbFuse.limits())
        self.driver.settle(self.connection)
        self._light_mariadb()

    def _light_mariadb(self) -> None:
        for statement in self._mariadb_fuse.begin(read_only=self.read_only):
            self.run(statement)

    def _rows(self, question: str) -> list[tuple[Any, ...]]:
        cursor = self.connection.cursor()
        try:
            cursor.execute(question)
            rows = cursor.fetchall()
        finally:
            cursor.close()
        return [tuple(row.values() if isinstance(row, Mapping) else row) for row in rows]

    def objection(self, statement: Statement) -> str:
        """Why the server must not be sent the statement at all; empty if nothing speaks against it."""
        if self.driver.postgres:
            return doubts(statement.text)
        if self._lasting is None:
            return ""
        return mariadb_text.doubts(statement.text) or self._lasting.objection(statement)

    def run(self, statement: str) -> None:
        """A statement of our own."""
        cursor = self.connection.cursor()
        try:
            cursor.execute(statement)
        finally:
            cursor.close()

    def steer(self, statements: Iterable[str]) -> None:
        """Savepoints. One that fails leaves the stack and the server apart, so it breaks the lease."""
        try:
            for statement in statements:
                self.run(statement)
        except BaseException as error:
            self.give_up(error)
            self._explain(error)
            raise

    def mend(self) -> None:
        """Have a transaction in which a statement failed go on for the others: what they did stays."""
        failed_by, self.failed_by = self.failed_by, None
        if not self.levels.stack or not self.stands():
            return
        top = self.levels.stack[-1]
        self.steer([f"ROLLBACK TO SAVEPOINT {top.name}"])
        if top.owner is not failed_by and top.wrote:
            self.levels.lost.add(top.owner)
        top.wrote, top.effects = False, []

    def check_constraints(self) -> None:
        """Raise what a commit would raise."""
        if self.driver.postgres and self.dirty:
            self.run(CHECK_CONSTRAINTS)

    def can_refresh(self) -> bool:
        """Whether there is anything to see anew, and no rows that somebody still reads."""
        alone = self.checkouts <= 1 and not self.levels.stack
        renews = self._fuse is not None or (self.driver.mariadb and self.used)
        return renews and alone and not self.dirty and self.stands()

    def refresh(self) -> None:
        """Between transactions that wrote nothing: see what others committed, as v1 would.

        A snapshot kept from before another's commit can also never be written on (SQLITE_BUSY_SNAPSHOT).
        """
        if self.can_refresh():
            self._renew(self._light_mariadb if self._fuse is None else self._begin_sqlite_again)

    def _renew(self, begin: Callable[[], None]) -> None:
        """Another real transaction in this one's place."""
        try:
            self._undo()
            begin()
        except BaseException as error:
            self.give_up(error)
            raise
        finally:
            if self._fuse is not None:
                self._fuse.phase = Phase.LIT
        self.used = False
        if self.writer_limit is not None:
            self.writer_limit.stop()

    def _undo(self) -> None:
        if self.driver.mariadb:
            for statement in self._mariadb_fuse.end():
                self.run(statement)
            return
        if self._fuse is not None:
            self._fuse.phase = Phase.ENDING
        self.connection.rollback()

    def _begin_sqlite_again(self) -> None:
        if self._fuse is not None:
            self._fuse.phase = Phase.BEGINNING
            self.run("BEGIN")

    def committed(self) -> None:
        """The application has committed. Let its locks go, if that is how this database is treated."""
        if not self._rolls_back_at_commit or self.levels.stack:
            self.refresh()
            return
        self._renew(self._light_mariadb if self.driver.mariadb else self.begin)
        self.dirty = False

    # -- its state

    @property
    def over(self) -> bool:
        """Whether the request has ended."""
        return self._over or self.context.ended

    def stands(self) -> bool:
        """Whether statements can still be run."""
        return not (self._broken or self._ended or self.over) and self.driver.in_transaction(self.connection)

    def require(self, kind: str, target: str, summary: str) -> None:
        """Raise unless statements can still be run."""
        if self.over:
            self.context.refuse(kind or "sql.other", target, summary, digest_of(kind, target, summary))
        if not self._broken and not self.driver.in_transaction(self.connection):
            self._lose()
        if self._broken == _LET_GO:
            self.context.give_up()
        if self._broken:
            raise EffectRefusedError(f"{summary}: {self._broken}")

    def give_up(self, error: BaseException) -> None:
        """Our own statement failed."""
        if self.lost():
            return
        self._broken = self._broken or f"the mirrored request's transaction was given up after {error!r}"

    def lost(self) -> bool:
        """Whether the server has ended the connection."""
        gone = self.driver.closed(self.connection)
        if gone:
            self._lose()
        return gone

    def let_go(self) -> None:
        """The watchdog is about to end the backend. From any thread."""
        self._broken = self._broken or _LET_GO
        self.context.give_up()

    def note_conflict(self, error: BaseException | None, found: Iterable[Found]) -> None:
        """A statement with these effects failed: note them where v1's having been first could be why."""
        if _state(error) in _CONFLICT_STATES or "UNIQUE constraint failed" in str(error):
            self.context.conflicts.update(each.digest for each in found)

    def judge(self, error: BaseException) -> None:
        """Look at the connection after an application's statement failed."""
        self._explain(error)
        state = _state(error)
        if state in _YIELD_STATES or "database is locked" in str(error):
            self.context.give_up()
        if state == _MARIADB_DEADLOCK:  # its transaction can only be rolled back, with all that came before
            self._broken = self._broken or _LET_GO
        if not self.driver.in_transaction(self.connection):
            self._lose()
            raise EffectRefusedError(self._broken) from error

    def _explain(self, error: BaseException) -> None:
        """Raise why it failed, where the reason is that the lease was let go meanwhile."""
        if self._broken == _LET_GO and isinstance(error, Exception):
            raise EffectRefusedError(_LET_GO) from error

    def _lose(self) -> None:
        if self.driver.closed(self.connection):
            self.context.give_up()
            self._broken = _LET_GO
        else:
            self._broken = self._broken or (
                "the mirrored request's transaction ended by a way that mirrorproof does not know"
            )

    def refuse_in_read_only(self, found: Iterable[Found]) -> None:
        """Refuse what a mirrored request may not write here; nothing where it may."""
        if not self.read_only:
            return
        for each in found:
            if self.context.mode is Mode.READ_ONLY:
                self.context.refuse(each.kind, each.target, each.summary, each.digest)
            self.context.record(each.kind, each.target, each.summary, each.digest, Outcome.BLOCKED)
            raise ReadOnlyError(
                f"{each.kind} {each.target}: mirrored requests may only read this database ({each.summary})"
                f"{self.context.way_out(each.kind)}"
            )

    def publish(self, found: Iterable[Found]) -> None:
        """Effects that have now happened, as the application sees it."""
        outcome = Outcome.YIELDED if self.context.yielded else Outcome.SUPPRESSED
        for each in found:
            self.context.record(each.kind, each.target, each.summary, each.digest, outcome)
            if not self.context.in_request:
                announce(self.database, each.summary)

    # -- ending

    def writing(self, statement: Statement) -> AbstractContextManager[None]:
        """Around a statement of the application: SQLite's writer lock is not kept for long."""
        if self.writer_limit is None or not (statement.writes or statement.verb == "ANALYZE"):
            return nullcontext()
        return self.writer_limit.writing()

    def cut_short(self) -> None:
        """Let SQLite's file go, from another thread. What runs is stopped, and whoever ran it closes.

        Where all was committed, nothing is given up unless the application comes back for more.
        """
        if self.over or self._ended:
            return
        self._broken = self._broken or _LET_GO
        if self.levels.stack:
            self.context.give_up()
        self._cut_short = True
        if isinstance(self.driver, Aiosqlite):
            self._cut_async(self.driver)
        elif isinstance(self.driver, Pysqlite):
            here = self.driver.usable_here(self.connection)
            if not self.turn.try_call(0, self._close if here else lambda: None):
                self._interrupt()

    def _cut_async(self, driver: Aiosqlite) -> None:
        """By the connection's own thread, since the event loop may be busy with other things."""
        self._interrupt()
        if self._fuse is not None:
            driver.send(self.connection, self._fuse.undo)
        if self._loop is not None:
            with suppress(RuntimeError):  # it is closed
                self._loop.call_soon_threadsafe(self._end_in_turn)

    def _interrupt(self) -> None:
        with suppress(Exception):  # it may just have ended
            self.driver.interrupt(self.connection)

    def end(self) -> None:
        """Roll back and close. From any thread; does not wait long for a statement that still runs."""
        self._over = True
        if self._loop is not None and self._elsewhere():
            self._loop.call_soon_threadsafe(self._end_in_turn)
        else:
            self._end_in_turn()

    def _elsewhere(self) -> bool:
        if self._loop is None or not self._loop.is_running():
            return False
        try:
            return asyncio.get_running_loop() is not self._loop
        except RuntimeError:
            return True

    def _end_in_turn(self) -> None:
        if self.turn.mine or not self.turn.try_call(_END_PATIENCE_S, self._close):
            self._quietly(lambda: self.driver.interrupt(self.connection))

    def _after_turn(self) -> None:
        if (self._over or self._cut_short) and not self._ended:
            self.turn.try_call(_END_PATIENCE_S, self._close)

    def _close(self) -> None:
        with self._end_lock:
            if self._ended:
                return
            self._ended = True
        self.cut_off = self.driver.closed(self.connection)
        if self._fuse is not None:
            self._fuse.phase = Phase.ENDING
        if self.driver.is_async:
            self._quietly(lambda: self.driver.cut(self.connection))
        else:
            if self._fuse is not None:  # a server rolls back by itself, and need not be waited for
                self._quietly(self.connection.rollback)
            self._quietly(self._record.close)
        self.on_closed()

    def _quietly(self, call: Any) -> None:
        try:
            call()
        except Exception:
            _log.exception("mirrorproof could not end a mirrored request's connection in good order")


def _state(error: BaseException | None) -> Any:
    """The database's word for it: an SQLSTATE, or MariaDB's number."""
    code = next(iter(getattr(error, "args", ())), None)
    if isinstance(code, int):
        return code
    return getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
