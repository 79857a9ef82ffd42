"""What v2 can get wrong: each fault spoils one place of an answer and says which true differences that makes.

Knows trees with marks, and what bugs look like. Must not know how a comparison finds or hides anything.

A fault takes the answer and a source of choices, changes the answer, and returns its labels; `None` where
there is nothing that it could spoil. `FAULTS` has them with their weights; those called hard look like noise.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random
from typing import Any

from .answers import FORMATS, Answer
from .labels import Truth, Why, pointer
from .marks import Bag, Leaf, Marked, leaves, plain

__all__ = ["FAULTS", "Fault", "spoil"]

Fault = Callable[[Answer, Random], list[Truth] | None]

_MONEY = re.compile(r"price|amount|total|cost|fee|tax|balance|fare|rate", re.IGNORECASE)
_ENUM = re.compile(r"[A-Z][A-Z_]{2,}|[a-z]+(?:_[a-z]+)*")
_ENUM_KEY = re.compile(
    r"status|state|type|kind|role|level|scope|currency|mode|visibility|severity", re.IGNORECASE
)
_ID_KEY = re.compile(r"(^|[_a-z-])id$|^id$|Id$|ID$")
_URL = re.compile(r"https?://")


def _get(tree: Any, path: tuple[str | int, ...]) -> Any:
    for segment in path:
        tree = (tree.items if isinstance(tree, Bag) else tree)[segment]
    return tree


def _set(answer: Answer, path: tuple[str | int, ...], value: Any) -> None:
    if not path:
        answer.tree = value
        return
    above = _get(answer.tree, path[:-1])
    (above.items if isinstance(above, Bag) else above)[path[-1]] = value


def _where(answer: Answer, path: tuple[str | int, ...]) -> str:
    if not FORMATS[answer.format].pointers:
        return "/body/**"
    segments: list[str | int] = []
    tree = answer.tree
    for segment in path:
        segments.append("*" if isinstance(tree, Bag) else segment)
        tree = (tree.items if isinstance(tree, Bag) else tree)[segment] if tree is not None else None
    return pointer("body", *segments)


def _text(value: Any) -> str | None:
    """Text by which a value is known where it is shown."""
    value = plain(value)
    if isinstance(value, dict | list):
        found = [
            str(leaf.value) for leaf in leaves(value) if not isinstance(leaf.value, dict | list | bool | None)
        ]
        return max(found, key=len) if found else None
    return str(value).lower() if isinstance(value, bool) else "" if value is None else str(value)


def _truth(
    answer: Answer,
    what: str,
    kind: str,
    where: str,
    old: Any = None,
    new: Any = None,
    *,
    hard: bool = False,
    also: tuple[tuple[str, str], ...] = (),
) -> Truth:
    form = FORMATS[answer.format]
    if form.pointers or not where.startswith("/body"):
        return Truth(what, ((kind, where), *also), hard=hard)
    if answer.format == "protobuf":
        return Truth(what, (("body", "/body"),), hard=hard)
    if kind == "changed_type" and not form.typed:
        kind = "changed_value"
    return Truth(
        what,
        ((kind, where), *also),
        None if old is None else _text(old),
        None if new is None else _text(new),
        hard,
    )


def _pick(answer: Answer, random: Random, wanted: Callable[[Leaf], bool]) -> Leaf | None:
    found = [leaf for leaf in leaves(answer.tree) if leaf.path and not leaf.in_bag and wanted(leaf)]
    return random.choice(found) if found else None


def _changed(
    answer: Answer,
    leaf: Leaf,
    value: Any,
    what: str,
    kind: str = "changed_value",
    *,
    hard: bool = False,
    also: tuple[tuple[str, str], ...] = (),
) -> list[Truth]:
    where = _where(answer, leaf.path)
    _set(answer, leaf.path, value)
    return [_truth(answer, what, kind, where, leaf.value, value, hard=hard, also=also)]


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _key(leaf: Leaf) -> str:
    return next((segment for segment in reversed(leaf.path) if isinstance(segment, str)), "")


def _is_number_text(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"-?\d+\.\d\d", value) is not None


# Stable values


def off_by_one(answer: Answer, random: Random) -> list[Truth] | None:
    """A count that differs by one."""
    leaf = _pick(
        answer,
        random,
        lambda leaf: _is_int(leaf.value) and not _MONEY.search(_key(leaf)) and abs(leaf.value) < 100_000,
    )
    return leaf and _changed(
        answer, leaf, leaf.value + random.choice((-1, 1)), "a count off by one", hard=True
    )


def off_by_a_cent(answer: Answer, random: Random) -> list[Truth] | None:
    """A price that differs by a cent."""
    leaf = _pick(
        answer,
        random,
        lambda leaf: (
            bool(_MONEY.search(_key(leaf)))
            and (_is_int(leaf.value) or isinstance(leaf.value, float) or _is_number_text(leaf.value))
        ),
    )
    if leaf is None:
        return None
    step = random.choice((-1, 1))
    value: Any = leaf.value
    if _is_int(value):
        value += step
    elif isinstance(value, float):
        value = round(value + step / 100, 2)
    else:
        value = f"{float(value) + step / 100:.2f}"
    return _changed(answer, leaf, value, "a price off by a cent", hard=True)


def truncated(answer: Answer, random: Random) -> list[Truth] | None:
    """A text that is cut."""
    leaf = _pick(
        answer,
        random,
        lambda leaf: isinstance(leaf.value, str) and " " in leaf.value and len(leaf.value) > 12,
    )
    return leaf and _changed(
        answer, leaf, leaf.value[: random.randint(6, len(leaf.value) - 3)], "a text cut short"
    )


def other_case(answer: Answer, random: Random) -> list[Truth] | None:
    """An enum in another case."""
    leaf = _pick(
        answer,
        random,
        lambda leaf: (
            isinstance(leaf.value, str)
            and bool(_ENUM_KEY.search(_key(leaf)))
            and bool(_ENUM.fullmatch(leaf.value))
        ),
    )
    return leaf and _changed(answer, leaf, leaf.value.swapcase(), "an enum in another case", hard=True)


def other_word(answer: Answer, random: Random) -> list[Truth] | None:
    """Another value of an enum, or another currency."""
    leaf = _pick(
        answer, random, lambda leaf: isinstance(leaf.value, str) and bool(_ENUM_KEY.search(_key(leaf)))
    )
    if leaf is None:
        return None
    value = {"EUR": "USD", "USD": "EUR", "eur": "usd", "usd": "eur"}.get(leaf.value, "unknown")
    return _changed(answer, leaf, value, "another value of an enum")


def mojibake(answer: Answer, random: Random) -> list[Truth] | None:
    """UTF-8 read as Latin-1."""
    leaf = _pick(
        answer,
        random,
        lambda leaf: (
            isinstance(leaf.value, str)
            and not leaf.value.isascii()
            and all(ord(each) < 0x2100 for each in leaf.value)
        ),
    )
    return leaf and _changed(
        answer, leaf, leaf.value.encode().decode("latin-1"), "an encoding error", hard=True
    )


def null_instead(answer: Answer, random: Random) -> list[Truth] | None:
    """Null where there was a value."""
    leaf = _pick(answer, random, lambda leaf: isinstance(leaf.value, str | int | float) and leaf.value != "")
    return leaf and _changed(answer, leaf, None, "null instead of a value", "changed_type")


def number_as_text(answer: Answer, random: Random) -> list[Truth] | None:
    """A number as text."""
    if not FORMATS[answer.format].pointers:
        return None
    leaf = _pick(answer, random, lambda leaf: _is_int(leaf.value) or isinstance(leaf.value, float))
    return leaf and _changed(answer, leaf, str(leaf.value), "a number as text", "changed_type", hard=True)


def integer_as_float(answer: Answer, random: Random) -> list[Truth] | None:
    """An integer with `.0`."""
    if answer.format != "json":
        return None
    leaf = _pick(answer, random, lambda leaf: _is_int(leaf.value))
    return leaf and _changed(
        answer, leaf, float(leaf.value), "an integer as a float", "changed_type", hard=True
    )


def flipped(answer: Answer, random: Random) -> list[Truth] | None:
    """A flag turned over."""
    leaf = _pick(answer, random, lambda leaf: isinstance(leaf.value, bool))
    return leaf and _changed(answer, leaf, not leaf.value, "a flag turned over")


def key_gone(answer: Answer, random: Random) -> list[Truth] | None:
    """A member that is not there."""
    if answer.format not in ("json", "ndjson", "sse", "xml", "form", "msgpack"):
        return None
    low = 1 if answer.format in ("ndjson", "sse", "xml") else 0
    leaf = _pick(
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
    where = _where(answer, leaf.path)
    del _get(answer.tree, leaf.path[:-1])[leaf.path[-1]]
    return [_truth(answer, "a member is missing", "missing", where, leaf.value)]


def volatile_gone(answer: Answer, random: Random) -> list[Truth] | None:
    """A volatile member that is not there: a time, an id."""
    if answer.format != "json":
        return None
    leaf = _pick(
        answer, random, lambda leaf: isinstance(leaf.value, Marked) and isinstance(leaf.path[-1], str)
    )
    if leaf is None:
        return None
    where = _where(answer, leaf.path)
    del _get(answer.tree, leaf.path[:-1])[leaf.path[-1]]
    return [_truth(answer, "a volatile member is missing", "missing", where, hard=True)]


def key_added(answer: Answer, random: Random) -> list[Truth] | None:
    """A member that v1 does not have."""
    if answer.format not in ("json", "xml", "form", "msgpack"):
        return None
    if answer.format == "json" and isinstance(answer.tree, dict):
        leaf: Leaf | None = Leaf((), answer.tree)
    else:
        leaf = None
    leaf = (
        random.random() < 0.6 and _pick(answer, random, lambda leaf: isinstance(leaf.value, dict))
    ) or leaf
    if not leaf:
        return None
    name = random.choice(("debug", "legacy_ref", "_internal", "region", "beta"))
    value = random.choice(("on", "eu-1", "n/a"))
    if name in leaf.value:
        return None
    leaf.value[name] = value
    where = "/body/**" if not FORMATS[answer.format].pointers else _where(answer, leaf.path) + pointer(name)
    return [_truth(answer, "a member that v1 lacks", "extra", where, None, value)]


# Times


def _stored_time(leaf: Leaf) -> bool:
    return isinstance(leaf.value, str) and re.match(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d", leaf.value) is not None


def stored_time_by_a_day(answer: Answer, random: Random) -> list[Truth] | None:
    """A stored time that is off by a day."""
    leaf = _pick(answer, random, _stored_time)
    if leaf is None:
        return None
    day = int(leaf.value[8:10])
    value = f"{leaf.value[:8]}{day + 1 if day < 28 else day - 1:02d}{leaf.value[10:]}"
    return _changed(answer, leaf, value, "a stored time off by a day", hard=True)


def stored_time_by_a_zone(answer: Answer, random: Random) -> list[Truth] | None:
    """A stored time that is off by hours, as a lost time zone makes it."""
    leaf = _pick(answer, random, _stored_time)
    if leaf is None:
        return None
    hour = int(leaf.value[11:13])
    value = f"{leaf.value[:11]}{hour + 2 if hour < 22 else hour - 2:02d}{leaf.value[13:]}"
    return _changed(answer, leaf, value, "a stored time off by a time zone", hard=True)


def _fresh(leaf: Leaf) -> bool:
    return isinstance(leaf.value, Marked) and leaf.value.shifted is not None


def fresh_time_shifted(answer: Answer, random: Random) -> list[Truth] | None:
    """A fresh time off by a day, a zone or, where it is the past that it should not be, by weeks."""
    leaf = _pick(answer, random, _fresh)
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
    return _changed(answer, leaf, leaf.value.shifted(seconds), f"a fresh time off by {words}", hard=True)


# Ids


def volatile_is_null(answer: Answer, random: Random) -> list[Truth] | None:
    """Null where there was a volatile value."""
    if answer.format not in ("json", "ndjson", "sse", "msgpack"):
        return None
    leaf = _pick(answer, random, lambda leaf: isinstance(leaf.value, Marked) and not leaf.value.alone)
    return leaf and _changed(
        answer, leaf, None, "null instead of a volatile value", "changed_type", hard=True
    )


def volatile_is_empty(answer: Answer, random: Random) -> list[Truth] | None:
    """An empty text where there was a volatile value."""
    leaf = _pick(
        answer, random, lambda leaf: isinstance(leaf.value, Marked) and isinstance(leaf.value.value, str)
    )
    return leaf and _changed(answer, leaf, "", "an empty text instead of a volatile value", hard=True)


def nil_uuid(answer: Answer, random: Random) -> list[Truth] | None:
    """The nil UUID, or its like, where there was a real id."""
    leaf = _pick(
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
    return _changed(answer, leaf, value, "a nil id instead of a real one", hard=True)


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
    others = tuple(("changed_value", _where(answer, each.path)) for each in same[:-1])
    return _changed(answer, leaf, value, "an id that refers to another object", hard=True, also=others)


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
            if _ID_KEY.search(name)
            and name in other
            and one[name] != other[name]
            and not isinstance(one[name], Marked | dict | list)
        ]
        if not names:
            continue
        name = names[0]
        one[name], other[name] = other[name], one[name]
        array = _where(answer, leaf.path)
        readings = [("changed_value", f"{array}/{each}/**") for each in (first, second)]
        readings += [("missing", f"{array}/*"), ("extra", f"{array}/*"), ("order", array)]
        return [Truth("two items have each other's id", tuple(readings), hard=True)]
    return None


def wrong_host(answer: Answer, random: Random) -> list[Truth] | None:
    """A link to another host or by another scheme."""
    leaf = _pick(answer, random, lambda leaf: isinstance(leaf.value, str) and bool(_URL.match(leaf.value)))
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
    return _changed(answer, leaf, value, "a link to a wrong host", hard=True)


# Arrays


def _arrays(answer: Answer, least: int) -> list[Leaf]:
    return [
        leaf
        for leaf in leaves(answer.tree)
        if isinstance(leaf.value, list)
        and not leaf.in_bag
        and len(leaf.value) >= least
        and (answer.format not in ("html", "text") or leaf.path)
        and len({repr(plain(each)) for each in leaf.value}) == len(leaf.value)
    ]


def item_gone(answer: Answer, random: Random) -> list[Truth] | None:
    """An item less: the last, or one in the middle."""
    found = _arrays(answer, 2)
    if not found:
        return None
    leaf = random.choice(found)
    at = len(leaf.value) - 1 if random.random() < 0.5 else random.randrange(len(leaf.value))
    where = _where(answer, (*leaf.path, at))
    gone = leaf.value.pop(at)
    return [_truth(answer, "an item is missing", "missing", where, gone)]


def item_twice(answer: Answer, random: Random) -> list[Truth] | None:
    """An item twice in a row."""
    found = _arrays(answer, 1)
    if not found:
        return None
    leaf = random.choice(found)
    at = random.randrange(len(leaf.value))
    leaf.value.insert(at, leaf.value[at])
    readings = tuple(("extra", _where(answer, (*leaf.path, place))) for place in (at + 1, at))
    return [_truth(answer, "an item twice", "extra", readings[0][1], None, leaf.value[at], also=readings[1:])]


def items_swapped(answer: Answer, random: Random) -> list[Truth] | None:
    """Two neighbours in another order."""
    found = [leaf for leaf in _arrays(answer, 3) if answer.format in ("json", "ndjson", "csv", "msgpack")]
    if not found:
        return None
    leaf = random.choice(found)
    at = random.randrange(len(leaf.value) - 1)
    leaf.value[at], leaf.value[at + 1] = leaf.value[at + 1], leaf.value[at]
    array = (
        _where(answer, leaf.path).removesuffix("/**")
        if answer.format != "json"
        else _where(answer, leaf.path)
    )
    if any(isinstance(each, dict | list) for each in leaf.value):
        return [Truth("two items in another order", (("order", array),), hard=True)]
    items = tuple(("changed_value", f"{array}/{place}") for place in (at, at + 1))
    return [Truth("two items in another order", (("order", array), *items), hard=True)]


def emptied(answer: Answer, random: Random) -> list[Truth] | None:
    """An empty list where there were items."""
    if answer.format != "json":
        return None
    found = [leaf for leaf in _arrays(answer, 1) if leaf.path]
    if not found:
        return None
    leaf = random.choice(found)
    where = _where(answer, leaf.path)
    count = len(leaf.value)
    _set(answer, leaf.path, [])
    return (
        [
            Truth(
                "a list without its items",
                (("missing", where + "/*"), ("missing", where), ("changed_value", where)),
            )
        ]
        if count
        else None
    )


# Headers, status, effects


def _header(answer: Answer, name: str, what: str, *, hard: bool = False) -> list[Truth]:
    return [
        Truth(
            what,
            (("header", pointer("headers", name)), ("header", pointer("headers", name, "**"))),
            hard=hard,
        )
    ]


def header_gone(answer: Answer, random: Random) -> list[Truth] | None:
    """A header that v1 sends."""
    names = [
        name
        for name in ("cache-control", "location", "link", "vary", "content-language", "retry-after")
        if name in answer.headers
    ]
    if not names:
        return None
    name = random.choice(names)
    del answer.headers[name]
    return _header(answer, name, "a header is missing")


def header_added(answer: Answer, random: Random) -> list[Truth] | None:
    """A header that v1 does not send."""
    name, value = random.choice(
        (
            ("x-powered-by", "Express"),
            ("access-control-allow-origin", "*"),
            ("x-debug", "1"),
            ("deprecation", "true"),
        )
    )
    if name in answer.headers:
        return None
    answer.headers[name] = value
    return _header(answer, name, "a header that v1 does not send")


def header_changed(answer: Answer, random: Random) -> list[Truth] | None:
    """Another caching rule."""
    if "cache-control" not in answer.headers or answer.headers["cache-control"] == "no-cache":
        return None
    answer.headers["cache-control"] = "no-cache"
    return _header(answer, "cache-control", "another caching rule")


def other_status(answer: Answer, random: Random) -> list[Truth] | None:
    """Another status with the same body."""
    near = {
        200: (201, 202),
        201: (200, 202),
        404: (400, 410),
        422: (400, 409),
        401: (403,),
        429: (503,),
        302: (301,),
    }
    choices = near.get(answer.status)
    if choices is None:
        return None
    answer.status = random.choice(choices)
    return [Truth("another status", (("status", "/status"),))]


def failed(answer: Answer, random: Random) -> list[Truth] | None:
    """v2 fails with another body of another type, and without what it should have written."""
    answer.status = random.choice((500, 502, 503))
    truths = [
        Truth("v2 failed", (("status", "/status"),)),
        Truth(
            "the body is an error's",
            (
                ("body", "/body"),
                *((kind, "/body/**") for kind in ("changed_value", "missing", "extra", "changed_type")),
            ),
        ),
        *_header(answer, "content-type", "the error has another type"),
    ]
    truths += [
        Truth("an effect is missing", (("effect_missing", _group(act) + "/*"),)) for act in answer.effects
    ]
    for name in list(answer.headers):
        if not isinstance(answer.headers[name], Marked):
            truths += _header(answer, name, "a header that an error lacks")
            del answer.headers[name]
    answer.effects = []
    answer.format, answer.content_type = "html", "text/html"
    answer.tree = {}
    answer.render = lambda tree: (
        "<html><head><title>Error</title></head><body><h1>Internal Server Error</h1></body></html>"
    )
    return truths


def _group(act: Any) -> str:
    target = plain(act.target)
    where = pointer("effects", act.kind, target)
    return pointer("effects", act.kind, "*") if isinstance(act.target, Marked) else where


def effect_gone(answer: Answer, random: Random) -> list[Truth] | None:
    """A write that v2 does not make."""
    if not answer.effects:
        return None
    act = answer.effects.pop(random.randrange(len(answer.effects)))
    return [Truth("an effect is missing", (("effect_missing", _group(act) + "/*"),))]


def effect_twice(answer: Answer, random: Random) -> list[Truth] | None:
    """A write that v2 makes twice."""
    if not answer.effects:
        return None
    at = random.randrange(len(answer.effects))
    act = answer.effects[at]
    answer.effects.insert(at, act)
    return [Truth("an effect twice", (("effect_extra", _group(act) + "/*"),))]


def effect_other(answer: Answer, random: Random) -> list[Truth] | None:
    """A write with another value."""
    acts = [
        (act, name)
        for act in answer.effects
        for name, value in act.fields.items()
        if name not in act.drawn
        and not isinstance(value, Marked)
        and isinstance(value, int | str)
        and not isinstance(value, bool)
    ]
    if not acts:
        return None
    act, name = random.choice(acts)
    value = act.fields[name]
    act.fields = act.fields | {name: value + 1 if isinstance(value, int) else value + "x"}
    return [
        Truth(
            "an effect with another value",
            (("effect_changed", _group(act) + "/*"),),
            hard=isinstance(value, int),
        )
    ]


FAULTS: dict[Fault, int] = {
    off_by_one: 6,
    off_by_a_cent: 6,
    truncated: 3,
    other_case: 4,
    other_word: 3,
    mojibake: 3,
    null_instead: 4,
    number_as_text: 3,
    integer_as_float: 2,
    flipped: 3,
    key_gone: 5,
    volatile_gone: 2,
    key_added: 4,
    stored_time_by_a_day: 3,
    stored_time_by_a_zone: 3,
    fresh_time_shifted: 6,
    volatile_is_null: 4,
    volatile_is_empty: 2,
    nil_uuid: 4,
    wrong_reference: 5,
    swapped_ids: 3,
    wrong_host: 4,
    item_gone: 5,
    item_twice: 4,
    items_swapped: 4,
    emptied: 2,
    header_gone: 3,
    header_added: 2,
    header_changed: 2,
    other_status: 3,
    failed: 2,
    effect_gone: 4,
    effect_twice: 3,
    effect_other: 5,
}


def spoil(
    answer: Answer, random: Random, without: tuple[str, ...] = (), tries: int = 12
) -> tuple[str, list[Truth]] | None:
    """One fault that fits the answer and is not among `without`: its name and labels."""
    choices = {fault: weight for fault, weight in FAULTS.items() if fault.__name__ not in without}
    for fault in random.choices(list(choices), list(choices.values()), k=tries):
        truths = fault(answer, random)
        if truths:
            return fault.__name__, truths
    return None
