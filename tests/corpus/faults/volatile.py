"""Faults in times and ids, stored ones and new ones: these look like noise."""

from __future__ import annotations

import re
from random import Random
from typing import Any

from ..answers import Answer
from ..labels import Truth, Why
from ..marks import Leaf, Marked, leaves
from .touching import ID_KEY, URL, changed, key, pick, place_of

__all__ = [
    "fresh_time_shifted",
    "nil_uuid",
    "stored_time_by_a_day",
    "stored_time_by_a_zone",
    "swapped_ids",
    "volatile_is_empty",
    "volatile_is_null",
    "wrong_host",
    "wrong_reference",
]


def _stored_time(leaf: Leaf) -> bool:
    return isinstance(leaf.value, str) and re.match(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d", leaf.value) is not None


def stored_time_by_a_day(answer: Answer, random: Random) -> list[Truth] | None:
    """A stored time that is off by a day."""
    leaf = pick(answer, random, _stored_time)
    if leaf is None:
        return None
    day = int(leaf.value[8:10])
    value = f"{leaf.value[:8]}{day + 1 if day < 28 else day - 1:02d}{leaf.value[10:]}"
    return changed(answer, leaf, value, "a stored time off by a day", hard=True)


def stored_time_by_a_zone(answer: Answer, random: Random) -> list[Truth] | None:
    """A stored time that is off by hours, as a lost time zone makes it."""
    leaf = pick(answer, random, _stored_time)
    if leaf is None:
        return None
    hour = int(leaf.value[11:13])
    value = f"{leaf.value[:11]}{hour + 2 if hour < 22 else hour - 2:02d}{leaf.value[13:]}"
    return changed(answer, leaf, value, "a stored time off by a time zone", hard=True)


def _fresh(leaf: Leaf) -> bool:
    return isinstance(leaf.value, Marked) and leaf.value.shifted is not None


def fresh_time_shifted(answer: Answer, random: Random) -> list[Truth] | None:
    """A fresh time off by a day, a zone or, where it is the past that it should not be, by weeks."""
    leaf = pick(answer, random, _fresh)
    if leaf is None:
        return None
    seconds, words = random.choice(
        (
            (86_400, "a day"),
            (-86_400, "a day"),
            (7_200, "a time zone"),
            (-18_000, "a time zone"),
            (-30 * 86_400, "a month"),
        )
    )
    return changed(answer, leaf, leaf.value.shifted(seconds), f"a fresh time off by {words}", hard=True)


# Ids


def volatile_is_null(answer: Answer, random: Random) -> list[Truth] | None:
    """Null where there was a volatile value."""
    if answer.format not in ("json", "ndjson", "sse", "msgpack"):
        return None
    leaf = pick(answer, random, lambda leaf: isinstance(leaf.value, Marked) and not leaf.value.alone)
    return leaf and changed(answer, leaf, None, "null instead of a volatile value", "changed_type", hard=True)


def volatile_is_empty(answer: Answer, random: Random) -> list[Truth] | None:
    """An empty text where there was a volatile value."""
    leaf = pick(
        answer, random, lambda leaf: isinstance(leaf.value, Marked) and isinstance(leaf.value.value, str)
    )
    return leaf and changed(answer, leaf, "", "an empty text instead of a volatile value", hard=True)


def nil_uuid(answer: Answer, random: Random) -> list[Truth] | None:
    """The nil UUID, or its like, where there was a real id."""
    leaf = pick(
        answer,
        random,
        lambda leaf: (
            isinstance(leaf.value, Marked)
            and leaf.value.why is Why.RANDOM_ID
            and isinstance(leaf.value.value, str)
            and len(leaf.value.value) >= 16
        ),
    )
    if leaf is None:
        return None
    value = re.sub(r"[0-9A-Za-z]", "0", leaf.value.value)
    return changed(answer, leaf, value, "a nil id instead of a real one", hard=True)


def wrong_reference(answer: Answer, random: Random) -> list[Truth] | None:
    """An id that refers to another object than the others in the same answer."""
    places: dict[Any, list[Leaf]] = {}
    for leaf in leaves(answer.tree):
        if isinstance(leaf.value, Marked) and leaf.value.why in (Why.SEQUENCE, Why.RANDOM_ID):
            places.setdefault(leaf.value.value, []).append(leaf)
    several = [found for found in places.values() if len(found) > 2]
    if not several:
        return None
    same = random.choice(several)
    leaf = same[-1]
    value: Any = leaf.value.value
    if isinstance(value, int):
        value += random.choice((3, 7, -5))
    else:
        at = max(position for position, each in enumerate(value) if each.isalnum())
        value = value[:at] + ("1" if value[at] != "1" else "2")
        value = value[0] + ("7" if value[1] != "7" else "8") + value[2:] if value[1].isdigit() else value
    others = tuple(("changed_value", place_of(answer, each.path)) for each in same[:-1])
    return changed(answer, leaf, value, "an id that refers to another object", hard=True, also=others)


def swapped_ids(answer: Answer, random: Random) -> list[Truth] | None:
    """Two items of a list have each other's id."""
    if answer.format != "json":
        return None
    lists = [
        leaf
        for leaf in leaves(answer.tree)
        if isinstance(leaf.value, list)
        and not leaf.in_bag
        and len(leaf.value) > 1
        and all(isinstance(each, dict) for each in leaf.value)
    ]
    random.shuffle(lists)
    for leaf in lists:
        first, second = random.sample(range(len(leaf.value)), 2)
        one, other = leaf.value[first], leaf.value[second]
        names = [
            name
            for name in one
            if ID_KEY.search(name)
            and name in other
            and one[name] != other[name]
            and not isinstance(one[name], Marked | dict | list)
        ]
        if not names:
            continue
        name = names[0]
        one[name], other[name] = other[name], one[name]
        array = place_of(answer, leaf.path)
        kinds = ("changed_value", "changed_type", "missing", "extra")
        readings = [(kind, f"{array}/{each}/**") for each in (first, second) for kind in kinds]
        readings += [("missing", f"{array}/*"), ("extra", f"{array}/*"), ("order", array)]
        return [Truth("two items have each other's id", tuple(readings), hard=True)]
    return None


def wrong_host(answer: Answer, random: Random) -> list[Truth] | None:
    """A link to another host or by another scheme."""
    leaf = pick(
        answer,
        random,
        lambda leaf: (
            isinstance(leaf.value, str) and bool(URL.match(leaf.value)) and "@xmlns" not in key(leaf)
        ),
    )
    if leaf is None:
        return None
    if random.random() < 0.4:
        value = leaf.value.replace("https://", "http://", 1)
    else:
        value = re.sub(
            r"//[^/]+",
            random.choice(("//localhost:8080", "//api-v2.internal", "//staging.example.net")),
            leaf.value,
            count=1,
        )
    return changed(answer, leaf, value, "a link to a wrong host", hard=True)
