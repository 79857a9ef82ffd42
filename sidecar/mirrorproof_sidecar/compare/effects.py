"""What both sides wrote, or would have written.

Knows that v2's writes were suppressed and v1's were not, which is no difference. Must not know how an effect
is recognised: equal digests are equal effects.
"""

from __future__ import annotations

from typing import Any

from mirrorproof.exchange import EFFECTS_LATE, EFFECTS_UNOBSERVED, Effect, Exchange
from mirrorproof_sidecar.compare.align import unequal
from mirrorproof_sidecar.compare.found import Found, Where
from mirrorproof_sidecar.compare.model import MISSING, Kind

__all__ = ["compare_effects"]

_Group = tuple[str, str]


def compare_effects(primary: Exchange, shadow: Exchange, found: Found) -> None:
    """Effects of one kind on one target, in their order; the order between groups is not looked at."""
    where = found.at("effects")
    sides = (("primary", primary), ("shadow", shadow))
    if blind := [name for name, side in sides if EFFECTS_UNOBSERVED in side.notes]:
        found.remark(where, f"not compared: not observed on the {' and the '.join(blind)} side")
        return
    if late := [name for name, side in sides if EFFECTS_LATE in side.notes]:
        found.unknown(where, f"refused after the response on the {' and the '.join(late)} side")
        return
    one, other = _grouped(primary), _grouped(shadow)
    for group in sorted(one.keys() | other.keys()):
        _compare_group(where.child(group[0]).child(group[1]), one.get(group, []), other.get(group, []), found)


def _grouped(exchange: Exchange) -> dict[_Group, list[Effect]]:
    groups: dict[_Group, list[Effect]] = {}
    for effect in exchange.effects:
        groups.setdefault((effect.kind, effect.target), []).append(effect)
    return groups


def _compare_group(where: Where, one: list[Effect], other: list[Effect], found: Found) -> None:
    for number, mine, its in unequal([effect.digest for effect in one], [effect.digest for effect in other]):
        place = where.child(number)
        if mine is None:
            found.differ(place, Kind.EFFECT_EXTRA, MISSING, _shown(other[number]))
        elif its is None:
            found.differ(place, Kind.EFFECT_MISSING, _shown(one[number]), MISSING)
        elif one[mine].digest != other[its].digest:
            # Where redaction made the lines equal, the digests are what is left to show.
            alike = one[mine].summary == other[its].summary
            found.differ(
                place, Kind.EFFECT_CHANGED, _shown(one[mine], digest=alike), _shown(other[its], digest=alike)
            )


def _shown(effect: Effect, *, digest: bool = False) -> dict[str, Any]:
    shown = {"summary": effect.summary, "outcome": effect.outcome.value}
    return shown | {"digest": effect.digest} if digest else shown
