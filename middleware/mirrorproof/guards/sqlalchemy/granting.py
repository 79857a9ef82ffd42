"""Granting: which connection a checkout gets, and making the lease that it may need.

Theory of operation. Every checkout asks the current context. Live and observed ones get the pool's own
connection. A mirrored request gets a shield on its lease; the first of its checkouts makes the lease, and
those that come meanwhile wait. What the application has listening on its pool is told as ever: `connect`
with the real connection, before the fuse is lit, but where it can only read (SQLite by its authorizer,
PostgreSQL by the driver's BEGIN); `checkout`, `reset` and `checkin` with the shield. A shadow process
outside requests gets a lease for each checkout.

An SQLite database in memory exists in one connection only, so a lease gets a private copy of it.

Knows SQLAlchemy's pools. Must not know statements.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from threading import get_ident
from typing import Any, Final
from weakref import WeakKeyDictionary

from sqlalchemy import event
from sqlalchemy.pool import NullPool, Pool, SingletonThreadPool, StaticPool
from sqlalchemy.pool.base import _ConnectionRecord

from mirrorproof.context import Action, MirrorContext, admitted
from mirrorproof.errors import EffectRefusedError
from mirrorproof.guards.sql.checkout import Checkout
from mirrorproof.guards.sql.drivers import Driver, Pysqlite
from mirrorproof.guards.sql.effects import Finder, finder_of
from mirrorproof.guards.sql.fuse import SqliteFuse
from mirrorproof.guards.sql.known_drivers import driver_for
from mirrorproof.guards.sql.lease import Lease
from mirrorproof.guards.sql.leased import mark_leased
from mirrorproof.guards.sql.mariadb_shield import shield_on
from mirrorproof.guards.sql.shield import ShieldConnection
from mirrorproof.guards.sql.snapshot import part_from_file
from mirrorproof.guards.sql.turn import turn_for
from mirrorproof.guards.sql.watch import watchdog_of
from mirrorproof.guards.sql.writer_limit import STEPS, WriterLimit
from mirrorproof.guards.sqlalchemy.berths import Berths, berths_of
from mirrorproof.guards.sqlalchemy.urls import treatment_of, url_of
from mirrorproof.ledger import digest_of
from mirrorproof.settings import DatabaseMode

__all__ = ["CONNECTION", "borrow", "finder_of", "grant", "hand_out", "is_off", "is_ours"]

CONNECTION: Final = "sql.connection"
_PASSED_ON: Final = ("checkout", "reset", "checkin")


class _LeasePool(NullPool):
    """Hands out shields on one lease."""


def is_ours(pool: Pool) -> bool:
    """Whether the pool is a lease's own."""
    return isinstance(pool, _LeasePool)


def is_off(context: MirrorContext, pool: Pool) -> bool:
    """Whether the pool's database is v2's own."""
    return context.mirrored and treatment_of(context, pool._dialect) is DatabaseMode.OFF


def hand_out(pool: Pool, connect: Callable[[], Any]) -> Any:
    """The pool's own connection, which the guards of its driver have nothing to say about."""
    with admitted():
        connection = connect()
    own = connection.driver_connection
    _mark(own)
    _mark(getattr(own, "_conn", None))  # aiosqlite's, which is sqlite3's
    return connection


def _mark(connection: Any) -> None:
    with suppress(TypeError):  # sqlite3's cannot be referred to weakly where their guard is not installed
        mark_leased(connection)


def grant(context: MirrorContext, pool: Pool, now: Callable[[], datetime]) -> Any:
    """A checkout for this context, or `None` where the real pool is to answer.

    Raises `EffectRefusedError` where no lease can be made, `LateEffectError` after the request.
    """
    action = context.action(CONNECTION)
    if action in (Action.EXECUTE, Action.OBSERVE):
        return None
    return _checkout(_lease(context, pool), pool, finder_of(context, now))


def borrow(context: MirrorContext, pool: Pool, now: Callable[[], datetime]) -> ShieldConnection:
    """A shield without a pool around it, for those who use the driver itself. Raises what `grant` raises."""
    lease = _lease(context, pool)
    lease.checkouts += 1
    return shield_on(Checkout(lease), finder_of(context, now), lambda: _leave(lease))


def _lease(context: MirrorContext, pool: Pool) -> Lease:
    name = str(getattr(pool._dialect, "name", "unknown"))
    if context.ended:
        context.refuse(CONNECTION, name, "a connection", digest_of(CONNECTION, name, ""))
    driver = driver_for(pool._dialect)  # type: ignore[arg-type]
    if not context.in_request:
        return _make(context, driver, pool)
    return _slot(context, driver, pool).lease()


def _leave(lease: Lease) -> None:
    lease.checkouts -= 1
    if not lease.context.in_request:
        lease.end()


class _Slot:
    """Where a request's lease on one engine is made, once."""

    def __init__(self, context: MirrorContext, driver: Driver, pool: Pool) -> None:
        self._made_for = (context, driver, pool)
        self._turn = turn_for(driver.is_async, lambda: None)
        self._lease: Lease | None = None

    def lease(self) -> Lease:
        """The lease; those who come while it is made wait."""
        if self._lease is None:
            with self._turn:
                if self._lease is None:
                    self._lease = _make(*self._made_for)
        return self._lease


def _slot(context: MirrorContext, driver: Driver, pool: Pool) -> _Slot:
    # The dialect stands for the engine: it outlives `engine.dispose()` and is shared by what
    # `execution_options()` returns. An async connection belongs to its event loop.
    # A pool that keeps a connection for each thread has one that no other thread may use.
    bound: object = None
    if driver.is_async:
        bound = id(asyncio.get_running_loop())
    elif isinstance(pool, SingletonThreadPool):
        bound = get_ident()
    key = ("sqlalchemy", pool._dialect, bound)
    slot: _Slot | None = context.resources.get(key)
    return slot or context.resources.setdefault(key, _Slot(context, driver, pool))


def _checkout(lease: Lease, pool: Pool, finder: Finder) -> Any:
    def on_close() -> None:
        _leave(lease)

    lease.checkouts += 1
    shields = _LeasePool(
        lambda: shield_on(Checkout(lease), finder, on_close),
        dialect=pool._dialect, reset_on_return=pool._reset_on_return,
    )  # fmt: skip
    event.listen(shields, "connect", lambda _, record: record.info.update(lease.info))
    for name in _PASSED_ON:
        for listener in getattr(pool.dispatch, name):
            event.listen(shields, name, listener)
    try:
        return shields.connect()
    except BaseException:
        on_close()
        raise


def _make(context: MirrorContext, driver: Driver, pool: Pool) -> Lease:
    berths = berths_of(pool)
    if not berths.take(is_async=driver.is_async):
        context.give_up()
        raise EffectRefusedError(
            f"all {berths.size} connections for mirrored requests are taken; this one was given up, so that "
            "v1 finds connections"
        )
    try:
        return _make_in_berth(context, driver, pool, berths)
    except BaseException:
        berths.leave()
        raise


def _make_in_berth(context: MirrorContext, driver: Driver, pool: Pool, berths: Berths) -> Lease:
    try:
        with admitted():  # the guards of the drivers themselves have nothing to say about it
            _require_fresh_connections(driver, pool)
            lease = _open(context, driver, pool)
    except EffectRefusedError:
        raise
    except Exception as error:
        name = getattr(pool._dialect, "name", "unknown")
        raise EffectRefusedError(
            f"mirrorproof could not make a connection to {name} harmless, so a mirrored request gets none: "
            f"{error}"
        ) from error
    lease.on_closed = berths.leave
    if not isinstance(driver, Pysqlite) and context.settings.yield_poll_ms:
        _watch(lease, pool, berths)
    if context.in_request:
        context.on_end(lease.end)
    return lease


def _watch(lease: Lease, pool: Pool, berths: Berths) -> None:
    watchdog = watchdog_of(pool._dialect)

    def on_closed() -> None:
        watchdog.leave(lease)
        berths.leave()

    def connect() -> Any:
        dialect: Any = pool._dialect
        connection: Any = pool._invoke_creator(None)  # type: ignore[arg-type]
        dialect.set_isolation_level(connection, "AUTOCOMMIT")
        return connection

    lease.on_closed = on_closed
    watchdog.watch(lease, connect)


def _open(context: MirrorContext, driver: Driver, pool: Pool) -> Lease:
    physical = pool.recreate()
    fuses: list[SqliteFuse] = []
    treatment = treatment_of(context, pool._dialect)
    if treatment is DatabaseMode.SNAPSHOT and not isinstance(driver, Pysqlite):
        raise EffectRefusedError("`snapshot` in `databases` is for SQLite only")

    def arm(connection: Any, _: Any) -> None:
        _mark(driver.own(connection))
        if isinstance(driver, Pysqlite):
            _mark(driver.raw(connection))
            if treatment is DatabaseMode.SNAPSHOT:
                driver.in_own_thread(connection, part_from_file, driver.raw(connection))
            fuses.append(driver.in_own_thread(connection, SqliteFuse, driver.raw(connection)))
        driver.only_read(connection)

    event.listen(physical, "connect", arm, insert=True)
    record = _ConnectionRecord(physical)
    lease = Lease(context, driver, record, fuses[0] if fuses else None, treatment)
    lease.database = url_of(pool._dialect)
    try:
        if isinstance(driver, Pysqlite):
            _copy_memory(driver, record.dbapi_connection, pool)
        lease.begin()
        if isinstance(driver, Pysqlite) and context.in_request and treatment is not DatabaseMode.SNAPSHOT:
            limit_writing(lease, driver)
    except BaseException:
        lease.end()
        raise
    return lease


def limit_writing(lease: Lease, driver: Pysqlite) -> None:
    """Have the lease let its file go in time, if it has one.

    Outside requests there is nothing that could be given up: a transaction there lasts as long as v2's own.
    """
    context, raw = lease.context, driver.raw(lease.connection)
    limit_s = context.settings.sqlite_writer_limit_ms / 1000
    if not limit_s or not driver.in_own_thread(lease.connection, _has_file, raw):
        return
    limit = lease.writer_limit = WriterLimit(limit_s, lease.cut_short, context.counters)
    driver.in_own_thread(lease.connection, raw.set_progress_handler, limit.at_work, STEPS)


def _has_file(connection: Any) -> bool:
    cursor = connection.cursor()
    cursor.row_factory = None
    return any(file for _, _, file in cursor.execute("PRAGMA database_list"))


_FRESH: Final = ("sqlalchemy.engine.create", "mirrorproof.guards.direct.lending")
_complaints: WeakKeyDictionary[Any, str] = WeakKeyDictionary()
"""What is wrong with a pool's `creator`, if anything. Each is tried once: that costs connections."""


def _require_fresh_connections(driver: Driver, pool: Pool) -> None:
    """Refuse a `creator` whose connections are not its caller's alone."""
    creator = pool._creator
    listening = getattr(getattr(pool._dialect, "dispatch", None), "do_connect", ())
    if creator.__module__ in _FRESH and not listening:
        return
    if pool not in _complaints:
        _complaints[pool] = _try_creator(driver, pool)
    if _complaints[pool]:
        raise EffectRefusedError(
            f"the engine's creator {_complaints[pool]}, so a mirrored request cannot have a connection of "
            "its own; let the creator open a new one each time"
        )


def _try_creator(driver: Driver, pool: Pool) -> str:
    made = [pool._invoke_creator(None) for _ in range(2)]  # type: ignore[arg-type]
    first, second = made
    if first is second or getattr(first, "_connection", first) is getattr(second, "_connection", second):
        return "returns one and the same connection each time"
    # psycopg_pool and its like: what is closed goes back to live requests, or is missed there for ever.
    pooled = any(getattr(connection, "_pool", None) is not None for connection in made)
    for connection in made:
        pool._dialect.do_close(connection)
    pooled = pooled or not all(driver.closed(connection) for connection in made)
    return "takes connections from a pool of its own" if pooled else ""


def _copy_memory(driver: Pysqlite, connection: Any, pool: Pool) -> None:
    """Give a private database in memory the content of the one that the engine uses."""
    own = driver.raw(connection)

    def is_empty_memory() -> bool:
        files = [row[2] for row in own.execute("PRAGMA database_list") if row[1] == "main"]
        return files == [""] and not own.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]

    if not isinstance(pool, StaticPool | SingletonThreadPool):
        return
    if driver.in_own_thread(connection, is_empty_memory):
        source = pool._do_get().dbapi_connection
        driver.in_own_thread(source, sqlite3.Connection.backup, driver.raw(source), own)
