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
    ("truncated", "answers were longer than the capture bound and compared as far as was fair"),
    ("yielded", "mirrored requests were given up so that v1 need not wait"),
    ("no_pair_id", "requests had neither x-mirror-id nor x-request-id and cannot be paired"),
    ("body_overrun", "mirrored request bodies were cut off so that v1 need not wait"),
    ("unmarked", "requests came to a shadow without a well-formed mark; they were kept dry all the same"),
    ("mark_ignored", "requests came to a primary with the mark; they were served live"),
    ("effects_lost", "effects were beyond the bound of one request's ledger"),
    ("effects_outside", "effects of shadow processes came outside any request"),
    ("effects_late", "effects came after the response's end and were refused"),
    ("observer_errors", "times mirrorproof's own observing code failed; the answers were not touched"),
)
_DROPPED: Final = (
    ("queue_full", "the queue to the recorder was full"),
    ("unsent", "the recorder could not be reached"),
    ("rejected", "the recorder refused them"),
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
        yield f"{alone:,} of {calls:,} requests of the {side} have no partner{reasons}", alone > 0
        if held["superseded"][side]:
            yield f"{held['superseded'][side]:,} earlier attempts of the {side} were superseded", False


def _losses(summary: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    held = summary["completeness"]
    for reason, words in _DROPPED:
        if count := held["dropped"][reason]:
            yield f"{count:,} exchanges were dropped before they arrived: {words}", True
    for kind, words in _REFUSED:
        if count := held["refused"][kind]:
            yield f"{count:,} requests were refused because their mark was {words}", True
    for name, words in _COUNTED:
        if held[name]:
            yield f"{held[name]:,} {words}", True
    if held["sampled_out"]:
        yield f"{held['sampled_out']:,} requests were left out by sampling, the same on both sides", False
    if held["revised"]:
        yield f"{held['revised']:,} exchanges had been given up and were paired after all", False
    if not held["sources"]:
        yield "no capturing process has reported its counters: losses on the way here are unknown", True
    lost_spans = summary["spans"]["failed"] + summary["spans"]["dropped"]
    if lost_spans:
        yield f"{lost_spans:,} of {summary['spans']['made']:,} spans could not be exported", True
    elif summary["spans"]["made"]:
        spans = summary["spans"]
        yield f"{spans['exported']:,} of {spans['made']:,} spans were exported", False
