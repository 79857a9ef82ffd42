"""The async drivers' own connections (`driver_connection`), behind a shield as well.

Each call that runs SQL is handed to the checkout inside one of SQLAlchemy's greenlets, so that there is one
way to run a statement. What is not wrapped here reaches the real connection, inside the lease's
transaction and before its fuse.

Knows the interfaces of asyncpg, psycopg's AsyncConnection and aiosqlite. Must not know engines.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from sqlalchemy.util.concurrency import greenlet_spawn

from mirrorproof.errors import EffectRefusedError
from mirrorproof.guards.sql.awaiting import Later, Rows
from mirrorproof.guards.sql.blocks import AsyncBlock
from mirrorproof.guards.sql.checkout import Checkout
from mirrorproof.guards.sql.drivers import Aiosqlite, Asyncpg, PsycopgAsync, await_here
from mirrorproof.guards.sql.effects import Finder, first_parameters, operation_first, spread_parameters
from mirrorproof.guards.sql.proxy import Proxy
from mirrorproof.guards.sql.shield import ShieldConnection
from mirrorproof.guards.sql.statement import Control, Statement, as_text, doubts, read, read_script

__all__ = ["DriverShield", "Statements", "shield_driver"]

_SQL_FIRST: Final = frozenset({
    "execute", "executemany", "executescript", "execute_insert", "execute_fetchall", "fetch", "fetchrow",
    "fetchval", "fetchmany", "copy_from_query",
})  # fmt: skip
_RUNS_PREPARED: Final = frozenset({"executemany", "fetch", "fetchmany", "fetchrow", "fetchval"})
_COPY_IN: Final = frozenset({"copy_records_to_table", "copy_to_table"})
_IGNORED: Final = frozenset({"set_isolation_level", "set_read_only", "set_deferrable"})
_REFUSED: Final = frozenset({
    "reset", "set_authorizer", "tpc_begin", "tpc_prepare", "tpc_commit", "terminate",
})  # fmt: skip


def shield_driver(shield: ShieldConnection) -> Any:
    """The driver's own connection: the shield itself where the driver is not async."""
    checkout, finder = shield.shield_parts
    if not checkout.lease.driver.is_async:
        return shield
    if checkout.lease.driver.mariadb:
        from mirrorproof.guards.sql.mariadb_driver_shield import MariadbDriverShield

        return MariadbDriverShield(shield)
    made = DriverShield(shield._real._connection, checkout, finder)
    made._leave = shield.close
    made._has_left = lambda: shield.has_left
    return made


class Statements(Proxy):
    """Whatever has methods that take SQL: a driver's connection or cursor."""

    _own = frozenset({"_real", "_checkout", "_finder"})

    def __init__(self, real: Any, checkout: Checkout, finder: Finder) -> None:
        super().__init__(real)
        self._checkout = checkout
        self._finder = finder

    def __getattr__(self, name: str) -> Any:
        if name not in _SQL_FIRST:
            return super().__getattr__(name)
        if isinstance(self._checkout.lease.driver, Aiosqlite):
            return lambda *args, **kwargs: Later(lambda: self._run(name, *operation_first(args, kwargs)))
        return lambda *args, **kwargs: self._run(name, *operation_first(args, kwargs))

    async def _run(self, name: str, sql: Any, args: Any, kwargs: Any) -> Any:
        method = getattr(self._real, name)
        text = as_text(sql, self._real)
        statement = self._checkout.lease.driver.read(text)
        if statement.control is not Control.NONE and len(read_script(text)) > 1:
            raise EffectRefusedError(
                f"a mirrored request may not send {text[:80]!r}: several statements, and one of them steers "
                "the transaction; send them one by one"
            )
        if isinstance(self._checkout.lease.driver, Asyncpg):
            parameters = spread_parameters(name, args)
        else:
            parameters = first_parameters(args, kwargs)
        result = await self._perform(statement, lambda text: method(text or sql, *args, **kwargs), parameters)
        return self if result is self._real else result

    async def _perform(self, statement: Statement, call: Callable[[str | None], Any], rows: Any) -> Any:
        return await greenlet_spawn(
            lambda: self._checkout.perform(
                statement,
                lambda instead: await_here(call(instead)),
                lambda: self._finder.in_text(statement, rows),
                alone=isinstance(self._checkout.lease.driver, Asyncpg),
            )
        )

    async def __aenter__(self) -> Any:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._real.close()

    def __aiter__(self) -> AsyncIterator[Any]:
        """The rows that a cursor has."""
        return self._real.__aiter__()  # type: ignore[no-any-return]

    @asynccontextmanager
    async def copy(self, statement: Any, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        """psycopg's COPY, of a cursor: the block feeds it."""
        async with (
            self._whole(read(as_text(statement, self._real))),
            self._real.copy(statement, *args, **kwargs) as copy,
        ):
            yield copy

    async def stream(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        """psycopg's rows one by one, of a cursor."""
        query, args, kwargs = operation_first(args, kwargs)
        statement = read(as_text(query, self._real))
        async with self._whole(statement, first_parameters(args, kwargs)):
            async for row in self._real.stream(query, *args, **kwargs):
                yield row

    @asynccontextmanager
    async def _whole(self, statement: Statement, rows: Any = None) -> AsyncIterator[None]:
        """A statement that runs for as long as the block."""
        block = self._checkout.whole(statement, lambda: self._finder.in_text(statement, rows))
        await greenlet_spawn(block.__enter__)
        try:
            yield
        except BaseException as error:
            await greenlet_spawn(block.__exit__, type(error), error, error.__traceback__)
            raise
        await greenlet_spawn(block.__exit__, None, None, None)


class _Prepared(Statements):
    """asyncpg's prepared statement."""

    _own = Statements._own | {"_statement"}
    _statement: Statement

    def cursor(self, *args: Any, **kwargs: Any) -> Any:
        """Its rows one by one."""
        made = self._real.cursor(*args, **kwargs)
        return Rows(made, lambda call: self._perform(self._statement, call, tuple(args)))

    def __getattr__(self, name: str) -> Any:
        if name not in _RUNS_PREPARED:
            return super().__getattr__(name)
        method = getattr(self._real, name)
        return lambda *args, **kwargs: self._perform(
            self._statement, lambda _: method(*args, **kwargs), spread_parameters(name, args)
        )


class DriverShield(Statements):
    """A driver's connection. `_leave` ends its checkout."""

    _own = Statements._own | {"_has_left", "_leave"}
    _leave: Callable[[], None]
    _has_left: Callable[[], bool]

    @property
    def shield_of(self) -> Checkout:
        """By this name a shield is told from a connection."""
        return self._checkout

    def __getattr__(self, name: str) -> Any:
        if name in _COPY_IN:
            return lambda table, *args, **kwargs: self._copy_in(name, table, args, kwargs)
        if name in _IGNORED:
            return self._ignore
        if name == "autocommit":
            return self._checkout.autocommit
        if name in ("closed", "is_closed") and self._has_left():
            return True if name == "closed" else lambda: True
        if name in _REFUSED:
            raise EffectRefusedError(f"a mirrored request may not use {name} of its connection")
        return super().__getattr__(name)

    async def _copy_in(self, name: str, table: str, args: Any, kwargs: Any) -> Any:
        method = getattr(self._real, name)
        statement = read(f"COPY {table} FROM STDIN")
        return await self._perform(statement, lambda _: method(table, *args, **kwargs), ())

    async def _ignore(self, *_: Any, **__: Any) -> None:
        """Settings of the transaction: the lease keeps its own."""

    async def set_autocommit(self, value: bool) -> None:
        """psycopg's."""
        self._checkout.autocommit = bool(value)

    def is_in_transaction(self) -> bool:
        """asyncpg's: whether the application has begun one."""
        return self._checkout.level is not None

    async def commit(self) -> None:
        """The application's commit."""
        await greenlet_spawn(self._checkout.commit)

    async def rollback(self) -> None:
        """The application's rollback."""
        await greenlet_spawn(self._checkout.rollback)

    async def close(self, *_: Any, **__: Any) -> None:
        """End the checkout; in a request the lease keeps its connection."""
        await greenlet_spawn(self._leave)

    async def __aexit__(self, *error: object) -> None:
        if isinstance(self._checkout.lease.driver, PsycopgAsync):
            await (self.rollback() if any(error) else self.commit())
        await self.close()

    async def prepare(self, query: str, *args: Any, **kwargs: Any) -> Any:
        """asyncpg's. It takes nothing that steers transactions, since the server has it for later."""
        statement = _preparable(query)
        prepared = await self._real.prepare(query, *args, **kwargs)
        made = _Prepared(prepared, self._checkout, self._finder)
        made._statement = statement
        return made

    def cursor(self, *args: Any, **kwargs: Any) -> Any:
        """A cursor behind the same shield, awaited first where the driver wants that."""
        made = self._real.cursor(*args, **kwargs)
        if isinstance(self._checkout.lease.driver, Aiosqlite):
            return Later(lambda: self._cursor(made))
        if not isinstance(self._checkout.lease.driver, Asyncpg):
            return self._shield_cursor(made)
        query, parameters, _ = operation_first(args, kwargs)
        return Rows(made, lambda call: self._perform(_preparable(query), call, parameters))

    async def _cursor(self, made: Any) -> Any:
        return self._shield_cursor(await made)

    def _shield_cursor(self, cursor: Any) -> Any:
        return Statements(cursor, self._checkout, self._finder)

    def transaction(self, savepoint_name: str | None = None, force_rollback: bool = False, **_: Any) -> Any:
        """A transaction, or a savepoint within one."""
        return AsyncBlock(self._checkout, self, savepoint_name, force_rollback)


def _preparable(query: str) -> Statement:
    statement = read(query)
    if statement.control is not Control.NONE or doubts(query):
        raise EffectRefusedError(f"a mirrored request may not prepare {query[:80]!r}")
    return statement
