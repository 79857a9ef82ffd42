"""Values that stand for each other: v1's order 17 is v2's order 18, wherever it appears in this pair.

Pure. Knows the differences of one pair and what the two answers were made by. Must not know how they were
found.

Theory of operation. A dry run rolls back what it wrote, but not the database's sequences: both versions make
the same thing and give it different ids. So where the request made something (`made`), a difference between
two ids is a *claim*: this thing's id was renamed. A claim is granted

1. if the place is the made thing's own: the answer's `id`, its `Location`, or a thing that an effect inserted
on both sides, or a by-product by its name. A reference to what was there before (`customer_id`) is never
granted by itself;
2. if the value was not in the request, which names what exists;
3. and if the renaming is consistent over the whole pair: one to one, in the same order where ids are numbers,
and without exception: where v1's id stands unchanged in v2's answer, nothing was renamed.

Only then do the same renamings explain text, URLs and effects. Numbers under names that are no id's never
correspond.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from mirrorproof_sidecar.compare.claims import Claim
from mirrorproof_sidecar.compare.entities import BY_PRODUCTS, STORED, singular

__all__ = ["Renamings", "granted"]


_QUANTITIES: Final = frozenset(
    ("quantity", "qty", "amount", "price", "total", "count", "sum", "size", "length", "stock", "weight",
     "score", "balance", "points", "rating", "left", "available", "ttl")
)  # fmt: skip
MIN_PLACES: Final = 3
"""In so many places an id has to be renamed alike where nothing else tells that it was made."""
_STRONG = re.compile(r"\d{3,}|(?=\D*\d)[\w-]{6,}|[\w-]{16,}", re.ASCII)
"""Ids so long that they are recognised wherever they stand."""


@dataclass(frozen=True, slots=True)
class Renamings:
    """What was granted: v2's id for each thing and v1's id. Empty grants nothing."""

    by_thing: Mapping[tuple[str, str], str]

    def explains(self, claim: Claim) -> bool:
        """Whether the claim is one of these."""
        return self.by_thing.get((claim.thing, claim.one)) == claim.other or self._anywhere(
            claim.one, claim.other
        )

    def renamed(self, one: str, other: str, before: tuple[str, ...]) -> bool:
        """Whether a word, behind those before it, is a renamed id: one of a thing that is named there, or one
        so long that no quantity would meet it by accident."""
        if any(self.by_thing.get((singular(word), one)) == other for word in before[-3:]):
            return True
        return _QUANTITIES.isdisjoint(before[-2:]) and self._anywhere(one, other)

    def _anywhere(self, one: str, other: str) -> bool:
        if not (_STRONG.fullmatch(one) and _STRONG.fullmatch(other)):
            return False
        return any(mine == one and its == other for (_, mine), its in self.by_thing.items())

    def renames_key(self, one: str, other: str) -> bool:
        """Whether a member's name is a renamed id, of any thing."""
        return any(mine == one and its == other for (_, mine), its in self.by_thing.items())

    def contradicts(self, one: str, other: str) -> bool:
        """Whether one of the two is known to stand for something else."""
        return any((mine == one) != (its == other) for (_, mine), its in self.by_thing.items())

    def __bool__(self) -> bool:
        return bool(self.by_thing)


def granted(
    claims: Iterable[Claim],
    *,
    inserted: frozenset[str],
    unchanged: Iterable[tuple[str, str]],
    places: Mapping[tuple[str, str], int],
) -> Renamings:
    """The renamings that hold.

    `inserted`: things that effects inserted on both sides. `unchanged`: (thing, id) that stand at the same
    places of both answers. `places`: in how many places v1's value became v2's, whatever they are called.
    """
    known = list(claims)
    things = {claim.thing for claim in known if claim.own or claim.thing in BY_PRODUCTS}
    things |= {claim.thing for claim in known if _was_inserted(claim.thing, inserted)}
    things |= {
        claim.thing
        for claim in known
        if claim.thing not in STORED and places[claim.one, claim.other] >= MIN_PLACES
    }
    kept = set(unchanged)
    found: dict[tuple[str, str], str] = {}
    for thing in things:
        pairs = _agreed(claim for claim in known if claim.thing == thing)
        if _one_to_one(pairs):
            found.update(
                ((thing, one), other)
                for one, other in pairs
                if (thing, one) not in kept and (thing, other) not in kept
            )
    return Renamings(found)


def _agreed(claims: Iterable[Claim]) -> set[tuple[str, str]]:
    """What each id of v1 became in most places; where places are evenly split, it became nothing."""
    votes: dict[str, Counter[str]] = defaultdict(Counter)
    for claim in claims:
        votes[claim.one][claim.other] += 1
    pairs = set()
    for one, others in votes.items():
        (first, count), *rest = others.most_common(2)
        if not rest or rest[0][1] < count:
            pairs.add((one, first))
    return pairs


def _was_inserted(thing: str, inserted: frozenset[str]) -> bool:
    return bool(thing) and any(thing == target or target.endswith("_" + thing) for target in inserted)


def _one_to_one(pairs: set[tuple[str, str]]) -> bool:
    ones, others = [one for one, _ in pairs], [other for _, other in pairs]
    if len(set(ones)) < len(pairs) or len(set(others)) < len(pairs):
        return False
    if all(value.isdecimal() for value in (*ones, *others)):
        # Sequences are drawn from in order: another order is other things.
        ordered = sorted(pairs, key=lambda pair: (len(pair[0]), pair[0]))
        numbers = [int(other[:30]) for _, other in ordered]
        return numbers == sorted(numbers)
    return not set(ones) & set(others)
