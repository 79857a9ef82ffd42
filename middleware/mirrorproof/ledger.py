"""The ledger: what one request changed, or would have changed, in order.

Knows effects and their digests. Must not know who records them or where the ledger goes.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from threading import Lock
from typing import Any, Final

import msgspec

from mirrorproof.exchange import Effect, Outcome

__all__ = ["LONG_BYTES", "Ledger", "brief", "digest_of"]

_MAX_SUMMARY_CHARS: Final = 500
_MAX_TARGET_CHARS: Final = 300
LONG_BYTES: Final = 4096
"""A value that is longer is told by what `brief` says of it."""


class Ledger:
    """Effects in the order in which they came, at most `limit` of them; `lost` counts the rest.

    Safe from any thread.
    """

    def __init__(self, limit: int = 500) -> None:
        self._limit = limit
        self._lock = Lock()
        self._effects: list[Effect] = []
        self.lost = 0

    def record(self, kind: str, target: str, summary: str, digest: str, outcome: Outcome) -> None:
        """Add an effect. `target` and `summary` are cut at their bounds."""
        effect = Effect(
            kind=kind, target=_cut(target, _MAX_TARGET_CHARS), summary=_cut(summary, _MAX_SUMMARY_CHARS),
            digest=digest, outcome=outcome,
        )  # fmt: skip
        with self._lock:
            if len(self._effects) < self._limit:
                self._effects.append(effect)
            else:
                self.lost += 1

    def lose(self, effects: int) -> None:
        """Count effects that it has no room for, and that nobody told."""
        with self._lock:
            self.lost += effects

    @property
    def room(self) -> int:
        """How many more effects it takes; what is recorded beyond is counted only, and need not be told."""
        return max(self._limit - len(self._effects), 0)

    @property
    def effects(self) -> list[Effect]:
        """A copy of the effects so far."""
        with self._lock:
            return list(self._effects)

    def yield_all(self) -> None:
        """Mark every suppressed effect as yielded: the request's work was given up for v1's sake."""
        with self._lock:
            self._effects = [
                msgspec.structs.replace(e, outcome=Outcome.YIELDED) if e.outcome is Outcome.SUPPRESSED else e
                for e in self._effects
            ]

    def __len__(self) -> int:
        return len(self._effects)

    def __iter__(self) -> Iterator[Effect]:
        return iter(self.effects)


def _cut(text: str, limit: int) -> str:
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode()  # a lone surrogate would spoil the whole exchange
    return text if len(text) <= limit else text[: limit - 1] + "…"


def brief(value: bytes | bytearray | memoryview) -> str:
    """What stands for a long value in a payload: its length and its checksum.

    A CRC-32 tells any two apart that differ in one place of up to four bytes, and all but one in four
    thousand million others. It takes half the time of a SHA-256: a live request waits for it.
    """
    return f"<{len(value)} bytes, CRC-32 {zlib.crc32(value):08x}>"


def digest_of(kind: str, target: str, payload: Any) -> str:
    """32 hex digits, equal for equal effects: of kind, target and `payload` in a canonical encoding.

    `payload` is anything JSON-like, or any object whose `repr` is its value; of one without a `repr` of its
    own (a session, a client), only the type counts. Never raises.
    """
    try:
        canonical = msgspec.json.encode((kind, target, payload), enc_hook=_value_of, order="deterministic")
    except Exception:  # keys that are no text, lone surrogates, circles
        canonical = "\n".join((kind, target, _repr_of(payload))).encode("utf-8", "replace")
    return hashlib.sha256(canonical).hexdigest()[:32]


def _value_of(value: Any) -> str:
    text = repr(value)
    return type(value).__qualname__ if text == object.__repr__(value) else text  # that one is an address


def _repr_of(value: Any) -> str:
    try:
        return _value_of(value)
    except Exception:
        return type(value).__qualname__
