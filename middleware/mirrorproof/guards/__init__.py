"""Guards: what stands between a client library and the outside world.

A guard wraps a client's calls and has `acting` do with each what the current `MirrorContext` says. In doubt
it stops the effect. Guards are found through the entry point group `mirrorproof.guards` and installed only
where their client is: at once if it is imported already, else when it is, so that no client is imported
for nothing.

Knows guards in general. Must not know any one client.
"""

from __future__ import annotations

import inspect
import logging
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, entry_points, version
from importlib.util import find_spec
from threading import RLock
from typing import Any, ClassVar, Final

import wrapt

from mirrorproof.guards.acting import Describe, Stub, acting, acting_async
from mirrorproof.guards.wrapping import wrap

__all__ = [
    "Guard",
    "guarded_packages",
    "install_guards",
    "installed_guards",
    "offered_guards",
    "uninstall_guards",
]

ENTRY_POINT_GROUP: Final = "mirrorproof.guards"

# They are around applications, and what connects is others.
_AROUND: Final = frozenset({"celery", "django", "sqlalchemy", "uvloop"})

_INHERITED: Final = object()  # in the place of what an owner has from its base class

_log = logging.getLogger("mirrorproof")
_lock = RLock()  # installing may import a client, whose own imports may install another guard
_installed: dict[str, Guard] = {}


class Guard(ABC):
    """One client library's guard. `install` and `uninstall` are called in turn, never twice in a row."""

    name: ClassVar[str]
    module: ClassVar[str]
    """The client's module whose import installs the guard: `kombu.messaging`. Where its package cannot be
    imported there is nothing to guard."""
    covers: ClassVar[str]
    """In a line: which calls are guarded."""
    distribution: ClassVar[str] = ""
    """The client's name on PyPI; empty for the standard library."""
    tested: ClassVar[tuple[str, str]] = ("", "")
    """The lowest and the highest series of versions that the guard was tried with: `("2.31", "2.34")`."""

    connecting: ClassVar[tuple[str, ...]] = ()
    """Packages beside the client's own whose connections the client's calls go over (Celery's `amqp`). What
    such a package connects by itself passes the last line of defence, since this guard judges the calls."""

    active = False
    """Whether the client is imported and wrapped."""

    @abstractmethod
    def install(self) -> None:
        """Wrap the client. Must not import more of it than it needs."""

    def guard(self, owner: Any, name: str, describe: Describe, stub: Stub) -> None:
        """Have `owner.name`, a method or coroutine function, judged by what `describe` says of each call."""
        asynchronous = inspect.iscoroutinefunction(inspect.unwrap(getattr(owner, name)))
        self.wrap(owner, name, (acting_async if asynchronous else acting)(describe, stub))

    def wrap(self, owner: Any, name: str, wrapper: Callable[..., Any]) -> None:
        """Put `wrapper` (wrapped, instance, args, kwargs; as wrapt's) around `owner`'s own `name`."""
        self._remember(owner, name)
        wrap(owner, name, wrapper)

    def replace(self, owner: Any, name: str, value: Any) -> None:
        """Put `value` in the place of `owner`'s own `name`."""
        self._remember(owner, name)
        setattr(owner, name, value)

    def _remember(self, owner: Any, name: str) -> None:
        own = vars(owner).get(name, _INHERITED)
        self.__dict__.setdefault("_replaced", []).append((owner, name, own))

    def uninstall(self) -> None:
        """Take back what `wrap` and `replace` did. A guard that does more takes that back as well."""
        replaced = self.__dict__.pop("_replaced", [])
        while replaced:
            owner, name, own = replaced.pop()
            if own is _INHERITED:
                delattr(owner, name)
            else:
                setattr(owner, name, own)

    @property
    def version(self) -> str:
        """The client's version here; empty for the standard library, or if it cannot be told."""
        try:
            return version(self.distribution) if self.distribution else ""
        except PackageNotFoundError:
            return ""

    @property
    def untested(self) -> bool:
        """Whether the client's version lies outside of what the guard was tried with."""
        low, high = self.tested
        found = _series(self.version)
        return bool(found and low) and not (
            _series(low) <= found and found[: len(_series(high))] <= _series(high)
        )


def _series(text: str) -> tuple[int, ...]:
    parts: list[int] = []
    for part in text.split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        parts.append(int(digits))
        if digits != part:
            break
    return tuple(parts)


def offered_guards() -> dict[str, type[Guard]]:
    """Every guard that an installed package offers, by name, whether or not its client is there."""
    return {point.name: point.load() for point in entry_points(group=ENTRY_POINT_GROUP)}


def install_guards(*names: str, strict: bool = True) -> list[str]:
    """Install the guards named, or every one whose client is there. Returns what is installed now.

    A client that is not imported yet is guarded once it is. Installing twice changes nothing. Raises
    `LookupError` for a name that no package offers, and whatever a guard raises that does not fit its
    client, unless `strict` is off: then the guard is left out, with an error in the log.
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
            if not _is_there(guard_type.module.partition(".")[0]):
                continue
            _installed[name] = guard_type()
            _await_import(_installed[name], strict)
        return sorted(_installed)


def _is_there(package: str) -> bool:
    return package in sys.modules or find_spec(package) is not None  # kombu's has no spec once imported


def _await_import(guard: Guard, strict: bool) -> None:
    if guard.module in sys.modules:
        _activate(guard, strict)
    else:
        wrapt.register_post_import_hook(lambda _: _activate(guard, strict), guard.module)


def _activate(guard: Guard, strict: bool) -> None:
    with _lock:
        if guard.active or _installed.get(guard.name) is not guard:  # taken out before the import
            return
        guard.active = True
        if guard.untested:
            _log.warning(
                "mirrorproof: the guard %s was tried with %s %s to %s; this is %s, so see that it holds",
                guard.name, guard.distribution, *guard.tested, guard.version,
            )  # fmt: skip
        try:
            guard.install()
        except Exception:
            _remove(guard)
            if strict:
                raise
            _log.exception("mirrorproof: the guard %s does not fit its client and is left out", guard.name)


def _remove(guard: Guard) -> None:
    _installed.pop(guard.name, None)
    if guard.active:
        guard.active = False
        guard.uninstall()


def uninstall_guards(*names: str) -> None:
    """Take the guards named, or all of them, out again."""
    with _lock:
        for name in names or sorted(_installed):
            if name in _installed:
                _remove(_installed[name])


def installed_guards() -> dict[str, Guard]:
    """The guards that are installed, by name."""
    with _lock:
        return dict(_installed)


def guarded_packages() -> set[str]:
    """The packages whose connections a guard that is at work judges. Takes no lock: an audit hook asks."""
    found: set[str] = set()
    for guard in list(_installed.values()):
        if guard.active:
            found.update((guard.module.partition(".")[0], *guard.connecting))
    return found - _AROUND - sys.stdlib_module_names
