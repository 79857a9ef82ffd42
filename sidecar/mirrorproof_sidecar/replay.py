"""Comparing again what is stored, under other rules, and saying what that changes.

Knows the store and the comparison. Must not know where rules came from, or how an answer is shown.

Every stored pair is compared anew from its two exchanges; what was learnt of noise is what the store says of
it now. A difference that a second read of v1 explained stays explained: that moment does not come again.
Without `apply` nothing is written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace as with_changes
from typing import Any, Final

from sqlalchemy import select

from mirrorproof_sidecar.compare import (
    Cause,
    Comparison,
    Context,
    Ignored,
    Result,
    Rules,
    compare,
)
from mirrorproof_sidecar.compare.formats.schemas import Schemas
from mirrorproof_sidecar.endpoints import path_pattern
from mirrorproof_sidecar.fields import Example, Field, FieldView, Tally
from mirrorproof_sidecar.finding import Finding
from mirrorproof_sidecar.pairing import Side
from mirrorproof_sidecar.progress import Tell
from mirrorproof_sidecar.recorder.noisebook import NoiseBook
from mirrorproof_sidecar.store import Store, schema
from mirrorproof_sidecar.store.noise import load_tally
from mirrorproof_sidecar.store.replaying import StoredPair, count_pairs, load_pairs, rewrite

__all__ = ["replay"]

_AT_ONCE: Final = 200
_MAX_FIELDS: Final = 50
_MAX_EXAMPLES: Final = 5


def replay(
    store: Store, rules: Rules, *, apply: bool, tell: Tell, schemas: Schemas | None = None
) -> dict[str, Any]:
    """Compare every stored pair again under `rules`. What changed, as plain data; written down with
    `apply`."""
    total = store.read(count_pairs)
    changes = _Changes()
    noise = NoiseBook(0.0)
    noise.refresh(0.0, lambda: store.read(load_tally))
    for piece in _pieces(store):
        findings = []
        for pair in piece:
            if pair.finding is None:
                changes.deleted += 1
                continue
            match, key, primary, other = pair.finding
            control = match.against is Side.CONTROL
            known: Mapping[Any, str] = {} if control else noise.known(primary)
            context = Context(noise=known, schemas=schemas)
            comparison = _still_moved(compare(primary, other, rules, context=context), pair.moved)
            findings.append(
                Finding(match, key, pair.endpoint, pair.endpoint, pair.at[0], primary, other, comparison)
            )
            if not control:
                changes.count(pair, comparison)
        if apply:
            changes.written += store.write(rewrite, findings)
        tell(f"{changes.seen:,} of {total:,} pairs compared again")
    names = {row.id: row for row in store.read(lambda one: one.execute(select(schema.endpoints)).all())}
    return changes.told(names) | {"applied": apply}


def _pieces(store: Store) -> Iterator[list[StoredPair]]:
    after = (-1.0, "")
    while piece := store.read(load_pairs, after, _AT_ONCE):
        yield piece
        after = piece[-1].at


def _still_moved(comparison: Comparison, moved: frozenset[str]) -> Comparison:
    """`comparison` without what a second read had explained."""
    explained = [one for one in comparison.differences if path_pattern(one.path) in moved]
    if not explained:
        return comparison
    why = (Cause.MOVED, "second read", "the state moved between the two reads, as a second read had shown")
    kept = tuple(one for one in comparison.differences if one not in explained)
    return with_changes(
        comparison,
        differences=kept,
        ignored=(*comparison.ignored, *(Ignored(one, *why) for one in explained)),
    )


class _Changes:
    """What is different from before, in bounded memory."""

    def __init__(self) -> None:
        self.deleted = self.written = self.seen = 0
        self._became: Counter[tuple[Result, Result]] = Counter()
        self._pairs: dict[tuple[Result, Result], list[str]] = {}
        self._before, self._after = FieldView(), FieldView()

    def count(self, pair: StoredPair, comparison: Comparison) -> None:
        self.seen += 1
        step = (pair.result, comparison.result)
        self._became[step] += 1
        if pair.result is not comparison.result:
            examples = self._pairs.setdefault(step, [])
            if len(examples) < _MAX_EXAMPLES:
                examples.append(pair.id)
        now = {(path_pattern(one.path), one.kind.value) for one in comparison.differences}
        for view, fields in ((self._before, pair.fields), (self._after, now)):
            for path, kind in fields:
                tally = Tally(1, 1, pair.at[0], pair.at[0], (Example(pair.id, path),))
                view.add(Field(pair.endpoint, path, kind), tally)

    def told(self, names: Mapping[str, Any]) -> dict[str, Any]:
        before, after = dict(self._before.rows()), dict(self._after.rows())
        changed = [
            _field(names.get(one.endpoint), one, before.get(one), after.get(one))
            for one in sorted(before.keys() | after.keys())
            if _pairs(before.get(one)) != _pairs(after.get(one))
        ]
        changed.sort(key=lambda one: -abs(one["pairs_before"] - one["pairs_after"]))
        return {
            "pairs": self.seen, "deleted": self.deleted, "written": self.written,
            "results": {
                side: {str(result): sum(n for step, n in self._became.items() if step[at] is result)
                       for result in Result}
                for at, side in enumerate(("before", "after"))
            },
            "became": [
                {"from": str(was), "to": str(now), "pairs": self._became[was, now], "examples": examples}
                for (was, now), examples in sorted(self._pairs.items())
            ],
            "fields": changed[:_MAX_FIELDS],
            "fields_omitted": max(0, len(changed) - _MAX_FIELDS),
        }  # fmt: skip


def _field(named: Any, one: Field, before: Tally | None, after: Tally | None) -> dict[str, Any]:
    change = "new" if before is None else "gone" if after is None else "other"
    return {
        "endpoint": one.endpoint,
        "method": named.method if named else "", "route": named.route if named else "",
        "path": one.path, "kind": one.kind, "change": change,
        "pairs_before": _pairs(before), "pairs_after": _pairs(after),
    }  # fmt: skip


def _pairs(tally: Tally | None) -> int:
    return 0 if tally is None else tally.pairs
