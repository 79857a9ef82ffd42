"""Guards: what stands between a client library and the outside world.

A guard asks the current `MirrorContext` what to do with each effect, and does it. In doubt it stops the
effect. Guards are found through the entry point group `mirrorproof.guards` and installed only where their
client is.

Knows guards in general. Must not know any one client.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from importlib.metadata import entry_points
from importlib.util import find_spec
from threading import Lock
from typing import Any, ClassVar, Final

import wrapt

from mirrorproof.context import Action, MirrorContext
from mirrorproof.exchange import Outcome

__all__ = ["Guard", "admit", "install_guards", "installed_guards", "uninstall_guards"]

ENTRY_POINT_GROUP: Final = "mirrorproof.guards"

_log = logging.getLogger("mirrorproof")
_lock = Lock()
_installed: dict[str, Guard] = {}


class Guard(ABC):
    """One client library's guard. `install` and `uninstall` are called in turn, never twice in a row."""

    name: ClassVar[str]
    module: ClassVar[str]
    """The client's top-level module: where it cannot be imported there is nothing to guard."""
    covers: ClassVar[str]
    """In a line: which calls are guarded."""

    @abstractmethod
    def install(self) -> None:
        """Wrap the client. Must not import more of it than it needs."""

    def wrap(self, owner: Any, name: str, wrapper: Callable[..., Any]) -> None:
        """Put `wrapper` (wrapped, instance, args, kwargs; as wrapt's) around `owner`'s own `name`."""
        self.__dict__.setdefault("_replaced", []).append((owner, name, owner.__dict__[name]))
        wrapt.wrap_function_wrapper(owner, name, wrapper)

    def uninstall(self) -> None:
        """Take back what `wrap` did. A guard that does more takes that back as well."""
        replaced = self.__dict__.pop("_replaced", [])
        while replaced:
            setattr(*replaced.pop())


def admit(context: MirrorContext | None, kind: str, target: str, summary: str, digest: str) -> bool:
    """Ask and record in one: `True` where the effect may really happen, `False` where it is suppressed.

    Raises `ReadOnlyError` or `LateEffectError` where it is refused. For a guard that knows an effect's name
    and worth before it happens; one that learns them only then asks `MirrorContext.action` itself.
    """
    if context is None:
        return True
    action = context.action(kind)
    if action is Action.REFUSE:
        context.refuse(kind, target, summary, digest)
    if action is Action.SUPPRESS:
        context.record(kind, target, summary, digest, Outcome.SUPPRESSED)
        return False
    if action is Action.OBSERVE:
        context.record(kind, target, summary, digest, Outcome.EXECUTED)
    return True


def install_guards(*names: str) -> list[str]:
    """Install the guards named, or every one whose client is there. Returns what is installed now.

    Installing twice changes nothing. Raises `LookupError` for a name that no package offers.
    """
    found = {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}
    for name in names:
        if name not in found:
            raise LookupError(f"no guard is called {name!r}; there are {', '.join(sorted(found))}")
    with _lock:
        for name in names or sorted(found):
            if name in _installed:
                continue
            guard_type: type[Guard] = found[name].load()
            if find_spec(guard_type.module) is None:
                continue
            guard = guard_type()
            guard.install()
            _installed[name] = guard
        return sorted(_installed)


def uninstall_guards(*names: str) -> None:
    """Take the guards named, or all of them, out again."""
    with _lock:
        for name in names or sorted(_installed):
            guard = _installed.pop(name, None)
            if guard is not None:
                guard.uninstall()


def installed_guards() -> dict[str, Guard]:
    """The guards that are installed, by name."""
    with _lock:
        return dict(_installed)
