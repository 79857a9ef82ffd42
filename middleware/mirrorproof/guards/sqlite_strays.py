"""SQLite connections from outside a mirrored request: it may read by them, and write to memory only.

Theory of operation. sqlite3's connections and cursors are C types, so those that `connect` opens are made of
subclasses that judge a mirrored request's statements. What does not read needs a look at the files behind the
connection: none of them may be written, but for temporary ones and those that `unguarded_allow` lists.
Leases' connections have an authorizer of their own, and databases of v2's own (`databases`: off) are written
to as ever.

Knows sqlite3's connections and SQLite's statements. Must not know leases or who opens connections.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any, Final

from mirrorproof.context import MirrorContext
from mirrorproof.guards.direct.lending import block, borrower, stray_in
from mirrorproof.guards.direct.own import is_to_own
from mirrorproof.guards.sql.statement import Control, as_text, read
from mirrorproof.guards.unguarded import database_file
from mirrorproof.ledger import digest_of

__all__ = ["files_of", "judge_files", "judge_target", "only_reads", "watched"]

_CONNECTION: Final = "sql.connection"
_CHANGING: Final = frozenset({"ATTACH", "ANALYZE", "REINDEX", "VACUUM"})
_FILES: Final = "PRAGMA database_list"
# A value in parentheses or behind `=`, or no value at all: of these even asking may act.
_READING_PRAGMAS: Final = re.compile(
    r"\s*PRAGMA\s+(\w+\s*\.\s*)?(table_x?info|table_list|index_list|index_x?info|foreign_key_list|foreign_keys"
    r"|database_list|compile_options|function_list|module_list|collation_list|user_version|application_id"
    r"|encoding|page_size|page_count|freelist_count|journal_mode|busy_timeout|data_version|cache_size"
    r"|schema_version|synchronous|query_only|integrity_check|quick_check|foreign_key_check)\s*(;|\Z|\()",
    re.IGNORECASE,
)
_SETTING_PRAGMAS: Final = re.compile(
    r"\b(user_version|application_id|encoding|page_size|journal_mode|schema_version)\s*\(", re.IGNORECASE
)


def only_reads(text: str) -> bool:
    """Whether a statement reads only, or takes back what was written."""
    statement = read(text)
    if statement.verb == "PRAGMA":
        return bool(_READING_PRAGMAS.match(text)) and not _SETTING_PRAGMAS.search(text)
    if statement.control is not Control.NONE:
        return statement.control is Control.ROLLBACK
    return not statement.writes and statement.verb not in _CHANGING


def files_of(connection: Any) -> list[str | None]:
    """The files behind a `sqlite3.Connection`: its own and those it attached. Empty names are memory."""
    cursor = sqlite3.Connection.cursor(connection)
    cursor.row_factory = None
    return [row[2] or "" for row in sqlite3.Cursor.execute(cursor, _FILES)]


def judge_files(context: MirrorContext, files: list[str | None]) -> None:
    """Raise `EffectRefusedError` unless each of them may be written. `None` for one that is not known."""
    for file in files:
        target = "a file that is not known" if file is None else database_file(context, file)
        if target is None or any(fnmatchcase(target, each) for each in context.settings.unguarded_allow):
            continue
        block(
            context, target, f"a write to {target}", digest_of(_CONNECTION, target, None),
            f"a mirrored request wrote to {target} by a database connection that was opened outside of it; "
            "list it in MIRRORPROOF_UNGUARDED_ALLOW to let it",
        )  # fmt: skip


def judge_target(target: Any) -> None:
    """The same for what a backup goes to. It is no statement, so a lease would not hold it back."""
    context = borrower()
    if context is None or is_to_own(context, target) or not isinstance(target, sqlite3.Connection):
        return
    try:
        files: list[str | None] = files_of(target)
    except sqlite3.ProgrammingError:  # another thread's
        files = [None]
    judge_files(context, files)


@lru_cache(64)
def watched(kind: Any) -> Any:
    """`kind`, a class of connections, with a look at who uses it."""

    class Watched(_running(kind, lambda its: its)):  # type: ignore[misc]
        mirrorproof_harmless = False
        """Whether it was opened in a mirrored request, and judged then."""

        def cursor(self, factory: Any = sqlite3.Cursor) -> Any:
            return super().cursor(_watched_cursor(factory) if isinstance(factory, type) else factory)

        def commit(self) -> None:
            if self.in_transaction:
                _judge(self, "COMMIT")
            super().commit()

        def __exit__(self, *error: Any) -> Any:
            if self.in_transaction and error[0] is None:
                _judge(self, "COMMIT")
            return super().__exit__(*error)

        def blobopen(self, *args: Any, **kwargs: Any) -> Any:
            if not kwargs.get("readonly"):
                _judge(self, "UPDATE a blob")
            return super().blobopen(*args, **kwargs)

        def backup(self, target: Any, *args: Any, **kwargs: Any) -> None:
            judge_target(target)
            super().backup(target, *args, **kwargs)

    return _named_as(Watched, kind)


@lru_cache(64)
def _watched_cursor(kind: Any) -> Any:
    return _named_as(_running(kind, lambda its: its.connection), kind)


def _running(kind: Any, connection_of: Callable[[Any], Any]) -> Any:
    """`kind`, which runs SQL in three ways: a connection does not go by its own `cursor`."""

    class Running(kind):  # type: ignore[misc]
        def execute(self, *args: Any) -> Any:
            _judge(connection_of(self), *args[:1])
            return super().execute(*args)

        def executemany(self, *args: Any) -> Any:
            _judge(connection_of(self), *args[:1])
            return super().executemany(*args)

        def executescript(self, *args: Any) -> Any:
            _judge(connection_of(self), "UPDATE by a script")  # which commits first
            return super().executescript(*args)

    return Running


def _named_as(made: Any, kind: Any) -> Any:
    made.__name__, made.__qualname__, made.__module__ = kind.__name__, kind.__qualname__, kind.__module__
    return made


def _judge(connection: Any, operation: Any = "") -> None:
    context = stray_in(connection)
    if context is None or getattr(connection, "mirrorproof_harmless", False):
        return
    if not only_reads(as_text(operation)):
        judge_files(context, files_of(connection))
