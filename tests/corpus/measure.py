"""Precision and recall of the comparison on the labelled corpus.

Knows the corpus and the comparison's public interface. Must not know recognisers.

Each pair is compared with the default rules, three times: knowing nothing but the two exchanges, knowing what
v1's answers to repeated reads differed in, and knowing v1's control (`control`). The held-out part is
reported apart, in figures only: its errors are never listed, so that nobody can tune on them.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from mirrorproof_sidecar.compare import Difference, Rules, compare

from .building import decoded
from .control import Known, context_of
from .generator import pairs
from .judging import Figures, Judged, figures_by, judge, whole
from .labels import Pair, Part, Truth, fits

__all__ = ["TARGETS", "main", "measured", "reached"]

TARGETS = {Known.NOTHING: (0.98, 0.99), Known.REPEATS: (0.98, 0.99), Known.CONTROL: (0.995, 0.99)}
"""Precision and recall to reach."""
Key = Callable[[Judged, Truth | Difference], str]
_RULES = Rules().with_defaults()


def measured(part: Part, known: Known) -> list[Judged]:
    """Every pair of a part, compared and judged."""
    return [
        judge(pair, compare(pair.primary, pair.shadow, _RULES, context=context_of(pair, known)))
        for pair in pairs(part)
    ]


def reached(figures: Figures, known: Known) -> bool:
    """Whether the figures reach the targets."""
    precision, recall = TARGETS[known]
    return figures.precision >= precision and figures.recall >= recall


def _kind(judged: Judged, item: Truth | Difference) -> str:
    return str(item.kind)


def _family(judged: Judged, item: Truth | Difference) -> str:
    return judged.pair.family


def _table(title: str, runs: Mapping[Known, list[Judged]], key: Key) -> str:
    heads = "".join(f"  {known.value:^35}" for known in runs)
    lines = [f"{title:16} labels{heads}", " " * 23 + "    found   true  false   prec.  rec." * len(runs)]
    groups = [figures_by(run, key) | {"~": whole(run)} for run in runs.values()]
    for name in sorted({name for group in groups for name in group}):
        columns = [group.get(name, Figures()) for group in groups]
        cells = "".join(
            f"  {one.found:7} {one.true:6} {one.false:6}  {one.precision:.3f} {one.recall:.3f}"
            for one in columns
        )
        lines.append(f"  {name.replace('~', 'all'):14} {columns[0].labels:6}{cells}")
    return "\n".join(lines)


def _words(known: Known, run: Sequence[Judged]) -> str:
    one, (precision, recall) = whole(run), TARGETS[known]
    hard = [(truth, truth in each.found) for each in run for truth in each.found + each.missed if truth.hard]
    clean = [each for each in run if not each.pair.truths]
    leaks = Counter(each.why_false(finding) for each in run for finding in each.false)
    listed = ", ".join(f"{why} {count}" for why, count in leaks.most_common())
    alone = sum(each.needs_control(finding) for each in run for finding in each.false)
    without = Figures(true=one.true, false=one.false - alone)
    return "\n".join(
        (
            f"{known.value}: precision {one.precision:.4f} (target {precision}), recall {one.recall:.4f}"
            f" (target {recall}): {'reached' if reached(one, known) else 'NOT reached'}",
            f"  hard truths found: {sum(found for _, found in hard)} of {len(hard)};"
            f" pairs without a true difference that show none:"
            f" {sum(not each.false for each in clean)} of {len(clean)}",
            f"  false findings: {listed or 'none'}",
            f"  without the {alone} that only a control could tell, precision is {without.precision:.4f}",
        )
    )


def report(part: Part, runs: Mapping[Known, list[Judged]]) -> str:
    """The figures of a part as text."""
    families = {pair.family for pair in pairs(part)}
    text = [
        f"== {part.value}: {len(pairs(part))} pairs of {len(families)} families ==",
        _table("by kind", runs, _kind),
        _table("by family", runs, _family),
    ]
    return "\n".join([*text, *(_words(known, run) for known, run in runs.items())])


def _errors(results: Iterable[Judged]) -> str:
    lines = []
    for each in results:
        if not (each.false or each.missed):
            continue
        lines.append(f"{each.pair.name}  [{', '.join(each.pair.notes)}]")
        for truth in each.missed:
            shown = f"{_brief(truth.primary)} -> {_brief(truth.shadow)}"
            lines.append(f"  MISSED {truth.kind} {truth.where}: {truth.what}  {shown}")
            lines += [
                f"    hidden by {hidden.by.value} {hidden.name}: {hidden.reason}"
                for hidden in each.comparison.ignored
                if any(fits(where, hidden.difference.path) for _, where in truth.readings)
            ][:3]
        for finding in each.false:
            shown = f"{_brief(finding.primary)} -> {_brief(finding.shadow)}"
            lines.append(f"  FALSE  {finding.kind} {finding.path}: {shown}  ({each.why_false(finding)})")
    return "\n".join(lines)


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 90 else text[:87] + "..."


def _plain(part: Part, known: Known) -> dict[str, Any]:
    results = measured(part, known)
    one = whole(results)
    kinds = {kind: [each.precision, each.recall] for kind, each in figures_by(results, _kind).items()}
    return {
        "part": part.value,
        "known": known.value,
        "pairs": len(results),
        "labels": one.labels,
        "precision": one.precision,
        "recall": one.recall,
        "reached": reached(one, known),
        "by_kind": kinds,
    }


def _show(pair: Pair) -> None:
    print(pair.name, pair.notes)
    for side in (pair.primary, pair.shadow, pair.control):
        if side.response is not None:
            print(f"-- {side.role.value} {side.response.status} {side.response.headers}")
            print(decoded(side.response).decode("utf-8", "replace"))
        for effect in side.effects:
            print(f"   {effect.kind} {effect.target}: {effect.summary} {effect.digest}")
    print(*pair.truths, *pair.noise, sep="\n")


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.corpus", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--list-errors", action="store_true", help="what is missed or told wrongly (tuning part only)")
    add("--known", type=Known, choices=list(Known), help="only with this knowledge; 'one pair' is quickest")
    add("--family", help="list the errors of this family only")
    add("--show", metavar="NAME", help="print pairs of the tuning part whose names begin so")
    add("--json", action="store_true", help="figures as JSON")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    chosen = _options().parse_args(arguments)
    known = [chosen.known] if chosen.known else list(Known)
    if chosen.show:
        for pair in pairs(Part.TUNING):
            if pair.name.startswith(chosen.show):
                _show(pair)
    elif chosen.list_errors:
        results = measured(Part.TUNING, chosen.known or Known.NOTHING)
        print(_errors(each for each in results if chosen.family in (None, each.pair.family)))
    elif chosen.json:
        print(json.dumps([_plain(part, each) for part in Part for each in known], indent=2))
    else:
        for part in Part:
            print(report(part, {each: measured(part, each) for each in known}), end="\n\n")
    return 0
