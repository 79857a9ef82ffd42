"""asyncmy's and aiomysql's own connections (`driver_connection`), behind a shield as well.

Knows their interface. Must not know engines.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from sqlalchemy.util.concurrency import greenlet_spawn

from mirrorproof.errors import EffectRefusedError
from mirrorproof.guards.sql.awaiting import Later
from mirrorproof.guards.sql.driver_shield import DriverShield, Statements
from mirrorproof.guards.sql.mariadb_drivers import Aiomysql
from mirrorproof.guards.sql.mariadb_shield import REFUSED
from mirrorproof.guards.sql.shield import ShieldConnection

__all__ = ["MariadbDriverShield"]


class _Cursor(Statements):
    """A cursor. Its own way to call procedures goes past `execute`."""

    def __await__(self) -> Generator[Any, None, Any]:
        return self._itself().__await__()

    async def _itself(self) -> Any:
        return self

    async def callproc(self, name: str, *_: Any) -> Any:
        """Refused: it sends several statements."""
        raise EffectRefusedError(f"a mirrored request may not use callproc; execute `CALL {name}(…)`")


class MariadbDriverShield(DriverShield):
    """A connection."""

    _own = DriverShield._own | {"_shield"}

    def __init__(self, shield: ShieldConnection) -> None:
        super().__init__(shield._real._connection, *shield.shield_parts)
        self._shield = shield

    def __getattr__(self, name: str) -> Any:
        if name in REFUSED:
            raise EffectRefusedError(f"a mirrored request may not use {name} of its connection")
        return super().__getattr__(name)

    def cursor(self, *args: Any, **kwargs: Any) -> Any:
        """A cursor behind the same shield."""
        made = self._real.cursor(*args, **kwargs)
        if isinstance(self._checkout.lease.driver, Aiomysql):
            return Later(lambda: self._cursor(made))
        return self._shield_cursor(made)

    def _shield_cursor(self, cursor: Any) -> Any:
        return _Cursor(cursor, self._checkout, self._finder)

    async def begin(self) -> None:
        """The driver's BEGIN, which ends a transaction that is open."""
        await greenlet_spawn(self._shield.begin)

    async def autocommit(self, value: Any) -> None:
        """Whether statements are transactions of their own, from now on."""
        await greenlet_spawn(lambda: self._shield.autocommit(value))

    def get_autocommit(self) -> bool:
        """Whether they are."""
        return self._checkout.autocommit

    async def ping(self, reconnect: bool = False) -> None:
        """Whether the server is there. Never by a new connection, which would have no transaction."""
        await greenlet_spawn(self._shield.ping)

    async def ensure_closed(self) -> None:
        """End the checkout; in a request the lease keeps its connection."""
        await greenlet_spawn(self._shield.close)

    async def __aexit__(self, *_: object) -> None:
        await self.ensure_closed()

    def close(self) -> None:  # type: ignore[override]
        """The same, at once: theirs is not awaited."""
        self._shield.terminate()
