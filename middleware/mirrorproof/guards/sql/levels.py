"""The stack of savepoints on a lease: several transactions of the application inside one real one.

Theory of operation. Each checkout of the request (an *owner*) sees transactions of its own, and all of
them are savepoints on one connection, where only the topmost can be taken back alone. A level that is
released while others stand above it is kept and released with them later. One that is rolled back while
others stand above it costs nothing if it wrote nothing; if only it wrote, it is rolled back and the others
are opened again; if both wrote, the others' work goes with it and their owners are `lost`, to be told
so. Effects are noted on the level they happened in, so that what was rolled back is never reported.

Pure: methods return the SQL to run. Must not know connections or the ledger.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["Level", "Levels"]


@dataclass(slots=True, eq=False)
class Level:
    """One savepoint. `alias` is the application's own name for it, empty for its transaction itself."""

    name: str
    owner: object
    alias: str = ""
    wrote: bool = False
    released: bool = False
    effects: list[Any] = field(default_factory=list)


class Levels:
    """The open savepoints, lowest first."""

    def __init__(self) -> None:
        self.stack: list[Level] = []
        self.lost: set[object] = set()
        self._count = 0

    def open(self, owner: object, alias: str = "") -> list[str]:
        """A new level on top."""
        self._count += 1
        level = Level(f"mirrorproof_{self._count}", owner, alias)
        self.stack.append(level)
        return [f"SAVEPOINT {level.name}"]

    def of(self, owner: object) -> list[Level]:
        """An owner's open levels, lowest first."""
        return [level for level in self.stack if level.owner is owner and not level.released]

    def find(self, owner: object, alias: str) -> Level | None:
        """An owner's youngest open level of that alias."""
        return next((level for level in reversed(self.of(owner)) if level.alias == alias), None)

    def shared(self, owner: object) -> bool:
        """Whether anybody else has an open level."""
        return any(level.owner is not owner and not level.released for level in self.stack)

    def release(self, level: Level) -> tuple[list[str], list[Any]]:
        """Keep what was done since `level`. Also the effects that have now happened for good."""
        mine = self._from(level)
        for each in mine:
            each.released = True
        effects = [effect for each in mine for effect in each.effects]
        below = self._below(level)
        if below is not None:
            below.effects += effects
            below.wrote |= any(each.wrote for each in mine)
            effects = []
        return self._settle(), effects

    def rollback(self, level: Level, *, keep: bool = False, force: bool = False) -> list[str]:
        """Undo what was done since `level`; `keep` it open. `force`: it failed, so undo it in any case."""
        mine = self._from(level)
        above = self.stack[self.stack.index(level) + 1 :]
        others = [each for each in above if each.owner is not level.owner]
        wrote = force or any(each.wrote for each in mine)
        for each in mine:
            each.effects, each.wrote = [], False
            each.released = not (keep and each is level)
        if others and not wrote:
            return self._settle()
        del self.stack[self.stack.index(level) + 1 :]
        statements = [f"ROLLBACK TO SAVEPOINT {level.name}"]
        return statements + self._settle() + self._reopen(others)

    def _reopen(self, others: list[Level]) -> list[str]:
        self.lost |= {each.owner for each in others if each.wrote and not each.released}
        again = [each for each in others if not each.released]
        self.stack += again
        return [f"SAVEPOINT {each.name}" for each in again]

    def _from(self, level: Level) -> list[Level]:
        mine = self.of(level.owner)
        return mine[mine.index(level) :] if level in mine else []

    def _below(self, level: Level) -> Level | None:
        mine = [each for each in self.stack[: self.stack.index(level)] if each.owner is level.owner]
        return next((each for each in reversed(mine) if not each.released), None)

    def _settle(self) -> list[str]:
        """Release the run of levels on top that are done with."""
        at = len(self.stack)
        while at and self.stack[at - 1].released:
            at -= 1
        done, self.stack = self.stack[at:], self.stack[:at]
        return [f"RELEASE SAVEPOINT {done[0].name}"] if done else []
