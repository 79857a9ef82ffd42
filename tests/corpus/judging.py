"""Which findings of a comparison are true and which truths were found; counts of both.

Knows labels and comparisons. Must not know how either is made. `labels` says what counts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from mirrorproof_sidecar.compare import Comparison, Difference

from .labels import Pair, Truth, fits, truth_of

__all__ = ["Figures", "Judged", "figures_by", "judge", "whole"]


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
            return "no noise is labelled here"
        return f"{fitting[0].why}{' (needs a control)' if fitting[0].alone else ''}"


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


def figures_by(
    results: Iterable[Judged], key: Callable[[Judged, Truth | Difference], str]
) -> dict[str, Figures]:
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
    return figures_by(results, lambda judged, item: "all").get("all", Figures())
