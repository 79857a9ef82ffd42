"""The judge that follows what stands for each other through the whole pair: body, headers and effects.

Knows the differences of one pair and its exchanges. Must not know which claims hold: `correspond` does.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from mirrorproof.exchange import Exchange
from mirrorproof.redaction import REDACTED
from mirrorproof_sidecar.compare.bodies import tree_of
from mirrorproof_sidecar.compare.claims import Claim, Renamed, claims_of, explained_text
from mirrorproof_sidecar.compare.correspond import Renamings, granted
from mirrorproof_sidecar.compare.found import Entry, Judge, Verdict
from mirrorproof_sidecar.compare.made import Made, asked_of, ids_in, what_was_made
from mirrorproof_sidecar.compare.model import Cause, Kind
from mirrorproof_sidecar.compare.shapes import Facts, value_shape
from mirrorproof_sidecar.compare.shapes.names import named

__all__ = ["by_correspondence"]

_NAME = "renamed ids"
_CUT = "…"
_EFFECTS = frozenset((Kind.EFFECT_MISSING, Kind.EFFECT_EXTRA, Kind.EFFECT_CHANGED))


def by_correspondence(primary: Exchange, shadow: Exchange, facts: Facts) -> Judge:
    """The judge for these two exchanges."""

    def judge(entries: Sequence[Entry]) -> Iterator[Verdict]:
        made = what_was_made(primary, shadow)
        if made is None:
            return
        claims = {
            number: found
            for number, (where, kind, one, other) in enumerate(entries)
            if kind in (Kind.CHANGED_VALUE, Kind.HEADER)
            and (found := claims_of(where.segments(), one, other, made.resource, facts.hosts))
        }
        renamings = _renamings(claims, made, primary, shadow)
        if not renamings:
            return
        for number, found in claims.items():
            if all(renamings.explains(claim) for claim in found):
                yield number, Cause.CORRESPONDENCE, _NAME, "; ".join(dict.fromkeys(map(_words, found)))
        rest = [number for number in range(len(entries)) if number not in claims]
        yield from _texts(entries, rest, renamings)
        yield from _effects(entries, rest, renamings, facts)

    return judge


def _renamings(claims: dict[int, list[Claim]], made: Made, primary: Exchange, shadow: Exchange) -> Renamings:
    asked = asked_of(primary)
    known = [claim for found in claims.values() for claim in found if not _was_asked(claim, asked)]
    if not known:
        return Renamings({})
    trees = [tree_of(side) for side in (primary, shadow)]
    ids = [ids_in(tree, made.resource) for tree in trees]
    if ids[0] is None or ids[1] is None:
        return Renamings({})
    unchanged = [value for path, value in ids[0].items() if ids[1].get(path) == value]
    if not made.surely:
        # Only the way of asking says that something was made: nothing but the answer's own id is taken for
        # it.
        owned = {claim.thing for claim in known if claim.own}
        known = [claim for claim in known if claim.thing in owned]
    return granted(known, inserted=made.inserted, unchanged=unchanged)


def _was_asked(claim: Claim, asked: frozenset[tuple[str, str]]) -> bool:
    return any((thing, value) in asked for thing in (claim.thing, "") for value in (claim.one, claim.other))


def _words(claim: Claim) -> str:
    return f"v1's {claim.thing or 'id'} {claim.one} is v2's {claim.other} everywhere"


def _texts(entries: Sequence[Entry], numbers: list[int], renamings: Renamings) -> Iterator[Verdict]:
    """Text that is equal once the ids in it are renamed."""
    for number in numbers:
        _, kind, one, other = entries[number]
        if kind not in (Kind.CHANGED_VALUE, Kind.HEADER) or type(one) is not str or type(other) is not str:
            continue
        if explained_text(one, other, renamings.renamed):
            yield number, Cause.CORRESPONDENCE, _NAME, "equal but for ids that stand for each other"


def _effects(
    entries: Sequence[Entry], numbers: list[int], renamings: Renamings, facts: Facts
) -> Iterator[Verdict]:
    def renamed(one: str, other: str, before: tuple[str, ...] | None) -> bool:
        if renamings.renamed(one, other, before):
            return True
        return before is not None and value_shape(named(" ".join(before)), one, other, facts) is not None

    reason = "the same effect but for ids that stand for each other"
    lonely: dict[tuple[str, str], tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for number in numbers:
        where, kind, one, other = entries[number]
        if kind is Kind.EFFECT_CHANGED:
            if _readable(one, other) and explained_text(one["summary"], other["summary"], renamed):
                yield number, Cause.CORRESPONDENCE, _NAME, reason
        elif kind in _EFFECTS:
            _, sort, _, position = where.segments()
            lonely[sort, position][kind is Kind.EFFECT_EXTRA].append(number)
    for missing, extra in lonely.values():
        for number, its_number in _partners(entries, missing, extra, renamed):
            yield number, Cause.CORRESPONDENCE, _NAME, reason
            yield its_number, Cause.CORRESPONDENCE, _NAME, reason


def _partners(
    entries: Sequence[Entry], missing: list[int], extra: list[int], renamed: Renamed
) -> Iterator[tuple[int, int]]:
    """Effects on targets that are one but for ids in them: those that fit one partner only, and it them."""
    if len(missing) * len(extra) > 400:
        return
    fits = [
        (one, other)
        for one in missing
        for other in extra
        if explained_text(entries[one][0].segments()[2], entries[other][0].segments()[2], renamed)
        and _readable(entries[one][2], entries[other][3])
        and explained_text(entries[one][2]["summary"], entries[other][3]["summary"], renamed)
    ]
    for one, other in fits:
        if sum(one == mine for mine, _ in fits) == 1 == sum(other == its for _, its in fits):
            yield one, other


def _readable(one: Any, other: Any) -> bool:
    """Whether both lines show all there is: digests differ, and something that was left out may be why."""
    lines = one["summary"], other["summary"]
    return lines[0] != lines[1] and not any(mark in line for line in lines for mark in (REDACTED, _CUT))
