"""The field-level view: differences grouped by endpoint, path pattern and kind, in bounded memory.

Pure. Knows counts, times and paths. Must not know where pairs come from, or who shows a field.

Theory of operation. A view holds a tally for each field: how often, in how many pairs, when, and a few
examples. Views add up: while all fields fit, it makes no difference how the pairs were spread over
recorders, nor in which order their views are merged. Where a stranger grows them beyond `capacity`,

1. names that are data become `*`: where an object has more than `MAX_NAMES` members, as one does whose keys
   are names of users, its members count as one. What was folded once stays folded;
2. what is still too much is cut as Misra and Gries do it, so that what is frequent stays: with N pairs
   counted, no field that is in more than 2 N / capacity of them is lost, and none counts more than is true
   (but a folded one, of which a pair may have had several members before they became one). What is cut is
   counted in `omitted`, so the sums stay exact.

    Misra, J., Gries, D. (1982). Finding repeated elements. Science of Computer Programming 2(2), 143-152.
    Agarwal, P. K., Cormode, G., Huang, Z., Phillips, J., Wei, Z., Yi, K. (2012). Mergeable summaries. PODS.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, NamedTuple

__all__ = ["COUNTS", "MAX_EXAMPLES", "MAX_NAMES", "Example", "Field", "FieldView", "Tally"]

COUNTS: Final = ""
"""`Field.by` of differences that count."""
MAX_EXAMPLES: Final = 3
MAX_NAMES: Final = 50
_ANY: Final = "*"
_CAPACITY: Final = 2000
_FIXED_SEGMENTS: Final = 2
"""The empty one and the part, such as `body`: these are no names of anybody's."""


class Field(NamedTuple):
    """What is counted together. `by` says why it does not count (`compare.Cause`), `COUNTS` that it does,
    `control` that v1 differs from its control there."""

    endpoint: str
    path: str
    kind: str
    by: str = COUNTS


@dataclass(frozen=True, slots=True, order=True)
class Example:
    """One difference of one pair. `values` has `primary` and `shadow`, a side that has nothing left out.

    Pair ids are digests, so the least ones are a sample that nobody chose.
    """

    pair: str
    path: str
    values: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}), compare=False)


@dataclass(frozen=True, slots=True)
class Tally:
    """How often, in how many pairs, when first and last (seconds since 1970), and a few examples."""

    count: int
    pairs: int
    first_s: float
    last_s: float
    examples: tuple[Example, ...] = ()

    def __add__(self, other: Tally) -> Tally:
        examples: dict[str, Example] = {}
        for one in sorted((*self.examples, *other.examples)):
            examples.setdefault(one.pair, one)
        return Tally(
            self.count + other.count,
            self.pairs + other.pairs,
            min(self.first_s, other.first_s),
            max(self.last_s, other.last_s),
            tuple(examples.values())[:MAX_EXAMPLES],
        )


class FieldView:
    """Tallies by field, at most `capacity` of them."""

    def __init__(self, capacity: int = _CAPACITY) -> None:
        if capacity < 2:
            raise ValueError(f"a view of {capacity} fields is none; 2 are the least")
        self.capacity = capacity
        self.omitted: Tally | None = None
        self._tallies: dict[Field, Tally] = {}
        self._credits: dict[Field, int] = {}
        self._folded: set[tuple[str, str]] = set()

    def add(self, one: Field, tally: Tally) -> None:
        """Count a field of pairs that this view has not counted yet."""
        self._put(one, tally, tally.pairs)
        if len(self._tallies) > self.capacity:
            self._shrink()

    @classmethod
    def merged(cls, parts: Iterable[FieldView]) -> FieldView:
        """The view of all pairs of all parts, which have no pair in common; as small as the smallest."""
        views = list(parts)
        merged = cls(min((view.capacity for view in views), default=_CAPACITY))
        folded = {one for view in views for one in view._folded}
        for endpoint, parent in sorted(folded, key=lambda one: (one[1].count("/"), one)):
            merged._folded.add((endpoint, merged._placed(endpoint, parent)))
        for view in views:
            for one, tally in view._tallies.items():
                merged._put(one, tally, view._credits[one])
            if view.omitted is not None:
                merged._omit(view.omitted)
        if len(merged._tallies) > merged.capacity:
            merged._shrink()
        return merged

    def rows(self) -> Iterator[tuple[Field, Tally]]:
        """Every field with its tally, those in most pairs first."""
        yield from sorted(self._tallies.items(), key=lambda row: (-row[1].pairs, row[0]))

    def folded(self, endpoint: str, path: str) -> bool:
        """Whether names at `path` were folded to `*`."""
        names = path.split("/")
        return any((endpoint, "/".join(names[:end])) in self._folded for end in range(len(names)))

    def __len__(self) -> int:
        return len(self._tallies)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FieldView):
            return NotImplemented
        return (self._tallies, self._credits, self._folded, self.omitted) == (
            other._tallies, other._credits, other._folded, other.omitted
        )  # fmt: skip

    __hash__ = None  # type: ignore[assignment]  # it changes

    def _put(self, one: Field, tally: Tally, credit: int) -> None:
        if self._folded:
            one = one._replace(path=self._placed(one.endpoint, one.path))
        known = self._tallies.get(one)
        self._tallies[one] = tally if known is None else known + tally
        self._credits[one] = self._credits.get(one, 0) + credit

    def _omit(self, tally: Tally) -> None:
        bare = Tally(tally.count, tally.pairs, tally.first_s, tally.last_s)
        self.omitted = bare if self.omitted is None else self.omitted + bare

    def _placed(self, endpoint: str, path: str) -> str:
        """`path` with the names that were folded replaced."""
        placed: list[str] = []
        for name in path.split("/"):
            placed.append(_ANY if (endpoint, "/".join(placed)) in self._folded and placed else name)
        return "/".join(placed)

    def _shrink(self) -> None:
        while len(self._tallies) > self.capacity // 2 and len(self._folded) < self.capacity:
            if (group := self._widest()) is None:
                break
            self._folded.add(group)
            old, credits = self._tallies, self._credits
            self._tallies, self._credits = {}, {}
            for one, tally in old.items():
                self._put(one, tally, credits[one])
        if len(self._tallies) > self.capacity // 2:
            self._cut()

    def _widest(self) -> tuple[str, str] | None:
        """The object with most members, if they are more than `MAX_NAMES`: its endpoint and path."""
        members: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        for endpoint, path, *_ in self._tallies:
            names = path.split("/")
            for end in range(_FIXED_SEGMENTS, len(names)):
                members[endpoint, "/".join(names[:end])].add(names[end])
        widest = max(members, key=lambda one: (len(members[one]), one), default=None)
        return widest if widest is not None and len(members[widest]) > MAX_NAMES else None

    def _cut(self) -> None:
        """Take from every field's credit what the first field that no longer has room has."""
        level = sorted(self._credits.values(), reverse=True)[self.capacity // 2]
        self._credits = {one: credit - level for one, credit in self._credits.items()}
        for one in sorted(one for one, credit in self._credits.items() if credit <= 0):
            del self._credits[one]
            self._omit(self._tallies.pop(one))
