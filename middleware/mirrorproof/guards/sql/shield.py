"""The shield: a DBAPI connection that looks like the driver's and keeps within its lease.

Theory of operation. SQLAlchemy's pool, its dialects and the application meet a proxy. Whatever begins,
ends or configures a transaction is answered by the checkout, every other statement goes through it, and
everything else is the real connection's. What still reaches the real one by a way that is not covered
here runs inside the lease's transaction and meets its fuse: it may fail, but it does not last.

Knows DBAPI connections and cursors of the drivers covered. Must not know SQLAlchemy's engines.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from sqlalchemy.util.concurrency import in_greenlet

from mirrorproof.errors import EffectRefusedError
from mirrorproof.guards.sql.blocks import Block
from mirrorproof.guards.sql.checkout import Checkout
from mirrorproof.guards.sql.cursors import NoCursor, ShieldCursor
from mirrorproof.guards.sql.drivers import await_here
from mirrorproof.guards.sql.effects import Finder, Found
from mirrorproof.guards.sql.proxy import Proxy
from mirrorproof.guards.sql.statement import Statement

__all__ = ["ShieldConnection"]

_SETTINGS: Final = frozenset({"autocommit", "isolation_level", "readonly", "read_only", "deferrable"})
_SETTERS: Final = frozenset("set_" + name for name in _SETTINGS)
_REFUSED: Final = frozenset({"set_authorizer", "deserialize", "reset", "tpc_recover", "cancel_safe"})


def _left_already() -> None:
    """A connection may be closed twice."""


class ShieldConnection(Proxy):
    """A connection. Made by a pool of one lease; `close` ends the checkout, never the connection."""

    _own = frozenset({"_real", "_checkout", "_finder", "_settings", "_xid", "_prepared", "_on_close"})

    def __init__(self, checkout: Checkout, finder: Finder, on_close: Callable[[], None]) -> None:
        super().__init__(checkout.lease.connection)
        self._checkout = checkout
        self._finder = finder
        self._on_close = on_close
        self._settings: dict[str, Any] = {}
        self._xid = ""
        self._prepared = False

    def found(self, statement: Statement, parameters: Any) -> list[Found]:
        """The effects of a statement that SQLAlchemy does not report."""
        return self._finder.in_text(statement, parameters)

    @property
    def shield_of(self) -> Checkout:
        """By this name a shield is told from a connection."""
        return self._checkout

    @property
    def shield_parts(self) -> tuple[Checkout, Finder]:
        """What a driver's shield is made of."""
        return self._checkout, self._finder

    # -- statements

    def cursor(self, *args: Any, **kwargs: Any) -> Any:
        """A cursor behind the same shield."""
        stands = self._checkout.lease.stands()
        return ShieldCursor(self._real.cursor(*args, **kwargs) if stands else NoCursor(), self)

    def execute(self, *args: Any, **kwargs: Any) -> Any:
        """The drivers' short way."""
        return self.cursor().execute(*args, **kwargs)

    def executemany(self, *args: Any, **kwargs: Any) -> Any:
        """The drivers' short way."""
        return self.cursor().executemany(*args, **kwargs)

    def executescript(self, script: str) -> Any:
        """The drivers' short way."""
        return self.cursor().executescript(script)

    # -- transactions

    def commit(self) -> None:
        """The application's commit."""
        self._checkout.commit()

    def rollback(self) -> None:
        """The application's rollback."""
        self._checkout.rollback()

    def close(self) -> None:
        """End the checkout; the lease goes on."""
        if self._on_close is not _left_already:
            self._checkout.rollback()
        self._leave()

    @property
    def has_left(self) -> bool:
        """Whether the application has closed it."""
        return self._on_close is _left_already

    def _leave(self) -> None:
        on_close, self._on_close = self._on_close, _left_already
        on_close()

    def terminate(self) -> None:
        """What a pool does to an async connection in doubt, also where nothing can be awaited."""
        if in_greenlet():
            self._checkout.rollback()
        else:
            self._checkout.owe()
        self._leave()

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if kind is None:
            self.commit()
        else:
            self.rollback()
        if self._checkout.lease.driver.with_closes:
            self._leave()

    def transaction(self, savepoint_name: str | None = None, force_rollback: bool = False) -> Any:
        """psycopg's block: a transaction, or a savepoint within one."""
        return Block(self._checkout, self, savepoint_name, force_rollback)

    # -- settings: the lease keeps its own, the application sees those that it set

    def _set(self, name: str, value: Any) -> None:
        checkout = self._checkout
        meant = checkout.lease.driver.autocommit_meant(name, value)
        if checkout.lease.driver.rolls_back_on_setting and name == "set_isolation_level":
            checkout.rollback()
        if meant is not None:
            checkout.autocommit = meant
        self._settings[name.removeprefix("set_")] = value

    def _get(self, name: str) -> Any:
        if name == "autocommit":
            return self._checkout.autocommit
        return self._settings[name] if name in self._settings else getattr(self._real, name)

    def __getattribute__(self, name: str) -> Any:
        if name in _SETTINGS:
            return object.__getattribute__(self, "_get")(name)
        return object.__getattribute__(self, name)

    def set_session(
        self, isolation_level: Any = None, readonly: Any = None, deferrable: Any = None,
        autocommit: Any = None,
    ) -> None:  # fmt: skip
        """psycopg2's."""
        given = {"isolation_level": isolation_level, "readonly": readonly, "deferrable": deferrable}
        for name, value in (given | {"autocommit": autocommit}).items():
            if value is not None:
                self._set(name, value)

    def __getattr__(self, name: str) -> Any:
        if name == "closed" and self.has_left:
            return type(self._real.closed)(1)
        if name in _SETTERS:
            return lambda value=None, *_, **__: self._set(name, value)
        if name in _REFUSED:
            raise EffectRefusedError(f"a mirrored request may not use {name} of its connection")
        return super().__getattr__(name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _SETTINGS:
            self._set(name, value)
        else:
            super().__setattr__(name, value)

    # -- what leads around the shield

    @property
    def driver_connection(self) -> Any:
        """The driver's own connection, behind a shield as well."""
        from mirrorproof.guards.sql.driver_shield import shield_driver

        return shield_driver(self)

    @property
    def _connection(self) -> Any:
        # Where SQLAlchemy's asyncio adapters keep it, and its dialects look for it.
        return self.driver_connection if self._checkout.lease.driver.is_async else self._real._connection

    def run_async(self, function: Callable[[Any], Any]) -> Any:
        """SQLAlchemy's way to await something with the driver's own connection."""
        return await_here(function(self.driver_connection))

    # -- two-phase commit, as psycopg and psycopg2 offer it

    def tpc_begin(self, xid: Any) -> None:
        """Begin, under a name."""
        self._xid = str(xid)
        self._checkout.begin()

    def tpc_prepare(self) -> None:
        """The first phase."""
        self._checkout.prepare(self._xid)
        self._prepared = True

    def tpc_commit(self, xid: Any = None) -> None:
        """The second phase, or the only one."""
        self._finish(xid, commit=True)

    def tpc_rollback(self, xid: Any = None) -> None:
        """Undo, before or after the first phase."""
        self._finish(xid, commit=False)

    def tpc_recover(self) -> list[Any]:
        """What waits for its second phase in this request."""
        return list(self._checkout.prepared())

    def _finish(self, xid: Any, *, commit: bool) -> None:
        prepared, self._prepared = self._prepared, False
        if prepared or xid is not None:
            self._checkout.decide(self._xid if xid is None else str(xid), commit=commit)
        elif commit:
            self.commit()
        else:
            self.rollback()
