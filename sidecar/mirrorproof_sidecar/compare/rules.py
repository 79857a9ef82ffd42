"""Which differences do not count, and why.

Knows rules as people write them, as JSON, and which of them fit a path. Must not know what is compared.

Theory of operation. All rules that apply to an endpoint are one automaton: a state is the set of (rule,
position in its pattern) reached by the segments so far. `Matcher.step` takes one segment; a state in
which a rule's position is its pattern's end is hidden by that rule. So a path is matched while it is walked,
at a cost that does not grow with the number of rules that stopped fitting, and with a bound on the whole.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from mirrorproof.errors import SettingsError
from mirrorproof_sidecar.compare.model import IgnoreRule
from mirrorproof_sidecar.compare.pointer import ANY_DEPTH, glob, split

__all__ = ["DEFAULT_RULES", "Matcher", "Rules", "State", "TooCostlyError", "matcher_for"]

_MAX_RULES: Final = 500
_MAX_JSON_BYTES: Final = 1 << 20
_MAX_STEPS: Final = 2_000_000

State = tuple[tuple[int, int], ...]
"""Sorted (rule, position) pairs."""


class Rules(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What the comparison is told to disregard. `Rules()` names nothing.

    `shapes` compares volatile values by shape, `correspond` follows ids that stand for each other through a
    pair; both are on unless they are switched off.
    """

    ignore: Annotated[tuple[IgnoreRule, ...], Meta(max_length=_MAX_RULES)] = ()
    shapes: bool = True
    correspond: bool = True

    def __post_init__(self) -> None:
        if len(self.ignore) > _MAX_RULES:
            raise SettingsError(f"`ignore` holds {len(self.ignore)} rules; at most {_MAX_RULES} are taken")

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


class TooCostlyError(Exception):
    """The rules take more steps than one comparison is allowed."""


class Matcher:
    """The rules that apply to one comparison."""

    __slots__ = ("_patterns", "_rules", "_steps", "start")

    def __init__(self, rules: tuple[IgnoreRule, ...], patterns: tuple[tuple[str, ...], ...]) -> None:
        self._rules = rules
        self._patterns = patterns
        self._steps = 0
        self.start: State = self._settle((index, 0) for index in range(len(rules)))

    def step(self, state: State, segment: str) -> State:
        """The state after one more segment."""
        if not state:
            return state
        self._steps += len(state) * (1 + len(segment) // 100)
        if self._steps > _MAX_STEPS:
            raise TooCostlyError
        reached: set[tuple[int, int]] = set()
        for index, position in state:
            pattern = self._patterns[index]
            if position == len(pattern):
                continue
            wanted = pattern[position]
            if wanted == ANY_DEPTH:
                reached.add((index, position))
            elif wanted == segment or ("*" in wanted and glob(wanted, segment)):
                reached.add((index, position + 1))
        return self._settle(reached)

    def hidden_by(self, state: State) -> IgnoreRule | None:
        """The first rule that hides a difference at this place."""
        for index, position in state:
            if position == len(self._patterns[index]):
                return self._rules[index]
        return None

    def hides_all_below(self, state: State) -> IgnoreRule | None:
        """The first rule that hides this place and everything below it."""
        for index, position in state:
            if self._patterns[index][position:] == (ANY_DEPTH,):
                return self._rules[index]
        return None

    def _settle(self, places: Any) -> State:
        # A `**` may stand for no segment at all, so the position behind it is reached as well.
        reached = set()
        for index, at in places:
            reached.add((index, at))
            position, pattern = at, self._patterns[index]
            while position < len(pattern) and pattern[position] == ANY_DEPTH:
                position += 1
                reached.add((index, position))
        return tuple(sorted(reached))


def matcher_for(rules: Rules, endpoint: str) -> Matcher:
    """A fresh matcher of the rules that apply to `endpoint` (`"GET /orders/{id}"`)."""
    fitting = [
        (rule, pattern)
        for rule, pattern in _compiled(rules)
        if rule.endpoint is None or glob(rule.endpoint, endpoint)
    ]
    return Matcher(tuple(rule for rule, _ in fitting), tuple(pattern for _, pattern in fitting))


@lru_cache(maxsize=64)
def _compiled(rules: Rules) -> tuple[tuple[IgnoreRule, tuple[str, ...]], ...]:
    return tuple((rule, split(rule.path)) for rule in rules.ignore)
