"""`compare`: two exchanges and the rules in, a `Comparison` out.

Knows the parts of a comparison and their order. Must not know how a part is compared.
"""

from __future__ import annotations

from mirrorproof.exchange import Exchange
from mirrorproof_sidecar.compare.answers import compare_headers, compare_status
from mirrorproof_sidecar.compare.bodies import compare_bodies
from mirrorproof_sidecar.compare.captured import captured, header_values
from mirrorproof_sidecar.compare.effects import compare_effects
from mirrorproof_sidecar.compare.found import Found
from mirrorproof_sidecar.compare.judges import judges
from mirrorproof_sidecar.compare.media import media
from mirrorproof_sidecar.compare.model import CONFLICT_WITH_PRIMARY, Comparison, Context
from mirrorproof_sidecar.compare.rules import Rules, matcher_for

__all__ = ["compare"]


def compare(
    primary: Exchange, shadow: Exchange, rules: Rules, *, context: Context | None = None
) -> Comparison:
    """What differs between the two answers, and in what the two versions wrote. Pure; never raises.

    `context` is what the shell knows beside the two; without it, nothing is known.
    """
    request = primary.request
    endpoint = f"{request.method} {request.route or request.path}"
    types = (_media_type(primary), _media_type(shadow))
    statuses = (_status(primary), _status(shadow))
    found = Found(matcher_for(rules, endpoint, types, statuses))
    if yielded := [name for name, side in (("primary", primary), ("shadow", shadow)) if side.yielded]:
        # An answer from work that was cut off says nothing about the version.
        given_up = f"given up on the {' and the '.join(yielded)} side, so that v1 need not wait"
        for part in ("status", "headers", "body", "effects"):
            found.unknown(found.at(part), given_up)
        return found.comparison()
    if shadow.conflicts_with(primary):
        for part in ("status", "headers", "body", "effects"):
            found.unknown(found.at(part), f"{CONFLICT_WITH_PRIMARY}: v1 was first with the same change")
        return found.comparison()
    found.part(found.at("status"), lambda: compare_status(primary, shadow, found))
    _compare_responses(primary, shadow, found, context or Context())
    found.part(found.at("effects"), lambda: compare_effects(primary, shadow, found))
    for judge in judges(primary, shadow, rules, context or Context()):
        found.hide(judge)
    return found.comparison()


def _compare_responses(primary: Exchange, shadow: Exchange, found: Found, context: Context) -> None:
    one, other = primary.response, shadow.response
    if one is None or other is None:
        sides = [name for name, side in (("primary", one), ("shadow", other)) if side is None]
        text = f"no response on the {' and the '.join(sides)} side: headers and body were not compared"
        found.remark(found.at("status"), text)
        return
    found.part(found.at("headers"), lambda: compare_headers(one, other, found))
    bodies = captured("primary", primary, one), captured("shadow", shadow, other)
    call = primary.request.path
    found.part(found.at("body"), lambda: compare_bodies(*bodies, found, context.schemas, call))


def _media_type(exchange: Exchange) -> str:
    return media(header_values(exchange.response, "content-type")).type if exchange.response else ""


def _status(exchange: Exchange) -> int:
    return exchange.response.status if exchange.response else 0
