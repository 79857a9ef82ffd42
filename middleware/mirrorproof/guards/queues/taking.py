"""Whose somebody is who took an item out of a queue.

`judge` decides; `take` tells what it has to know, and does what it says.

Knows contexts. Must not know how queues work.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from enum import Enum
from time import monotonic
from typing import Any, Final
from weakref import ref

from mirrorproof.context import MirrorContext, adopt, is_lent, taken
from mirrorproof.decision import Decision, Mode
from mirrorproof.errors import EffectRefusedError
from mirrorproof.exchange import Outcome
from mirrorproof.guards.doubt import Doubtful
from mirrorproof.guards.queues.callers import caller, hands_on, holds, is_a_clients, is_a_workers
from mirrorproof.guards.queues.table import IN_DOUBT, Table
from mirrorproof.ledger import digest_of

__all__ = ["KIND", "Item", "Verdict", "came_back_empty", "doubt", "judge", "refuse", "take"]

KIND: Final = "queue.item"
_PATIENCE_S: Final = 60.0
_REMEDY: Final = (
    "take the next item first, or do what is certainly not in `with mirrorproof.context.detached():`"
)

_log = logging.getLogger("mirrorproof")
_told: set[str] = set()

Has = list[tuple[Callable[[], Any], MirrorContext | None]]
"""Items, by something that gives them unless they are gone, and whose they are."""


class Verdict(Enum):
    """What becomes of the getter that took an item, and of the item."""

    STAY = "stay"
    ADOPT = "adopt"  # the getter is the item's request's, or nobody's
    DOUBT = "doubt"  # nobody can tell whose the getter's effects are: they are refused
    WITHHOLD = "withhold"  # the item is a mirrored request's and the getter does not get it


def judge(
    getter: MirrorContext | None, item: MirrorContext | None, *, free: bool, worker: bool = False,
    own_queue: bool = False, handed_on: bool = False, still_has: Sequence[MirrorContext | None] = (),
) -> Verdict:  # fmt: skip
    """Pure: `getter`'s context and the item's in, verdict out.

    `free`: the getter is nobody's, or it adopted an item before; `still_has`: whose items it has collected.
    `worker`: a request started it to take items. `own_queue`: the getter's request made the queue.
    `handed_on`: somebody else will handle the item, and nothing says who.
    """
    mirrored = item is not None and item.mirrored
    if not free:
        if item is None or item is getter or getter is None:
            return Verdict.STAY
        if not getter.ended:
            if not worker:
                return Verdict.STAY
            if own_queue and getter.mirrored and not mirrored:
                return Verdict.DOUBT
    if handed_on:
        return Verdict.WITHHOLD if mirrored else Verdict.STAY
    others = {has is not None and has.mirrored for has in still_has}
    if mirrored and False in others:
        return Verdict.WITHHOLD
    return Verdict.DOUBT if not mirrored and True in others else Verdict.ADOPT


class Item:
    """What a worker took last, and what it has collected before. Never changed: tasks that the worker starts
    have it too."""

    __slots__ = ("_idle_since", "_taken", "context")

    def __init__(self, context: MirrorContext | None, has: Has, idle_since: float | None = None) -> None:
        self.context = context
        self._taken = has
        self._idle_since = idle_since

    @property
    def mirrored(self) -> bool:
        """Whether the worker is a mirrored request's."""
        return self.context is not None and self.context.mirrored

    def still(self, frame: Any) -> Has:
        """What of it the worker has still got, in a list."""
        return [each for each in self._taken if (item := each[0]()) is not None and holds(frame, item)]

    def idle(self, frame: Any) -> Item:
        """The same, once the worker asked for the next item and there was none."""
        context = self.context
        if context is None or self.is_over():
            return Item(None, [])
        if not isinstance(context, Doubtful) and not self.still(frame):
            context = Doubtful(
                context, "a worker that took a mirrored request's item has asked for the next", _REMEDY
            )
        return Item(context, self._taken, self._idle_since or monotonic())

    def is_over(self) -> bool:
        """Whether the worker is nobody's again: idle for a while, and the request has ended."""
        if not isinstance(self.context, Doubtful) or not self.context.over or self._idle_since is None:
            return False
        return monotonic() - self._idle_since > _PATIENCE_S


def _reference(item: Any) -> Callable[[], Any]:
    try:
        return ref(item)
    except TypeError:
        return lambda: item


def take(its: Any, table: Table, item: Any, getter: MirrorContext | None, context: Any) -> bool:
    """Have who took `item` be whose it is; `False` if it is not to have it."""
    frame = caller()
    before = taken()
    before = before if isinstance(before, Item) else None
    free = getter is None or before is not None
    handed_on = hands_on(its, frame)
    if is_a_clients(frame) and not handed_on:
        return True
    if context is IN_DOUBT:
        if free:
            doubt(getter, "this queue's class hands out other objects than were put, a mirror's too")
        return True
    mirrors = context is not None and context.mirrored
    still = [] if before is None or not (mirrors or before.mirrored) else before.still(frame)
    verdict = judge(
        getter, context, free=free, worker=is_lent() or is_a_workers(frame), own_queue=table.is_of(getter),
        handed_on=handed_on, still_has=[each[1] for each in still],
    )  # fmt: skip
    if verdict is Verdict.WITHHOLD:
        _withhold(context)
        return False
    if verdict is Verdict.ADOPT:
        _become(context, [*still, (_reference(item), context)])
    elif verdict is Verdict.DOUBT:
        mirrored = next((each for _, each in still if each is not None and each.mirrored), getter)
        doubt(mirrored, "a worker took a live item along with those of a mirrored request", still)
    elif context is not getter:
        table.lent.add(item)
    return True


def _become(context: MirrorContext | None, has: Has) -> None:
    """Have who runs here be the request's; in a process that serves mirrors only, all that is late is dry."""
    if context is not None and context.ended and context.settings.role.always_mirrored:
        context = None
    adopt(context, Item(context, has))


def doubt(getter: MirrorContext | None, why: str, has: Has | None = None) -> None:
    """Have the getter refused until it takes an item of which one can tell whose it is."""
    if getter is None or not getter.mirrored:
        getter = MirrorContext(Decision(Mode.DRY_RUN))
        getter.end()
    of = Doubtful(getter, why, _REMEDY)
    adopt(of, Item(of, has or []))


def came_back_empty() -> None:
    """A worker asked for an item and there was none. What it does now, it may do with what it took before.
    A client that it uses may have emptied a queue of its own: urllib3 does so with every pool it closes."""
    item, frame = taken(), caller()
    if isinstance(item, Item) and item.mirrored and not is_a_clients(frame):
        idle = item.idle(frame)
        adopt(idle.context, idle)


def _withhold(context: MirrorContext) -> None:
    why = "withheld from a worker of which nobody can tell that it would handle it dry"
    context.record(KIND, "queue", f"an item was {why}", digest_of(KIND, "queue", None), Outcome.BLOCKED)
    if why not in _told:
        _told.add(why)
        _log.warning(
            "mirrorproof: a mirrored request's item in a queue was %s: it takes items by "
            "create_task(q.get()) or in a pool's thread, or collects them along with live ones", why
        )  # fmt: skip


def refuse(context: MirrorContext, error: Exception) -> None:
    """A mirrored request may not put an item that cannot be told from a live one's."""
    context.record(KIND, "queue", f"an item: {error!r}", digest_of(KIND, "queue", None), Outcome.BLOCKED)
    raise EffectRefusedError(
        f"mirrorproof cannot note whose an item in a queue is, so a mirrored request puts none: {error!r}"
    ) from error
