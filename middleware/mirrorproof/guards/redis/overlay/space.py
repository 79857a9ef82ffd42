"""A small key space over the server's: what the request changed, and how one command sees both.

Pure. Must not know what commands there are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from threading import Lock
from typing import Any, Final

__all__ = [
    "SERVER", "Entry", "Foreign", "Hash", "Known", "NeededError", "Origin", "ServerError", "Space",
    "UnknownError", "View",
]  # fmt: skip

Read = tuple[Any, ...]
"""A command to read with: its name, then bytes."""
Known = dict[Read, Any]
"""What the server replied to the reads of this one command."""

MAX_KEYS: Final = 2_000
MAX_BYTES: Final = 16 * 1024 * 1024
_OVERHEAD_BYTES: Final = 64
_WRONG_TYPE: Final = "WRONGTYPE Operation against a key holding the wrong kind of value"


class ServerError(Exception):
    """An error as the server sends it."""


class UnknownError(Exception):
    """What the server would reply cannot be told here."""


class NeededError(Exception):
    """What the server has at these places has to be known first."""

    def __init__(self, *reads: Read) -> None:
        super().__init__(reads)
        self.reads = reads


class Origin(Enum):
    """Where something is to be found."""

    SERVER = "as the server has it"


SERVER: Final = Origin.SERVER


@dataclass(slots=True)
class Hash:
    """A hash: the fields that were set, or deleted (`None`)."""

    based: bool
    """Whether the server's other fields are in it, too."""
    fields: dict[bytes, bytes | None] = field(default_factory=dict)
    on_server: set[bytes] = field(default_factory=set)
    """Those of `fields` that the server had when they were changed."""


@dataclass(frozen=True, slots=True)
class Foreign:
    """A value of a type that is not held here; all that is known is that it is there."""

    kind: bytes


@dataclass(slots=True)
class Entry:
    """A key that is there: its value, when it expires by this machine's clock, its size."""

    value: bytes | Hash | Foreign | Origin
    expires_ms: int | Origin | None = None
    size_bytes: int = 0


class Space:
    """The keys that the request changed; `None` for one that is gone. Bounded: see `View`.

    `lock` is held while a handler runs, never while the network is waited for.
    """

    def __init__(self, max_keys: int = MAX_KEYS, max_bytes: int = MAX_BYTES) -> None:
        self.lock = Lock()
        self.entries: dict[bytes, Entry | None] = {}
        self.flushed = False
        """Whether everything that the server had is gone."""
        self.overflows = 0
        """How many changes were beyond the bounds, and are not seen."""
        self._max_keys, self._max_bytes = max_keys, max_bytes
        self._size_bytes = 0

    def touches(self, keys: tuple[bytes, ...]) -> bool:
        """Whether one of the keys is not as the server has it."""
        return self.flushed or not self.entries.keys().isdisjoint(keys)

    def forget(self, keys: tuple[bytes, ...]) -> None:
        """Have the keys as the server has them."""
        with self.lock:
            for key in keys:
                self.drop(key)

    def flush(self) -> None:
        """Have everything gone."""
        self.entries.clear()
        self._size_bytes = 0
        self.flushed = True

    def drop(self, key: bytes) -> None:
        """Forget one key. The lock has to be held."""
        if key in self.entries:
            entry = self.entries.pop(key)
            self._size_bytes -= _size_of(key, entry)

    def store(self, key: bytes, entry: Entry | None) -> None:
        """Take an entry in, or, beyond the bounds, forget the key and count. The lock has to be held."""
        self.drop(key)
        size_bytes = _size_of(key, entry)
        if len(self.entries) >= self._max_keys or self._size_bytes + size_bytes > self._max_bytes:
            self.overflows += 1
            return
        self.entries[key] = entry
        self._size_bytes += size_bytes


def _size_of(key: bytes, entry: Entry | None) -> int:
    return _OVERHEAD_BYTES + len(key) + (entry.size_bytes if entry else 0)


class View:
    """How one command sees the space over the server, at one point in time, and changes the space.

    A handler asks first and changes last: it may be interrupted by `NeededError` whenever it asks.
    """

    def __init__(self, space: Space, known: Known, now_ms: int) -> None:
        self._space = space
        self._known = known
        self._changing = False
        self.now_ms = now_ms

    # -- what is there

    def ask(self, *read: Any) -> Any:
        """What the server replies. Raises `NeededError`, `ServerError` and `UnknownError`."""
        self.need(read)
        reply = self._known[read]
        if isinstance(reply, (ServerError, UnknownError)):
            raise reply
        return reply

    def need(self, *reads: Read) -> None:
        """Have several replies, in one interruption. Raises `NeededError`."""
        if missing := [read for read in reads if read not in self._known]:
            if self._changing:
                raise RuntimeError("a handler asked after it had changed something")
            raise NeededError(*dict.fromkeys(missing))

    def entry(self, key: bytes) -> Entry | Origin | None:
        """The key's entry, `None` if it is gone, `SERVER` if it is as the server has it."""
        entry = self._space.entries.get(key, None if self._space.flushed else SERVER)
        if isinstance(entry, Entry) and isinstance(entry.expires_ms, int) and entry.expires_ms <= self.now_ms:
            self._space.store(key, None)
            return None
        return entry

    def value(self, key: bytes) -> bytes | Hash | Foreign | Origin | None:
        """What the key holds."""
        entry = self.entry(key)
        return entry.value if isinstance(entry, Entry) else entry

    def string(self, key: bytes) -> bytes | None:
        """The key's string. Raises `ServerError` if it is no string, and as `ask` does."""
        value = self.value(key)
        if value is SERVER:
            value = self.ask("get", key)
        if isinstance(value, (Hash, Foreign)):
            raise ServerError(_WRONG_TYPE)
        return value if value is None else bytes(value)

    def hash(self, key: bytes) -> Hash:
        """The key's hash, to read; an empty one if there is none. Raises `ServerError` if it is no hash."""
        value = self.value(key)
        if isinstance(value, (bytes, Foreign)):
            raise ServerError(_WRONG_TYPE)
        return value if isinstance(value, Hash) else Hash(based=value is SERVER)

    def kind(self, key: bytes) -> bytes:
        """The key's type, `none` if it is not there."""
        value = self.value(key)
        if value is SERVER:
            return bytes(self.ask("type", key))
        if isinstance(value, Foreign):
            return value.kind
        return b"none" if value is None else b"hash" if isinstance(value, Hash) else b"string"

    def exists(self, key: bytes) -> bool:
        """Whether the key is there."""
        return self.kind(key) != b"none"

    def expires_ms(self, key: bytes) -> int | None:
        """When a key that is there expires; `None` for never."""
        entry = self.entry(key)
        found = entry.expires_ms if isinstance(entry, Entry) else entry
        if found is SERVER:
            left_ms = self.ask("pttl", key)
            return self.now_ms + left_ms if left_ms >= 0 else None
        return found

    # -- what is changed

    def put(self, key: bytes, value: bytes, expires_ms: int | Origin | None = None) -> None:
        """Have the key hold a string, without the time to live that it had."""
        self._changing = True
        self._space.store(key, Entry(value, expires_ms, len(value)))

    def make(self, key: bytes, kind: bytes) -> None:
        """Have something be there that is not held here. Raises `ServerError` for a key of another type."""
        found = self.kind(key)
        if found == b"none":
            self._changing = True
            self._space.store(key, Entry(Foreign(kind)))
        elif found != kind:
            raise ServerError(_WRONG_TYPE)

    def change(self, key: bytes, value: bytes) -> None:
        """Have the key hold a string for as long as it had to live."""
        self.put(key, value, self._kept(key))

    def patch(self, key: bytes, fields: dict[bytes, bytes | None], on_server: set[bytes]) -> None:
        """Set or delete (`None`) fields of a hash. `on_server`: those that the server has in its hash."""
        self._changing = True
        entry = self.entry(key)
        found = entry.value if isinstance(entry, Entry) and isinstance(entry.value, Hash) else self.hash(key)
        size_bytes = entry.size_bytes if isinstance(entry, Entry) else 0
        for name, text in fields.items():
            if name in found.fields:
                size_bytes -= _field_bytes(name, found.fields[name])
            size_bytes += _field_bytes(name, text)
        found.on_server.update(on_server)
        found.fields.update(fields)
        self._space.store(key, Entry(found, self._kept(key), size_bytes))

    def expire(self, key: bytes, at_ms: int | None) -> None:
        """Have a key that is there expire then, or never."""
        self._changing = True
        entry = self.entry(key)
        if isinstance(entry, Entry):
            entry.expires_ms = at_ms
        else:
            self._space.store(key, Entry(SERVER, at_ms))

    def delete(self, key: bytes) -> None:
        """Have the key gone."""
        self._changing = True
        self._space.store(key, None)

    def flush(self) -> None:
        """Have everything gone."""
        self._changing = True
        self._space.flush()

    def _kept(self, key: bytes) -> int | Origin | None:
        entry = self.entry(key)
        return entry.expires_ms if isinstance(entry, Entry) else entry


def _field_bytes(name: bytes, text: bytes | None) -> int:
    return _OVERHEAD_BYTES + len(name) + len(text or b"")
