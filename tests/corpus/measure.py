"""Precision and recall of the comparison on the corpus.

Knows labels and the comparison's public interface. Must not know recognisers. `labels` says what counts as
true and as found.

Each pair is compared with the default rules and the times of both answers, once without a control and once
with what was learnt from v1's traffic against its control. The held-out part is reported apart, in figures
only: its errors are never listed, so that nobody can tune on them.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from mirrorproof.exchange import Exchange
from mirrorproof_sidecar.compare import Comparison, Context, Difference, Rules, compare

from .building import decoded
from .control import learnt
from .generator import pairs
from .labels import Pair, Part, Truth, fits, truth_of

__all__ = ["TARGETS", "Figures", "Judged", "compared", "judge", "main", "measured"]

TARGETS = {False: (0.98, 0.99), True: (0.995, 0.99)}
"""Precision and recall to reach, without and with a control."""


@dataclass(slots=True)
class Figures:
    """Counts of labels and findings."""

    labels: int = 0
    found: int = 0
    true: int = 0
    false: int = 0

    @property
    def precision(self) -> float:
        """True findings / findings; 1 where there are none."""
        return self.true / (self.true + self.false) if self.true + self.false else 1.0

    @property
    def recall(self) -> float:
        """Found truths / truths; 1 where there are none."""
        return self.found / self.labels if self.labels else 1.0

    def add(self, other: Figures) -> None:
        """Count those as well."""
        self.labels += other.labels
        self.found += other.found
        self.true += other.true
        self.false += other.false


@dataclass(slots=True)
class Judged:
    """One pair, its comparison, and which findings and truths belong together."""

    pair: Pair
    comparison: Comparison
    false: list[Difference] = field(default_factory=list)
    true: list[Difference] = field(default_factory=list)
    missed: list[Truth] = field(default_factory=list)
    found: list[Truth] = field(default_factory=list)

    def needs_control(self, finding: Difference) -> bool:
        """Whether only a control, or a second read, could tell that a false finding is noise."""
        fitting = [each for each in self.pair.noise if fits(each.where, finding.path)]
        return bool(fitting) and fitting[0].alone

    def why_false(self, finding: Difference) -> str:
        """What kind of noise a false finding is in, as far as labels say."""
        fitting = [each for each in self.pair.noise if fits(each.where, finding.path)]
        if not fitting:
            return "none: no noise is labelled here"
        return f"{fitting[0].why}{' (needs a control)' if fitting[0].alone else ''}"


def compared(pair: Pair, *, control: bool) -> Comparison:
    """The product's comparison of a pair, with the default rules."""
    context = Context(
        primary_time_unix_s=_answered(pair.primary),
        shadow_time_unix_s=_answered(pair.shadow),
        noise=learnt(pair.part) if control else {},
    )
    return compare(pair.primary, pair.shadow, Rules().with_defaults(), context=context)


def _answered(exchange: Exchange) -> float:
    return (exchange.started_unix_ns + exchange.duration_ns) / 1e9


def judge(pair: Pair, comparison: Comparison) -> Judged:
    """Match findings and labels."""
    judged = Judged(pair, comparison)
    found: set[Truth] = set()
    for finding in comparison.differences:
        fitting = truth_of(pair.truths, finding.kind.value, finding.path, finding.primary, finding.shadow)
        (judged.true if fitting else judged.false).append(finding)
        found.update(fitting)
    for truth in pair.truths:
        (judged.found if truth in found else judged.missed).append(truth)
    return judged


def measured(part: Part, *, control: bool) -> list[Judged]:
    """Every pair of a part, judged."""
    return [judge(pair, compared(pair, control=control)) for pair in pairs(part)]


def by(results: Iterable[Judged], key: Callable[[Judged, Truth | Difference], str]) -> dict[str, Figures]:
    """Figures grouped by a key of pair and label or finding."""
    groups: dict[str, Figures] = defaultdict(Figures)
    for each in results:
        for truth in each.found + each.missed:
            groups[key(each, truth)].labels += 1
        for truth in each.found:
            groups[key(each, truth)].found += 1
        for finding in each.true:
            groups[key(each, finding)].true += 1
        for finding in each.false:
            groups[key(each, finding)].false += 1
    return dict(sorted(groups.items()))


def whole(results: Iterable[Judged]) -> Figures:
    """All in one."""
    return by(results, lambda judged, item: "all").get("all", Figures())


def _kind(judged: Judged, item: Truth | Difference) -> str:
    return str(item.kind)


def _family(judged: Judged, item: Truth | Difference) -> str:
    return judged.pair.family


def _table(title: str, groups: Sequence[dict[str, Figures]], total: Sequence[Figures]) -> str:
    heads = ("without control", "with control")[: len(groups)]
    lines = [title, f"  {'':18}" + "".join(f"  {head:^42}" for head in heads)]
    lines.append(f"  {'':18}" + "  labels   found  true   false  prec.   recall" * len(groups))
    names = sorted({name for group in groups for name in group})
    rows = [(name, [group.get(name, Figures()) for group in groups]) for name in names] + [
        ("all", list(total))
    ]
    for name, columns in rows:
        lines.append(
            f"  {name:18}"
            + "".join(
                f"  {one.labels:6} {one.found:7} {one.true:6} {one.false:6}"
                f"  {one.precision:6.4f} {one.recall:7.4f}"
                for one in columns
            )
        )
    return "\n".join(lines)


def _leaks(results: Iterable[Judged]) -> str:
    counts = Counter(each.why_false(finding) for each in results for finding in each.false)
    return ", ".join(f"{why} {count}" for why, count in counts.most_common()) or "nothing"


def _clean(results: Sequence[Judged]) -> str:
    clean = [each for each in results if not each.pair.truths]
    quiet = sum(not each.false for each in clean)
    return f"{quiet} of {len(clean)} pairs without a true difference show none"


def report(part: Part, runs: Sequence[list[Judged]]) -> str:
    """The figures of a part as text."""
    found = runs[0]
    head = f"{part.value}: {len(found)} pairs of {len({each.pair.family for each in found})} families"
    text = [
        f"== {head} ==",
        _table("by kind", [by(run, _kind) for run in runs], [whole(run) for run in runs]),
    ]
    text.append(_table("by family", [by(run, _family) for run in runs], [whole(run) for run in runs]))
    for control, run in zip((False, True), runs, strict=False):
        words = "with control" if control else "without control"
        one, (precision, recall) = whole(run), TARGETS[control]
        reached = "reached" if one.precision >= precision and one.recall >= recall else "NOT reached"
        hard = Figures()
        for each in run:
            hard.labels += sum(truth.hard for truth in each.found + each.missed)
            hard.found += sum(truth.hard for truth in each.found)
        text.append(
            f"{words}: precision {one.precision:.4f} (target {precision}),"
            f" recall {one.recall:.4f} (target {recall}): {reached};"
            f" recall of hard ones {hard.recall:.4f} ({hard.found}/{hard.labels}); {_clean(run)}"
        )
        text.append(f"  false findings by noise: {_leaks(run)}")
        if not control:
            alone = sum(each.needs_control(finding) for each in run for finding in each.false)
            rest = Figures(true=one.true, false=one.false - alone)
            text.append(
                f"  {alone} of them only a control could tell; precision without those {rest.precision:.4f}"
            )
    return "\n".join(text)


def _errors(results: Iterable[Judged]) -> str:
    lines = []
    for each in results:
        if not (each.false or each.missed):
            continue
        lines.append(f"{each.pair.name}  [{', '.join(each.pair.notes)}]")
        for truth in each.missed:
            lines.append(
                f"  MISSED {truth.kind} {truth.where}: {truth.what}"
                f"  {_brief(truth.primary)} -> {_brief(truth.shadow)}"
            )
            lines += [
                f"    hidden by {hidden.by.value} {hidden.name}: {hidden.reason}"
                for hidden in each.comparison.ignored
                if any(fits(where, hidden.difference.path) for _, where in truth.readings)
            ][:3]
        lines += [
            f"  FALSE  {finding.kind.value} {finding.path}:"
            f" {_brief(finding.primary)} -> {_brief(finding.shadow)}"
            f"  ({each.why_false(finding)})"
            for finding in each.false
        ]
    return "\n".join(lines)


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 90 else text[:87] + "..."


def figures(parts: Iterable[Part], *, control: bool) -> dict[str, Any]:
    """The figures as plain data."""
    found: dict[str, Any] = {}
    for part in parts:
        for with_control in (False, True) if control else (False,):
            results = measured(part, control=with_control)
            one = whole(results)
            found[f"{part.value}{', control' if with_control else ''}"] = {
                "pairs": len(results),
                "labels": one.labels,
                "precision": one.precision,
                "recall": one.recall,
                "by_kind": {kind: [each.precision, each.recall] for kind, each in by(results, _kind).items()},
            }
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.corpus", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--list-errors", action="store_true", help="what is wrong, pair by pair (tuning part only)"
    )
    parser.add_argument(
        "--with-control", action="store_true", help="list the errors that are left with a control"
    )
    parser.add_argument("--family", help="list errors of this family only")
    parser.add_argument(
        "--show", metavar="NAME", help="print one pair of the tuning part: both bodies and labels"
    )
    parser.add_argument("--json", action="store_true", help="figures as JSON")
    chosen = parser.parse_args(arguments)
    if chosen.show:
        for pair in pairs(Part.TUNING):
            if pair.name.startswith(chosen.show):
                _show(pair)
        return 0
    if chosen.list_errors:
        results = measured(Part.TUNING, control=chosen.with_control)
        print(_errors(each for each in results if chosen.family in (None, each.pair.family)))
        return 0
    if chosen.json:
        print(json.dumps(figures(Part, control=True), indent=2))
        return 0
    for part in Part:
        print(report(part, [measured(part, control=control) for control in (False, True)]), end="\n\n")
    return 0


def _show(pair: Pair) -> None:
    print(pair.name, pair.notes)
    for side in (pair.primary, pair.shadow, pair.control):
        response = side.response
        if response is not None:
            print(
                f"-- {side.role.value} {response.status} {response.headers}\n"
                f"{decoded(response).decode('utf-8', 'replace')}"
            )
        print(
            *(
                f"   {effect.kind} {effect.target}: {effect.summary} {effect.digest}"
                for effect in side.effects
            ),
            sep="\n",
        )
    print(*pair.truths, *pair.noise, sep="\n")


if __name__ == "__main__":
    sys.exit(main())
