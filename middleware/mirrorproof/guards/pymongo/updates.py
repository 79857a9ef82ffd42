"""What a document would be after an update, where that is easily told; `None` where only the server knows.

Told are replacements, `$set`, `$unset`, `$inc`, `$mul`, `$min`, `$max`, `$setOnInsert` and `$push` of plain
fields, dotted ones through documents included. Not told are pipelines, positions in arrays and all else.

Pure. Must not know PyMongo.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, Final

__all__ = ["projected", "updated", "upserted"]

Document = dict[str, Any]


class _UnknownError(Exception):
    pass


def updated(document: Mapping[str, Any], update: Any, *, inserting: bool = False) -> Document | None:
    """`document` after `update`, or `None` where that is not told here."""
    if not isinstance(update, Mapping):
        return None
    if not any(str(name).startswith("$") for name in update):
        return ({"_id": document["_id"]} if "_id" in document else {}) | dict(update)
    result = copy.deepcopy(dict(document))
    try:
        for operator, fields in update.items():
            if operator == "$setOnInsert" and not inserting:
                continue
            apply = _OPERATORS[operator]
            for path, value in fields.items():
                _at(result, path, apply, value)
    except (_UnknownError, KeyError, TypeError, AttributeError):
        return None
    return result


def upserted(query: Any, update: Any) -> Document | None:
    """The document that an upsert would insert, without an `_id` that the server would make up."""
    start: Document = {}
    for name, value in (query or {}).items():
        operators = isinstance(value, Mapping) and any(str(key).startswith("$") for key in value)
        if operators and set(value) == {"$eq"}:
            start[name] = value["$eq"]
        elif not operators and not name.startswith("$") and "." not in name:
            start[name] = value
    if isinstance(update, Mapping) and not any(str(name).startswith("$") for name in update):
        start = {"_id": start["_id"]} if "_id" in start else {}
    return updated(start, update, inserting=True)


def projected(document: Document, fields: Mapping[str, Any] | None) -> Document | None:
    """What a projection of plain fields leaves of `document`; `None` for any other projection."""
    if not fields:
        return document
    plain = all(isinstance(value, int) for value in fields.values())
    if not plain or any("." in name or "$" in name for name in fields):
        return None
    shown = {name for name, value in fields.items() if value}
    if shown - {"_id"} or (shown and len(fields) == 1):
        if fields.get("_id", True):
            shown.add("_id")
        return {name: value for name, value in document.items() if name in shown}
    return {name: value for name, value in document.items() if name not in fields or name in shown}


def _at(document: Document, path: str, apply: Callable[[Document, str, Any], None], value: Any) -> None:
    *way, name = path.split(".")
    for step in way:
        document = document.setdefault(step, {})
        if not isinstance(document, dict):
            raise _UnknownError
    if "$" in path:
        raise _UnknownError
    apply(document, name, value)


def _set(document: Document, name: str, value: Any) -> None:
    document[name] = value


def _unset(document: Document, name: str, value: Any) -> None:
    document.pop(name, None)


def _inc(document: Document, name: str, value: Any) -> None:
    document[name] = document.get(name, 0) + value


def _mul(document: Document, name: str, value: Any) -> None:
    document[name] = document.get(name, 0) * value


def _min(document: Document, name: str, value: Any) -> None:
    document[name] = min(document.get(name, value), value)


def _max(document: Document, name: str, value: Any) -> None:
    document[name] = max(document.get(name, value), value)


def _push(document: Document, name: str, value: Any) -> None:
    each = [value]
    if isinstance(value, Mapping) and "$each" in value:
        if set(value) != {"$each"}:
            raise _UnknownError
        each = list(value["$each"])
    document[name] = [*document.get(name, []), *each]


_OPERATORS: Final[dict[str, Callable[[Document, str, Any], None]]] = {
    "$set": _set, "$setOnInsert": _set, "$unset": _unset, "$inc": _inc, "$mul": _mul, "$min": _min,
    "$max": _max, "$push": _push,
}  # fmt: skip
