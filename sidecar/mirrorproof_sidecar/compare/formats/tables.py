"""Tables as text: CSV (RFC 4180) and tab-separated values. Rows are aligned as items of a list are.

A first row of names makes each row an object, so that a column that moved is no difference in every row.
"""

from __future__ import annotations

import csv
import io
from typing import Any, Final

from mirrorproof_sidecar.compare.formats.reading import Content, UnreadableError, bounded
from mirrorproof_sidecar.compare.media import decode_text

__all__ = ["meet_tables", "read_table"]

_SEPARATORS: Final = (",", ";", "\t", "|")
_MAX_CELL_CHARS: Final = 1 << 20


def read_table(content: Content) -> dict[str, Any]:
    """`{"header": [...], "rows": [{name: cell}]}`, or rows of lists where the first row holds no names.

    Cells are text. The separator is a tab for tab-separated values, else the one of `,`, `;`, tab and `|`
    that the first line has most of.
    """
    text = decode_text(content.data, content.media.charset, whole=content.whole).removeprefix("\ufeff")
    bounded(text.count("\n"), "rows")
    rows = _rows(text, _separator(text, content.media.type))
    if not content.whole and rows:
        rows.pop()  # which may have been cut
    header = rows[0] if rows else []
    if not _are_names(header, content.media.parameters.get("header", "")):
        return {"rows": rows}
    return {"header": header, "rows": [_named(header, row) for row in rows[1:]]}


def _separator(text: str, kind: str) -> str:
    if kind == "text/tab-separated-values":
        return "\t"
    end = text.find("\n")
    first = text[: end if end >= 0 else len(text)]
    return max(_SEPARATORS, key=first.count)


def _rows(text: str, separator: str) -> list[list[str]]:
    if not text:
        return []
    csv.field_size_limit(_MAX_CELL_CHARS)
    cells = 0
    rows: list[list[str]] = []
    try:
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator):
            cells += len(row)
            bounded(cells, "cells")
            rows.append(row)
    except csv.Error as error:
        raise UnreadableError("no CSV") from error
    return rows


def _are_names(row: list[str], said: str) -> bool:
    if said in ("present", "absent"):  # RFC 4180, 3
        return said == "present" and len(set(row)) == len(row)
    return bool(row) and len(set(row)) == len(row) and all(cell and not _is_number(cell) for cell in row)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _named(header: list[str], row: list[str]) -> Any:
    return dict(zip(header, row, strict=True)) if len(row) == len(header) else row


def meet_tables(primary: Any, shadow: Any) -> tuple[Any, Any]:
    """Rows of the columns that both have: a column that one lacks shows in the header alone."""
    one, other = primary.get("header"), shadow.get("header")
    if one is None or other is None or set(one) == set(other):
        return primary, shadow
    both = set(one) & set(other)
    return _narrowed(primary, both), _narrowed(shadow, both)


def _narrowed(table: Any, names: set[str]) -> Any:
    def narrow(row: Any) -> Any:
        return {key: cell for key, cell in row.items() if key in names} if isinstance(row, dict) else row

    return {"header": table["header"], "rows": [narrow(row) for row in table["rows"]]}
