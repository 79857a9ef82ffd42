"""A place in an exchange, and its order among places.

Knows segments, pointers and how rules' states follow each other. Must not know what is at the place.
"""

from __future__ import annotations

from mirrorproof_sidecar.compare.matcher import Matcher, State
from mirrorproof_sidecar.compare.pointer import MAX_PATH_CHARS, escape, shorten

__all__ = ["Where", "segment_order"]


class Where:
    """A place: a segment and the place above it. Cheap to make, spelt out only when something differs.

    A segment is the name of a member or the index of an item.
    """

    __slots__ = ("_above", "_escaped", "_segment", "_state")

    def __init__(self, above: Where | None, segment: str | int, state: State | None = None) -> None:
        self._above = above
        self._segment = segment
        self._escaped: str | None = None
        self._state = state

    def child(self, segment: str | int) -> Where:
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
        return tuple(str(place._segment) for place in self._chain())

    def order(self) -> list[tuple[int, str]]:
        """Sorts places by path, with numbers by size: /body/items/2 comes before /body/items/10."""
        return [segment_order(place._segment) for place in self._chain()]

    def state(self, matcher: Matcher) -> State:
        """The rules' state here; worked out once for each place."""
        if self._state is not None:
            return self._state
        chain: list[Where] = [self]
        place = self._above
        while place is not None and place._state is None:
            chain.append(place)
            place = place._above
        state = matcher.start if place is None or place._state is None else place._state
        for below in reversed(chain):
            segment = below._segment
            if below._above is None:
                pass  # the root
            elif isinstance(segment, int):
                state = matcher.item(state, segment)
            else:
                state = matcher.step(state, segment)
            below._state = state
        return state

    def __str__(self) -> str:
        # Places share what is above them, so a long segment is cut only once.
        chain = self._chain()
        for place in chain:
            if place._escaped is None:
                place._escaped = "/" + escape(str(place._segment))
        return shorten("".join(place._escaped or "" for place in chain), MAX_PATH_CHARS)


def segment_order(segment: str | int) -> tuple[int, str]:
    """Sorts segments: names by text, numbers by size, and names before numbers."""
    text = str(segment)
    return (len(text) if text.isascii() and text.isdecimal() else 0), text
