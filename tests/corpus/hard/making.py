"""How a hard case is written down: what v1 answers, and how v2's answer differs from that.

Knows answers, environments and labels. Must not know the cases.

`Cases.add` takes a function that answers in an environment, and changes. A change spoils v2's answer and
brings its label along: `put` sets a value, `drop` takes a member away, `add` brings one, `header` changes a
header, `write` changes an effect. A case without changes is noise that looks like a true difference.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from ..answers import FORMATS, Act, Answer
from ..building import exchange_of, noise_of
from ..environment import Env, Style
from ..faults.touching import OTHERWISE
from ..labels import Pair, Part, Truth, pointer
from ..marks import Bag, Marked
from ..world import World

__all__ = [
    "Cases",
    "Change",
    "acts",
    "add",
    "change",
    "drop",
    "header",
    "lacks",
    "put",
    "reorder",
    "status",
    "write",
]

_PLAIN = Style("snake", "sequence", "iso_milli")
Made = Any
"""What a case's function returns: an `Answer`, or a tree that becomes a JSON answer."""


@dataclass(frozen=True, slots=True)
class Change:
    """What v2 does differently, and what that is called."""

    spoil: Callable[[Answer, Env], None]
    truths: tuple[Truth, ...]


class Cases:
    """Hand-written cases of one part of the corpus."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.cases: list[_Case] = []
        self.pairs: list[Pair] = []

    def add(
        self,
        name: str,
        family: str,
        endpoint: str,
        make: Callable[[World, Env], Made],
        *changes: Change,
        style: Style = _PLAIN,
        at_s: float | None = None,
        later_s: float = 0.21,
        raw: bool = False,
        ahead: int = 1,
        moves: bool = False,
    ) -> None:
        """One case. `later_s` is how long after v1 v2 answers; `at_s` when v1 does. Names are unique."""
        case = _Case(name, family, endpoint, make, changes, style, at_s, later_s, raw, ahead, moves)
        self.cases.append(case)
        self.pairs.append(case.pair(self.part))

    def background(self, each: int) -> list[Pair]:
        """Right answers only, so many of each endpoint: other content, other times."""
        first = {case.endpoint: case for case in reversed(self.cases)}
        return [case.again(number).pair(self.part) for case in first.values() for number in range(each)]


@dataclass(frozen=True, slots=True)
class _Case:
    name: str
    family: str
    endpoint: str
    make: Callable[[World, Env], Made]
    changes: tuple[Change, ...]
    style: Style
    at_s: float | None
    later_s: float
    raw: bool
    ahead: int
    moves: bool

    def again(self, number: int) -> _Case:
        """The same endpoint asked at another time, and v2 is right."""
        random = Random(f"{self.name}/{number}")
        return replace(
            self,
            name=f"{self.name}/{number}",
            changes=(),
            at_s=None,
            ahead=random.choice((1, 2, 5)),
            later_s=random.uniform(0.01, 0.6),
            moves=self.moves and random.random() < 0.3,
        )

    def pair(self, part: Part) -> Pair:
        name, family, changes, later_s = self.name, self.family, self.changes, self.later_s
        ahead, moves, style = self.ahead, self.moves, self.style
        random = Random(name)
        start = random.uniform(1.76e9, 1.78e9) if self.at_s is None else self.at_s
        method, route = self.endpoint.split(" ", 1)
        sides = {
            "primary": (start, 0, False),
            "shadow": (start + later_s, ahead, moves),
            "control": (start + later_s * 0.7, ahead + 1, moves and random.random() < 0.5),
            "reread": (start + 1.3, 0, moves),
        }
        made, noise = {}, []
        for side, (its, its_ahead, moved) in sides.items():
            env = Env(Random(f"{name}/{side}"), its, ahead=its_ahead, moved=moved, style=style)
            found = self.make(World(name, start), env)
            answer = found if isinstance(found, Answer) else Answer(found)
            answer.headers = {"date": env.now("rfc1123"), "x-request-id": env.uuid()} | answer.headers
            answer.path = route if answer.path == "/" else answer.path
            noise += noise_of(answer)
            for each in changes if side == "shadow" else ():
                each.spoil(answer, env)
            made[side] = exchange_of(
                answer,
                side,
                its,
                method=method,
                route=route,
                service=family,
                pair_id=f"hard-{name}",
                raw=self.raw,
            )
        return Pair(
            name=f"hard/{name}",
            family=family,
            part=part,
            primary=made["primary"],
            shadow=made["shadow"],
            control=made["control"],
            reread=made["reread"] if method == "GET" else None,
            truths=tuple(truth for each in changes for truth in each.truths),
            noise=tuple(dict.fromkeys(noise)),
            notes=("hard",) if changes else (),
        )


def _above(answer: Answer, path: str) -> tuple[Any, Any]:
    """The container of a place, and the key there. A path is `items/0/id`."""
    *above, last = path.split("/")
    tree = answer.tree
    for segment in above:
        tree = tree.value if isinstance(tree, Marked) else tree.items if isinstance(tree, Bag) else tree
        tree = tree[int(segment) if isinstance(tree, list) else segment]
    return tree, int(last) if isinstance(tree, list) else last


def _truth(
    answer_format: str,
    what: str,
    kind: str,
    path: str,
    also: tuple[tuple[str, str], ...],
    shows: tuple[Any, Any],
) -> Truth:
    if FORMATS[answer_format].pointers:
        return Truth(what, ((kind, f"/body/{path}"), *also), hard=True)
    one, other = (None if each is None else str(each) for each in shows)
    if kind in ("missing", "extra") and answer_format in OTHERWISE:
        also = (*also, (OTHERWISE[answer_format], "/body/**"))
    return Truth(what, ((kind, "/body/**"), *also), one, other, hard=True)


def put(
    path: str,
    value: Any,
    what: str,
    kind: str = "changed_value",
    *also: tuple[str, str],
    format: str = "json",
    shows: tuple[Any, Any] = (None, None),
) -> Change:
    """Another value. `value` may be a function of v2's environment."""

    def spoil(answer: Answer, env: Env) -> None:
        tree, key = _above(answer, path)
        tree[key] = value(env) if callable(value) else value

    return Change(spoil, (_truth(format, what, kind, path, also, shows),))


def drop(path: str, what: str, *also: tuple[str, str], format: str = "json", shows: Any = None) -> Change:
    """A member or an item less."""

    def spoil(answer: Answer, env: Env) -> None:
        tree, key = _above(answer, path)
        del tree[key]

    return Change(spoil, (_truth(format, what, "missing", path, also, (shows, None)),))


def add(
    path: str, value: Any, what: str, *also: tuple[str, str], format: str = "json", shows: Any = None
) -> Change:
    """A member or an item more."""

    def spoil(answer: Answer, env: Env) -> None:
        tree, key = _above(answer, path)
        if isinstance(tree, list):
            tree.insert(key, value)
        else:
            tree[key] = value

    return Change(spoil, (_truth(format, what, "extra", path, also, (None, shows)),))


def reorder(path: str, order: Callable[[list[Any]], list[Any]], what: str, *also: tuple[str, str]) -> Change:
    """The items of an array in another order."""

    def spoil(answer: Answer, env: Env) -> None:
        if not path:
            answer.tree = order(answer.tree)
            return
        tree, key = _above(answer, path)
        tree[key] = order(tree[key])

    where = f"/body/{path}" if path else "/body"
    return Change(spoil, (Truth(what, (("order", where), *also), hard=True),))


def header(name: str, value: Any, what: str) -> Change:
    """Another header; `None` takes it away, a function gets v2's environment."""

    def spoil(answer: Answer, env: Env) -> None:
        if value is None:
            answer.headers.pop(name, None)
        else:
            answer.headers[name] = value(env) if callable(value) else value

    where = pointer("headers", name)
    return Change(spoil, (Truth(what, (("header", where), ("header", where + "/**")), hard=True),))


def status(code: int, what: str) -> Change:
    """Another status."""

    def spoil(answer: Answer, env: Env) -> None:
        answer.status = code

    return Change(spoil, (Truth(what, (("status", "/status"),), hard=True),))


def change(
    what: str,
    spoil: Callable[[Answer, Env], None],
    *readings: tuple[str, str],
    shows: tuple[Any, Any] = (None, None),
) -> Change:
    """Anything else: one truth with these readings."""
    one, other = (None if each is None else str(each) for each in shows)
    return Change(spoil, (Truth(what, readings, one, other, hard=True),))


def acts(what: str, spoil: Callable[[list[Act], Env], None], kind: str, *targets: str) -> Change:
    """Other effects. `targets` are `<kind>/<target>` as in a path, with `*`."""
    readings = tuple((kind, f"/effects/{each}/*") for each in targets)
    return Change(lambda answer, env: spoil(answer.effects, env), (Truth(what, readings, hard=True),))


def write(number: int, field: str, value: Any, what: str, target: str) -> Change:
    """An effect with another value."""

    def spoil(effects: list[Act], env: Env) -> None:
        effects[number].fields = effects[number].fields | {field: value(env) if callable(value) else value}

    return acts(what, spoil, "effect_changed", target)


def lacks(number: int, what: str, target: str) -> Change:
    """An effect less."""

    def spoil(effects: list[Act], env: Env) -> None:
        del effects[number]

    return acts(what, spoil, "effect_missing", target)
