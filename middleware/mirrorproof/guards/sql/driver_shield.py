"""The async drivers' own connections (`driver_connection`), behind a shield as well.

Each call that runs SQL is handed to the checkout inside one of SQLAlchemy's greenlets, so that there is one
way to run a statement. What is not wrapped here reaches the real connection, inside the lease's
transaction and before its fuse.

Knows the interfaces of asyncpg, psycopg's AsyncConnection and aiosqlite. Must not know engines.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager
from typing import Any, Final

from sqlalchemy.util.concurrency import greenlet_spawn

from mirrorproof.errors import EffectRefusedError
from mirrorproof.guards.sql.checkout import Checkout
from mirrorproof.guards.sql.drivers import Aiosqlite, Asyncpg, await_here
from mirrorproof.guards.sql.effects import Finder, first_parameters, spread_parameters
from mirrorproof.guards.sql.proxy import Proxy
from mirrorproof.guards.sql.shield import ShieldConnection
from mirrorproof.guards.sql.statement import Control, Statement, as_text, doubts, read, read_script

__all__ = ["DriverShield", "Statements", "shield_driver"]

_SQL_FIRST: Final = frozenset({
    "execute", "executemany", "executescript", "execute_insert", "execute_fetchall", "fetch", "fetchrow",
    "fetchval", "fetchmany",
})  # fmt: skip
_RUNS_PREPARED: Final = frozenset({"executemany", "fetch", "fetchmany", "fetchrow", "fetchval"})
_COPY_IN: Final = frozenset({"copy_records_to_table", "copy_to_table"})
_IGNORED: Final = frozenset({"set_autocommit", "set_isolation_level", "set_read_only", "set_deferrable"})
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
    return made


class _Later:
    """What aiosqlite returns: to be awaited, or entered with `async with`."""

    def __init__(self, call: Callable[[], Awaitable[Any]]) -> None:
        self._call = call
        self._result: Any = None

    def __await__(self) -> Generator[Any, None, Any]:
        return self._call().__await__()

    async def __aenter__(self) -> Any:
        self._result = await self._call()
        return self._result

    async def __aexit__(self, *_: object) -> None:
        close = getattr(self._result, "close", None)
        if close is not None:
            await close()


class Statements(Proxy):
    """Whatever has methods that take SQL: a driver's connection or cursor."""

    _own = frozenset({"_real", "_checkout", "_finder"})

    def __init__(self, real: Any, checkout: Checkout, finder: Finder) -> None:
        super().__init__(real)
        self._checkout = checkout
        self._finder = finder

    def __getattr__(self, name: str) -> Any:
        if name in _SQL_FIRST:
            return lambda sql, *args, **kwargs: _Later(lambda: self._run(name, sql, args, kwargs))
        return super().__getattr__(name)

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

    @asynccontextmanager
    async def copy(self, statement: Any, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        """psycopg's COPY, of a cursor: the block feeds it."""
        label = read(as_text(statement, self._real))
        await greenlet_spawn(self._checkout.begin)
        async with self._real.copy(statement, *args, **kwargs) as copy:
            yield copy
        await greenlet_spawn(self._checkout.report, label, self._finder.in_text(label))


class _Prepared(Statements):
    """asyncpg's prepared statement."""

    _own = Statements._own | {"_statement"}
    _statement: Statement

    def __getattr__(self, name: str) -> Any:
        if name not in _RUNS_PREPARED:
            return super().__getattr__(name)
        method = getattr(self._real, name)
        return lambda *args, **kwargs: self._perform(
            self._statement, lambda _: method(*args, **kwargs), spread_parameters(name, args)
        )


class DriverShield(Statements):
    """A driver's connection. `_leave` ends its checkout."""

    _own = Statements._own | {"_leave"}
    _leave: Callable[[], None]

    @property
    def shield_of(self) -> Checkout:
        """By this name a shield is told from a connection."""
        return self._checkout

    def __getattr__(self, name: str) -> Any:
        if name in _COPY_IN:
            return lambda table, *args, **kwargs: self._copy_in(name, table, args, kwargs)
        if name in _IGNORED:
            return self._ignore
        if name in _REFUSED:
            raise EffectRefusedError(f"a mirrored request may not use {name} of its connection")
        return super().__getattr__(name)

    async def _copy_in(self, name: str, table: str, args: Any, kwargs: Any) -> Any:
        method = getattr(self._real, name)
        statement = read(f"COPY {table} FROM STDIN")
        return await self._perform(statement, lambda _: method(table, *args, **kwargs), ())

    async def _ignore(self, *_: Any, **__: Any) -> None:
        """Settings of the transaction: the lease keeps its own."""

    async def commit(self) -> None:
        """The application's commit."""
        await greenlet_spawn(self._checkout.commit)

    async def rollback(self) -> None:
        """The application's rollback."""
        await greenlet_spawn(self._checkout.rollback)

    async def close(self, *_: Any, **__: Any) -> None:
        """End the checkout; in a request the lease keeps its connection."""
        await greenlet_spawn(self._leave)

    async def prepare(self, query: str, *args: Any, **kwargs: Any) -> Any:
        """asyncpg's. It takes nothing that steers transactions, since the server has it for later."""
        if read(query).control is not Control.NONE or doubts(query):
            raise EffectRefusedError(f"a mirrored request may not prepare {query[:80]!r}")
        prepared = await self._real.prepare(query, *args, **kwargs)
        made = _Prepared(prepared, self._checkout, self._finder)
        made._statement = read(query)
        return made

    def cursor(self, *args: Any, **kwargs: Any) -> Any:
        """A cursor behind the same shield, awaited first where the driver wants that."""
        made = self._real.cursor(*args, **kwargs)
        if isinstance(self._checkout.lease.driver, Aiosqlite):
            return _Later(lambda: self._cursor(made))
        return made if isinstance(self._checkout.lease.driver, Asyncpg) else self._shield_cursor(made)

    async def _cursor(self, made: Any) -> Any:
        return self._shield_cursor(await made)

    def _shield_cursor(self, cursor: Any) -> Any:
        return Statements(cursor, self._checkout, self._finder)

    def transaction(self, *_: Any, **__: Any) -> Any:
        """A transaction, or a savepoint within one."""
        return _Block(self._checkout)


class _Block:
    """`async with connection.transaction()`, or its three methods."""

    def __init__(self, checkout: Checkout) -> None:
        self._checkout = checkout
        self._block = ""

    async def start(self) -> None:
        """Begin."""
        self._block = await greenlet_spawn(self._checkout.enter_block)

    async def commit(self) -> None:
        """Keep."""
        await greenlet_spawn(lambda: self._checkout.leave_block(self._block, commit=True))

    async def rollback(self) -> None:
        """Undo."""
        await greenlet_spawn(lambda: self._checkout.leave_block(self._block, commit=False))

    async def __aenter__(self) -> _Block:
        await self.start()
        return self

    async def __aexit__(self, kind: object, *_: object) -> None:
        await (self.commit() if kind is None else self.rollback())
