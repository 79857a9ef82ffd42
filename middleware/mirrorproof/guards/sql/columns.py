"""Which column each value of a text belongs to: `WHERE id = %s`, `(order_id, note) VALUES (%s, 'x')`.

Theory of operation. Keys that the database hands out differ between v1 and v2, and of a text only names can
say that a value is such a key: those of the tables that the request inserted into (`id` in a condition on
`orders`, `order_id` elsewhere). A tolerant scan cuts a text at its parameters and numbers and gives each the
column that it is compared with, set to or inserted into. A text that is misread gets a digest that differs,
or one that says less; nothing else depends on it.

Pure. Must not know drivers or effects.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

__all__ = ["Piece", "key_columns", "pieces_of"]

_MAX_CHARS: Final = 8192
_TOKENS: Final = r"""
      (?P<quoted>'(?:[^']|'')*'?)
    | (?P<place>{place})
    | (?P<name>"[^"]+" | `[^`]+` | [^\W\d]\w*)(?P<calls>\s*\()?
    | (?P<number>(?<![\w.$])\d+(?![\w.]))
    | (?P<other>.)
"""
_NAMED: Final = r"%\((?P<named>\w+)\)s | (?<![:\w]):(?P<colon>[A-Za-z_]\w*)"
_STYLES: Final = {
    style: re.compile(_TOKENS.replace("{place}", place), re.VERBOSE | re.DOTALL)
    for style, place in {
        "named": _NAMED, "$": r"\$(?P<dollar>\d+)", "%": "%s", "?": r"\?", "": "(?!)",
    }.items()
}  # fmt: skip
_BEFORE_COLUMNS: Final = frozenset({
    "and", "or", "set", "where", "values", "select", "from", "returning", "on", "conflict", "do", "update",
    "limit", "offset",
})  # fmt: skip
_BEHIND_COLUMNS: Final = frozenset({
    "not", "in", "any", "all", "some", "is", "like", "ilike", "between", "null",
})  # fmt: skip
_ROWS: Final = frozenset({"values", "unnest"})


class Piece(NamedTuple):
    """A part of a text; `key` is the parameter that it stands for, `column` what that belongs to."""

    text: str
    key: Any = None
    column: str = ""


def pieces_of(text: str, parameters: Any) -> tuple[Piece, ...]:
    """A text's parts. `parameters` are those of one run, a mapping or a sequence."""
    if len(text) > _MAX_CHARS:
        return (Piece(text),)
    return _pieces(text, _style(text, parameters))


def _style(text: str, parameters: Any) -> str:
    if not parameters:
        return ""
    if isinstance(parameters, Mapping) and not isinstance(next(iter(parameters)), int):
        return "named"
    if "%s" in text:
        return "%"
    return "$" if re.search(r"\$\d", text) else "?"


@lru_cache(1024)
def _pieces(text: str, style: str) -> tuple[Piece, ...]:
    found: list[Piece] = []
    plain, parameters = "", 0
    for token, column in _with_columns(text, style):
        if token["place"] is None and (token["number"] is None or not column):
            plain += token[0]
            continue
        key = None if token["place"] is None else _key(token, parameters)
        parameters += key is not None
        found += [Piece(plain), Piece(token[0] if key is None else "?", key, column)]
        plain = ""
    return (*found, Piece(plain))


def _key(token: re.Match[str], count: int) -> Any:
    groups = token.groupdict()
    if groups.get("dollar"):
        return int(groups["dollar"]) - 1
    return groups.get("named") or groups.get("colon") or count


def _with_columns(text: str, style: str) -> Iterator[tuple[re.Match[str], str]]:
    """Each token, and the column in whose place it stands."""
    inserts = text[:8].upper().lstrip("( ").startswith(("INSERT", "REPLACE"))
    listed: list[str] = []
    column, at, depth, rows = "", 0, 0, False
    for token in _STYLES[style].finditer(text):
        name = (token["name"] or "").strip('"`').lower()
        if name in _ROWS and inserts and listed:
            rows, at, column = True, 0, ""
        elif name == "on" and depth == 0:
            rows, inserts = False, False
        elif name in _BEFORE_COLUMNS:
            column = ""
        elif name and not token["calls"] and name not in _BEHIND_COLUMNS:
            column = name
        depth += token[0].count("(") - token[0].count(")")
        if inserts and not rows and depth == 1 and name and not token["calls"]:
            listed.append(name)
        if rows and depth <= 1 and token[0] in (",", "(", ")"):
            at = at + 1 if token[0] == "," and depth == 1 else 0 if depth == 0 or token[0] == "(" else at
        yield token, (listed[at] if at < len(listed) else "") if rows else column


def key_columns(table: str) -> frozenset[str]:
    """What columns that refer to a table's rows are called: `order_id` for `shop_orders`."""
    words = table.rpartition(".")[2].lower().split("_")
    ends = {"_".join(words[start:]) for start in range(len(words))}
    return frozenset(f"{end}{tail}" for end in ends | {_singular(end) for end in ends} for tail in _TAILS)


_TAILS: Final = ("_id", "id", "_ptr_id", "_uuid")


def _singular(name: str) -> str:
    if name.endswith("ies"):
        return name[:-3] + "y"
    if name.endswith(("ses", "xes", "ches", "shes")):
        return name[:-2]
    return name[:-1] if name.endswith("s") and not name.endswith("ss") else name
