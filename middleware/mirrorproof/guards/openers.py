"""Who opened a client, a channel or a connection: what others share is not a request's to close.

Knows whose request runs. Must not know any one client, or what closing means.
"""

from __future__ import annotations

from typing import Any, Final
from weakref import ref

from mirrorproof.context import MirrorContext, current

__all__ = ["is_noted", "note_opener", "opened_by"]

_OPENER: Final = "_mirrorproof_opener"


def note_opener(its: Any) -> None:
    """The request that runs here opens it, if one does."""
    context = current()
    its.__dict__[_OPENER] = None if context is None else ref(context)


def is_noted(its: Any) -> bool:
    """Whether anybody was noted."""
    return _OPENER in its.__dict__


def opened_by(its: Any, context: MirrorContext) -> bool:
    """Whether this request opened it. Nobody's, and what was open before the guards, is others'."""
    opener = its.__dict__.get(_OPENER)
    return opener is not None and opener() is context
