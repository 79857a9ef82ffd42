"""The judge that follows what stands for each other through the whole pair: body, headers and effects.

Knows the differences of one pair and its exchanges. Must not know which claims hold: `correspond` does.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Final

from mirrorproof.exchange import Exchange
from mirrorproof_sidecar.compare.bodies import tree_of
from mirrorproof_sidecar.compare.claims import Claim, claims_of, id_text, line_claims
from mirrorproof_sidecar.compare.correspond import MIN_PLACES, Renamings, granted
from mirrorproof_sidecar.compare.effects_alike import asking, same_effects
from mirrorproof_sidecar.compare.entities import singular
from mirrorproof_sidecar.compare.found import Entry, Judge, Verdict
from mirrorproof_sidecar.compare.made import Made, asked_of, ids_in, is_insert, what_was_made
from mirrorproof_sidecar.compare.model import Cause, Kind
from mirrorproof_sidecar.compare.shapes import Facts, Shape
from mirrorproof_sidecar.compare.shapes.names import name_of, words_of
from mirrorproof_sidecar.compare.shapes.sentence import Ask, compare_words, unpacked

__all__ = ["by_correspondence"]

_NAME: Final = "renamed ids"
_MAX_KEYS: Final = 50
_IN_TEXT: Final = "equal but for ids that stand for each other"
_SAME_EFFECT: Final = "the same effect but for what was made anew"


def by_correspondence(
    primary: Exchange, shadow: Exchange, facts: Facts, drawn: Set[tuple[str, str]]
) -> Judge:
    """The judge for these two exchanges. `drawn`: what stands for each other already."""

    def judge(entries: Sequence[Entry]) -> Iterator[Verdict]:
        made = what_was_made(primary, shadow)
        claims = _claims(entries, made, facts, drawn) if made else {}
        places = Counter(
            (str(one), str(other)) for _, _, one, other in entries if id_text(one) and id_text(other)
        )
        renamings = _renamings(claims, made, (primary, shadow), places) if made else Renamings({})
        explained = {
            number: _words(found)
            for number, found in claims.items()
            if all((claim.one, claim.other) in drawn or renamings.explains(claim) for claim in found)
        }
        rest = [number for number in range(len(entries)) if number not in explained]
        if renamings:
            explained |= dict.fromkeys(_texts(entries, rest, renamings, facts), _IN_TEXT)
            explained |= dict.fromkeys(_keys(entries, rest, renamings), _IN_TEXT)
        for number, words in explained.items():
            yield number, Cause.CORRESPONDENCE, _NAME, words
        for number in same_effects(entries, rest, renamings, facts):
            yield number, Cause.CORRESPONDENCE, _NAME, _SAME_EFFECT

    return judge


def _claims(
    entries: Sequence[Entry], made: Made, facts: Facts, drawn: Set[tuple[str, str]]
) -> dict[int, list[Claim]]:
    ones, others = dict(drawn), {other: one for one, other in drawn}
    return _key_claims(entries, made) | {
        number: found
        for number, (where, kind, one, other) in enumerate(entries)
        if kind in (Kind.CHANGED_VALUE, Kind.HEADER)
        and (found := claims_of(where.segments(), one, other, made.resource, facts))
        and all(
            ones.get(claim.one, claim.other) == claim.other
            and others.get(claim.other, claim.one) == claim.one
            for claim in found
        )
    }


def _key_claims(entries: Sequence[Entry], made: Made) -> dict[int, list[Claim]]:
    """Members that are called by their own id: where one is missing and one is extra, it may be renamed."""
    found: dict[tuple[str, ...], list[tuple[int, str]]] = defaultdict(list)
    for number, (where, kind, one, other) in enumerate(entries):
        value = one if kind is Kind.MISSING else other
        if kind in (Kind.MISSING, Kind.EXTRA) and type(value) is dict:
            *above, key = where.segments()
            if str(value.get("id")) == key:
                found[tuple(above)].append((number, key))
    claims: dict[int, list[Claim]] = {}
    for path, pair in found.items():
        if len(pair) != 2 or entries[pair[0][0]][1] is entries[pair[1][0]][1]:
            continue
        first, second = sorted(pair, key=lambda one: entries[one[0]][1] is Kind.EXTRA)
        words = words_of(path[-1]) if path else ()
        thing = singular(words[-1]) if words else ""
        values = repr(entries[first[0]][2]), repr(entries[second[0]][3])
        if compare_words(*values, _only(first[1], second[1])) is not None:
            claim = Claim(thing, first[1], second[1], own=bool(thing) and thing == made.resource)
            claims[first[0]] = claims[second[0]] = [claim]
    return claims


def _only(key: str, its_key: str) -> Ask:
    return lambda before, one, other: Shape("", "") if (one, other) == (key, its_key) else None


def _renamings(
    claims: dict[int, list[Claim]],
    made: Made,
    sides: tuple[Exchange, Exchange],
    places: Mapping[tuple[str, str], int],
) -> Renamings:
    asked = asked_of(sides[0])
    every = (*claims.values(), _written(*sides))
    known = [claim for found in every for claim in found if not _was_asked(claim, asked)]
    if not known:
        return Renamings({})
    trees = [tree_of(side) for side in sides]
    ids = [ids_in(tree, made.resource) for tree in trees]
    if ids[0] is None or ids[1] is None:
        return Renamings({})
    unchanged = [value for path, value in ids[0].items() if ids[1].get(path) == value]
    if not made.surely:
        # Only the way of asking says that something was made: nothing but the answer's own id is taken for
        # it.
        owned = {claim.thing for claim in known if claim.own}
        known = [c for c in known if c.thing in owned or places[c.one, c.other] >= MIN_PLACES]
    return granted(known, inserted=made.inserted, unchanged=unchanged, places=places)


def _written(primary: Exchange, shadow: Exchange) -> list[Claim]:
    """What the lines of inserting effects say of the ids that they made."""
    found: list[Claim] = []
    sides = [[effect for effect in side.effects if is_insert(effect)] for side in (primary, shadow)]
    for one, other in zip(*sides, strict=False):
        if (one.kind, one.target, one.digest) != (other.kind, other.target, other.digest):
            break
        if one.summary != other.summary:
            found += line_claims(one.target, one.summary, other.summary)
    return found


def _was_asked(claim: Claim, asked: frozenset[tuple[str, str]]) -> bool:
    return any((thing, value) in asked for thing in (claim.thing, "") for value in (claim.one, claim.other))


def _words(claims: Sequence[Claim]) -> str:
    told = (f"v1's {claim.thing or 'id'} {claim.one} is v2's {claim.other} everywhere" for claim in claims)
    return "; ".join(dict.fromkeys(told))


def _texts(entries: Sequence[Entry], numbers: list[int], renamings: Renamings, facts: Facts) -> Iterator[int]:
    """Values that are equal once the ids in them are renamed."""
    ask = asking(renamings, facts, drawn=False)
    for number in numbers:
        where, kind, one, other = entries[number]
        mine, its = id_text(one), id_text(other)
        if (
            kind not in (Kind.CHANGED_VALUE, Kind.HEADER)
            or type(one) is not type(other)
            or not (mine and its)
        ):
            continue
        name = name_of(where.segments()).words
        if renamings.renamed(mine, its, name) or (type(one) is str and _same_text(mine, its, ask)):
            yield number


def _keys(entries: Sequence[Entry], numbers: list[int], renamings: Renamings) -> Iterator[int]:
    """Members that are called by a renamed id, and are the same but for it."""

    def ask(before: tuple[str, ...], one: str, other: str) -> Shape | None:
        return Shape("", "") if renamings.renamed(one, other, before) else None

    sides: dict[Kind, dict[tuple[str, ...], int]] = {Kind.MISSING: {}, Kind.EXTRA: {}}
    for number in numbers:
        where, kind, _, _ = entries[number]
        if kind in sides and len(sides[kind]) < _MAX_KEYS:
            sides[kind][where.segments()] = number
    for path, number in sides[Kind.MISSING].items():
        for its_path, its_number in sides[Kind.EXTRA].items():
            above, key, its_key = path[:-1], path[-1], its_path[-1]
            if above != its_path[:-1] or not renamings.renames_key(key, its_key):
                continue
            lines = repr(entries[number][2]), repr(entries[its_number][3])
            if lines[0] == lines[1] or compare_words(*lines, ask) is not None:
                yield number
                yield its_number


def _same_text(one: str, other: str, ask: Ask) -> bool:
    packed = unpacked(one), unpacked(other)
    if packed[0] is not None and packed[1] is not None:
        one, other = packed[0], packed[1]
    return compare_words(one, other, ask) is not None
