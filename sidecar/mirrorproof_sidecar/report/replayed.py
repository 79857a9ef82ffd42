"""What a replay changed, as text. Pure; what it quotes came from strangers and is shown as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mirrorproof_sidecar.examples import clean
from mirrorproof_sidecar.report.words import endpoint_name, kind_words

__all__ = ["render_replayed"]


def render_replayed(changes: Mapping[str, Any]) -> str:
    """The changes, a line each."""
    return "\n".join(_lines(changes)) + "\n"


def _lines(changes: Mapping[str, Any]) -> Iterator[str]:
    pairs = changes["pairs"]
    yield f"{pairs:,} {'pair' if pairs == 1 else 'pairs'} compared again"
    before, after = changes["results"]["before"], changes["results"]["after"]
    for result in before:
        yield f"  {result:<13}{before[result]:>8,} → {after[result]:,}"
    if changes["deleted"]:
        yield f"  {changes['deleted']:,} could not be: their exchanges have been deleted"
    yield "" if changes["became"] else "\nno pair changed its result"
    for step in changes["became"]:
        words = f"{step['pairs']:,} that were {step['from']} are {step['to']}"
        yield f"{words}, such as {', '.join(step['examples'][:2])}"
    if changes["fields"]:
        yield "\nfields, by the pairs in which they differ"
    for one in changes["fields"]:
        sign = {"new": "+", "gone": "-"}.get(one["change"], "~")
        where = clean(f"{endpoint_name(one)}  {one['path']}")
        pairs = f"{one['pairs_before']:,} → {one['pairs_after']:,}"
        yield f"  {sign} {where} ({kind_words(one['kind'])}): {pairs}"
    if changes["fields_omitted"]:
        yield f"  … and {changes['fields_omitted']:,} more; --format json has the first of them, too"
    if changes["applied"]:
        yield f"\nwritten down: {changes['written']:,} pairs"
    else:
        yield "\nnothing was written; --apply stores it"
