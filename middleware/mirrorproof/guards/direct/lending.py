"""Lending: a shield on a lease in the place of a driver's own connection.

Theory of operation. A mirrored request that asks a driver, or its pool, for a connection gets a shield;
equal arguments of `connect` share one lease for each request, so that it sees its own writes. A connection
that was opened before the request, or by a way that is not wrapped, is *stray*: what runs on it would last,
so it is refused. Leases' own connections are known by a set of weak references. A database of v2's own
(`guards.direct.own`) is connected to as ever.

Knows SQLAlchemy's dialects of the drivers. Must not know any driver's interface.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from importlib.util import find_spec
from threading import Lock
from typing import Any, Final, NoReturn

from mirrorproof.context import Action, MirrorContext, admitted, current
from mirrorproof.errors import EffectRefusedError
from mirrorproof.exchange import Outcome
from mirrorproof.guards.direct.own import connects_to_own, is_to_own, noted
from mirrorproof.guards.direct.urls import url_for
from mirrorproof.guards.sql.leased import is_leased
from mirrorproof.ledger import digest_of

__all__ = [
    "block",
    "borrower",
    "connect_really",
    "connect_really_async",
    "is_shield",
    "lend",
    "lend_async",
    "refuse_connecting",
    "refuse_stray",
    "stray_in",
]

_CONNECTION: Final = "sql.connection"
_MAX_POOLS: Final = 64
_pools: dict[Any, Any] = {}
_lock: Final = Lock()


def borrower() -> MirrorContext | None:
    """The current context, if a connection that it asks for has to be a lease's."""
    context = current()
    if context is None or context.action(_CONNECTION) in (Action.EXECUTE, Action.OBSERVE):
        return None
    return context


def lend(context: MirrorContext, dialect: str, connect: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """A shield. `connect(*args, **kwargs)` is the driver's real one, `dialect` SQLAlchemy's name for it:
    `postgresql.psycopg`.

    Raises `EffectRefusedError` where no lease can be made, `LateEffectError` after the request.
    """
    if connects_to_own(context, dialect, args, kwargs):
        with admitted():
            return noted(connect(*args, **kwargs), dialect, args, kwargs)
    if find_spec("sqlalchemy") is None:
        raise EffectRefusedError(
            f"mirrorproof needs SQLAlchemy to make a connection by {dialect} harmless; "
            f"install mirrorproof[sqlalchemy]{context.way_out(_CONNECTION)}"
        )
    import sqlalchemy  # noqa: F401 - first, since its own guard is installed meanwhile and imports granting

    from mirrorproof.guards.sqlalchemy.granting import borrow

    return borrow(context, _pool(dialect, connect, args, kwargs), lambda: datetime.now(UTC))


async def lend_async(
    context: MirrorContext, dialect: str, connect: Callable[..., Any], args: Any, kwargs: Any
) -> Any:
    """The same for a driver of asyncio: its own connection behind a shield."""
    if connects_to_own(context, dialect, args, kwargs):
        with admitted():
            return noted(await connect(*args, **kwargs), dialect, args, kwargs)
    if find_spec("sqlalchemy") is None:
        lend(context, dialect, connect, args, kwargs)
    from sqlalchemy.util.concurrency import greenlet_spawn

    shield = await greenlet_spawn(lend, context, dialect, connect, args, kwargs)
    return shield.driver_connection


def connect_really(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Around what a pool itself opens, in whoever's request: the pool's for good, and so no lease."""
    with admitted():
        return wrapped(*args, **kwargs)


async def connect_really_async(
    wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """The same where it is awaited."""
    with admitted():
        return await wrapped(*args, **kwargs)


def is_shield(connection: Any) -> bool:
    """Whether it is one of ours: a shield says that its class is the driver's."""
    return hasattr(type(connection), "shield_of")


def refuse_connecting(context: MirrorContext, database: str, driver: str, others: str) -> NoReturn:
    """Raise `EffectRefusedError`: no lease can be made by this driver, others can."""
    summary = f"a connection by {driver}"
    block(
        context, database, summary, digest_of(_CONNECTION, database, summary),
        f"mirrorproof cannot make a connection by {driver} harmless, so a mirrored request gets none; "
        f"it can for {others}",
    )  # fmt: skip


def refuse_stray(connection: Any, what: str, database: str = "postgresql") -> None:
    """Raise `EffectRefusedError` where a mirrored request uses a connection that is no lease's."""
    context = stray_in(connection)
    if context is None:
        return
    summary = f"{what[:200]} on a connection from outside the request"
    block(
        context, database, summary, digest_of(_CONNECTION, "", summary),
        "a mirrored request used a database connection that was opened outside of it; open it inside, or "
        "take it from the driver's pool",
    )  # fmt: skip


def stray_in(connection: Any) -> MirrorContext | None:
    """The mirrored request that runs here, if the connection is neither a lease's nor v2's own database's."""
    context = borrower()
    if context is None or is_leased(connection) or is_to_own(context, connection):
        return None
    return context


def block(context: MirrorContext, target: str, summary: str, digest: str, why: str) -> NoReturn:
    """Record what a mirrored request may not do with a connection, and raise `EffectRefusedError`."""
    words = (_CONNECTION, target, summary, digest)
    if context.ended:
        context.refuse(*words)
    context.record(*words, Outcome.BLOCKED)
    raise EffectRefusedError(f"{why}{context.way_out(_CONNECTION)}")


def _pool(dialect: str, connect: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """A pool for a lease's connections, the same one for equal arguments: leases are counted by it."""
    key = (dialect, repr(args), repr(sorted(kwargs.items(), key=str)))
    with _lock:
        found = _pools.get(key)
        if found is None:
            if len(_pools) >= _MAX_POOLS:
                _pools.clear()
            found = _pools[key] = _make_pool(dialect, connect, args, kwargs)
        return found


def _make_pool(name: str, connect: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    from sqlalchemy.dialects import registry
    from sqlalchemy.pool import NullPool

    from mirrorproof.guards.sqlalchemy.urls import note_dialect

    kind: Any = registry.load(name)
    dialect = kind(dbapi=kind.import_dbapi())
    note_dialect(dialect, url_for(name, args, kwargs))
    if dialect.is_async:
        return NullPool(
            lambda: dialect.loaded_dbapi.connect(*args, async_creator_fn=connect, **kwargs), dialect=dialect
        )
    return NullPool(lambda: connect(*args, **kwargs), dialect=dialect)
