"""Databases that are v2's own (`databases`: off), where a driver is used by itself: what is written lasts.

Theory of operation. Each real connection is remembered with the URL that its driver was given. A mirrored
request that asks for one to a database of v2's own gets the real thing, and may use one from before it. Where
the arguments do not tell which server it is (`service`, `hostaddr`, a file of options), it is nobody's own.

Knows URLs and the setting. Must not know drivers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, TypeVar
from weakref import WeakKeyDictionary

from mirrorproof.context import MirrorContext
from mirrorproof.guards.direct.urls import url_for
from mirrorproof.settings import DatabaseMode

__all__ = ["connects_to_own", "is_to_own", "noted"]

T = TypeVar("T")

_ELSEWHERE: Final = re.compile(r"\b(hostaddr|service)\s*=")
_ELSEWHERE_NAMED: Final = frozenset({
    "hostaddr", "service", "unix_socket", "sock", "read_default_file", "read_default_group",
})  # fmt: skip
_urls: Final[WeakKeyDictionary[Any, str]] = WeakKeyDictionary()


def connects_to_own(
    context: MirrorContext, dialect: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> bool:
    """Whether these arguments of `connect` lead to a database that is v2's own."""
    return bool(context.settings.databases) and _is_own(context, _url(dialect, args, kwargs))


def is_to_own(context: MirrorContext, connection: Any) -> bool:
    """Whether a real connection does."""
    return bool(context.settings.databases) and _is_own(context, _urls.get(connection, ""))


def noted(connection: T, dialect: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> T:
    """A real connection, its URL remembered."""
    with suppress(Exception):
        _urls[connection] = _url(dialect, args, kwargs)
    return connection


def _url(dialect: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    named = [*kwargs, *(args[0] if args and isinstance(args[0], Mapping) else ())]
    texts = [each for each in (*args[:1], *kwargs.values()) if isinstance(each, str)]
    if _ELSEWHERE_NAMED & {*(name for name in named if kwargs.get(name, True))} or any(
        _ELSEWHERE.search(text) for text in texts
    ):
        return ""
    return url_for(dialect, args, kwargs)


def _is_own(context: MirrorContext, url: str) -> bool:
    return url != "" and context.settings.database_mode(url) is DatabaseMode.OFF
