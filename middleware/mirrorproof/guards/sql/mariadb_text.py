"""Reading MariaDB's SQL: what steers the transaction, and what a lease must not be asked to run.

Theory of operation. A lease's transaction cannot be ended by the application (`guards.sql.mariadb_fuse`), so
nothing here keeps a COMMIT from lasting. It keeps off what no transaction holds: files, other sessions, the
server's settings, its schema. Only statements that are known to stay within the transaction are let through,
one to a text. How a text falls into literals, names and comments depends on the session's `sql_mode`; a text
with a backslash is read in each way, and all of them have to be harmless.

Pure. Must not know leases or drivers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Final

from mirrorproof.guards.sql import statement as general
from mirrorproof.guards.sql.statement import Control, Statement

__all__ = ["BEYOND", "CALLS", "doubts", "read", "words_of"]

# A literal with the backslash as an escape, and without.
_ESCAPED: Final = r"'(?:[^'\\]|\\.|'')*+(?:'|\Z)", r'"(?:[^"\\]|\\.|"")*+(?:"|\Z)'
_PLAIN: Final = r"'(?:[^']|'')*+(?:'|\Z)", r'"(?:[^"]|"")*+(?:"|\Z)'
_TOKENS: Final = tuple(
    re.compile(
        rf"(?P<literal>{single}|{double})|(?P<name>`(?:[^`]|``)*+(?:`|\Z))"
        r"|(?P<comment>#[^\n]*|--(?=[\s\x00-\x1f]|\Z)[^\n]*|/\*.*?(?:\*/|\Z))|(?P<other>[\w$]+|.)",
        re.DOTALL,
    )
    for single, double in ((_ESCAPED[0], _ESCAPED[1]), (_PLAIN[0], _PLAIN[1]), (_ESCAPED[0], _PLAIN[1]),
                           (_PLAIN[0], _ESCAPED[1]))
)  # fmt: skip

_WITHIN: Final = frozenset({
    "", "SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE", "WITH", "VALUES", "TABLE", "SHOW", "EXPLAIN",
    "DESCRIBE", "DESC", "SET", "DO", "CALL",
})  # fmt: skip
_SCHEMA: Final = frozenset({"CREATE", "ALTER", "DROP", "TRUNCATE", "RENAME", "GRANT", "REVOKE"})
_OWN_SETTINGS: Final = re.compile(
    r"(?<!(?<!@)@)\b(transaction|tx_read_only|transaction_read_only|tx_isolation|transaction_isolation|completion_type"
    r"|innodb_lock_wait_timeout|lock_wait_timeout|idle_transaction_timeout|idle_write_transaction_timeout"
    r"|idle_readonly_transaction_timeout|max_statement_time|wait_timeout)\b",
    re.IGNORECASE,
)
_REFUSED_SET: Final = re.compile(
    r"\b(global|persist|persist_only|password|statement|role|autocommit|default\w*_engine)\b", re.IGNORECASE
)
CALLS: Final = re.compile(
    r"\b(get_lock|setval|master_\w+|wsrep_\w+|sys_(?:exec|eval|set|get)|spider_\w+)\s*\(", re.IGNORECASE
)
"""Functions that reach beyond the transaction."""
# A temporary table in one of them, CONNECT say, is a file elsewhere.
_OTHER_ENGINE: Final = re.compile(
    r"\bengine\b(?!\s*=?\s*(?:innodb|memory|heap|myisam|aria)\b)", re.IGNORECASE
)
_TO_FILE: Final = re.compile(r"\binto\s+(outfile|dumpfile)\b", re.IGNORECASE)
BEYOND: Final = re.compile(
    r"\b(get_lock|setval|sys_exec|sys_eval|sys_set|spider_\w+|outfile|dumpfile|global|persist\w*|prepare"
    r"|execute|kill|load|handler|change|master|slave|flush|install|uninstall|shutdown|purge|reset)\b",
    re.IGNORECASE,
)
"""What the body of a routine or trigger may not even mention."""


@lru_cache(2048)
def read(text: str) -> Statement:
    """One statement, and what it means to MariaDB's transactions."""
    statement = general.read(text)
    control = statement.control
    if control is Control.NONE and statement.verb != "SET":
        return statement
    code = next(_codes(text), "").rstrip("; \n\t\r")
    words = code.upper().split()
    if ";" in code:
        return replace(statement, control=Control.NONE)
    if statement.verb == "SET" and _OWN_SETTINGS.search(code) and not _REFUSED_SET.search(code):
        return replace(statement, control=Control.SETTING)
    begins = words[:2] == ["START", "TRANSACTION"] or words in (["BEGIN"], ["BEGIN", "WORK"])
    if control is Control.BEGIN:
        return statement if begins else replace(statement, control=Control.NONE)
    steers = control in _STEERS and words[:1] not in (["END"], ["ABORT"])
    return statement if steers else replace(statement, control=Control.NONE)


_STEERS: Final = frozenset({
    Control.COMMIT, Control.ROLLBACK, Control.SAVEPOINT, Control.RELEASE, Control.ROLLBACK_TO,
})  # fmt: skip


@lru_cache(2048)
def doubts(text: str) -> str:
    """Why the text must not be run in a lease's transaction, in words; empty if nothing speaks against it."""
    return next((why for code in _codes(text) if (why := _doubt(code))), "")


def _doubt(code: str) -> str:
    if "/*" in code:
        return "MariaDB runs what stands in this comment"
    return _reaches(code) or _judge_verb(code)


def _reaches(code: str) -> str:
    statements = [part for part in code.split(";") if part.strip()]
    if len(statements) > 1:
        return "several statements in one text; send them one by one"
    if re.match(r"set\b", code, re.IGNORECASE) and (found := _REFUSED_SET.search(code)):
        return f"{found[1].upper()} reaches beyond the session, or ends the transaction"
    if found := CALLS.search(code) or _TO_FILE.search(code):
        return f"{found[1].upper()} cannot be undone by a rollback"
    return ""


def _judge_verb(code: str) -> str:
    words = re.findall(r"[\w$@]+", code.upper())
    verb = words[0] if words else ""
    if verb in _WITHIN or (_is_temporary(words) and not _OTHER_ENGINE.search(code)):
        return ""
    if verb in _SCHEMA:
        return "MariaDB commits with it at once, so it cannot be tried without doing it"
    return "MariaDB cannot take it back, or mirrorproof does not know it"


def _is_temporary(words: list[str]) -> bool:
    """CREATE and DROP of a temporary table, which the session's end takes away."""
    rest = [word for word in words[:5] if word not in ("OR", "REPLACE")]
    return rest[:3] in (["CREATE", "TEMPORARY", "TABLE"], ["DROP", "TEMPORARY", "TABLE"])


def _codes(text: str) -> Iterator[str]:
    """The text without literals, comments and quotes around names; more than one where readings differ."""
    for tokens in _TOKENS if "\\" in text else _TOKENS[:1]:
        yield "".join(_piece(token) for token in tokens.finditer(text)).lstrip("( \n\t\r")


def _piece(token: re.Match[str]) -> str:
    if token["literal"]:
        return "''"
    if token["name"]:  # a name may hold anything, and is nothing but a name
        return re.sub(r"[^\w$]", "_", token["name"][1:-1])
    if token["comment"]:
        return "/*" if re.match(r"/\*M?!", token["comment"]) else " "
    return token["other"]


def words_of(text: str) -> frozenset[str]:
    """Every word of a text, those in literals and comments too, in lower case."""
    return frozenset(re.findall(r"[\w$]+", text.lower()))
