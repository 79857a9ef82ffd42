"""Which database an engine uses, and how mirrored requests are to use it (`databases`).

Theory of operation. A pool does not know its engine's URL, so each engine that is asked for a connection in
a mirrored request leaves it here, with its dialect, which outlives `engine.dispose()`. A pool whose engine
never came by is treated as any: a dry run.

Knows URLs and the setting. Must not know pools or leases.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy.engine import URL, Engine

from mirrorproof.context import MirrorContext
from mirrorproof.settings import DatabaseMode

__all__ = ["is_off", "note_dialect", "note_engine", "shown", "treatment_of", "url_of"]

_urls: WeakKeyDictionary[Any, str] = WeakKeyDictionary()


def note_engine(engine: Engine) -> None:
    """Remember an engine's URL."""
    if engine.dialect not in _urls:
        _urls[engine.dialect] = shown(engine.url)


def note_dialect(dialect: Any, url: str) -> None:
    """Remember the URL of what is connected to without an engine."""
    _urls[dialect] = url


def url_of(dialect: Any) -> str:
    """The URL, if an engine or a driver left one; else the database's kind."""
    return _urls.get(dialect) or str(getattr(dialect, "name", "unknown"))


def shown(url: URL) -> str:
    """The URL without driver, credentials and query: `postgresql://db:5432/shop`."""
    port = f":{url.port}" if url.port else ""
    return f"{url.get_backend_name()}://{url.host or ''}{port}/{url.database or ''}"


def treatment_of(context: MirrorContext, dialect: Any) -> DatabaseMode:
    """How the database behind a dialect is to be used."""
    databases = context.settings.databases
    url = _urls.get(dialect) if databases else None
    return DatabaseMode.DRY_RUN if url is None else context.settings.database_mode(url)


def is_off(context: MirrorContext, engine: Engine) -> bool:
    """Whether the engine's database is v2's own."""
    if not context.settings.databases:
        return False
    note_engine(engine)
    return treatment_of(context, engine.dialect) is DatabaseMode.OFF
