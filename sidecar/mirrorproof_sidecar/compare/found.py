"""Who hears: collects what the parts of a comparison find, hides what does not count, keeps it bounded.

Knows places, rules and bounds. Must not know what is compared, or why a judge lets a difference pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from mirrorproof_sidecar.compare.model import Cause, Comparison, Difference, Ignored, Kind
from mirrorproof_sidecar.compare.pointer import MAX_PATH_CHARS, escape, shorten
from mirrorproof_sidecar.compare.rules import Matcher, State, TooCostlyError

__all__ = ["MAX_DIFFERENCES", "MAX_FOUND_PER_PART", "Entry", "Found", "Judge", "Verdict", "Where"]

MAX_DIFFERENCES: Final = 200
MAX_FOUND_PER_PART: Final = 10_000
"""A part of the comparison (headers, body, effects) that found this many, hidden ones included, stops."""
_MAX_NOTES: Final = 20
_MAX_NOTE_CHARS: Final = 400


class Where:
    """A place: a segment and the place above it. Cheap to make, spelt out only when something differs."""

    __slots__ = ("_above", "_escaped", "_segment", "_state")

    def __init__(self, above: Where | None, segment: str, state: State | None = None) -> None:
        self._above = above
        self._segment = segment
        self._escaped: str | None = None
        self._state = state

    def child(self, segment: str) -> Where:
        """The place one segment further down."""
        return Where(self, segment)

    def _chain(self) -> list[Where]:
        chain: list[Where] = []
        place = self
        while place._above is not None:
            chain.append(place)
            place = place._above
        return chain[::-1]

    def segments(self) -> tuple[str, ...]:
        """The segments from the root, as they are."""
        return tuple(place._segment for place in self._chain())

    def order(self) -> list[tuple[int, str]]:
        """Sorts places by path, with numbers by size: /body/items/2 comes before /body/items/10."""
        return [(_digits(place._segment), place._segment) for place in self._chain()]

    def state(self, matcher: Matcher) -> State:
        """The rules' state here; worked out once for each place."""
        chain: list[Where] = []
        place = self
        while place._state is None and place._above is not None:
            chain.append(place)
            place = place._above
        state = place._state or ()
        for below in reversed(chain):
            state = below._state = matcher.step(state, below._segment)
        return state

    def __str__(self) -> str:
        # Places share what is above them, so a long segment is cut only once.
        chain = self._chain()
        for place in chain:
            if place._escaped is None:
                place._escaped = "/" + escape(place._segment)
        return shorten("".join(place._escaped or "" for place in chain), MAX_PATH_CHARS)


Entry = tuple[Where, Kind, Any, Any]
"""A difference in the making: place, kind, the primary's value and the shadow's."""

Verdict = tuple[int, Cause, str, str]
"""The number of an entry that does not count, why, the name of what hides it, and the reason to show."""

Judge = Callable[[Sequence[Entry]], Iterable[Verdict]]
"""Looks at all that still counts, and says what does not. Pure; has to treat both sides alike."""


class _EnoughError(Exception):
    """This part of the comparison found more than is worth counting."""


class Found:
    """One comparison in the making."""

    def __init__(self, matcher: Matcher) -> None:
        self._matcher = matcher
        self._root = Where(None, "", matcher.start)
        self._differences: list[Entry] = []
        self._ignored: list[tuple[Where, Kind, Any, Any, tuple[Cause, str, str]]] = []
        self._incomparable: set[str] = set()
        self._remarks: set[str] = set()
        self._left = MAX_FOUND_PER_PART

    def at(self, *segments: str) -> Where:
        """A place, from the root."""
        place = self._root
        for segment in segments:
            place = place.child(segment)
        return place

    def differ(self, where: Where, kind: Kind, primary: Any, shadow: Any) -> None:
        """A difference."""
        if not self._left:
            raise _EnoughError
        self._left -= 1
        rule = self._matcher.hidden_by(where.state(self._matcher))
        if rule is None:
            self._differences.append((where, kind, primary, shadow))
        else:
            self._ignored.append((where, kind, primary, shadow, (Cause.RULE, rule.path, rule.reason)))

    def hide(self, judge: Judge) -> None:
        """Move what `judge` names from the differences to what is ignored."""
        if not self._differences:
            return
        hidden = {number: (by, name, reason) for number, by, name, reason in judge(self._differences)}
        if hidden:
            self._ignored += [(*self._differences[number], why) for number, why in hidden.items()]
            self._differences = [
                entry for number, entry in enumerate(self._differences) if number not in hidden
            ]

    def unknown(self, where: Where, reason: str) -> None:
        """What is here could not be compared; of no matter where a rule hides all of it."""
        try:
            rule = self._matcher.hides_all_below(where.state(self._matcher))
        except TooCostlyError:
            rule = None
        if rule is None:
            self._incomparable.add(shorten(f"{where}: {reason}", _MAX_NOTE_CHARS))
        else:
            self.remark(where, f"{reason}; ignored by the rule {rule.path}")

    def remark(self, where: Where, text: str) -> None:
        """Something that a reader should know."""
        if len(self._remarks) < _MAX_NOTES:
            self._remarks.add(shorten(f"{where}: {text}", _MAX_NOTE_CHARS))

    def part(self, where: Where, compare: Callable[[], None]) -> None:
        """Run the comparison of one part, up to its bounds."""
        self._left = MAX_FOUND_PER_PART
        try:
            compare()
        except _EnoughError:
            self.unknown(where, f"more than {MAX_FOUND_PER_PART} differences; the rest was not looked at")
        except TooCostlyError:
            self.unknown(where, "the ignore rules are too costly here; the rest was not looked at")

    def comparison(self) -> Comparison:
        """Everything that was found."""
        self._differences.sort(key=_order)
        self._ignored.sort(key=_order)
        kept = self._differences[:MAX_DIFFERENCES]
        hidden = self._ignored[:MAX_DIFFERENCES]
        return Comparison(
            differences=tuple(Difference(str(where), *rest) for where, *rest in kept),
            ignored=tuple(
                Ignored(Difference(str(where), kind, primary, shadow), *why)
                for where, kind, primary, shadow, why in hidden
            ),
            incomparable=tuple(sorted(self._incomparable)),
            remarks=tuple(sorted(self._remarks)),
            differences_omitted=len(self._differences) - len(kept),
            ignored_omitted=len(self._ignored) - len(hidden),
        )


def _order(found: tuple[Any, ...]) -> tuple[list[tuple[int, str]], Kind]:
    where, kind, *_ = found
    return where.order(), kind


def _digits(segment: str) -> int:
    return len(segment) if segment.isascii() and segment.isdecimal() else 0
