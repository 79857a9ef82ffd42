"""Effects found in a statement: kind, target, a line to read and a digest.

Theory of operation. Equal effects of v1 and v2 have to get equal digests although no two runs agree on
what was drawn, timed or counted. So a digest is made of columns and values, where volatile values are
replaced by their kind: what a column's default callable made, times close to now, a new row's random UUID,
and keys that the database handed out (in foreign keys to, and conditions on, a table that the same request
inserted into).
A statement that SQLAlchemy compiled tells its table and columns; of others only the text is known, and the
names in it (`guards.sql.columns`).

Knows SQLAlchemy's execution context and the ledger's digest. Must not know connections, leases or whether
an effect was real.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

from mirrorproof.context import MirrorContext
from mirrorproof.guards.sql.columns import key_columns, pieces_of
from mirrorproof.guards.sql.statement import Statement, read
from mirrorproof.ledger import digest_of
from mirrorproof.redaction import REDACTED, Redactor

__all__ = [
    "PARAMETERS", "Finder", "Found", "finder_of", "first_parameters", "operation_first", "spread_parameters",
]  # fmt: skip

_NOW_WINDOW: Final = timedelta(minutes=10)
_MAX_ROWS: Final = 100
_MAX_VALUE_CHARS: Final = 60
_MAX_SCANNED_CHARS: Final = 4096
_MAX_FIELDS: Final = 12
PARAMETERS: Final = ("params", "vars", "parameters", "params_seq", "vars_list", "args")
"""What the drivers call them."""
_OPERATIONS: Final = ("query", "sql", "command", "operation", "statement", "procname")
"""And what they call the text."""
_KEYS: Final = ("id", "pk", "uuid")
"""What a table's own key is called, where only a text is known."""
_VERBS: Final = {"sql.insert": "INSERT", "sql.update": "UPDATE", "sql.delete": "DELETE"}


@dataclass(frozen=True, slots=True)
class Found:
    """An effect before it is known what became of it."""

    kind: str
    target: str
    summary: str
    digest: str


class Finder:
    """Finds effects for one request. `fresh` are the tables that it inserted into so far."""

    def __init__(self, redact: tuple[str, ...], now: Callable[[], datetime]) -> None:
        self._redactor = Redactor.shared(redact)
        self._now = now
        self._fresh: set[str] = set()
        self._keys: dict[str, str] = {}
        """Columns that refer to fresh tables, and what stands for their values."""

    def in_text(self, statement: Statement, parameters: Any = None) -> list[Found]:
        """Effects of a statement of which only the text is known."""
        if not statement.kind:
            return []
        text = " ".join(statement.text.split())
        rows = _rows(parameters)
        shapes = self._text_shapes(statement)
        found = []
        for row in rows[:_MAX_ROWS]:
            named = row if isinstance(row, Mapping) else dict(enumerate(row))
            digest = digest_of(statement.kind, statement.target, self._text_payload(text, named, shapes))
            found.append(
                Found(statement.kind, statement.target, self._line(statement, text, named, len(rows)), digest)
            )
        if statement.kind == "sql.insert":
            self._freshen(statement.target)
        return found

    def _freshen(self, table: str) -> None:
        if table.lower() not in self._fresh:
            self._fresh.add(table.lower())
            self._keys |= dict.fromkeys(key_columns(table), f"<{table} key>")

    def _text_shapes(self, statement: Statement) -> dict[str, str]:
        """What stands for the values of columns, by name."""
        table = statement.target
        if statement.kind == "sql.insert":
            return self._keys | dict.fromkeys(_KEYS, "<drawn>")
        return self._keys | dict.fromkeys(_KEYS if table.lower() in self._fresh else (), f"<{table} key>")

    def _text_payload(self, text: str, named: Mapping[Any, Any], shapes: Mapping[str, str]) -> list[Any]:
        pieces = pieces_of(text, named)
        columns = {piece.key: piece.column for piece in pieces if piece.key is not None}
        values = []
        for key, value in named.items():
            shape = shapes.get(columns.get(key, ""), "")
            keys = shape and (_is_drawn(value) if shape == "<drawn>" else _is_key(value))
            values.append([str(key), shape if keys else self._shape(value)])
        drawn = "".join(
            shapes[piece.column]
            if piece.key is None and shapes.get(piece.column, "<drawn>") != "<drawn>"
            else piece.text
            for piece in pieces
        )
        return [drawn, values]

    def _line(self, statement: Statement, text: str, named: Mapping[Any, Any], rows: int) -> str:
        if statement.kind in _VERBS and named and not isinstance(next(iter(named)), int):
            head = f"{_VERBS[statement.kind]} {statement.target}"
            return f"{head} ({self._fields(named)}){_count(rows)}"
        # Literals inside a text belong to no column that could be judged, so they go as a whole.
        return f"{_without_literals(text)[:200]}{_count(rows)}"

    def in_context(self, execution: Any, statement_text: str, parameters: Any) -> list[Found]:
        """Effects of what SQLAlchemy executes."""
        compiled = getattr(execution, "compiled", None)
        kind = _compiled_kind(execution)
        if not kind or compiled is None or not hasattr(compiled.statement, "table"):
            return self.in_text(read(statement_text), parameters)
        table = compiled.statement.table
        target = str(getattr(table, "fullname", getattr(table, "name", "")))
        if kind == "sql.insert":
            self._freshen(target)
        shapes = self._column_shapes(table, compiled, kind)
        shapes |= dict.fromkeys(_defaulted(compiled), "<by default>")
        rows = list(execution.compiled_parameters) or [{}]
        keys = {column.key for column in table.primary_key} if kind == "sql.insert" else set()
        head, tail = f"{_VERBS[kind]} {target}", _count(len(rows))
        return [
            Found(kind, target, f"{head} ({self._fields(row)}){tail}",
                  digest_of(kind, target, self._payload(row, shapes, keys)))
            for row in rows[:_MAX_ROWS]
        ]  # fmt: skip

    def _payload(
        self, row: Mapping[str, Any], shapes: Mapping[str, str], keys: set[str]
    ) -> list[tuple[str, Any]]:
        payload = []
        for name, value in row.items():
            if name in shapes and value is not None:
                payload.append((name, shapes[name]))
            elif name in keys and _is_drawn(value):
                payload.append((name, "<drawn>"))
            else:
                payload.append((name, self._shape(value)))
        return sorted(payload, key=lambda item: item[0])

    def _column_shapes(self, table: Any, compiled: Any, kind: str) -> dict[str, str]:
        """Parameters that hold keys handed out by the database, by name."""
        shapes: dict[str, str] = {}
        for column in getattr(table, "columns", ()):
            for key in column.foreign_keys:
                parent = str(key.target_fullname).rpartition(".")[0]
                if parent.lower() in self._fresh:
                    shapes[column.key] = f"<{parent} key>"
        own = {column.key for column in getattr(table, "primary_key", ())}
        if kind != "sql.insert" and str(table.fullname).lower() in self._fresh:
            named = own | {f"{table.name}_{key}" for key in own}
            shapes |= {
                name: f"<{table.name} key>"
                for name, bind in compiled.binds.items()
                if name in named or getattr(bind, "_orig_key", None) in named
            }
        return shapes

    def _shape(self, value: Any) -> Any:  # noqa: PLR0911 - one for each kind of value
        if isinstance(value, datetime) and abs(_aware(value) - _aware(self._now())) < _NOW_WINDOW:
            return "<now>"
        if isinstance(value, str | bytes | bytearray | memoryview) and len(value) > _MAX_SCANNED_CHARS:
            data = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
            return f"{type(value).__name__} sha256 {sha256(data).hexdigest()}"
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, Mapping):
            return {str(key): self._shape(each) for key, each in value.items()}
        if isinstance(value, Decimal):
            return f"{value.normalize():f}"
        if isinstance(value, list | tuple):
            return [self._shape(each) for each in value]
        if isinstance(value, memoryview | bytearray):
            return bytes(value)
        return f"{type(value).__name__} {value}" if _says_its_value(value) else f"<{type(value).__name__}>"

    def _fields(self, row: Mapping[Any, Any]) -> str:
        shown = [f"{name}={self._value(str(name), value)}" for name, value in list(row.items())[:_MAX_FIELDS]]
        return ", ".join(shown) + (", …" if len(row) > _MAX_FIELDS else "")

    def _value(self, name: str, value: Any) -> str:
        if value is not None and self._redactor.sensitive(name):
            return REDACTED
        if isinstance(value, str | bytes):
            value = value[: _MAX_VALUE_CHARS + 1]
        shown = self._redactor.text(repr(value) if isinstance(value, str | bytes) else str(value))
        return shown if len(shown) <= _MAX_VALUE_CHARS else shown[: _MAX_VALUE_CHARS - 1] + "…"


def finder_of(context: MirrorContext, now: Callable[[], datetime]) -> Finder:
    """The context's finder of effects."""
    if not context.in_request:  # it lives as long as the process: nothing may pile up in it
        return Finder(context.settings.redact, now)
    made: Finder = context.resources.get("sql finder") or context.resources.setdefault(
        "sql finder", Finder(context.settings.redact, now)
    )
    return made


def first_parameters(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """A statement's parameters where the drivers take them as one argument behind the text."""
    return args[0] if args else next((kwargs[name] for name in PARAMETERS if name in kwargs), None)


def operation_first(
    args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    """A statement, by whatever name it was passed, and the arguments behind it. `TypeError` without one."""
    if args:
        return args[0], args[1:], dict(kwargs)
    name = next((name for name in _OPERATIONS if name in kwargs), None)
    if name is None:
        raise TypeError("a statement is missing")
    return kwargs[name], (), {key: value for key, value in kwargs.items() if key != name}


def spread_parameters(name: str, args: Sequence[Any]) -> Any:
    """The same where they are arguments of their own, as asyncpg takes them; not so for many rows."""
    if name in ("executemany", "fetchmany"):
        return args[0] if args and isinstance(args[0], list) else None
    return tuple(args)


def _compiled_kind(execution: Any) -> str:
    if getattr(execution, "isinsert", False):
        return "sql.insert"
    if getattr(execution, "isupdate", False):
        return "sql.update"
    return "sql.delete" if getattr(execution, "isdelete", False) else ""


def _defaulted(compiled: Any) -> set[str]:
    """Parameters that a default callable of their column made."""
    made = set()
    for columns, default in ((compiled.insert_prefetch, "default"), (compiled.update_prefetch, "onupdate")):
        for column in columns or ():
            maker = getattr(column, default, None)
            if maker is not None and getattr(maker, "is_callable", False):
                made.add(column.key)
    return made


def _rows(parameters: Any) -> list[Any]:
    if not parameters:
        return [()]
    if isinstance(parameters, list) and isinstance(parameters[0], list | tuple | Mapping):
        return parameters
    return [parameters] if isinstance(parameters, Sequence | Mapping) else [()]


def _count(rows: int) -> str:
    return f" ({rows} rows)" if rows > 1 else ""


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _is_drawn(value: Any) -> bool:
    """Whether it is a UUID made from randomness or time, as an object or as text."""
    try:
        made = value if isinstance(value, UUID) else UUID(value) if isinstance(value, str) else None
    except ValueError:
        return False
    return made is not None and made.version in (1, 4, 6, 7)


def _is_key(value: Any) -> bool:
    """Whether it may be a key, or keys, that a database handed out."""
    if isinstance(value, list | tuple):
        return bool(value) and all(_is_key(each) for each in value)
    return (isinstance(value, int) and not isinstance(value, bool)) or _is_drawn(value)


def _says_its_value(value: Any) -> bool:
    # What object itself prints holds an address, which differs from run to run.
    return any(vars(kind).keys() & {"__str__", "__repr__"} for kind in type(value).__mro__[:-1])


def _without_literals(text: str) -> str:
    return re.sub(r"'(?:[^']|'')*'?", "'…'", text[:_MAX_SCANNED_CHARS])
