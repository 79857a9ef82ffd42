"""The shapes of the table: clients, their cases, and the peers that they talk to.

Knows no client and no server.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import clients

__all__ = ["Case", "Client", "Peer", "all_clients", "all_peers"]


class Peer(Protocol):
    """A real server, or a real protocol peer, that one or more clients talk to."""

    about: str
    """What it is, for the documentation: `Redis 7.0 (Debian's redis-server)`."""

    def look(self) -> Any:
        """Everything that a write could have changed, as the server itself or an unguarded look tells it.

        Two looks are equal if and only if nothing was written in between.
        """

    def stop(self) -> None:
        """End it."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One way to write with a client.

    `client(peer)` opens it, as a context manager (plain, or async for a client of asyncio; `None` where
    there is nothing to keep open). `write(client, peer)`, a function or coroutine function as the client is,
    writes as an application would and asserts that it got what the client's users get on success.
    `read(client, peer)` reads and asserts that the real answer came. `kinds` have to be in the ledger, in
    this order.
    """

    name: str
    client: Callable[[Any], Any]
    write: Callable[[Any, Any], Any]
    kinds: tuple[str, ...]
    read: Callable[[Any, Any], Any] | None = None
    kept: bool = True
    """Whether the client may also be opened before the request, as applications do at start-up."""
    observed: bool = True
    """Whether a live request's write is recorded as executed."""

    @property
    def is_async(self) -> bool:
        """Whether it needs an event loop."""
        return inspect.iscoroutinefunction(self.write)


@dataclass(frozen=True, kw_only=True)
class Client:
    """One client library: `name` on PyPI, the `guard` that covers it, the `peer` (a name in `all_peers`)."""

    name: str
    guard: str
    peer: str
    cases: tuple[Case, ...]
    not_covered: str = ""
    """What its guard does not hold back, in words, for the documentation."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Settings that the cases need."""


def all_clients() -> list[Client]:
    """The whole table: `CLIENTS` of each module in this folder."""
    found = [client for module in _modules() for client in getattr(module, "CLIENTS", ())]
    return sorted(found, key=lambda each: (each.guard, each.name))


def all_peers() -> dict[str, Callable[[], Any]]:
    """How to start each peer, by name: `PEERS` of each module here. They raise `servers.Unavailable`."""
    return {name: start for module in _modules() for name, start in getattr(module, "PEERS", {}).items()}


def _modules() -> list[Any]:
    return [importlib.import_module(each.name) for each in pkgutil.iter_modules(clients.__path__, "clients.")]
