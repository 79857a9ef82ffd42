"""The store: exchanges, pairs and what was found, in SQLite or PostgreSQL.

`Store` runs functions of a connection; the other modules here are such functions, one per job. Must not
know HTTP, or how pairing and comparison decide.
"""

from __future__ import annotations

from mirrorproof_sidecar.store.engine import Store

__all__ = ["Store"]
