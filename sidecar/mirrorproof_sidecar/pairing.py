"""Pairing: which exchanges of one key belong together, and what becomes of the others.

Pure. A key is (pair id, service, method, path); everything here is about the exchanges of one key. Must not
know a clock, a store or the contents of an exchange.

Theory of operation. `settle` is a function of the *set* of exchanges, so the order in which they arrive
cannot matter:

1. Each side's exchanges, by start, are folded into calls. Envoy numbers the attempts of one call 1, 2, 3,
   so a run of rising numbers with the same query and body is one call. The last attempt counts, since its
   answer is the one that the caller got; the earlier ones are superseded.
2. Calls of both sides are put into buckets by (query, body digest). A bucket with as many calls on one
   side as on the other pairs them in the order in which they started.
3. What is left pairs in that order only if both sides have equally many left. Otherwise something is
   missing, and a guess would compare unrelated answers: it waits.
4. What has waited for longer than `expire_after_s` is unpaired if the other side has nothing left, and
   ambiguous if it has.

A later arrival changes the set, so `effects` compares the new settlement with what was recorded and says
what to add, to revoke and to restate. A partner that comes after expiry still pairs; that is counted as a
revision.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Effects", "Match", "Seen", "Settlement", "Side", "State", "effects", "settle"]


class Side(StrEnum):
    """Who answered."""

    PRIMARY = "primary"  # a live request
    SHADOW = "shadow"  # a mirrored one
    CONTROL = "control"  # a mirrored one, at a second copy of v1


class State(StrEnum):
    """What has become of an exchange."""

    NEW = "new"  # stored, not settled yet
    WAITING = "waiting"  # its partner may still come
    PAIRED = "paired"
    SUPERSEDED = "superseded"  # an earlier attempt of a call
    UNPAIRED = "unpaired"  # expired, and the other side has nothing
    AMBIGUOUS = "ambiguous"  # expired, and the other side's leftovers cannot be told apart

    @property
    def expired(self) -> bool:
        """Whether it was given up."""
        return self in (State.UNPAIRED, State.AMBIGUOUS)


@dataclass(frozen=True, slots=True)
class Seen:
    """One exchange, as far as pairing needs it. `received_s` is when the recorder got it, by its clock."""

    uid: str
    side: Side
    started_ns: int
    received_s: float
    attempt: int = 1
    query: str = ""
    body: str | None = None


@dataclass(frozen=True, slots=True, order=True)
class Match:
    """Two exchanges that belong together; `other` is the shadow's or the control's."""

    primary: str
    other: str
    against: Side


@dataclass(frozen=True, slots=True)
class Settlement:
    """The answer of `settle`. `due_s` is when a waiting exchange expires next, `None` where none waits."""

    matches: frozenset[Match]
    states: Mapping[str, State]
    due_s: float | None


@dataclass(frozen=True, slots=True)
class Effects:
    """What a shell has to do. `revised` counts exchanges that had been given up and were taken back."""

    add: tuple[Match, ...]
    revoke: tuple[Match, ...]
    restate: Mapping[str, State]
    revised: int


def settle(
    exchanges: Iterable[Seen], *, now_s: float, expire_after_s: float, max_exchanges: int = 1000
) -> Settlement:
    """The settlement of all exchanges of one key, whatever their order; the same uid twice is one.

    Over `max_exchanges`, an id that is reused like that says nothing: all of them are ambiguous.
    """
    by_uid = {seen.uid: seen for seen in exchanges}
    if len(by_uid) > max_exchanges:
        return Settlement(frozenset(), dict.fromkeys(by_uid, State.AMBIGUOUS), None)
    calls, states = _calls_by_side(by_uid.values())
    matches: set[Match] = set()
    due: list[float] = []
    for against in (Side.SHADOW, Side.CONTROL):
        pairs, left, left_other = _match(calls[Side.PRIMARY], calls[against])
        matches.update(Match(primary.uid, other.uid, against) for primary, other in pairs)
        states.update((other.uid, State.PAIRED) for _, other in pairs)
        lonely = left_other
        if against is Side.SHADOW:  # a primary's state says whether the shadow was seen
            states.update((primary.uid, State.PAIRED) for primary, _ in pairs)
            lonely = [*left, *left_other]
        given_up = State.AMBIGUOUS if left and left_other else State.UNPAIRED
        for seen in lonely:
            expires_s = seen.received_s + expire_after_s
            states[seen.uid] = given_up if expires_s <= now_s else State.WAITING
            if expires_s > now_s:
                due.append(expires_s)
    return Settlement(frozenset(matches), states, min(due, default=None))


def effects(settlement: Settlement, *, recorded: Iterable[Match], states: Mapping[str, State]) -> Effects:
    """What has to change so that what is `recorded` becomes `settlement`."""
    before = frozenset(recorded)
    restate = {uid: state for uid, state in settlement.states.items() if states.get(uid) is not state}
    return Effects(
        add=tuple(sorted(settlement.matches - before)),
        revoke=tuple(sorted(before - settlement.matches)),
        restate=restate,
        revised=sum(1 for uid in restate if uid in states and states[uid].expired),
    )


def _in_order(seen: Seen) -> tuple[int, str]:
    return seen.started_ns, seen.uid


def _calls_by_side(exchanges: Iterable[Seen]) -> tuple[dict[Side, list[Seen]], dict[str, State]]:
    states: dict[str, State] = {}
    calls: dict[Side, list[Seen]] = {side: [] for side in Side}
    for seen in sorted(exchanges, key=_in_order):
        side = calls[seen.side]
        earlier = _call_of(seen, side)
        if earlier is not None:
            states[side.pop(earlier).uid] = State.SUPERSEDED
        side.append(seen)
    for side in calls.values():
        side.sort(key=_in_order)
    return calls, states


def _call_of(seen: Seen, calls: Sequence[Seen]) -> int | None:
    """Which of `calls` this exchange is a later attempt of."""
    if seen.attempt == 1:
        return None
    for index in range(len(calls) - 1, -1, -1):
        last = calls[index]
        # An attempt that failed early may not have read its body: then the digest is not known.
        same_body = seen.body == last.body or seen.body is None or last.body is None
        if last.attempt < seen.attempt and last.query == seen.query and same_body:
            return index
    return None


def _match(
    primaries: Sequence[Seen], others: Sequence[Seen]
) -> tuple[list[tuple[Seen, Seen]], list[Seen], list[Seen]]:
    """Pairs, and what is left of either side."""
    buckets: dict[tuple[str, str | None], tuple[list[Seen], list[Seen]]] = defaultdict(lambda: ([], []))
    for index, side in enumerate((primaries, others)):
        for seen in side:
            buckets[seen.query, seen.body][index].append(seen)
    pairs: list[tuple[Seen, Seen]] = []
    left: list[Seen] = []
    left_other: list[Seen] = []
    for mine, theirs in buckets.values():
        if len(mine) == len(theirs):
            pairs += zip(mine, theirs, strict=True)
        else:
            left += mine
            left_other += theirs
    if len(left) != len(left_other):
        return pairs, left, left_other
    pairs += zip(sorted(left, key=_in_order), sorted(left_other, key=_in_order), strict=True)
    return pairs, [], []
