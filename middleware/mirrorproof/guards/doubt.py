"""Where nobody can tell whether an effect is a mirrored request's or a live one's: it is refused.

Knows contexts. Must not know what the doubt is about.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from mirrorproof.context import Action, MirrorContext, Ruling, entered
from mirrorproof.errors import EffectRefusedError
from mirrorproof.exchange import Outcome
from mirrorproof.rulings import NOWHERE, Where

__all__ = ["Doubtful", "in_doubt"]

P = ParamSpec("P")
T = TypeVar("T")


class Doubtful(MirrorContext):
    """Effects of which nobody can tell whether they are a mirrored request's: refused, and `why`."""

    __slots__ = ("_of", "_remedy", "_why")

    def __init__(self, of: MirrorContext, why: str, remedy: str) -> None:
        super().__init__(of.decision, settings=of.settings, counters=of.counters, pair_id=of.pair_id)
        self._of: MirrorContext = of._of if isinstance(of, Doubtful) else of
        self._why = why
        self._remedy = remedy
        self.ended = True  # whatever asks, a lease say: nothing more is done for it

    @property
    def over(self) -> bool:
        """Whether the request itself has ended."""
        return self._of.ended

    def ruling(self, kind: str, target: str = "", where: Where = NOWHERE) -> Ruling:
        ruling = super().ruling(kind, target, where)
        return Ruling(Action.REFUSE, ruling.rule) if ruling.action is Action.SUPPRESS else ruling

    def refuse(self, kind: str, target: str, summary: str, digest: str) -> None:
        self._of.record(kind, target, summary, digest, Outcome.BLOCKED)
        raise EffectRefusedError(
            f"{kind} {target}: {self._why}, so nobody can tell whether this is that request's; {self._remedy}"
        )


def in_doubt(function: Callable[P, T], doubtful: Doubtful) -> Callable[P, T]:
    """`function`, whose effects are refused."""

    def doubted(*args: P.args, **kwargs: P.kwargs) -> T:
        with entered(doubtful):
            return function(*args, **kwargs)

    return doubted
