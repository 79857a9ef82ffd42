"""Stands where the shipping agent does, and keeps what it is given."""

from __future__ import annotations

from typing import Any

from mirrorproof.exchange import Exchange


class Shelf:
    """An agent without a recorder."""

    def __init__(self) -> None:
        self.captures: list[Any] = []
        self.flushes = 0

    def submit(self, capture: Any) -> bool:
        self.captures.append(capture)
        return True

    def flush(self, timeout_s: float | None = None) -> bool:
        self.flushes += 1
        return True

    @property
    def exchanges(self) -> list[Exchange]:
        """In words, as the agent would put them."""
        return [capture.exchange() for capture in self.captures]

    @property
    def exchange(self) -> Exchange:
        """The one exchange that was captured."""
        (exchange,) = self.exchanges
        return exchange
