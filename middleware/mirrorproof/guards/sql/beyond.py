"""PostgreSQL's functions whose effect a rollback does not take back, found in a text.

From PostgreSQL's documentation (system administration functions, statistics, the modules of contrib), and
of extensions those that reach out of the database. `nextval` is not among them: a gap in a sequence harms
nobody. What a function of the application's own does is not known here.

Pure. Must not know statements or leases.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final

__all__ = ["SUSPICIOUS", "reaches_beyond", "runs_unread_text"]

_BEYOND: Final = re.compile(
    r"\b(setval|lo_export|load_extension|writefile"
    # other databases and hosts
    r"|dblink\w*|http_(?:get|post|put|patch|delete|head)|query_export_to_s3"
    # statistics
    r"|pg_stat_reset\w*|pg_\w+_reset(?:_profile)?"
    # the server and its other sessions
    r"|pg_terminate_backend|pg_cancel_backend|pg_reload_conf|pg_rotate_logfile\w*|pg_logfile_rotate"
    r"|pg_log_\w+|pg_file_\w+|pg_buffercache_evict\w*|pg_prewarm|autoprewarm_\w+"
    # the write-ahead log, backups, recovery
    r"|pg_create_restore_point|pg_switch_(?:wal|xlog)|pg_(?:start|stop)_backup|pg_backup_(?:start|stop)"
    r"|pg_promote|pg_(?:wal|xlog)_replay_(?:pause|resume)|pg_logical_emit_message"
    # replication
    r"|pg_(?:create|drop|copy)_\w*slot|pg_logical_slot_get_\w+|pg_replication_slot_advance"
    r"|pg_sync_replication_slots|pg_replication_origin_(?:create|drop|advance|session_setup|xact_setup)"
    # storage, changed in place
    r"|brin_(?:de)?summarize_\w+|gin_clean_pending_list|heap_force_\w+|pg_truncate_visibility_map"
    r")\s*\(",
    re.IGNORECASE,
)
_LANGUAGE: Final = re.compile(r"c|internal|pl\w+u|plsh", re.IGNORECASE)
SUSPICIOUS: Final = (
    r"setval|lo_export|load_ext|writefile|dblink|http_|to_s3|pg_|prewarm_|brin_|gin_clean|heap_force"
    r"|to_xml|crosstab|connectby|xpath_table|ts_stat|ts_rewrite|\blanguage\b|\bforeign\b"
)
"""A text that has none of these needs no further look."""
# Functions that run a text. It is read as well, where it stands there.
_RUNS_TEXT: Final = re.compile(
    r"query_to_xml(_and_xmlschema|schema)?|crosstab\w*|connectby|xpath_table|ts_stat|ts_rewrite"
)
_PLAIN_WORDS: Final = frozenset({"true", "false", "null"})


def reaches_beyond(text: str, pieces: Sequence[str]) -> str:
    """Why the text must not be run, in words; empty if nothing speaks against it.

    `pieces` are its own, without blanks, its names unquoted.
    """
    plain = " ".join(piece for piece in pieces if piece[0] != "'")
    found = _BEYOND.search(plain) or _BEYOND.search(text)
    return f"{found[1]}() cannot be undone by a rollback" if found else _made_to_reach(pieces)


def _made_to_reach(pieces: Sequence[str]) -> str:
    """Code and tables that would reach out of the database by their nature."""
    first = 0
    for at, piece in enumerate(pieces):
        word = piece.lower()
        if piece == ";":
            first = at + 1
        made = pieces[first].lower() if first < len(pieces) else ""
        if word == "language" and made in ("create", "do") and at + 1 < len(pieces):
            language = pieces[at + 1].strip("'")
            if _LANGUAGE.fullmatch(language):
                return f"code in the language {language} can reach out of the database"
        if word == "program" and made in ("create", "alter") and pieces[first + 1].lower() == "foreign":
            return "a foreign table's program reaches out of the database"
    return ""


def runs_unread_text(pieces: Sequence[str], judge: Callable[[str], str]) -> str:
    """Why a function that runs a text must not, in words: the text does not stand there, or `judge` says so.

    `pieces` are the statement's, without blanks, their names unquoted.
    """
    for at, piece in enumerate(pieces[:-1]):
        name = piece.lower()
        if pieces[at + 1] != "(" or not _RUNS_TEXT.fullmatch(name):
            continue
        arguments = list(_arguments(pieces, at + 2))
        if name == "ts_rewrite" and len(arguments) != 2:  # the other form takes no text
            continue
        for argument in arguments:
            if why := _unread(argument, judge):
                return f"{name}() runs a text: {why}"
    return ""


def _arguments(pieces: Sequence[str], at: int) -> Iterator[list[str]]:
    """Each argument's pieces, up to the closing bracket."""
    depth, argument = 0, list[str]()
    for piece in pieces[at:]:
        depth += (piece in "([") - (piece in ")]")
        if depth < 0:
            break
        if piece == "," and not depth:
            yield argument
            argument = []
        else:
            argument.append(piece)
    yield argument


def _unread(argument: list[str], judge: Callable[[str], str]) -> str:
    if len(argument) == 1 and argument[0][0] in "'$" and len(argument[0]) > 1:
        literal = argument[0]
        inner = literal[1:-1].replace("''", "'") if literal[0] == "'" else literal.split("$", 2)[2]
        return judge(inner)
    if all(piece.isdigit() or piece in "-." or piece.lower() in _PLAIN_WORDS for piece in argument):
        return ""
    return "which does not stand in the statement, so it cannot be read"
