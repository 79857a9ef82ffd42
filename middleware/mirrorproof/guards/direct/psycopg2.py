"""The psycopg2 guard: `psycopg2.connect` and psycopg2.pool.

Its connections and cursors are C types that nothing can be wrapped on, so live ones are made of subclasses,
which refuse a mirrored request that got hold of one, and tell what live requests write.

Knows where psycopg2 connects and pools. Must not know leases.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from mirrorproof.guards import Guard
from mirrorproof.guards.direct.lending import borrower, connect_really, is_shield, lend, refuse_stray
from mirrorproof.guards.direct.observing import Observed, kept_rows
from mirrorproof.guards.direct.own import connects_to_own, noted
from mirrorproof.guards.sql.effects import first_parameters
from mirrorproof.guards.sql.proxy import Proxy
from mirrorproof.guards.sql.statement import Statement

__all__ = ["Psycopg2Guard"]

_DIALECT = "postgresql.psycopg2"
_RUNS = ("execute", "executemany", "callproc", "copy_expert", "copy_from", "copy_to")


class Psycopg2Guard(Guard):
    """Guards psycopg2."""

    name = "psycopg2"
    module = "psycopg2"
    distribution = "psycopg2-binary"
    tested = ("2.9", "2.9")
    covers = "psycopg2.connect, and the pools of psycopg2.pool: a request lease"

    def install(self) -> None:
        import psycopg2
        from psycopg2.pool import AbstractConnectionPool, SimpleConnectionPool

        self.wrap(psycopg2, "_connect", _connect)  # which every `connect` calls, however it was imported
        self.wrap(AbstractConnectionPool, "_connect", connect_really)
        self.wrap(AbstractConnectionPool, "_getconn", _pool_getconn)
        self.wrap(AbstractConnectionPool, "_putconn", _pool_putconn)
        self.wrap(SimpleConnectionPool, "getconn", _pool_getconn)  # these are the same under other names
        self.wrap(SimpleConnectionPool, "putconn", _pool_putconn)

        self._take_shields()

    def _take_shields(self) -> None:
        """Have functions in C, which want a connection or cursor of their own, take a shield's."""
        from psycopg2 import _ipaddress, _json, _range, extensions, sql

        for name in ("register_type", "quote_ident", "encrypt_password"):
            self.wrap(extensions, name, _with_real)
        for module in (_ipaddress, _json, _range):
            self.wrap(module, "register_type", _with_real)
        for kind in (sql.SQL, sql.Identifier, sql.Literal, sql.Placeholder, sql.Composed):
            self.wrap(kind, "as_string", _with_real)

    def uninstall(self) -> None:
        super().uninstall()
        _observed.clear()


_observed = Observed(
    in_transaction=lambda connection: connection.get_transaction_status() in (1, 2, 3),
    aborted=lambda connection: connection.get_transaction_status() == 3,
    closed=lambda connection: bool(connection.closed),
)


def _connect(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    from psycopg2.extensions import connection

    def connect(*args: Any, **kwargs: Any) -> Any:
        factory = kwargs.pop("connection_factory", None) or (args[1] if len(args) > 1 else None) or connection
        watched = _watched_connection(factory) if isinstance(factory, type) else factory
        return wrapped(*args[:1], connection_factory=watched, **_cursor_factory(args), **kwargs)

    context = borrower()
    if context is None:
        return noted(connect(*args, **kwargs), _DIALECT, args, kwargs)
    return lend(context, _DIALECT, connect, args, kwargs)


def _with_real(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return wrapped(*map(_real, args), **{name: _real(value) for name, value in kwargs.items()})


def _real(argument: Any) -> Any:
    return argument._real if issubclass(type(argument), Proxy) else argument


def _cursor_factory(args: tuple[Any, ...]) -> dict[str, Any]:
    return {"cursor_factory": args[2]} if len(args) > 2 else {}


@lru_cache(64)
def _watched_connection(kind: Any) -> Any:
    """`kind`, with a look at who uses it."""

    class Watched(kind):  # type: ignore[misc]
        def cursor(self, *args: Any, **kwargs: Any) -> Any:
            from psycopg2.extensions import cursor

            if len(args) < 2:
                factory = kwargs.pop("cursor_factory", None) or self.cursor_factory or cursor
                kwargs["cursor_factory"] = _watched_cursor(factory) if isinstance(factory, type) else factory
            return super().cursor(*args, **kwargs)

        def commit(self) -> None:
            refuse_stray(self, "COMMIT")
            _observed.end(self, super().commit, commit=True)

        def rollback(self) -> None:
            _observed.end(self, super().rollback, commit=False)

        def reset(self) -> None:
            _observed.end(self, super().reset, commit=False)

        def set_isolation_level(self, *args: Any) -> None:
            set_level = super().set_isolation_level
            _observed.end(self, lambda: set_level(*args), commit=False)

        def tpc_commit(self, *args: Any) -> None:
            refuse_stray(self, "COMMIT")
            commit = super().tpc_commit
            _observed.end(self, lambda: commit(*args), commit=True)

        def tpc_rollback(self, *args: Any) -> None:
            rollback = super().tpc_rollback
            _observed.end(self, lambda: rollback(*args), commit=False)

    return _named_as(Watched, kind)


@lru_cache(64)
def _watched_cursor(kind: Any) -> Any:
    def watch(name: str) -> Any:
        def run(self: Any, *args: Any, **kwargs: Any) -> Any:
            method = getattr(super(watched, self), name)
            if _observed.idle:
                return method(*args, **kwargs)
            refuse_stray(self.connection, str(args[0]) if args else name)
            if name == "executemany" and len(args) > 1:
                rows, kept = kept_rows(args[1])
                args = (args[0], rows, *args[2:])
            else:
                kept = first_parameters(args[1:], kwargs)
            operation, parameters = _statement(name, args, kwargs, kept)
            return _observed.run(
                self.connection, operation, parameters, lambda: method(*args, **kwargs),
                lambda _: self.statusmessage,
            )  # fmt: skip

        return run

    watched: Any = type(kind.__name__, (kind,), {name: watch(name) for name in _RUNS})
    return _named_as(watched, kind)


def _statement(name: str, args: tuple[Any, ...], kwargs: dict[str, Any], parameters: Any) -> tuple[Any, Any]:
    """What a call of a cursor runs, and with which parameters, as a shield's cursor names it."""
    first = args[0] if args else next(iter(kwargs.values()), "")
    if name == "callproc":
        return Statement(f"CALL {first}()", "CALL", "sql.call", first), parameters
    if name == "copy_from":
        return f"COPY {args[1] if len(args) > 1 else kwargs.get('table', '')} FROM STDIN", None
    if name == "copy_to":
        return "COPY", None
    return first, None if name == "copy_expert" else parameters


def _named_as(made: Any, kind: Any) -> Any:
    made.__name__, made.__qualname__, made.__module__ = kind.__name__, kind.__qualname__, kind.__module__
    return made


def _pool_getconn(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    import psycopg2

    context = borrower()
    if context is None or connects_to_own(context, _DIALECT, instance._args, instance._kwargs):
        return wrapped(*args, **kwargs)
    return lend(context, _DIALECT, psycopg2.connect, instance._args, instance._kwargs)


def _pool_putconn(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    connection = args[0] if args else kwargs["conn"]
    return connection.close() if is_shield(connection) else wrapped(*args, **kwargs)
