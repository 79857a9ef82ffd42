"""The guards of sqlite3 and aiosqlite used directly: a mirrored request writes to no file by them.

Whether a file may be opened at all, the guard `unguarded` judges: for writing it may not. What is in memory
or cannot be written may be, and gets an authorizer that judges what it attaches, or vacuums into. What a
connection from before the request may do, `sqlite_strays` judges; aiosqlite's work in threads of their own,
so there it is judged where it is asked for.

Knows where the two connect. Must not know leases, whose connections have an authorizer of their own.
"""

from __future__ import annotations

from typing import Any, Final

from mirrorproof.context import current, in_admitted_call
from mirrorproof.decision import Mode
from mirrorproof.guards import Guard
from mirrorproof.guards.direct.lending import stray_in
from mirrorproof.guards.direct.own import noted
from mirrorproof.guards.sqlite_strays import files_of, judge_files, judge_target, only_reads, watched
from mirrorproof.guards.unguarded import judge_database, watching_databases

__all__ = ["AiosqliteGuard", "Sqlite3Guard"]

_PASSES: Final = 0  # sqlite3.SQLITE_OK
_ATTACH: Final = 24  # sqlite3.SQLITE_ATTACH, which VACUUM INTO asks for as well
_FACTORY: Final = 5  # its place among `connect`'s arguments
_DIALECT: Final = "sqlite.pysqlite"


class Sqlite3Guard(Guard):
    """Guards sqlite3 without SQLAlchemy or Django."""

    name = "sqlite3"
    module = "sqlite3"
    covers = (
        "sqlite3.connect: files in memory and read-only ones, and what they attach or vacuum into; what "
        "connections from before the request write to a file, or back up to one, is refused"
    )

    def install(self) -> None:
        import sqlite3

        self.wrap(sqlite3.dbapi2, "connect", _connect)
        self.replace(sqlite3, "connect", sqlite3.dbapi2.connect)
        watching_databases(installed=True)

    def uninstall(self) -> None:
        super().uninstall()
        watching_databases(installed=False)


class AiosqliteGuard(Guard):
    """Guards aiosqlite without SQLAlchemy."""

    name = "aiosqlite"
    module = "aiosqlite"
    distribution = "aiosqlite"
    tested = ("0.22", "0.22")
    covers = "aiosqlite's connections, as sqlite3's"

    def install(self) -> None:
        from aiosqlite.core import Connection

        self.wrap(Connection, "_execute", _execute)


def _connect(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    args, kwargs = _watching(args, kwargs)
    if not _is_judged() or in_admitted_call():
        return noted(wrapped(*args, **kwargs), _DIALECT, args, kwargs)
    with watching_databases():
        connection = wrapped(*args, **kwargs)
    connection.set_authorizer(_authorize)
    connection.mirrorproof_harmless = True
    return connection


def _watching(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    import sqlite3

    if len(args) > _FACTORY:
        factory = args[_FACTORY]
        made = watched(factory) if isinstance(factory, type) else factory
        return (*args[:_FACTORY], made, *args[_FACTORY + 1 :]), kwargs
    factory = kwargs.get("factory", sqlite3.Connection)
    return args, kwargs | {"factory": watched(factory) if isinstance(factory, type) else factory}


def _authorize(action: int, name: str | None, *_: Any) -> int:
    """An authorizer. What it raises, SQLite turns into "not authorized"."""
    context = current()
    if action == _ATTACH and context is not None and _is_judged():
        judge_database(context, name)
    return _PASSES


def _is_judged() -> bool:
    context = current()
    return context is not None and context.mirrored and context.mode is not Mode.OBSERVE


# -- aiosqlite

_STATEMENTS: Final = frozenset({"execute", "executemany", "execute_insert", "execute_fetchall"})


async def _execute(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Around everything that a connection has its thread do."""
    call, *rest = args
    name = str(getattr(call, "__name__", "")).lstrip("_")
    if name == "backup":
        judge_target(next(iter(rest), kwargs.get("target")))
    connection = instance._connection
    context = None if connection is None else stray_in(connection)
    if context is None:
        return await wrapped(*args, **kwargs)
    if name == "commit" and not connection.in_transaction:
        return await wrapped(*args, **kwargs)
    if name in ("commit", "executescript") or (name in _STATEMENTS and not only_reads(str(rest[0]))):
        judge_files(context, await wrapped(files_of, connection))
    return await wrapped(*args, **kwargs)
