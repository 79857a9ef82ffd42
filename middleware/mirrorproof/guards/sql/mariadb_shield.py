"""The shield where the database is MariaDB, whose drivers have ways of their own around a transaction.

Knows PyMySQL's connection, and SQLAlchemy's adapter of asyncmy's. Must not know engines.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from mirrorproof.errors import EffectRefusedError
from mirrorproof.guards.sql.checkout import Checkout
from mirrorproof.guards.sql.effects import Finder
from mirrorproof.guards.sql.shield import ShieldConnection
from mirrorproof.guards.sql.statement import Control, Statement

__all__ = ["REFUSED", "shield_on"]

# Statements and commands past the cursor, another database, a new connection under the same object.
REFUSED: Final = frozenset({
    "query", "kill", "select_db", "connect", "prepare", "write_packet", "next_result",
    "_execute_command", "_write_bytes", "_send_autocommit_mode", "_acquire_cached_statement",
})  # fmt: skip


class MariadbShield(ShieldConnection):
    """A connection of PyMySQL's."""

    def begin(self) -> None:
        """The driver's BEGIN, which ends a transaction that is open."""
        begin = Statement("BEGIN", "BEGIN", control=Control.BEGIN)
        self._checkout.perform(begin, lambda _: None, list)

    def get_autocommit(self) -> bool:
        """Whether the application's statements are transactions of their own."""
        return self._checkout.autocommit

    def ping(self, reconnect: bool = False) -> None:
        """Whether the server is there. Never by a new connection, which would have no transaction."""
        with self._checkout.lease.turn:
            self._real.ping(False)

    def __exit__(self, *_: Any) -> None:
        self.close()

    def _get(self, name: str) -> Any:
        return self._set_autocommit if name == "autocommit" else super()._get(name)

    def _set_autocommit(self, value: Any) -> None:
        if value:  # the server commits what is open
            self._checkout.commit()
        self._set("autocommit", value)

    def __getattr__(self, name: str) -> Any:
        if name in REFUSED:
            raise EffectRefusedError(f"a mirrored request may not use {name} of its connection")
        return super().__getattr__(name)


def shield_on(checkout: Checkout, finder: Finder, on_close: Callable[[], None]) -> ShieldConnection:
    """A shield on the checkout's lease."""
    kind = MariadbShield if checkout.lease.driver.mariadb else ShieldConnection
    return kind(checkout, finder, on_close)
