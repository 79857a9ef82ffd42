"""Sampling by hash of the pair id, so that both sides take the same requests without talking.

Pure. Must not know which side it is on.
"""

from __future__ import annotations

from zlib import crc32

__all__ = ["sampled"]

_SCALE = 1 << 32


def sampled(pair_id: str, share: float) -> bool:
    """Whether a request is among the `share` (0 to 1) that is taken. CRC-32 of the id in Latin-1."""
    if share >= 1:
        return True
    return crc32(pair_id.encode("latin-1", "replace")) < share * _SCALE
