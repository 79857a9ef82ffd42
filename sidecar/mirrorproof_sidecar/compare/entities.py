"""Which thing an id belongs to, by the names around it: `order_id`, `/orders/17` and `{"order": {"id": 17}}`
are one.

Knows words and paths. Must not know values, or which differences there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mirrorproof_sidecar.compare.shapes.names import words_of

__all__ = ["BULK", "BY_PRODUCTS", "STORED", "Role", "is_id", "resource_of", "role_of", "singular"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_IDS: Final = _words("id ids uuid guid uid oid ref reference number no nr pk")
_CODES: Final = _words("code key")
"""Ids only with a thing's name before them."""
_ENVELOPES: Final = _words(
    "data result results response payload attributes body content value node entity object record "
    "resource summary meta item"
)
_QUALIFIERS: Final = _words(
    "database node global internal external legacy public edge connection graph short display"
)
"""Words before `id` that say which of a thing's ids it is, or how it is wrapped."""
_VERBS: Final = _words(
    "create add place insert submit register start open make new book post send request schedule issue "
    "checkout buy purchase reserve upload publish save"
)
BY_PRODUCTS: Final = _words(
    "payment invoice shipment transaction receipt job task confirmation booking reservation charge "
    "refund line item entry event message notification log audit session attempt delivery ticket "
    "tracking row batch upload request operation voucher"
)
"""What a request makes along with what it was sent for. A customer or a product is none: it was there
before."""


_NUMBERED: Final = _words(
    "job payment invoice ticket transaction booking reservation shipment refund charge voucher confirmation"
)
"""By-products whose own name may hold a number that is their id."""
BULK: Final = _words("bulk import batch")
"""Resources that make every item of a list."""
STORED: Final = _words(
    "customer user account product category store seller shop tenant merchant owner author country currency "
    "warehouse parent company organization org team host member person contact employee supplier brand "
    "sku variant plan coupon project repo repository branch city region zone page group role tag address"
)
"""Things that a request refers to: they were there before."""
_ENDINGS: Final = (("ies", "y"), ("sses", "ss"), ("xes", "x"), ("ches", "ch"), ("shes", "sh"), ("ss", "ss"))


@dataclass(frozen=True, slots=True)
class Role:
    """What an id-like place names. `thing`: a word in the singular, empty where nothing tells it. `own`: the
    place is the answer's own id, in no list; `made`: a mutation's name says that it was made."""

    thing: str
    own: bool = False
    made: bool = False


def is_id(name: str) -> bool:
    """Whether a member of this name holds an id."""
    words = words_of(name)
    if not words:
        return False
    return words[-1] in _IDS or (len(words) > 1 and (words[-1] in _CODES or words[0] == "id"))


def role_of(path: Sequence[str], resource: str, drawn: bool = False) -> Role | None:
    """The role of a place of the body, `path` from below `/body`; `None` if its name is no id's.

    `drawn`: the value is drawn by chance, so that a thing's own name (`charge`) may hold its id.
    """
    named = [segment for segment in path if not segment.isdecimal() and segment != "#"]
    words = words_of(named[-1]) if named else ()
    if not words:
        return None
    listed = any(segment.isdecimal() for segment in path) and resource not in BULK
    if not is_id(named[-1]):
        thing = singular(words[-1])
        itself = len(words) == 1 and thing == resource
        if itself or (thing in BY_PRODUCTS if drawn else thing in _NUMBERED):
            return Role(thing, own=bool(resource) and (itself or len(path) == 1) and not listed)
        return None
    before = _thing_of(words[1:] if words[0] == "id" else words[:-1])
    if before:
        return Role(before, own=bool(resource) and before == resource and not listed)
    for above in reversed(named[:-1]):
        above_words = words_of(above)
        thing = _thing_of(above_words)
        if not thing or (len(above_words) == 1 and above_words[0] in _ENVELOPES):
            continue
        bulk = resource in BULK and thing not in STORED
        verb = above_words[0] in _VERBS and len(above_words) > 1
        return Role(
            thing,
            own=(verb or bulk or (bool(resource) and thing == resource)) and not listed,
            made=verb and not listed,
        )
    return Role(resource, own=bool(resource) and not listed)


def _thing_of(words: Sequence[str]) -> str:
    """The last word that names a thing, in the singular."""
    for word in reversed(words):
        if word not in _QUALIFIERS:
            return singular(word)
    return ""


def resource_of(route: str) -> str:
    """What the requests to a route are about: its last segment that is a word, in the singular."""
    for segment in reversed(route.split("/")):
        words = words_of(segment)
        if words and not segment.startswith(("{", "<", ":")) and not any(word.isdigit() for word in words):
            return singular(words[-1])
    return ""


def singular(word: str) -> str:
    """The singular of an English noun, well enough that both spellings meet."""
    for ending, instead in (
        ("ies", "y"),
        ("sses", "ss"),
        ("xes", "x"),
        ("ches", "ch"),
        ("shes", "sh"),
        ("ss", "ss"),
    ):
        if word.endswith(ending) and len(word) > len(ending) + 1:
            return word[: -len(ending)] + instead
    return word[:-1] if word.endswith("s") and len(word) > 3 else word
