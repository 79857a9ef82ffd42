"""Which rules hold at a place, worked out while the place is walked to.

Knows rules and segments. Must not know what is compared there.

Theory of operation. All rules that hold for a pair are one automaton. A state stands for the set of (rule,
position in its pattern) that the segments so far have reached; states are made when they are first needed
and kept, so that a place costs one look-up. What a comparison may spend is counted per step as if nothing
were kept: so the bound is hit, or not, whatever was compared before.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from mirrorproof_sidecar.compare.pointer import ANY_DEPTH, glob, split
from mirrorproof_sidecar.compare.ruletypes import (
    IgnoreRule,
    OrderRule,
    PlacedRule,
    ToleranceRule,
    TransformRule,
)

__all__ = ["Automaton", "Matcher", "State", "TooCostlyError"]

_MAX_STEPS: Final = 2_000_000
_MAX_KEPT_STATES: Final = 2_000
_MAX_KEPT_CHILDREN: Final = 500

_Places = tuple[tuple[int, int], ...]
"""Sorted (rule, position) pairs."""


class TooCostlyError(Exception):
    """The rules take more steps than one comparison is allowed."""


class State:
    """A place, as far as rules can tell it from others.

    `ignore` hides a difference here and `below` this place with everything below it; `tolerance`,
    `transforms` and `order` hold here. Of several of one sort the first counts; transforms all do.
    `items_alike`: every index of an array leads to the same state.
    """

    __slots__ = (
        "below", "children", "cost", "ignore", "item", "items_alike", "order", "places", "tolerance",
        "transforms",
    )  # fmt: skip

    def __init__(self, places: _Places, rules: tuple[PlacedRule, ...], patterns: tuple[tuple[str, ...], ...]):
        self.places = places
        self.cost = len(places)
        self.children: dict[str, State] = {}
        self.item: State | None = None
        here = [rules[index] for index, position in places if position == len(patterns[index])]
        self.ignore = next((rule for rule in here if isinstance(rule, IgnoreRule)), None)
        self.tolerance = next((rule for rule in here if isinstance(rule, ToleranceRule)), None)
        self.order = next((rule for rule in here if isinstance(rule, OrderRule)), None)
        self.transforms = tuple(rule for rule in here if isinstance(rule, TransformRule))
        deep = (rules[index] for index, position in places if patterns[index][position:] == (ANY_DEPTH,))
        self.below = next((rule for rule in deep if isinstance(rule, IgnoreRule)), None)
        wanted = (patterns[index][position] for index, position in places if position < len(patterns[index]))
        self.items_alike = all(
            part in ("*", ANY_DEPTH) or not ("*" in part or part.isdecimal()) for part in wanted
        )


class Automaton:
    """Rules that hold together. Shared by comparisons; grows up to a bound."""

    __slots__ = ("_kept", "_patterns", "_rules", "start")

    def __init__(self, rules: Iterable[PlacedRule]) -> None:
        self._rules = tuple(rules)
        self._patterns = tuple(split(rule.path) for rule in self._rules)
        self._kept: dict[_Places, State] = {}
        self.start = self._state(self._settled((index, 0) for index in range(len(self._rules))))

    def follow(self, state: State, segment: str) -> State:
        """The state after one more segment, kept for the next time."""
        reached: set[tuple[int, int]] = set()
        for index, position in state.places:
            pattern = self._patterns[index]
            if position == len(pattern):
                continue
            wanted = pattern[position]
            if wanted == ANY_DEPTH:
                reached.add((index, position))
            elif wanted == segment or ("*" in wanted and glob(wanted, segment)):
                reached.add((index, position + 1))
        child = self._state(self._settled(reached))
        if len(state.children) < _MAX_KEPT_CHILDREN and len(segment) <= 100:
            state.children[segment] = child
        return child

    def _state(self, places: _Places) -> State:
        state = self._kept.get(places)
        if state is None:
            state = State(places, self._rules, self._patterns)
            if len(self._kept) < _MAX_KEPT_STATES:
                self._kept[places] = state
        return state

    def _settled(self, places: Iterable[tuple[int, int]]) -> _Places:
        # A `**` may stand for no segment at all, so the position behind it is reached as well.
        reached = set()
        for index, at in places:
            reached.add((index, at))
            position, pattern = at, self._patterns[index]
            while position < len(pattern) and pattern[position] == ANY_DEPTH:
                position += 1
                reached.add((index, position))
        return tuple(sorted(reached))


class Matcher:
    """An automaton and what one comparison may still spend on it."""

    __slots__ = ("_automaton", "_left", "start")

    def __init__(self, automaton: Automaton) -> None:
        self._automaton = automaton
        self._left = _MAX_STEPS
        self.start = automaton.start

    def step(self, state: State, segment: str) -> State:
        """The state after one more segment. Raises `TooCostlyError`."""
        if not state.cost:
            return state
        self._spend(state.cost * (1 + len(segment) // 100))
        return state.children.get(segment) or self._automaton.follow(state, segment)

    def item(self, state: State, number: int) -> State:
        """The state of an array's item. Raises `TooCostlyError`."""
        if not state.cost:
            return state
        if not state.items_alike:
            return self.step(state, str(number))
        self._spend(state.cost)
        if state.item is None:
            state.item = self._automaton.follow(state, "0")
        return state.item

    def _spend(self, steps: int) -> None:
        self._left -= steps
        if self._left < 0:
            raise TooCostlyError
