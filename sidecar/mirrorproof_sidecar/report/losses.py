"""What a report has to admit: everything that was not compared, in sentences.

Pure. Knows the shape of a summary's `completeness`. A report that kept silent about missing traffic would
lie; so each kind of loss has its sentence, and "all accounted for" is said only when there is none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

__all__ = ["loss_lines"]

_SIDES: Final = ("primary", "shadow", "control")
_COUNTED: Final = (
    ("truncated", "answer was", "answers were", "longer than the capture bound; compared as far as was fair"),
    ("yielded", "mirrored request was", "mirrored requests were", "given up so that v1 need not wait"),
    ("conflict_with_primary", "pair was", "pairs were", "set aside: v1 was first with the same change"),
    ("no_pair_id", "request", "requests", "had neither x-mirror-id nor x-request-id and cannot be paired"),
    ("body_overrun", "mirrored request body was", "mirrored request bodies were",
     "cut off so that v1 need not wait"),
    ("unmarked", "request", "requests", "came to a shadow without a well-formed mark; dry all the same"),
    ("mark_ignored", "request", "requests", "came to a primary with the mark, which was ignored"),
    ("effects_lost", "effect was", "effects were", "beyond the bound of one request's ledger"),
    ("effects_outside", "effect", "effects", "of shadow processes came outside any request"),
    ("effects_late", "late effect was", "late effects were", "refused: the response had ended"),
    ("observer_errors", "time", "times", "mirrorproof's own observing code failed; answers were not touched"),
)  # fmt: skip
_DROPPED: Final = (
    ("queue_full", "the queue to the recorder was full"),
    ("unsent", "the recorder could not be reached"),
    ("rejected", "the recorder refused what was sent"),
)
_REFUSED: Final = (("malformed", "malformed"), ("untrusted", "not trusted"))


def loss_lines(summary: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    """Sentences, and whether each tells of a loss."""
    found = [*_partners(summary["completeness"]), *_losses(summary)]
    yield from found
    if not any(bad for _, bad in found):
        recorded = sum(summary["completeness"]["recorded"].values())
        yield (
            "nothing that was recorded is unaccounted for" if recorded else "nothing was recorded at all",
            not recorded,
        )


def _partners(held: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    for side in _SIDES:
        calls = held["recorded"][side] - held["superseded"][side]
        if not calls:
            continue
        alone = calls - held["paired"][side]
        why = [
            f"{held[state][side]:,} {words}"
            for state, words in (
                ("unpaired", "expired"), ("ambiguous", "ambiguous"), ("waiting", "still waiting"),
            )
            if held[state][side]
        ]  # fmt: skip
        reasons = f" ({', '.join(why)})" if why else ""
        verb = "has" if 1 in (alone, calls) else "have"
        of_all = f"{alone:,} of {_many(calls, 'request', 'requests')} of the {side}"
        yield f"{of_all} {verb} no partner{reasons}", alone > 0
        if earlier := held["superseded"][side]:
            words = _many(earlier, "earlier attempt", "earlier attempts")
            yield f"{words} of the {side} {_was(earlier)} superseded", False


def _losses(summary: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    held = summary["completeness"]
    for reason, words in _DROPPED:
        if count := held["dropped"][reason]:
            dropped = f"{_many(count, 'exchange', 'exchanges')} {_was(count)} dropped"
            yield f"{dropped} on the way to the recorder: {words}", True
    for kind, words in _REFUSED:
        if count := held["refused"][kind]:
            refused = f"{_many(count, 'request', 'requests')} {_was(count)} refused"
            yield f"{refused}: the mark was {words}", True
    for name, one, many, words in _COUNTED:
        if count := held[name]:
            yield f"{_many(count, one, many)} {words}", True
    if count := held["sampled_out"]:
        left_out = f"{_many(count, 'request', 'requests')} {_was(count)} left out by sampling"
        yield f"{left_out}, the same on both sides", False
    if count := held["revised"]:
        given_up = f"{_many(count, 'exchange', 'exchanges')} had been given up"
        yield f"{given_up} and {_was(count)} paired after all", False
    if not held["sources"]:
        yield "no capturing process has reported its counters: losses on the way here are unknown", True
    spans = summary["spans"]
    made = _many(spans["made"], "span", "spans")
    if lost_spans := spans["failed"] + spans["dropped"]:
        yield f"{lost_spans:,} of {made} could not be exported", True
    elif spans["made"]:
        yield f"{spans['exported']:,} of {made} {_was(spans['exported'])} exported", False


def _many(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


def _was(count: int) -> str:
    return "was" if count == 1 else "were"
