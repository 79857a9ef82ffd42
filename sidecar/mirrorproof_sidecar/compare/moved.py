"""Differences of state that moved between v1's answer and v2's: told by asking v1 once more.

Pure. Knows comparisons. Must not know how v1 was asked, or whether that was safe.

Theory of operation. v1 answered, somebody wrote, v2 answered: v2 is right, and differs. Asked again, v1 now
says at this place what v2 said, and no longer what it said itself. Both are asked for: that v1 agrees with v2
now, and that it differs from its own first answer there. A version that is wrong stays alone with what it
says.
"""

from __future__ import annotations

from dataclasses import replace

from mirrorproof_sidecar.compare.model import Cause, Comparison, Ignored

__all__ = ["without_moved"]

_NAME = "second read"
_REASON = "v1, asked again, says what v2 said, and no longer what it said itself"


def without_moved(first: Comparison, again: Comparison, own: Comparison) -> Comparison:
    """`first`, v1 with v2, without what moved: that is listed among what was ignored.

    `again`: v1's second answer with v2's. `own`: v1's first answer with its second. A comparison of the three
    that is not whole, or that left differences out, says nothing: then `first` is returned as it is.
    """
    if not first.differences or any(not _whole(each) for each in (first, again, own)):
        return first
    still = {each.path for each in again.differences}
    changed = {(each.path, each.kind) for each in own.differences}
    moved = [
        each for each in first.differences if each.path not in still and (each.path, each.kind) in changed
    ]
    if not moved:
        return first
    kept = tuple(each for each in first.differences if each not in moved)
    hidden = tuple(Ignored(each, Cause.MOVED, _NAME, _REASON) for each in moved)
    return replace(first, differences=kept, ignored=first.ignored + hidden)


def _whole(comparison: Comparison) -> bool:
    return not (comparison.incomparable or comparison.differences_omitted)
