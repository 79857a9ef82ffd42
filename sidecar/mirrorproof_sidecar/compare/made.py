"""Whether a request made something, and what: only then do ids differ without anybody's fault.

Pure. Knows methods, statuses, effects and the ids of two bodies. Must not know which of them differ.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from mirrorproof.exchange import Effect, Exchange
from mirrorproof_sidecar.compare.claims import id_text
from mirrorproof_sidecar.compare.entities import BULK, resource_of, role_of, singular
from mirrorproof_sidecar.compare.shapes.names import words_of

__all__ = ["Made", "asked_of", "ids_in", "is_insert", "what_was_made"]

_SAFE: Final = frozenset(("GET", "HEAD", "OPTIONS", "TRACE"))
_INSERTS: Final = frozenset(("insert", "create", "add", "put", "publish", "send", "enqueue"))
_MAX_NODES: Final = 50_000


@dataclass(frozen=True, slots=True)
class Made:
    """`resource`: what was made, as far as the route tells it. `inserted`: things that effects inserted.
    `surely`: the answers or the effects say that something was made; else only the way of asking does."""

    resource: str
    inserted: frozenset[str]
    surely: bool


def what_was_made(primary: Exchange, shadow: Exchange) -> Made | None:
    """What both versions made for this request; `None` if nothing, or not both."""
    one, other = primary.response, shadow.response
    if one is None or other is None or one.status // 100 != other.status // 100:
        return None
    request = primary.request
    route = request.route or request.path
    collection = _collection(route) if request.method.upper() == "POST" else ""
    resource = collection or resource_of(route)
    # What only one of them inserted was made as well; that the other one did not is told on its own.
    inserted = _inserted(primary) | _inserted(shadow)
    if one.status >= 300 and not inserted and not 300 < one.status < 304:
        return None
    located = all(_has(side.headers, "location") for side in (one, other))
    method = request.method.upper()
    if method in _SAFE:
        return Made("", inserted, True) if inserted else None
    created = 201 in (one.status, other.status)
    surely = bool(inserted) or created or (located and one.status < 300)
    return Made(resource if surely or collection else "", inserted, surely)


def _collection(route: str) -> str:
    """The last thing that a route names in the plural: what a POST to it makes one of; empty if there is
    none."""
    for segment in reversed(route.split("/")):
        words = words_of(segment)
        if words and (words[-1] in BULK or singular(words[-1]) != words[-1]):
            return singular(words[-1])
    return ""


def _inserted(exchange: Exchange) -> frozenset[str]:
    things = set()
    for effect in exchange.effects:
        if not is_insert(effect):
            continue
        words = words_of(effect.target.rpartition(".")[2])
        if words:
            things.add("_".join((*words[:-1], singular(words[-1]))))
    return frozenset(things)


def is_insert(effect: Effect) -> bool:
    """Whether an effect makes something that was not there."""
    return not _INSERTS.isdisjoint(words_of(effect.kind))


def _has(headers: list[tuple[str, str]], name: str) -> bool:
    return any(key.lower() == name for key, _ in headers)


def asked_of(exchange: Exchange) -> frozenset[tuple[str, str]]:
    """Thing and id of all that the request names: these were there before. A thing that is not known is
    empty."""
    found: set[tuple[str, str]] = set()
    segments = exchange.request.path.split("/")[:100]
    for position, segment in enumerate(segments):
        found.add((resource_of("/".join(segments[:position])), segment))
    for field in exchange.request.query.split("&")[:100]:
        key, _, value = field.partition("=")
        words = words_of(key)
        found.add((singular(words[-2]) if len(words) > 1 else "", value))
    return frozenset(found)


def ids_in(tree: Any, resource: str) -> dict[tuple[str, ...], tuple[str, str]] | None:
    """Thing and id at each id-like place of a body; `None` if it is too large to look for."""
    found: dict[tuple[str, ...], tuple[str, str]] = {}
    for number, (path, value) in enumerate(_leaves(tree)):
        if number > _MAX_NODES:
            return None
        text = id_text(value)
        role = role_of(path, resource) if text is not None else None
        if role is not None and text is not None:
            found[path] = role.thing, text
    return found


def _leaves(tree: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    waiting: list[tuple[tuple[str, ...], Any]] = [((), tree)]
    while waiting:
        path, value = waiting.pop()
        if type(value) is dict:
            waiting.extend(((*path, key), item) for key, item in value.items())
        elif type(value) is list:
            waiting.extend(((*path, str(number)), item) for number, item in enumerate(value))
        yield path, value
