"""What readers of formats share: what they are given, and how they say that they cannot read it.

Knows bounds. Must not know any format.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from mirrorproof_sidecar.compare.media import Media

__all__ = ["MAX_LEVELS", "MAX_NODES", "Content", "Format", "UnreadableError", "bounded"]

MAX_NODES: Final = 200_000
"""Cells, fields or lines of one body; a body of more is not read."""
MAX_LEVELS: Final = 300
"""Levels of nesting."""


class UnreadableError(ValueError):
    """The body is not in its format, or holds more than is read. The words quote nothing of it."""


@dataclass(frozen=True, slots=True)
class Content:
    """A body without content codings. `whole` is false where the capture was cut.

    `schemas` describes the messages of a format that does not describe itself, and `call` names the method
    that answered: `/package.Service/Method`.
    """

    data: bytes
    media: Media
    whole: bool = True
    schemas: Any = None
    call: str = ""


@dataclass(frozen=True, slots=True)
class Format:
    """One format: its name, and its reader.

    `read` makes a tree of a body out of dicts, lists, strings, numbers, booleans and `None`. Raises
    `UnreadableError`. `by_items` says that the tree is a list of which a cut body holds the beginning.
    `meet` trims two trees to what can be compared place by place, where a difference would else show in every
    row.
    """

    name: str
    read: Callable[[Content], Any]
    by_items: bool = False
    meet: Callable[[Any, Any], tuple[Any, Any]] | None = None


def bounded(count: int, what: str, most: int = MAX_NODES) -> None:
    """Raise `UnreadableError` where there are more than is read."""
    if count > most:
        raise UnreadableError(f"more than {most} {what}")
