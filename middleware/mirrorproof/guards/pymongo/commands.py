"""What a MongoDB command would change: nothing, or a `Write`.

A command that is not known to read is a write. A digest has to be equal for v1's and v2's equal writes, so
the session and what else the driver adds to a command are left out of it, and so is the database's name,
since v2 may well have a database of its own; the summary names it. `values` tells what is drawn and timed.

Pure, the time is given. Knows MongoDB's commands. Must not know how PyMongo sends.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from mirrorproof.guards.acting import Write
from mirrorproof.guards.pymongo.values import MAX_DOCUMENTS, is_drawn, is_fresh, plain
from mirrorproof.redaction import Redactor
from mirrorproof.rulings import Where
from mirrorproof.wording import readable

__all__ = ["described", "drawn_ids", "is_write"]

Command = Mapping[str, Any]

_READS: Final = frozenset({
    "find", "getmore", "killcursors", "count", "distinct", "aggregate", "explain", "listcollections",
    "listdatabases", "listindexes", "listsearchindexes", "dbstats", "collstats", "datasize", "hello",
    "ismaster", "ping", "buildinfo", "serverstatus", "hostinfo", "connectionstatus", "getparameter",
    "listcommands", "usersinfo", "rolesinfo", "currentop", "top", "dbhash", "replsetgetstatus",
    "replsetgetconfig", "startsession", "endsessions", "refreshsessions", "aborttransaction",
    "committransaction", "saslstart", "saslcontinue", "authenticate", "getnonce", "logout", "getlog",
    "getcmdlineopts", "whatsmyuri", "isdbgrid", "listshards", "getdefaultrwconcern", "connpoolstats",
    "balancerstatus",
})  # fmt: skip
_KINDS: Final = {
    "insert": "insert", "update": "update", "delete": "delete", "findandmodify": "update",
    "bulkwrite": "bulk_write", "aggregate": "aggregate",
}  # fmt: skip
_ADDED_BY_DRIVER: Final = frozenset({
    "lsid", "txnNumber", "startTransaction", "autocommit", "$clusterTime", "$db", "$readPreference",
    "readConcern", "writeConcern", "apiVersion", "apiStrict", "apiDeprecationErrors", "maxTimeMS", "comment",
    "cursor", "ordered", "bypassDocumentValidation", "errorsOnly", "nsInfo",
})  # fmt: skip


def is_write(command: Command) -> bool:
    """Whether it would change anything, or is not known not to. A commit changes what was sent before."""
    name = _name(command)
    if name == "aggregate":
        stages = command.get("pipeline") or ()
        return any("$out" in stage or "$merge" in stage for stage in stages)
    if name == "mapreduce":
        out = command.get("out")
        return not (isinstance(out, Mapping) and "inline" in out)
    return name not in _READS


def drawn_ids(command: Command, now: datetime) -> Iterator[Any]:
    """The ids that nobody had before: those that new documents were given by a draw, not by choice."""
    for document in _inserted(command)[:MAX_DOCUMENTS]:
        if isinstance(document, Mapping):
            named = ("_id", "files_id") if _is_chunk(document) else ("_id",)
            yield from filter(is_drawn, map(document.get, named))
    for query in _upserting(command)[:MAX_DOCUMENTS]:
        if isinstance(query, Mapping) and is_fresh(query.get("_id"), now):
            yield query["_id"]


def described(
    command: Command, where: tuple[str, str], drawn: set[Any], redact: tuple[str, ...], now: datetime
) -> Write | None:
    """What it would change, `None` for a read. `where`: host, database; `drawn`: its own drawn ids."""
    if not is_write(command):
        return None
    host, database = where
    name = _name(command)
    kind = _KINDS.get(name, "command")
    if name == "findandmodify" and command.get("remove"):
        kind = "delete"
    words = next(iter(command))
    verb = words.upper() if kind == name else words
    payload = {
        key: plain(value, drawn, now)
        for key, value in command.items()
        if key not in _ADDED_BY_DRIVER and key != words
    }
    if kind == "command":
        payload = {"command": words} | payload
    tables = _collections(command, database)
    target = ", ".join(table for _, table in tables) or database
    shown = readable(_first_shown(name, payload), Redactor.shared(redact))
    of = ", ".join(f"{base}.{table}" for base, table in tables) or database
    return Write(
        f"mongo.{kind}", target, payload, f"{verb} {of}{f' ({shown})' if shown else ''}",
        Where(host=host, table=tables[0][1] if len(tables) == 1 else None),
    )  # fmt: skip


def _name(command: Command) -> str:
    return next(iter(command)).lower()


def _collections(command: Command, database: str) -> list[tuple[str, str]]:
    """The database and the name of each collection that is named."""
    name, value = _name(command), next(iter(command.values()))
    if name == "bulkwrite":
        named = [each["ns"].partition(".") for each in command.get("nsInfo") or ()]
        return [(base, table) for base, _, table in named]
    if name == "aggregate":
        last = command["pipeline"][-1]
        out = last.get("$out") or (last.get("$merge") or {})
        out = out.get("into", out) if isinstance(out, Mapping) else out
        if isinstance(out, Mapping):
            return [(str(out.get("db", database)), str(out.get("coll")))]
        return [(database, str(out or value))]
    if name == "renamecollection":
        base, _, table = str(value).partition(".")
        return [(base, table)]
    return [(database, value)] if isinstance(value, str) else []


def _inserted(command: Command) -> list[Any]:
    if _name(command) == "insert":
        return list(command.get("documents") or ())
    if _name(command) == "bulkwrite":
        return [each["document"] for each in command.get("ops") or () if "document" in each]
    return []


def _upserting(command: Command) -> list[Any]:
    if _name(command) == "update":
        return [each.get("q") for each in command.get("updates") or () if each.get("upsert")]
    if _name(command) == "bulkwrite":
        return [each.get("filter") for each in command.get("ops") or () if each.get("upsert")]
    return [command.get("query")] if command.get("upsert") else []


def _is_chunk(document: Any) -> bool:
    return isinstance(document, Mapping) and {"files_id", "n", "data"} <= set(document)


def _first_shown(name: str, payload: dict[str, Any]) -> Any:
    """What a summary shows: of one document its fields, of several how many, of an update both its halves."""
    if name == "insert":
        return _one_of(payload.get("documents") or [], lambda document: document)
    if name == "update":
        return _one_of(payload.get("updates") or [], lambda each: {"where": each.get("q"), "do": each["u"]})
    if name == "delete":
        return _one_of(payload.get("deletes") or [], lambda each: {"where": each.get("q")})
    if name == "findandmodify":
        shown = {"where": payload.get("query"), "do": payload.get("update")}
        return {key: value for key, value in shown.items() if value is not None}
    return {key: value for key, value in payload.items() if key != "command"}


def _one_of(many: list[Any], show: Any) -> Any:
    if not many:
        return None
    first = show(many[0])
    return first if len(many) == 1 or not isinstance(first, dict) else {"documents": len(many)} | first
