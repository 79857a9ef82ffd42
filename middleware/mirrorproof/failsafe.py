"""The one place where errors of our observing code end: counted, logged once, swallowed.

Never used by a guard: a guard in doubt stops the side effect.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from mirrorproof.counters import Counters

__all__ = ["failsafe"]

P = ParamSpec("P")
T = TypeVar("T")

_log = logging.getLogger("mirrorproof")
_logged: set[tuple[str, type[BaseException]]] = set()


def failsafe(
    operation: str, counters: Counters, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> T | None:
    """`call(*args, **kwargs)`, or `None` if it raises.

    `operation` names the place for the log, which hears of each place and kind of error once.
    """
    try:
        return call(*args, **kwargs)
    except Exception as error:
        counters.add("observer_errors")
        seen = (operation, type(error))
        if seen not in _logged:
            _logged.add(seen)
            _log.exception("mirrorproof could not %s; further ones are only counted", operation)
        return None
