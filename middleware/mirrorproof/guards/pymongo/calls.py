"""PyMongo's public methods that write, for a PyMongo whose inner workings are not known: they are refused.

They have the same names in every PyMongo 4. Live requests go on, and say that their effects are not whole.

Knows PyMongo's public classes. Must not know where it sends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any, Final

from mirrorproof.context import current
from mirrorproof.guards.acting import Write, refuse_unanswered
from mirrorproof.guards.pymongo.commands import is_write
from mirrorproof.rulings import Where

__all__ = ["refusing", "writers"]

_CLASSES: Final = (
    "pymongo.MongoClient", "pymongo.database.Database", "pymongo.collection.Collection",
    "pymongo.AsyncMongoClient", "pymongo.asynchronous.database.AsyncDatabase",
    "pymongo.asynchronous.collection.AsyncCollection",
)  # fmt: skip
_WRITERS: Final = (
    "insert_one", "insert_many", "update_one", "update_many", "replace_one", "delete_one", "delete_many",
    "bulk_write", "find_one_and_update", "find_one_and_replace", "find_one_and_delete", "create_index",
    "create_indexes", "drop_index", "drop_indexes", "create_search_index", "create_search_indexes",
    "drop_search_index", "update_search_index", "drop", "rename", "create_collection", "drop_collection",
    "drop_database",
)  # fmt: skip
_READING_TOO: Final = ("aggregate", "aggregate_raw_batches", "command", "cursor_command")


def writers() -> Iterator[tuple[Any, str]]:
    """Each class of PyMongo with the name of a method that may write. Raises where a class is not found."""
    import pymongo

    for path in _CLASSES:
        module, _, name = path.rpartition(".")
        if not name.startswith("Async") or hasattr(pymongo, "AsyncMongoClient"):
            kind = getattr(import_module(module), name)
            yield from ((kind, name) for name in (*_WRITERS, *_READING_TOO) if name in vars(kind))


def refusing(name: str) -> Callable[..., Any]:
    """A wrapper (as wrapt's) of the method of this name."""

    def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if current() is not None and (name in _WRITERS or _writes(name, args, kwargs)):
            of = instance.name if hasattr(type(instance), "name") else ""
            refuse_unanswered(Write(f"mongo.{name}", f"{name} {of}".strip(), where=Where(table=of or None)))
        return wrapped(*args, **kwargs)

    return wrapper


def _writes(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    try:
        if name.startswith("aggregate"):
            return is_write({"aggregate": 1, "pipeline": list(args[0] if args else kwargs["pipeline"])})
        given = args[0] if args else kwargs["command"]
        command = dict(given) if isinstance(given, Mapping) else {str(given): 1}
        return is_write(command | kwargs)
    except Exception:
        return True
