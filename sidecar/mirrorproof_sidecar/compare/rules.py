"""What the comparison is told: the whole set of rules, as TOML and JSON have it, and which hold for a pair.

Knows which rules contradict each other. Must not know what is compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from mirrorproof.errors import SettingsError
from mirrorproof_sidecar.compare.matcher import Automaton, Matcher
from mirrorproof_sidecar.compare.ruletypes import (
    IgnoreRule,
    Op,
    OrderRule,
    PlacedRule,
    ToleranceRule,
    TransformRule,
)

__all__ = ["DEFAULT_RULES", "Rules", "matcher_for"]

_MAX_RULES: Final = 500
_MAX_JSON_BYTES: Final = 1 << 20
_MAX_COMPILED: Final = 16
_MAX_AUTOMATA: Final = 200

_Few = Meta(max_length=_MAX_RULES)


class Rules(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What the comparison is told to disregard. `Rules()` has no rule.

    `shapes`: two values of one volatile sort, such as two fresh timestamps, match (default: they do).
    `correspond`: a value that stands for v2's wherever it appears in the pair matches (default: it does).
    Raises `SettingsError` if two rules contradict each other, naming both.
    """

    ignore: Annotated[tuple[IgnoreRule, ...], _Few] = ()
    tolerance: Annotated[tuple[ToleranceRule, ...], _Few] = ()
    transform: Annotated[tuple[TransformRule, ...], _Few] = ()
    order: Annotated[tuple[OrderRule, ...], _Few] = ()
    shapes: bool = True
    correspond: bool = True

    def __post_init__(self) -> None:
        for name in ("ignore", "tolerance", "transform", "order"):
            if (number := len(getattr(self, name))) > _MAX_RULES:
                raise SettingsError(f"`{name}` holds {number} rules; at most {_MAX_RULES} are taken")
        for (name, rule), (other_name, other), why in _contradictions(self):
            raise SettingsError(
                f"`{name}` ({rule}) and `{other_name}` ({other}) contradict each other: {why}"
            )

    @classmethod
    def from_dict(cls, data: object) -> Rules:
        """Rules from plain data, as TOML or JSON give it. Raises `SettingsError` that names the key."""
        try:
            return msgspec.convert(data, cls)
        except (msgspec.ValidationError, RecursionError) as error:
            raise SettingsError(f"rules: {error}") from error

    @classmethod
    def from_json(cls, text: bytes | str) -> Rules:
        """Rules from JSON. Raises `SettingsError` that names the key."""
        if len(text) > _MAX_JSON_BYTES:
            raise SettingsError(f"rules: {len(text)} bytes of JSON; at most {_MAX_JSON_BYTES} are taken")
        try:
            return msgspec.json.decode(text, type=cls)
        except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
            raise SettingsError(f"rules: {error}") from error

    def to_dict(self) -> dict[str, Any]:
        """Plain data that `from_dict` takes."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain

    def to_json(self) -> bytes:
        """JSON that `from_json` takes."""
        return msgspec.json.encode(self)

    def with_defaults(self) -> Rules:
        """The defaults and, after them, these; doing it twice changes nothing."""
        own = tuple(rule for rule in self.ignore if rule not in DEFAULT_RULES.ignore)
        return msgspec.structs.replace(self, ignore=DEFAULT_RULES.ignore + own)

    def placed(self) -> Iterator[tuple[str, PlacedRule]]:
        """Every rule with the name of the list it stands in."""
        for name in ("ignore", "tolerance", "transform", "order"):
            for rule in getattr(self, name):
                yield name, rule


_Named = tuple[str, PlacedRule]


def _contradictions(rules: Rules) -> Iterator[tuple[_Named, _Named, str]]:
    """Rules for the same path and overlapping pairs that cannot both be meant."""
    by_path: dict[str, list[_Named]] = {}
    for name, rule in rules.placed():
        by_path.setdefault(rule.path, []).append((name, rule))
    for group in by_path.values():
        if len({name for name, _ in group}) == 1 and group[0][0] == "ignore":
            continue
        for one, other in combinations(group, 2):
            if one[1].same_places(other[1]) and (why := _quarrel(one[1], other[1])):
                yield one, other, why


def _quarrel(one: PlacedRule, other: PlacedRule) -> str:
    kinds = {type(one), type(other)}
    if IgnoreRule in kinds and kinds & {ToleranceRule, TransformRule}:
        return "what is ignored is not compared; keep one of the two"
    if len(kinds) > 1:
        return ""
    if isinstance(one, OrderRule) and isinstance(other, OrderRule):
        return "" if (one.way, one.key) == (other.way, other.key) else "one place has one order"
    if isinstance(one, ToleranceRule) and isinstance(other, ToleranceRule):
        mine, its = ((rule.absolute, rule.relative, rule.seconds) for rule in (one, other))
        return "" if mine == its else "one place has one tolerance; put the bounds into one rule"
    if isinstance(one, TransformRule) and isinstance(other, TransformRule):
        rounds = one.op is other.op is Op.ROUND and one.digits != other.digits
        return "a number is rounded to one number of digits" if rounds else ""
    return ""


_DEFAULT_HEADERS: Final = {
    "the time of the answer": ("date", "age"),
    "names the machine or proxy that answered": ("server", "via"),
    "an id of the request, not of the answer": ("x-request-id", "x-correlation-id", "x-mirror-id"),
    "the mesh's own figures about this request": ("x-envoy-*",),
    "the trace that this request is in": ("traceparent", "tracestate", "b3", "x-b3-*"),
    "how long this answer took": ("server-timing",),
    "the length is the body's, and the body is compared": ("content-length",),
    "speaks of one connection (RFC 9110, 7.6.1)": ("connection", "keep-alive", "transfer-encoding"),
    "a digest of the body, which is compared, or the time of a file on one machine": ("etag",),
}
DEFAULT_RULES: Final = Rules(
    tuple(
        IgnoreRule(f"/headers/{name}", reason=reason)
        for reason, names in _DEFAULT_HEADERS.items()
        for name in names
    )
)
"""Headers that differ between any two answers of one version. `etag`: where it is made from the body it says
nothing that the body does not, and where it is made from a file's time it differs between replicas; a rule
cannot tell that one is missing from that it changed, so a lost `etag` shows among the ignored only."""


class _Compiled:
    """A set of rules, and the automata for the pairs that were met."""

    __slots__ = ("_automata", "_conditional", "_rules")

    def __init__(self, rules: Rules) -> None:
        self._rules = [rule for _, rule in rules.placed()]
        self._conditional = [number for number, rule in enumerate(self._rules) if not rule.everywhere]
        self._automata: dict[tuple[int, ...], Automaton] = {}

    def automaton(self, *pair: Any) -> Automaton:
        out = tuple(number for number in self._conditional if not self._rules[number].holds_for(*pair))
        found = self._automata.get(out)
        if found is None:
            if len(self._automata) >= _MAX_AUTOMATA:
                self._automata.clear()
            rules = [rule for number, rule in enumerate(self._rules) if number not in out]
            found = self._automata[out] = Automaton(rules)
        return found


_COMPILED: dict[int, tuple[Rules, _Compiled]] = {}
"""By `id`: hashing a long set of rules for each pair costs more than comparing it. Holding the rules keeps
their `id` theirs."""


def matcher_for(
    rules: Rules,
    endpoint: str,
    content_types: tuple[str, str] = ("", ""),
    statuses: tuple[int, int] = (0, 0),
) -> Matcher:
    """A fresh matcher of the rules that hold for a pair of `endpoint` (`"GET /orders/{id}"`) whose two
    answers have these media types and statuses (0: there was none)."""
    known = _COMPILED.get(id(rules))
    if known is None:
        if len(_COMPILED) >= _MAX_COMPILED:
            _COMPILED.clear()
        known = _COMPILED[id(rules)] = (rules, _Compiled(rules))
    return Matcher(known[1].automaton(endpoint, content_types, statuses))
