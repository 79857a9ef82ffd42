"""The guard of sqlite3 used directly: a database that a mirrored request may open leads to no other.

Whether a file may be opened at all, the guard `unguarded` judges: for writing it may not. What is in memory
or cannot be written may be, and gets an authorizer that judges what it attaches, or vacuums into.

Knows sqlite3's `connect`. Must not know leases, whose connections have an authorizer of their own.
"""

from __future__ import annotations

from typing import Any, Final

from mirrorproof.context import current, in_admitted_call
from mirrorproof.decision import Mode
from mirrorproof.guards import Guard
from mirrorproof.guards.unguarded import judge_database, watching_databases

__all__ = ["Sqlite3Guard"]

_PASSES: Final = 0  # sqlite3.SQLITE_OK
_ATTACH: Final = 24  # sqlite3.SQLITE_ATTACH, which VACUUM INTO asks for as well


class Sqlite3Guard(Guard):
    """Guards sqlite3 without SQLAlchemy or Django."""

    name = "sqlite3"
    module = "sqlite3"
    covers = "sqlite3.connect: files in memory and read-only ones, and what they attach or vacuum into"

    def install(self) -> None:
        import sqlite3

        self.wrap(sqlite3.dbapi2, "connect", _connect)
        self.replace(sqlite3, "connect", sqlite3.dbapi2.connect)
        watching_databases(installed=True)

    def uninstall(self) -> None:
        super().uninstall()
        watching_databases(installed=False)


def _connect(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if not _is_judged() or in_admitted_call():
        return wrapped(*args, **kwargs)
    with watching_databases():
        connection = wrapped(*args, **kwargs)
    connection.set_authorizer(_judge)
    return connection


def _judge(action: int, name: str | None, *_: Any) -> int:
    """An authorizer. What it raises, SQLite turns into "not authorized"."""
    context = current()
    if action == _ATTACH and context is not None and _is_judged():
        judge_database(context, name)
    return _PASSES


def _is_judged() -> bool:
    context = current()
    return context is not None and context.mirrored and context.mode is not Mode.OBSERVE
