"""Reading SQL just far enough: what a statement is called, and whether it steers the transaction.

Theory of operation. A tolerant scan cuts a text into statements and each statement into its words, past
comments and quoted things. The words name an effect for the ledger and find BEGIN, COMMIT and their kin,
which the lease answers itself. Nothing here makes a lease safe: a text that is misread gets a wrong label,
or meets the fuse. The one exception errs towards refusal: `doubts` finds what could end a transaction or
reach beyond it, however the rest of the text is read.

Pure. Must not know SQLAlchemy, drivers or leases.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from functools import lru_cache, wraps
from typing import Any, Final, TypeVar

from mirrorproof.guards.sql.beyond import SUSPICIOUS, reaches_beyond, runs_unread_text

__all__ = ["Control", "Statement", "as_text", "doubts", "read", "read_script", "statements_in"]


T = TypeVar("T")
_SHORT_CHARS: Final = 4096


class Control(Enum):
    """Statements that a lease answers itself."""

    NONE = "none"
    BEGIN = "begin"
    COMMIT = "commit"
    ROLLBACK = "rollback"
    SAVEPOINT = "savepoint"
    RELEASE = "release"
    ROLLBACK_TO = "rollback to"
    PREPARE = "prepare transaction"
    COMMIT_PREPARED = "commit prepared"
    ROLLBACK_PREPARED = "rollback prepared"
    CHECK_ALL = "set constraints all immediate"
    SETTING = "transaction settings"  # isolation levels and the like: the lease keeps its own
    APART = "apart"  # cannot run inside a transaction: taken as done


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement. `kind` is the ledger's, empty for a read; `name` a savepoint's or a prepared xid."""

    text: str
    verb: str = ""
    kind: str = ""
    target: str = ""
    control: Control = Control.NONE
    name: str = ""
    whole: bool = True
    """Whether it is all of the text that it was found in."""

    @property
    def writes(self) -> bool:
        """Whether it looks like a write."""
        return bool(self.kind)


_TOKEN: Final = re.compile(
    r"""
      (?P<blank>\s+ | --[^\n]* | /\*.*?(?:\*/|\Z))
    | (?P<quoted>'(?:[^']++|'')*+(?:'|\Z))
    | (?P<name>"(?:[^"]++|"")*+(?:"|\Z) | `[^`]*(?:`|\Z) | \[[A-Za-z_][^\]]*\])
    | (?P<dollar>\$(?P<tag>[A-Za-z_]\w*)?\$.*?(?:\$(?P=tag)\$|\Z) | \$\$.*?(?:\$\$|\Z))
    | (?P<word>[^\W\d][\w$]*)
    | (?P<end>;)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_READS: Final = frozenset({
    "SELECT", "VALUES", "TABLE", "SHOW", "EXPLAIN", "WITH", "FETCH", "MOVE", "DECLARE", "CLOSE", "SET",
    "RESET", "PRAGMA", "LISTEN", "UNLISTEN", "DISCARD", "LOCK", "SAVEPOINT", "RELEASE", "BEGIN", "START",
    "COMMIT", "END", "ROLLBACK", "ABORT", "PREPARE", "DEALLOCATE", "ANALYZE", "ATTACH", "DETACH",
    "CHECKPOINT", "DESCRIBE", "DESC", "",
})  # fmt: skip
_KINDS: Final = {
    "INSERT": "sql.insert", "REPLACE": "sql.insert", "UPDATE": "sql.update", "DELETE": "sql.delete",
    "TRUNCATE": "sql.delete", "MERGE": "sql.update", "CREATE": "sql.ddl", "ALTER": "sql.ddl",
    "DROP": "sql.ddl", "COMMENT": "sql.ddl", "GRANT": "sql.ddl", "REVOKE": "sql.ddl", "REINDEX": "sql.ddl",
    "REFRESH": "sql.ddl", "CALL": "sql.call", "VACUUM": "sql.other", "CLUSTER": "sql.other",
}  # fmt: skip
_BEFORE_TARGET: Final = frozenset({
    "INTO", "FROM", "TABLE", "ONLY", "IF", "NOT", "EXISTS", "OR", "REPLACE", "ROLLBACK", "ABORT", "FAIL",
    "IGNORE", "TEMP", "TEMPORARY", "UNIQUE", "INDEX", "CONCURRENTLY", "VIEW", "MATERIALIZED", "SEQUENCE",
    "SCHEMA", "TYPE", "UNLOGGED", "FUNCTION", "PROCEDURE", "TRIGGER", "EXTENSION", "VIRTUAL", "ON",
    "COLUMN", "FULL", "DATABASE", "GLOBAL", "LOCAL", "DOMAIN", "ROLE", "USER", "POLICY", "RULE",
})  # fmt: skip
_COPY_PROGRAM: Final = re.compile(r"\bCOPY\b.*\b(TO|FROM)\s+PROGRAM\b", re.IGNORECASE | re.DOTALL)
_ESCAPED_NAME: Final = re.compile(r"\bU&\"", re.IGNORECASE)
# Whatever is found below needs one of these words: a look that most texts do not get past.
_SUSPICIOUS: Final = re.compile(SUSPICIOUS + r"|\bcopy\b|U&\"", re.IGNORECASE)
_ENDS: Final = re.compile(r"\b(ROLLBACK|ABORT)\b", re.IGNORECASE)


def _short_cache(maxsize: int) -> Callable[[Callable[[str], T]], Callable[[str], T]]:
    """A cache for texts of a usual length: a long one is data, and would only fill the memory."""

    def around(function: Callable[[str], T]) -> Callable[[str], T]:
        cached = lru_cache(maxsize)(function)
        return wraps(function)(lambda text: (cached if len(text) <= _SHORT_CHARS else function)(text))

    return around


@_short_cache(2048)
def doubts(text: str) -> str:
    """Why PostgreSQL must not be sent this text at all, in words; empty if nothing speaks against it.

    A text of several statements goes to the server as a whole, and a ROLLBACK in its midst takes the fuse
    along before the rest runs (a COMMIT meets the fuse, and the rest is dropped). So a text that may hold
    both is refused, without trying to be clever.
    """
    if _SUSPICIOUS.search(text):
        tokens = _pieces(text)
        if why := reaches_beyond(text, tokens) or runs_unread_text(tokens, doubts):
            return why
        if _ESCAPED_NAME.search(text):
            return "a name in Unicode escapes could be any function's"
        if _COPY_PROGRAM.search(text) or any(_copies_beyond(part) for part in _split(text)):
            return "COPY to or from a file or program reaches out of the database"
    head, _, rest = text.strip().rstrip(";").partition(";")
    if rest and _ENDS.search(head + ";" + rest):
        return "several statements in one text, and one of them may end the transaction"
    return ""


def _pieces(text: str) -> list[str]:
    """A text's tokens without blanks and comments, names unquoted: `"setval" /* */ (` reads `setval (`."""
    tokens = (token for token in _TOKEN.finditer(text) if not token["blank"])
    return [_bare(token[0]) or " " if token["name"] else token[0] for token in tokens]


def _copies_beyond(text: str) -> bool:
    """Whether a COPY goes anywhere but over the connection. Reads what stands behind its TO or FROM."""
    words: list[str] = []
    depth = 0
    for token in _TOKEN.finditer(text):
        depth += (token[0] == "(") - (token[0] == ")")
        if token["blank"] or depth or token[0] == ")":
            continue
        words.append(token["word"].upper() if token["word"] else token[0])
        if words[0] != "COPY":
            return False
        if len(words) > 2 and words[-2] in ("TO", "FROM"):
            return words[-1] not in ("STDIN", "STDOUT")
    return False


@_short_cache(1024)
def read_script(text: str) -> tuple[Statement, ...]:
    """The statements of a text that may hold several."""
    parts = _split(text)
    return tuple(replace(read(part), whole=len(parts) == 1) for part in parts)


def statements_in(text: str, *, alone: bool) -> tuple[Statement, ...]:
    """A text's statements where some of them steer the transaction, else the text as one. `alone`: it has
    no parameters."""
    if alone and ";" in text:
        parts = read_script(text)
        if len(parts) > 1 and any(part.control is not Control.NONE for part in parts):
            return parts
    return (read(text),)


def _split(text: str) -> list[str]:
    parts: list[str] = []
    words: list[str] = []
    start = depth = 0
    for token in _TOKEN.finditer(text):
        if token["word"]:
            words.append(token["word"].upper())
            depth = _trigger_depth(words, depth)
        if token["end"] and depth == 0:
            parts.append(text[start : token.start()].strip())
            start, words = token.end(), []
    parts.append(text[start:].strip())
    return [part for part in parts if _words(part)]


def _trigger_depth(words: list[str], depth: int) -> int:
    # SQLite's CREATE TRIGGER holds statements between BEGIN and END, where CASE has an END of its own.
    if words[0] == "CREATE" and words[-1] == "BEGIN":
        return depth + 1
    if words[-1] == "CASE" and depth:
        return depth + 1
    return depth - 1 if words[-1] == "END" and depth else depth


def _words(text: str, limit: int = 12) -> list[str]:
    """The first words, names and quoted texts, unquoted; names with a schema as one."""
    found: list[str] = []
    joined = False
    for token in _TOKEN.finditer(text):
        if token["blank"]:
            continue
        piece = token[0]
        if piece == ".":
            joined = bool(found)
        elif token["word"] or token["name"] or token["quoted"]:
            if joined:
                found[-1] += "." + _bare(piece)
            else:
                found.append(_bare(piece))
            joined = False
        if len(found) >= limit:
            break
    return found


def _bare(name: str) -> str:
    return name[1:-1] if name[0] in "\"`['" else name


@_short_cache(2048)
def read(text: str) -> Statement:
    """One statement."""
    words = _words(text)
    first = words[0].upper() if words else ""
    control, name = _control(words)
    if control not in (Control.NONE, Control.APART):
        return Statement(text, first, control=control, name=name)
    verb = _verb_behind_with(text) if first == "WITH" else first
    if verb in ("COPY", "PRAGMA", "NOTIFY", "DO"):
        kind, target = _special(verb, words, text)
    elif verb in _READS:
        kind, target = "", ""
    else:
        kind = _KINDS.get(verb, "sql.other")
        target = _target(text if verb == first else text[text.upper().find(verb) :])
    return Statement(text, verb, kind, target, control, name)


_OF_THE_CONNECTION: Final = frozenset({  # SQLite's settings that are gone with it
    "busy_timeout", "cache_size", "cache_spill", "case_sensitive_like", "defer_foreign_keys", "foreign_keys",
    "legacy_alter_table", "mmap_size", "query_only", "recursive_triggers", "synchronous", "temp_store",
})  # fmt: skip


_CONTROLS: Final = {
    ("BEGIN",): Control.BEGIN, ("START", "TRANSACTION"): Control.BEGIN,
    ("COMMIT",): Control.COMMIT, ("END",): Control.COMMIT,
    ("ROLLBACK",): Control.ROLLBACK, ("ABORT",): Control.ROLLBACK,
    ("SAVEPOINT",): Control.SAVEPOINT,
    ("RELEASE",): Control.RELEASE, ("RELEASE", "SAVEPOINT"): Control.RELEASE,
    ("ROLLBACK", "TO"): Control.ROLLBACK_TO, ("ROLLBACK", "TO", "SAVEPOINT"): Control.ROLLBACK_TO,
    ("PREPARE", "TRANSACTION"): Control.PREPARE,
    ("COMMIT", "PREPARED"): Control.COMMIT_PREPARED, ("ROLLBACK", "PREPARED"): Control.ROLLBACK_PREPARED,
    ("SET", "CONSTRAINTS", "ALL", "IMMEDIATE"): Control.CHECK_ALL,
    ("SET", "CONSTRAINTS", "ALL"): Control.SETTING,
    ("SET", "TRANSACTION"): Control.SETTING, ("SET", "SESSION", "CHARACTERISTICS"): Control.SETTING,
    ("VACUUM",): Control.APART, ("CHECKPOINT",): Control.APART, ("DISCARD", "ALL"): Control.APART,
    ("CREATE", "DATABASE"): Control.APART, ("DROP", "DATABASE"): Control.APART,
    ("CREATE", "TABLESPACE"): Control.APART, ("DROP", "TABLESPACE"): Control.APART,
    ("ALTER", "SYSTEM"): Control.APART,
    ("REINDEX", "DATABASE"): Control.APART, ("REINDEX", "SYSTEM"): Control.APART,
    ("CREATE", "INDEX", "CONCURRENTLY"): Control.APART, ("DROP", "INDEX", "CONCURRENTLY"): Control.APART,
    ("CREATE", "UNIQUE", "INDEX", "CONCURRENTLY"): Control.APART,
    ("REINDEX", "INDEX", "CONCURRENTLY"): Control.APART, ("REINDEX", "TABLE", "CONCURRENTLY"): Control.APART,
}  # fmt: skip


def _control(words: list[str]) -> tuple[Control, str]:
    """What it steers, and the word behind, which is a savepoint's name or a prepared transaction's."""
    if words and words[0].upper() in ("COMMIT", "END", "ROLLBACK", "ABORT"):
        words = [word for word in words if word.upper() not in ("WORK", "TRANSACTION")]
    upper = [word.upper() for word in words]
    for length in range(min(4, len(upper)), 0, -1):
        control = _CONTROLS.get(tuple(upper[:length]))
        if control is not None:
            return control, words[length] if len(words) > length else ""
    return Control.NONE, ""


def _verb_behind_with(text: str) -> str:
    """`INSERT` and its kin inside or behind a WITH; `SELECT` where there is none."""
    for token in _TOKEN.finditer(text):
        word = (token["word"] or "").upper()
        if word in ("INSERT", "DELETE", "MERGE") or (word == "UPDATE" and not _locks(text, token.start())):
            return word
    return "SELECT"


def _locks(text: str, at: int) -> bool:
    return re.search(r"\b(FOR|KEY)\s+(NO\s+KEY\s+)?$", text[:at], re.IGNORECASE) is not None


def _special(verb: str, words: list[str], text: str) -> tuple[str, str]:
    second = words[1] if len(words) > 1 else ""
    if verb == "COPY":
        upper = {word.upper() for word in words}
        return ("sql.insert", second) if "FROM" in upper and "SELECT" not in upper else ("", "")
    if verb == "PRAGMA":
        lasts = "=" in text and second.lower() not in _OF_THE_CONNECTION
        return ("sql.other", "pragma " + second) if lasts else ("", "")
    return ("sql.other", second) if verb == "NOTIFY" else ("sql.call", "do")


def _target(text: str) -> str:
    return next((word for word in _words(text)[1:] if word.upper() not in _BEFORE_TARGET), "")


def as_text(operation: Any, connection: Any = None) -> str:
    """SQL as text, from whatever a driver takes: str, bytes, psycopg's composed SQL."""
    if isinstance(operation, bytes):
        return operation.decode("utf-8", "replace")
    if isinstance(operation, str):
        return operation
    render = getattr(operation, "as_string", None)
    if render is None:
        return str(operation)
    try:
        return str(render(connection))
    except TypeError:
        return str(render())
