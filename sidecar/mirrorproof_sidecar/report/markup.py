"""Elements of HTML and SVG, in which text is escaped unless it was made here. Pure."""

from __future__ import annotations

from html import escape

from mirrorproof_sidecar.examples import clean

__all__ = ["Markup", "tag"]

_VOID = frozenset(("meta", "br"))


class Markup(str):
    """Text that is markup already. Only `tag` makes it, and constants of ours."""

    __slots__ = ()


def tag(element: str, *children: str | float, **attributes: str | float) -> Markup:
    """An element. Children that are no `Markup` are escaped; `class_` is `class`, `stroke_width`
    `stroke-width`."""
    named = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(clean(str(value)))}"'
        for name, value in attributes.items()
    )
    if element in _VOID:
        return Markup(f"<{element}{named}>")
    inside = "".join(one if isinstance(one, Markup) else escape(clean(str(one))) for one in children)
    return Markup(f"<{element}{named}>{inside}</{element}>")
