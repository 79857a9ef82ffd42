"""A word in the log where a shadow process writes outside requests: it was told that it did, and it did not.

Knows names and statements. Must not know leases.
"""

from __future__ import annotations

import logging
from typing import Final

__all__ = ["announce"]

_log = logging.getLogger("mirrorproof")
_announced: Final[set[str]] = set()
_MAX_ANNOUNCED: Final = 100


def announce(database: str, statement: str) -> None:
    """Say so, once for each database."""
    if database in _announced or len(_announced) >= _MAX_ANNOUNCED:
        return
    _announced.add(database)
    _log.warning(
        "mirrorproof: this process serves mirrors only, so what it writes to %s outside requests "
        "(at start-up, in a worker, or everywhere where no middleware tells requests) is rolled back: %s. To "
        "let it write there, set MIRRORPROOF_OUTSIDE_REQUESTS=file.*,sql.* or, for an engine on a database "
        "of its own, MIRRORPROOF_DATABASES='{\"%s\": \"off\"}'",
        database, statement, database,
    )  # fmt: skip
