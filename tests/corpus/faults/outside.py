"""Faults outside of the body: status, headers, effects, and an answer that is an error."""

from __future__ import annotations

from random import Random
from typing import Any

from ..answers import Answer
from ..labels import Truth, pointer
from ..marks import Marked, plain

__all__ = [
    "effect_gone",
    "effect_other",
    "effect_twice",
    "failed",
    "header_added",
    "header_changed",
    "header_gone",
    "other_status",
]


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
        if not isinstance(answer.headers[name], Marked) and name not in ("server", "etag"):
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
    kinds = (
        ("effect_changed", "effect_missing", "effect_extra")
        if isinstance(act.target, Marked)
        else ("effect_changed",)
    )
    readings = tuple((kind, _group(act) + "/*") for kind in kinds)
    return [Truth("an effect with another value", readings, hard=isinstance(value, int))]
