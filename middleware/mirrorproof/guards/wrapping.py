"""What stands in the place of a client's function or method: called, it calls a wrapper; else it is the same.

Applications pickle and copy functions and bound methods (jobs for another process, tasks of a queue), which
wrapt's own proxies refuse. These are pickled as what they stand for is, by name: where they are unpickled,
there need be no guard, nor mirrorproof.

Knows wrapt. Must not know guards.
"""

from __future__ import annotations

from copy import deepcopy
from pkgutil import resolve_name
from types import ModuleType
from typing import Any

import wrapt

__all__ = ["Wrapped", "wrap"]


class _BoundMethod(wrapt.BoundFunctionWrapper):  # type: ignore[type-arg]
    def __reduce_ex__(self, protocol: Any) -> Any:
        its = _looked_up_on(self)
        if its is None:
            return resolve_name, (f"{self.__module__}:{self.__qualname__}",)
        return getattr, (its, self.__wrapped__.__name__)

    def __reduce__(self) -> Any:
        return self.__reduce_ex__(0)

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        its = _looked_up_on(self)
        if its is None or isinstance(its, type):
            return self
        return getattr(deepcopy(its, memo), self.__wrapped__.__name__)


def _looked_up_on(bound: Any) -> Any:
    """An object, or the class itself; `None` where wrapt does not say which class."""
    its = getattr(bound.__wrapped__, "__self__", None)
    if its is None or isinstance(its, ModuleType):  # a plain function
        its = getattr(bound, "_self_owner", None)
    return its


class Wrapped(wrapt.FunctionWrapper):  # type: ignore[type-arg]
    """A wrapped function or method."""

    __bound_function_wrapper__ = _BoundMethod

    def __reduce_ex__(self, protocol: Any) -> Any:
        module, name = self.__module__, self.__qualname__
        try:
            same = resolve_name(f"{module}:{name}") is self
        except (ImportError, AttributeError, ValueError):
            same = True  # pickle will say what is wrong
        return name if same else (resolve_name, (f"{module}:{name}",))  # it has another name as well

    def __reduce__(self) -> Any:
        return self.__reduce_ex__(0)

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self


def wrap(owner: Any, name: str, wrapper: Any) -> None:
    """Put `wrapper` (wrapped, instance, args, kwargs; as wrapt's) around `owner`'s `name`."""
    wrapt.wrap_object(owner, name, Wrapped, (wrapper,))
