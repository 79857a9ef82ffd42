"""What the server would have replied to a command that it never got.

Theory of operation. `answer` is a generator: it yields the reads that it needs, commands in MongoDB's form,
gets each one's reply, and returns the reply document. Whoever runs it knows sessions, sockets and asyncio.
An error of the server to such a read (a filter that it does not understand) becomes the write error that the
write would have met; where it may not read at all, one document is said to have matched.

How many documents would have changed is what the filter finds now, `COUNTED_UP_TO` at the most.

Knows MongoDB's replies. Must not know PyMongo's connections.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any, Final

from mirrorproof.guards.pymongo.updates import projected, updated, upserted

__all__ = ["COUNTED_UP_TO", "Reading", "answer"]

Document = dict[str, Any]
Reading = Generator[tuple[str, Document], Mapping[str, Any], Any]
"""Yields (database, command that reads), is sent the reply."""

COUNTED_UP_TO: Final = 100_000
_READ_WITHIN_MS: Final = 2000
_UNAUTHORIZED: Final = 13


class _RefusedError(Exception):
    """The server refuses to read so."""

    def __init__(self, by_server: Any) -> None:
        super().__init__((by_server.details or {}).get("errmsg", str(by_server)))
        self.by_server = by_server
        self.code = by_server.code or 0


def answer(command: Mapping[str, Any], database: str) -> Reading:
    """The reply to `command`."""
    name = next(iter(command)).lower()
    collection = next(iter(command.values()))
    if name == "insert":
        return {"n": len(command.get("documents") or ()), "ok": 1.0}
    if name == "update":
        return (yield from _updates(command, database))
    if name == "delete":
        return (yield from _deletes(command, database))
    if name == "findandmodify":
        try:
            return (yield from _find_and_modify(command, database))
        except _RefusedError as error:
            raise error.by_server from None
    if name == "bulkwrite":
        return (yield from _bulk(command))
    fixed = _FIXED.get(name)
    return {"ok": 1.0} | (fixed(command, database, collection) if fixed else {})


def _created(command: Mapping[str, Any], database: str, collection: str) -> Document:
    count = len(command.get("indexes") or ())
    return {
        "numIndexesBefore": 1, "numIndexesAfter": 1 + count, "createdCollectionAutomatically": False,
    }  # fmt: skip


_FIXED: Final[dict[str, Any]] = {
    "aggregate": lambda command, database, collection: {
        "cursor": {"id": 0, "ns": f"{database}.{collection}", "firstBatch": []}
    },
    "createindexes": _created,
    "dropindexes": lambda *_: {"nIndexesWas": 2},
    "drop": lambda command, database, collection: {"nIndexesWas": 1, "ns": f"{database}.{collection}"},
    "dropdatabase": lambda command, database, collection: {"dropped": database},
}


def _updates(command: Mapping[str, Any], database: str) -> Reading:
    reply: Document = {"n": 0, "nModified": 0, "ok": 1.0}
    for index, one in enumerate(command.get("updates") or ()):
        each = {**one, "let": command.get("let")}
        try:
            matched, modified, new = yield from _update(database, next(iter(command.values())), each)
        except _RefusedError as error:
            reply.setdefault("writeErrors", []).append(_write_error(index, error))
            if command.get("ordered", True):
                break
            continue
        reply["n"] += matched
        reply["nModified"] += modified
        if new is not None:
            reply.setdefault("upserted", []).append({"index": index, "_id": new})
    return reply


def _update(database: str, collection: Any, each: Mapping[str, Any]) -> Reading:
    """(matched, modified, the `_id` of an upserted document) of one update."""
    if each.get("multi"):
        matched = yield from _count(database, collection, each)
        modified = matched
    else:
        found, known = yield from _first(database, collection, each)
        matched = modified = int(found is not None or not known)
        if found is not None and updated(found, each.get("u")) == found:
            modified = 0
    if matched or not each.get("upsert"):
        return matched, modified, None
    return 1, 0, _new_id(upserted(each.get("q"), each.get("u")))


def _new_id(document: Document | None) -> Any:
    from bson import ObjectId

    return document["_id"] if document is not None and "_id" in document else ObjectId()


def _deletes(command: Mapping[str, Any], database: str) -> Reading:
    reply: Document = {"n": 0, "ok": 1.0}
    for index, one in enumerate(command.get("deletes") or ()):
        each = {**one, "let": command.get("let")}
        try:
            bound = int(each.get("limit") or 0)
            reply["n"] += yield from _count(database, next(iter(command.values())), each, bound)
        except _RefusedError as error:
            reply.setdefault("writeErrors", []).append(_write_error(index, error))
            if command.get("ordered", True):
                break
    return reply


def _find_and_modify(command: Mapping[str, Any], database: str) -> Reading:
    fields, update, new = command.get("fields"), command.get("update"), command.get("new")
    found, known = yield from _first(database, next(iter(command.values())), command, fields=not new)
    last: Document = {"n": int(found is not None)}
    if not command.get("remove"):
        last["updatedExisting"] = found is not None
    after = found
    if new and found is not None:
        after = updated(found, update) or found
    if found is None and command.get("upsert") and known:
        made = upserted(command.get("query"), update)
        last |= {"n": 1, "upserted": _new_id(made)}
        after = {"_id": last["upserted"]} | made if new and made is not None else None
    if new and after is not None:
        kept = projected(after, fields)
        after = after if kept is None else kept
    return {"lastErrorObject": last, "value": after, "ok": 1.0}


def _bulk(command: Mapping[str, Any]) -> Reading:
    """`bulkWrite`, of several collections: one result for each operation."""
    spaces = [each["ns"].partition(".") for each in command.get("nsInfo") or ()]
    sums = {"nInserted": 0, "nMatched": 0, "nModified": 0, "nUpserted": 0, "nDeleted": 0, "nErrors": 0}
    results: list[Document] = []
    for index, op in enumerate(command.get("ops") or ()):
        name, space = next(iter(op.items()))
        database, _, collection = spaces[space]
        result: Document = {"ok": 1.0, "idx": index, "n": 1}
        each = {**op, "q": op.get("filter"), "u": op.get("updateMods"), "let": command.get("let")}
        try:
            if name == "insert":
                sums["nInserted"] += 1
            elif name == "delete":
                bound = 0 if op.get("multi") else 1
                result["n"] = yield from _count(database, collection, each, bound)
                sums["nDeleted"] += result["n"]
            else:
                result["n"], modified, new = yield from _update(database, collection, each)
                result["nModified"] = modified
                sums["nModified"] += modified
                sums["nMatched" if new is None else "nUpserted"] += result["n"]
                if new is not None:
                    result["upserted"] = {"_id": new}
        except _RefusedError as error:
            result = {"ok": 0.0, "idx": index, "n": 0, "code": error.code, "errmsg": str(error)}
            sums["nErrors"] += 1
        if not command.get("errorsOnly") or not result["ok"]:
            results.append(result)
        if not result["ok"] and command.get("ordered", True):
            break
    cursor = {"id": 0, "firstBatch": results, "ns": "admin.$cmd.bulkWrite"}
    return {"cursor": cursor, **sums, "ok": 1.0}


def _write_error(index: int, error: _RefusedError) -> Document:
    return {"index": index, "code": error.code, "errmsg": str(error)}


# -- the reads


def _first(database: str, collection: Any, each: Mapping[str, Any], *, fields: bool = False) -> Reading:
    """The first document that the filter finds, and whether that is known."""
    read = _read("find", "filter", collection, each) | {"limit": 1, "singleBatch": True}
    if each.get("sort"):
        read["sort"] = each["sort"]
    if fields and each.get("fields"):
        read["projection"] = each["fields"]
    if each.get("let"):
        read["let"] = each["let"]
    reply = yield from _asked(database, read)
    if reply is None:
        return None, False
    batch = reply["cursor"]["firstBatch"]
    return (dict(batch[0]) if batch else None), True


def _count(database: str, collection: Any, each: Mapping[str, Any], bound: int = 0) -> Reading:
    """How many documents the filter finds, at most `bound` if there is one."""
    if bound == 1 or each.get("let"):
        found, known = yield from _first(database, collection, each)
        return int(found is not None or not known)
    read = _read("count", "query", collection, each) | {"limit": COUNTED_UP_TO}
    reply = yield from _asked(database, read)
    return 1 if reply is None else int(reply["n"])


def _read(name: str, of_filter: str, collection: Any, each: Mapping[str, Any]) -> Document:
    query = each.get("q") if "q" in each else each.get("query")
    read: Document = {name: collection, of_filter: query or {}, "maxTimeMS": _READ_WITHIN_MS}
    read.update({key: each[key] for key in ("collation", "hint") if each.get(key)})
    return read


def _asked(database: str, read: Document) -> Reading:
    """The reply; `None` where this client may write only."""
    from pymongo.errors import OperationFailure

    try:
        return (yield database, read)
    except OperationFailure as error:
        if error.code == _UNAUTHORIZED:
            return None
        raise _RefusedError(error) from error
