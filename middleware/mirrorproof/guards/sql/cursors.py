"""Cursors behind the shield: every way to run SQL with one goes through the checkout.

Knows DBAPI cursors of the drivers covered. Must not know transactions or engines.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mirrorproof.guards.sql.checkout import Checkout
from mirrorproof.guards.sql.effects import PARAMETERS, first_parameters, operation_first
from mirrorproof.guards.sql.proxy import Proxy
from mirrorproof.guards.sql.statement import Statement, as_text, read, read_script

if TYPE_CHECKING:
    from mirrorproof.guards.sql.shield import ShieldConnection

__all__ = ["NoCursor", "ShieldCursor"]


class ShieldCursor(Proxy):
    """A cursor. `announced` is set while SQLAlchemy itself reports what it executes."""

    _own = frozenset({"_real", "_shield", "_returned", "announced"})

    def __init__(self, real: Any, shield: ShieldConnection) -> None:
        super().__init__(real)
        self._shield = shield
        self._returned: deque[Any] | None = None
        self.announced = False

    @property
    def connection(self) -> Any:
        """The shield, not the connection behind it."""
        return self._shield

    @property
    def checkout(self) -> Checkout:
        """The part of the lease that this cursor belongs to."""
        return self._shield._checkout

    def execute(self, *args: Any, **kwargs: Any) -> Any:
        """One statement, or a script that steers transactions, statement by statement."""
        operation, args, kwargs = operation_first(args, kwargs)
        result = None
        text, parameters = as_text(operation, self._shield._real), first_parameters(args, kwargs)
        for statement in self.checkout.lease.driver.statements_in(text, alone=not parameters):
            self.announced = self.announced and statement.whole
            result = self._run(
                statement, operation if statement.whole else statement.text,
                lambda sql: self._real.execute(sql, *args, **kwargs), parameters,
            )  # fmt: skip
        return self if result is self._real else result

    def executemany(self, *args: Any, **kwargs: Any) -> Any:
        """A statement for each row."""
        operation, args, kwargs = operation_first(args, kwargs)
        rows, args = list(first_parameters(args, kwargs)), args[1:]
        kwargs = {name: value for name, value in kwargs.items() if name not in PARAMETERS}
        result = self._run(
            self._read(operation), operation,
            lambda sql: self._real.executemany(sql, rows, *args, **kwargs), rows,
        )  # fmt: skip
        return self if result is self._real else result

    def executescript(self, script: str) -> Any:
        """sqlite3's: it commits first, and the script then runs without a transaction of the driver's."""
        checkout = self.checkout
        checkout.commit()
        before, checkout.autocommit = checkout.autocommit, True
        try:
            for statement in read_script(script):
                self._run(statement, statement.text, self._real.execute, None)
        finally:
            checkout.autocommit = before
        return self

    def callproc(self, *args: Any, **kwargs: Any) -> Any:
        """A procedure or function by its name."""
        name, args, kwargs = operation_first(args, kwargs)
        statement = Statement(f"CALL {name}()", "CALL", "sql.call", name)
        call = self._real.callproc
        return self._run(statement, name, lambda sql: call(sql, *args), args[0] if args else None)

    def copy_expert(self, sql: Any, *args: Any, **kwargs: Any) -> Any:
        """psycopg2's COPY."""
        return self._run(
            self._read(sql), sql, lambda text: self._real.copy_expert(text, *args, **kwargs), None
        )

    def copy_from(self, file: Any, table: str, *args: Any, **kwargs: Any) -> Any:
        """psycopg2's COPY FROM."""
        return self._run(
            read(f"COPY {table} FROM STDIN"), table,
            lambda name: self._real.copy_from(file, name, *args, **kwargs), None,
        )  # fmt: skip

    @contextmanager
    def copy(self, statement: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """psycopg's COPY: the block feeds it."""
        label = self._read(statement)
        block = self.checkout.whole(label, lambda: self._shield.found(label, None))
        with block, self._real.copy(statement, *args, **kwargs) as copy:
            yield copy

    def stream(self, query: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """psycopg's rows one by one."""
        label = self._read(query)
        with self.checkout.whole(label, lambda: self._shield.found(label, None)):
            yield from self._real.stream(query, *args, **kwargs)

    # -- rows taken at once: an unread one of SQLite's RETURNING would keep its savepoint from being released,
    #    and those that MariaDB still sends are lost with the next statement

    def fetchone(self) -> Any:
        """The next row."""
        if self._returned is None:
            return self._real.fetchone()
        return self._returned.popleft() if self._returned else None

    def fetchmany(self, size: int | None = None, *args: Any, **kwargs: Any) -> Any:
        """The next rows."""
        if self._returned is None:
            return self._real.fetchmany(*(() if size is None else (size,)), *args, **kwargs)
        wanted = self._real.arraysize if size is None else size
        return [self._returned.popleft() for _ in range(min(wanted, len(self._returned)))]

    def fetchall(self) -> Any:
        """The rest."""
        return self._real.fetchall() if self._returned is None else self.fetchmany(len(self._returned))

    def __iter__(self) -> Iterator[Any]:
        return iter(self._real) if self._returned is None else iter(self.fetchall())

    def __next__(self) -> Any:
        if self._returned is None:
            return next(self._real)
        if not self._returned:
            raise StopIteration
        return self._returned.popleft()

    def _take_returned(self, statement: Statement) -> None:
        late = statement.writes and isinstance(self._real, sqlite3.Cursor)
        takes = (late or self.checkout.lease.driver.streams(self._real)) and self._real.description
        self._returned = deque(self._real.fetchall()) if takes else None

    def _read(self, operation: Any) -> Statement:
        return self.checkout.lease.driver.read(as_text(operation, self._shield._real))

    def _run(self, statement: Statement, sql: Any, call: Callable[[Any], Any], parameters: Any) -> Any:
        announced = self.announced

        def run(instead: str | None) -> Any:
            result = call(sql) if instead is None else self._real.execute(instead)
            self._take_returned(statement)
            return result

        return self.checkout.perform(
            statement,
            run,
            lambda: [] if announced else self._shield.found(statement, parameters),
            announced=announced,
        )

    def close(self) -> Any:
        """Close it, unless its lease was closed before."""
        try:
            return self._real.close()
        except sqlite3.ProgrammingError:
            if not self.checkout.lease.driver.closed(self._shield._real):
                raise

    def __exit__(self, *_: Any) -> None:
        self.close()


class NoCursor:
    """In place of a cursor on a lease that has ended. The refusal waits for a statement.

    SQLAlchemy would wrap what is raised while a cursor is made into an error of its own.
    """

    description = None

    def close(self) -> None:
        """Nothing to close."""
