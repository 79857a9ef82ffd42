"""Every error that mirrorproof raises.

MirrorproofError
├── SettingsError          a setting is wrong: names the key, the value and the remedy
├── WireError              bytes that are no exchange: names the item and the field
└── EffectRefusedError     a side effect was stopped and the caller is told so
    ├── ReadOnlyError      a write inside a mirrored request in mode `read_only`
    ├── LateEffectError    an effect of a mirrored request whose response had already ended
    └── UnguardedError     a mirrored request reached a way out that no guard covers

Knows nothing of the rest of the package.
"""

from __future__ import annotations

__all__ = [
    "EffectRefusedError",
    "LateEffectError",
    "MirrorproofError",
    "ReadOnlyError",
    "SettingsError",
    "UnguardedError",
    "WireError",
]


class MirrorproofError(Exception):
    """The root: catch it to catch whatever this package raises on purpose."""


class SettingsError(MirrorproofError, ValueError):
    """A setting cannot be used. The text names the key and says how to mend it."""


class WireError(MirrorproofError, ValueError):
    """A batch or an exchange cannot be decoded.

    `index` is the position of the bad exchange in its batch, `None` where the batch itself is bad.
    """

    def __init__(self, message: str, index: int | None = None) -> None:
        super().__init__(message)
        self.index = index


class EffectRefusedError(MirrorproofError):
    """A guard stopped a side effect and there is no honest answer to give in its place."""


class ReadOnlyError(EffectRefusedError):
    """A mirrored request in mode `read_only` tried to write."""


class LateEffectError(EffectRefusedError):
    """A mirrored request tried to write after its response had ended."""


class UnguardedError(EffectRefusedError):
    """A mirrored request reached the outside by a way that no guard covers: a socket, a file, a process."""
