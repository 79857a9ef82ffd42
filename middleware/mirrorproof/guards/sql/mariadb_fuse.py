"""MariaDB's fuse: why a lease on it cannot commit, whatever the application sends.

Theory of operation. The lease's transaction is one of XA, under a name that nobody but the lease knows. The
server then refuses COMMIT, ROLLBACK, BEGIN, LOCK TABLES and every statement that commits by itself (error
1399), inside procedures as well; it takes savepoints. Only `XA END` with the name leads out of that state,
and a connection that ends in it is rolled back. The session itself is read-only, and the transaction alone
is lifted from that: were it ever lost, nothing after it would write, schema included.

What no transaction of InnoDB's holds is for others to keep off: `guards.sql.mariadb_text`,
`guards.sql.lasting`.

Knows MariaDB's statements. Must not know drivers or leases.
"""

from __future__ import annotations

from secrets import token_hex
from typing import Final

__all__ = ["ABOUT", "IDLE_LIMIT_S", "LOCK_LIMIT_S", "ONLY_READ", "STATEMENT_LIMIT_S", "MariadbFuse"]

LOCK_LIMIT_S: Final = 1
"""Seconds that a statement waits for a lock. MariaDB counts in whole ones."""
IDLE_LIMIT_S: Final = 1
"""Seconds that the lease may stand idle while the application thinks; then the server ends it."""
STATEMENT_LIMIT_S: Final = 10
"""Seconds that a statement may run, unless the session's own limit is lower."""

ONLY_READ: Final = "SET SESSION TRANSACTION READ ONLY"
ABOUT: Final = "SELECT VERSION(), CONNECTION_ID(), CURRENT_USER(), DATABASE(), @@hostname, @@port, @@datadir"
"""What is asked first: the server's version, the lease's backend, and whom it serves where."""


class MariadbFuse:
    """The transaction of one lease."""

    def __init__(self) -> None:
        self._name = token_hex(16)

    @staticmethod
    def limits() -> str:
        """The session's time limits."""
        return (
            f"SET SESSION innodb_lock_wait_timeout = {LOCK_LIMIT_S}, lock_wait_timeout = {LOCK_LIMIT_S}, "
            f"idle_transaction_timeout = {IDLE_LIMIT_S}, max_statement_time = "
            f"IF(@@max_statement_time BETWEEN 0.000001 AND {STATEMENT_LIMIT_S}, "
            f"@@max_statement_time, {STATEMENT_LIMIT_S})"
        )

    def begin(self, *, read_only: bool) -> list[str]:
        """Statements that open it."""
        return ([] if read_only else ["SET TRANSACTION READ WRITE"]) + [f"XA START '{self._name}'"]

    def end(self) -> list[str]:
        """Statements that undo it."""
        return [f"XA END '{self._name}'", f"XA ROLLBACK '{self._name}'"]
