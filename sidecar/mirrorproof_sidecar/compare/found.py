"""Who hears: collects what the parts of a comparison find, hides what does not count, keeps it bounded.

Knows places, rules and bounds. Must not know what is compared, or why a judge lets a difference pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from mirrorproof_sidecar.compare.matcher import Matcher, State, TooCostlyError
from mirrorproof_sidecar.compare.model import Cause, Comparison, Difference, Ignored, Kind
from mirrorproof_sidecar.compare.passing import transformed, within
from mirrorproof_sidecar.compare.pointer import shorten
from mirrorproof_sidecar.compare.ruletypes import OrderRule, PlacedRule, rule_id
from mirrorproof_sidecar.compare.where import Where

__all__ = [
    "MAX_DIFFERENCES",
    "MAX_FOUND_PER_PART",
    "Entry",
    "Found",
    "Judge",
    "Verdict",
    "Where",
]

MAX_DIFFERENCES: Final = 200
MAX_FOUND_PER_PART: Final = 10_000
"""A part of the comparison (headers, body, effects) that found this many stops. What rules hide is no cause
to stop: it is counted, and the first `MAX_DIFFERENCES` of a part are listed."""
_MAX_NOTES: Final = 20
_MAX_NOTE_CHARS: Final = 400
_OF_VALUES: Final = frozenset({Kind.CHANGED_VALUE, Kind.CHANGED_TYPE, Kind.HEADER})


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
        self._listed = self._unlisted = 0
        self._used: dict[int, PlacedRule] = {}

    def at(self, *segments: str) -> Where:
        """A place, from the root."""
        place = self._root
        for segment in segments:
            place = place.child(segment)
        return place

    def differ(
        self, where: Where, kind: Kind, primary: Any, shadow: Any, read: Callable[[Any], Any] | None = None
    ) -> None:
        """A difference. `read` makes the two values of what is given, where somebody looks at them."""
        state = where.state(self._matcher)
        hidden_unseen = state.ignore is not None and self._listed >= MAX_DIFFERENCES
        if read is not None and not hidden_unseen:
            primary, shadow = read(primary), read(shadow)
        why = _passes(state, kind, primary, shadow)
        if why is not None:
            self._pass((where, kind, primary, shadow), *why)
        elif self._left:
            self._left -= 1
            self._differences.append((where, kind, primary, shadow))
        else:
            raise _EnoughError

    @property
    def lists_no_more(self) -> bool:
        """Whether what a rule hides in this part is only counted from now on."""
        return self._listed >= MAX_DIFFERENCES

    def hides(self, where: Where, key: str) -> bool:
        """Whether a rule ignores a difference of the member `key` of `where`; if so it is counted as one."""
        rule = self._matcher.step(where.state(self._matcher), key).ignore
        if rule is None:
            return False
        self._used[id(rule)] = rule
        self._unlisted += 1
        return True

    def order_of(self, where: Where) -> OrderRule | None:
        """The rule that says how the items of the arrays at `where` find each other."""
        rule = where.state(self._matcher).order
        if rule is not None:
            self._used[id(rule)] = rule
        return rule

    def reordered(self, where: Where, primary: Any, shadow: Any, rule: OrderRule | None) -> None:
        """Items at `where` stand in another order; `rule` says that it does not count.

        Nor does it count where a rule ignores the items, whichever they are.
        """
        hiding: PlacedRule | None = rule
        if hiding is None:
            state = where.state(self._matcher)
            hiding = self._matcher.item(state, 0).ignore if state.items_alike else None
        if hiding is None:
            self.differ(where, Kind.ORDER, primary, shadow)
        else:
            self._pass((where, Kind.ORDER, primary, shadow), hiding, Cause.RULE, hiding.reason)

    def _pass(self, entry: Entry, rule: PlacedRule, by: Cause, reason: str) -> None:
        # What the parts find comes in the order of paths, so those that are listed are the first.
        self._used[id(rule)] = rule
        if self._listed < MAX_DIFFERENCES:
            self._listed += 1
            self._ignored.append((*entry, (by, rule.path, rule.reason or reason)))
        else:
            self._unlisted += 1

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
            rule = where.state(self._matcher).below
        except TooCostlyError:
            rule = None
        if rule is None:
            self._incomparable.add(shorten(f"{where}: {reason}", _MAX_NOTE_CHARS))
        else:
            self._used[id(rule)] = rule
            self.remark(where, f"{reason}; ignored by the rule {rule.path}")

    def remark(self, where: Where, text: str) -> None:
        """Something that a reader should know."""
        if len(self._remarks) < _MAX_NOTES:
            self._remarks.add(shorten(f"{where}: {text}", _MAX_NOTE_CHARS))

    def part(self, where: Where, compare: Callable[[], None]) -> None:
        """Run the comparison of one part, up to its bounds."""
        self._left = MAX_FOUND_PER_PART
        self._listed = 0
        try:
            compare()
        except _EnoughError:
            self.unknown(where, f"more than {MAX_FOUND_PER_PART} differences; the rest was not looked at")
        except TooCostlyError:
            self.unknown(where, "the rules are too costly here; the rest was not looked at")

    def comparison(self) -> Comparison:
        """Everything that was found."""
        for entries in (self._differences, self._ignored):
            if len(entries) > 1:
                entries.sort(key=_order)
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
            ignored_omitted=len(self._ignored) - len(hidden) + self._unlisted,
            used=tuple(sorted({rule_id(rule) for rule in self._used.values()})),
        )


def _passes(state: State, kind: Kind, one: Any, other: Any) -> tuple[PlacedRule, Cause, str] | None:
    """The rule that lets this difference pass, how, and a reason for a rule that gives none."""
    if state.ignore is not None:
        return state.ignore, Cause.RULE, ""
    if not (state.tolerance or state.transforms) or kind not in _OF_VALUES:
        return None
    if state.transforms:
        one, other = transformed(state.transforms, one), transformed(state.transforms, other)
        if type(one) is type(other) and one == other:
            return state.transforms[0], Cause.RULE, f"equal by {', '.join(r.op for r in state.transforms)}"
    if state.tolerance and within(state.tolerance, one, other):
        return state.tolerance, Cause.TOLERANCE, "within the tolerance"
    return None


def _order(found: tuple[Any, ...]) -> tuple[list[tuple[int, str]], Kind]:
    where, kind, *_ = found
    return where.order(), kind
