"""A proxy: everything that it does not answer itself is the real object's.

Knows attribute access. Must not know what it stands for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = ["Proxy"]


class Proxy:
    """Everything that is not answered here is the real object's, its class included."""

    _own: frozenset[str] = frozenset({"_real"})

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_shield"):
            raise AttributeError(name)
        return getattr(self._real, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self._own:
            object.__setattr__(self, name, value)
        else:
            setattr(self._real, name, value)

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return type(self._real)

    def __enter__(self) -> Any:
        return self

    def __iter__(self) -> Iterator[Any]:
        return iter(self._real)

    def __next__(self) -> Any:
        return next(self._real)
