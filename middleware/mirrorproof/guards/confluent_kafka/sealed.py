"""Types that are written in C: judging their methods in place, and remembering how an instance was made.

Knows CPython's types. Must not know Kafka.
"""

from __future__ import annotations

import ctypes
import functools
import gc
from abc import ABCMeta
from collections.abc import Callable, Mapping
from typing import Any, Final

__all__ = ["config_of", "judged", "put", "record", "recording"]

_CONFIG: Final = "_mirrorproof_config"


def put(kind: Any, name: str, value: Any) -> None:
    """Set an attribute of a C type, which `setattr` refuses to.

    Raises `TypeError` where that cannot be done, so that the guard is not taken for installed.
    """
    inner = [each for each in gc.get_referents(vars(kind)) if type(each) is dict]
    if len(inner) != 1:
        raise TypeError(f"{kind.__qualname__}'s methods cannot be judged on this Python")
    inner[0][name] = value
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(kind))
    if vars(kind)[name] is not value:
        raise TypeError(f"{kind.__qualname__}.{name} cannot be judged on this Python")


def judged(own: Any, wrapper: Callable[..., Any]) -> Callable[..., Any]:
    """A method that has `wrapper` (wrapped, instance, args, kwargs; as wrapt's) call `own`."""

    @functools.wraps(own)
    def method(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        return wrapper(own.__get__(self), self, args, kwargs)

    return method


def recording(kind: Any, count: Callable[[Any], int] | None = None) -> Any:
    """A subclass of a C type that remembers its configuration, and to whose length `count` adds.

    What is an instance of the type is one of the subclass, too, however it was made.
    """

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        record(self, args, kwargs)
        kind.__init__(self, *args, **kwargs)

    def __len__(self: Any) -> int:  # noqa: N807
        return int(kind.__len__(self)) + (count(self) if count is not None else 0)

    def __subclasshook__(cls: Any, other: Any) -> Any:  # noqa: N807
        return issubclass(other, kind) if cls is made else NotImplemented

    members: dict[str, Any] = {"__init__": __init__, "__subclasshook__": classmethod(__subclasshook__)}
    if count is not None:
        members["__len__"] = __len__
    made = ABCMeta(kind.__name__, (kind,), members)
    made.__module__, made.__doc__ = kind.__module__, kind.__doc__
    return made


def record(instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Remember what an instance is configured with."""
    given = args[0] if args and isinstance(args[0], Mapping) else {}
    instance.__dict__[_CONFIG] = {**given, **kwargs}


def config_of(instance: Any) -> Mapping[str, Any] | None:
    """What it is configured with; `None` if it was made before the guard, or by a name from before."""
    found: Mapping[str, Any] | None = getattr(instance, "__dict__", {}).get(_CONFIG)
    return found
