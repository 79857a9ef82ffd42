"""Faults in values that both versions take from the same database."""

from __future__ import annotations

from random import Random
from typing import Any

from ..answers import FORMATS, Answer
from ..labels import Truth, pointer
from ..marks import Bag, Leaf, Marked
from .touching import ENUM, ENUM_KEY, MONEY, changed, get, is_int, is_number_text, key, pick, place_of, truth

__all__ = [
    "flipped",
    "integer_as_float",
    "key_added",
    "key_gone",
    "mojibake",
    "null_instead",
    "number_as_text",
    "off_by_a_cent",
    "off_by_one",
    "other_case",
    "other_word",
    "truncated",
    "volatile_gone",
]


def off_by_one(answer: Answer, random: Random) -> list[Truth] | None:
    """A count that differs by one."""
    leaf = pick(
        answer,
        random,
        lambda leaf: is_int(leaf.value) and not MONEY.search(key(leaf)) and abs(leaf.value) < 100_000,
    )
    return leaf and changed(
        answer, leaf, leaf.value + random.choice((-1, 1)), "a count off by one", hard=True
    )


def off_by_a_cent(answer: Answer, random: Random) -> list[Truth] | None:
    """A price that differs by a cent."""
    leaf = pick(
        answer,
        random,
        lambda leaf: (
            bool(MONEY.search(key(leaf)))
            and (is_int(leaf.value) or isinstance(leaf.value, float) or is_number_text(leaf.value))
        ),
    )
    if leaf is None:
        return None
    step = random.choice((-1, 1))
    value: Any = leaf.value
    if is_int(value):
        value += step
    elif isinstance(value, float):
        value = round(value + step / 100, 2)
    else:
        value = f"{float(value) + step / 100:.2f}"
    return changed(answer, leaf, value, "a price off by a cent", hard=True)


def truncated(answer: Answer, random: Random) -> list[Truth] | None:
    """A text that is cut."""
    leaf = pick(
        answer,
        random,
        lambda leaf: isinstance(leaf.value, str) and " " in leaf.value and len(leaf.value) > 12,
    )
    return leaf and changed(
        answer, leaf, leaf.value[: random.randint(6, len(leaf.value) - 3)], "a text cut short"
    )


def other_case(answer: Answer, random: Random) -> list[Truth] | None:
    """An enum in another case."""
    leaf = pick(
        answer,
        random,
        lambda leaf: (
            isinstance(leaf.value, str)
            and bool(ENUM_KEY.search(key(leaf)))
            and bool(ENUM.fullmatch(leaf.value))
        ),
    )
    return leaf and changed(answer, leaf, leaf.value.swapcase(), "an enum in another case", hard=True)


def other_word(answer: Answer, random: Random) -> list[Truth] | None:
    """Another value of an enum, or another currency."""
    leaf = pick(answer, random, lambda leaf: isinstance(leaf.value, str) and bool(ENUM_KEY.search(key(leaf))))
    if leaf is None:
        return None
    value = {"EUR": "USD", "USD": "EUR", "eur": "usd", "usd": "eur"}.get(leaf.value, "unknown")
    return changed(answer, leaf, value, "another value of an enum")


def mojibake(answer: Answer, random: Random) -> list[Truth] | None:
    """UTF-8 read as Latin-1."""
    leaf = pick(
        answer,
        random,
        lambda leaf: (
            isinstance(leaf.value, str)
            and not leaf.value.isascii()
            and all(ord(each) < 0x2100 for each in leaf.value)
        ),
    )
    return leaf and changed(
        answer, leaf, leaf.value.encode().decode("latin-1"), "an encoding error", hard=True
    )


def null_instead(answer: Answer, random: Random) -> list[Truth] | None:
    """Null where there was a value."""
    leaf = pick(answer, random, lambda leaf: isinstance(leaf.value, str | int | float) and leaf.value != "")
    return leaf and changed(answer, leaf, None, "null instead of a value", "changed_type")


def number_as_text(answer: Answer, random: Random) -> list[Truth] | None:
    """A number as text."""
    if not FORMATS[answer.format].pointers:
        return None
    leaf = pick(answer, random, lambda leaf: is_int(leaf.value) or isinstance(leaf.value, float))
    return leaf and changed(answer, leaf, str(leaf.value), "a number as text", "changed_type", hard=True)


def integer_as_float(answer: Answer, random: Random) -> list[Truth] | None:
    """An integer with `.0`."""
    if answer.format != "json":
        return None
    leaf = pick(answer, random, lambda leaf: is_int(leaf.value))
    return leaf and changed(
        answer, leaf, float(leaf.value), "an integer as a float", "changed_type", hard=True
    )


def flipped(answer: Answer, random: Random) -> list[Truth] | None:
    """A flag turned over."""
    leaf = pick(answer, random, lambda leaf: isinstance(leaf.value, bool))
    return leaf and changed(answer, leaf, not leaf.value, "a flag turned over")


def key_gone(answer: Answer, random: Random) -> list[Truth] | None:
    """A member that is not there."""
    if answer.format not in ("json", "ndjson", "sse", "xml", "form", "msgpack"):
        return None
    low = 1 if answer.format in ("ndjson", "sse", "xml") else 0
    leaf = pick(
        answer,
        random,
        lambda leaf: (
            len(leaf.path) > low
            and isinstance(leaf.path[-1], str)
            and leaf.path[-1][0] not in "@#"
            and leaf.path[-1] not in ("event", "data", "retry")
            and not isinstance(leaf.value, Marked | Bag)
            and not (answer.format != "json" and isinstance(leaf.value, list))
            and leaf.value != ""
            and leaf.value is not None
        ),
    )
    if leaf is None:
        return None
    where = place_of(answer, leaf.path)
    del get(answer.tree, leaf.path[:-1])[leaf.path[-1]]
    return [truth(answer, "a member is missing", "missing", where, leaf.value)]


def volatile_gone(answer: Answer, random: Random) -> list[Truth] | None:
    """A volatile member that is not there: a time, an id."""
    if answer.format != "json":
        return None
    leaf = pick(
        answer, random, lambda leaf: isinstance(leaf.value, Marked) and isinstance(leaf.path[-1], str)
    )
    if leaf is None:
        return None
    where = place_of(answer, leaf.path)
    del get(answer.tree, leaf.path[:-1])[leaf.path[-1]]
    return [truth(answer, "a volatile member is missing", "missing", where, hard=True)]


def key_added(answer: Answer, random: Random) -> list[Truth] | None:
    """A member that v1 does not have."""
    if answer.format not in ("json", "xml", "form", "msgpack"):
        return None
    if answer.format == "json" and isinstance(answer.tree, dict):
        leaf: Leaf | None = Leaf((), answer.tree)
    else:
        leaf = None
    leaf = (random.random() < 0.6 and pick(answer, random, lambda leaf: isinstance(leaf.value, dict))) or leaf
    if not leaf:
        return None
    name = random.choice(("debug", "legacy_ref", "_internal", "region", "beta"))
    value = random.choice(("on", "eu-1", "n/a"))
    if name in leaf.value:
        return None
    leaf.value[name] = value
    where = "/body/**" if not FORMATS[answer.format].pointers else place_of(answer, leaf.path) + pointer(name)
    return [truth(answer, "a member that v1 lacks", "extra", where, None, value)]
