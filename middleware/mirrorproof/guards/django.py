"""The Django guard: its ORM's connections, for PostgreSQL, SQLite, and MariaDB by PyMySQL.

Theory of operation. Django keeps a connection for each thread and alias, beyond the request. A mirrored
request gets connections of its own instead, thrown away at its end, and what they connect to is a shield on
the request lease; so nothing of a mirrored request stays in a thread for the next one. Live requests' writes
are recorded when Django says that their transaction has committed.

Knows Django's connection handler, backends and cursors. Must not know leases.
"""

from __future__ import annotations

from datetime import UTC, datetime
from threading import get_ident
from typing import Any

from mirrorproof.context import Action, MirrorContext, current
from mirrorproof.errors import EffectRefusedError
from mirrorproof.exchange import Outcome
from mirrorproof.failsafe import failsafe
from mirrorproof.guards import Guard
from mirrorproof.guards.direct.lending import borrower, is_shield, lend
from mirrorproof.guards.direct.own import connects_to_own
from mirrorproof.guards.sql.effects import finder_of
from mirrorproof.guards.sql.leased import mark_observed
from mirrorproof.guards.sql.statement import read

__all__ = ["DjangoGuard"]

_MADE_HARMLESS = ("postgresql", "sqlite")
_KINDS = {"django.db.backends.sqlite3": "sqlite", "django.db.backends.mysql": "mysql"}


class DjangoGuard(Guard):
    """Guards Django's ORM and its raw cursors."""

    name = "django"
    module = "django.db"
    distribution = "django"
    tested = ("5.2", "5.2")
    covers = (
        "the ORM, django.db.connection(s) and their cursors on PostgreSQL, SQLite, and MariaDB by PyMySQL: a "
        "request lease"
    )

    def install(self) -> None:
        from django.db.backends.base.base import BaseDatabaseWrapper
        from django.db.backends.sqlite3.base import DatabaseWrapper
        from django.db.backends.utils import CursorWrapper
        from django.utils.connection import BaseConnectionHandler

        self.wrap(BaseConnectionHandler, "__getitem__", _own_connection)
        self.wrap(BaseDatabaseWrapper, "connect", _connect)
        self.wrap(DatabaseWrapper, "get_new_connection", _lend_sqlite)
        self.wrap(CursorWrapper, "_execute", _observe)
        self.wrap(CursorWrapper, "_executemany", _observe)


def _own_connection(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`connections[alias]`: of a mirrored request's own, in each of its threads."""
    from django.db.utils import ConnectionHandler

    context = borrower() if isinstance(instance, ConnectionHandler) else None
    alias = args[0] if args else kwargs["alias"]
    if (
        context is None
        or not context.in_request
        or alias not in instance.settings
        or _is_own(context, instance.settings[alias])
    ):
        return wrapped(*args, **kwargs)
    key = ("django", id(instance), alias, get_ident())
    connection = context.resources.get(key)
    if connection is None:
        connection = context.resources[key] = instance.create_connection(alias)
    return connection


def _is_own(context: MirrorContext, settings: dict[str, Any]) -> bool:
    """Whether the database that an alias names is v2's own."""
    kind = _KINDS.get(settings["ENGINE"], "postgresql")
    given = {name.lower(): settings.get(name) or None for name in ("HOST", "PORT")}
    options = settings.get("OPTIONS") or {}
    return connects_to_own(context, kind, (), {"database": settings["NAME"], **given, **options})


def _connect(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    context = borrower()
    if context is not None and not _is_made_harmless(instance):
        raise EffectRefusedError(
            f"mirrorproof cannot make Django's {instance.vendor} backend harmless, so a mirrored request "
            f"gets no connection to it; it can for {', '.join(_MADE_HARMLESS)}, and mysql by PyMySQL"
            f"{context.way_out('sql')}"
        )
    wrapped(*args, **kwargs)  # the servers' drivers have guards of their own
    mark_observed(instance.connection)


def _is_made_harmless(connection: Any) -> bool:
    by_pymysql = connection.vendor == "mysql" and connection.Database.__name__ == "pymysql"
    return by_pymysql or connection.vendor in _MADE_HARMLESS


def _lend_sqlite(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    context = borrower()
    if context is None:
        return wrapped(*args, **kwargs)
    return lend(context, "sqlite.pysqlite", wrapped, args, kwargs)


def _observe(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A live request's statement, once it has succeeded and its transaction has committed."""
    context = current()
    result = wrapped(*args, **kwargs)
    if context is not None and not is_shield(instance.db.connection):
        failsafe("note a live statement", context.counters, _note, context, instance.db, *args[:2])
    return result


def _note(context: MirrorContext, connection: Any, sql: Any, parameters: Any) -> None:
    if context.action("sql.write") is not Action.OBSERVE:
        return
    found = finder_of(context, lambda: datetime.now(UTC)).in_text(read(str(sql)), parameters)

    def committed() -> None:
        for each in found:
            context.record(each.kind, each.target, each.summary, each.digest, Outcome.EXECUTED)

    if found:
        connection.on_commit(committed, robust=True)
