"""The snapshot: a lease on an SQLite file works on a private copy of it in memory, so that v1 never meets it.

Theory of operation. The connection is opened as the application opens it; before anything else runs on it,
its main database is read whole and put in the file's place (`deserialize`), which parts the connection from
the file. Reading takes the file's shared lock once, for as long as the copy takes; its size is bounded.

Knows `sqlite3` connections. Must not know leases or pools.
"""

from __future__ import annotations

from typing import Any, Final

from mirrorproof.errors import EffectRefusedError

__all__ = ["MAX_BYTES", "part_from_file"]

MAX_BYTES: Final = 64 << 20
"""Bytes of a file that a mirrored request copies at most: the copy is in memory, once for each request."""

_FORMATS: Final = slice(18, 20)  # of the header: 2 asks for a write-ahead log, which memory cannot have
_ROLLBACK_JOURNAL: Final = b"\x01\x01"


def part_from_file(connection: Any) -> None:
    """Put a copy in the main database's place. Raises `EffectRefusedError` where that would be too large.

    To be called before an authorizer is set. A database in memory is left as it is.
    """
    files = [row[2] for row in connection.execute("PRAGMA database_list") if row[1] == "main"]
    if files == [""]:
        return
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
    if pages * page_bytes > MAX_BYTES:
        raise EffectRefusedError(
            f"{files[0]} has {pages * page_bytes} bytes, more than the {MAX_BYTES} that a snapshot may have; "
            "let `databases` treat it as dry_run, or give v2 a file of its own"
        )
    content = bytearray(connection.serialize())
    content[_FORMATS] = _ROLLBACK_JOURNAL
    connection.deserialize(bytes(content))
