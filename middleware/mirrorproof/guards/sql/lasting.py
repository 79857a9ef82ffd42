"""What MariaDB does not roll back, found in its catalogue: tables of other engines, and what writes to them.

Theory of operation. Only InnoDB takes a write back. So the names of all other tables are gathered, and from
there those of views, triggers and routines whose text mentions one of them, or that reach beyond a
transaction by themselves, until no more are found. A statement that writes and mentions such a table, or
mentions such a routine, is refused: it may be a false alarm, never the other way round. A routine whose text
the user may not read counts as one of them. The catalogue is read once a minute for each user and database.

Where triggers may not be seen and there is a table that they could write to, all writes are refused.

Knows MariaDB's catalogue. Must not know leases: `ask` runs a query and returns its rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from threading import Lock
from time import monotonic
from typing import Any, Final

from mirrorproof.guards.sql.mariadb_text import BEYOND, CALLS, words_of
from mirrorproof.guards.sql.statement import Statement

__all__ = ["Lasting", "lasting_of"]

Ask = Callable[[str], list[tuple[Any, ...]]]
Name = tuple[str, str]
"""Schema and name, in lower case."""

KEEP_S: Final = 60.0
_MAX_KEPT: Final = 64
_TABLES: Final = """SELECT table_schema, table_name, table_type FROM information_schema.tables
 WHERE table_type NOT IN ('VIEW', 'SYSTEM VIEW') AND table_schema <> 'information_schema'
   AND (engine IS NULL OR engine <> 'InnoDB' OR table_type = 'SEQUENCE')"""
_VIEWS: Final = """SELECT table_schema, table_name, view_definition FROM information_schema.views
 WHERE table_schema NOT IN ('mysql', 'sys')"""
_ROUTINES: Final = """SELECT routine_schema, routine_name, routine_definition, routine_type
  FROM information_schema.routines WHERE routine_schema NOT IN ('mysql', 'sys')"""
_MAY_SEE: Final = """SELECT 1 FROM information_schema.user_privileges WHERE privilege_type = 'TRIGGER'
 UNION SELECT 1 FROM information_schema.schema_privileges
        WHERE privilege_type = 'TRIGGER' AND table_schema = DATABASE()"""
_TRIGGERS: Final = """SELECT event_object_schema, event_object_table, action_statement
  FROM information_schema.triggers WHERE event_object_schema NOT IN ('mysql', 'sys')"""


@dataclass(frozen=True, slots=True)
class Lasting:
    """Names by what must not be done with them. `database` is the one that names without a schema are of."""

    database: str
    written: frozenset[Name] = frozenset()
    run: frozenset[Name] = frozenset()
    sequences: frozenset[Name] = frozenset()
    procedures: frozenset[Name] = frozenset()
    hides: bool = False
    """Whether there may be triggers that the user has no right to see, and tables for them to write to."""

    def objection(self, statement: Statement) -> str:
        """Why a statement must not be run, in words; empty if nothing speaks against it."""
        words = words_of(statement.text)
        if found := self._mentioned(self.run, words):
            return f"{found} does what no rollback takes back, or its text may not be read"
        if statement.verb == "CALL" and not self._mentioned(self.procedures, words):
            return "the procedure's text cannot be read"
        return self._objection_to_write(statement, words) if statement.writes else ""

    def _objection_to_write(self, statement: Statement, words: frozenset[str]) -> str:
        if self.hides:
            return (
                "there are tables that are not InnoDB's, and the user may not see whether triggers write to "
                "them; GRANT TRIGGER to it"
            )
        if found := self._mentioned(self.written, words):
            return f"{found} is not rolled back: it is no table of InnoDB's, or writes to one that is not"
        target = words_of(statement.target)
        if found := self._mentioned(self.sequences, target):
            return f"{found} is a sequence, which no rollback sets back"
        return ""

    def _mentioned(self, names: Iterable[Name], words: frozenset[str]) -> str:
        return _mentioned(names, words, self.database)


def _mentioned(names: Iterable[Name], words: frozenset[str], own: str) -> str:
    for schema, name in names:
        if words_of(name) <= words and (schema == own or words_of(schema) <= words):
            return f"{schema}.{name}"
    return ""


_kept: dict[Hashable, tuple[float, Lasting]] = {}
_lock: Final = Lock()


def lasting_of(key: Hashable, database: str | None, ask: Ask) -> Lasting:
    """What lasts in the eyes of one user of one server."""
    with _lock:
        read_at, found = _kept.get(key, (0.0, None))
    if found is not None and monotonic() - read_at < KEEP_S:
        return found
    found = _look(str(database or "").lower(), ask)
    with _lock:
        if len(_kept) >= _MAX_KEPT:
            _kept.clear()
        _kept[key] = (monotonic(), found)
    return found


def _look(database: str, ask: Ask) -> Lasting:
    tables, sequences, run = set[Name](), set[Name](), set[Name]()
    for schema, name, kind in ask(_TABLES):
        (sequences if kind == "SEQUENCE" else tables).add(_name(schema, name))
    own = {schema for schema, _ in tables} - {"mysql", "sys", "performance_schema"}
    hides = bool(own) and not ask(_MAY_SEE)
    rows = ask(_ROUTINES)
    routines = [(_name(*row[:2]), _body(row[2])) for row in rows]
    views = [(_name(*row[:2]), _body(row[2])) for row in ask(_VIEWS)]
    triggers = [(_name(*row[:2]), _body(row[2])) for row in ask(_TRIGGERS)]
    while True:
        before = len(tables), len(run)
        run |= {name for name, body in routines if _lasts(name[0], body, BEYOND, tables | run)}
        run |= {name for name, body in views if _lasts(name[0], body, CALLS, run)}
        tables |= {name for name, body in views if _lasts(name[0], body, CALLS, tables)}
        tables |= {name for name, body in triggers if _lasts(name[0], body, BEYOND, tables | run)}
        if (len(tables), len(run)) == before:
            break
    procedures = {_name(*row[:2]) for row in rows if row[3] == "PROCEDURE"}
    return Lasting(
        database, frozenset(tables), frozenset(run), frozenset(sequences), frozenset(procedures) - run, hides
    )


def _lasts(schema: str, body: str | None, beyond: re.Pattern[str], names: set[Name]) -> bool:
    return body is None or bool(beyond.search(body) or _mentioned(names, words_of(body), schema))


def _name(schema: Any, name: Any) -> Name:
    return str(schema).lower(), str(name).lower()


def _body(text: Any) -> str | None:
    return str(text) if text else None
