"""How often a gate that is looked at after every pair is wrong, and how soon it is right, beside two others.

    python -m benchmarks.verdict [--runs N] [--pairs N]

Courses of pairs are drawn, and each gate is looked at after every single pair until it first says `fail`:

- mirrorproof's verdict with the default thresholds: all of its checks, of all endpoints together and of the
  one endpoint there is, by the judge's own bounds (as arrays, which are held against the judge itself);
- fixed thresholds, as Diffy's defaults are: v1 against v2 differs more often than v1 against its control, by
  more than 20 % relative to both and by more than 0.03 % of the pairs;
- a Mann-Whitney test of v1's and v2's latency, once at 95 %, and once as Kayenta's judge has it, at 98 % and
  with the interval of the shift beyond a quarter of the shift (normal approximation, from 30 pairs on).

Beside the share of courses that failed stands the median number of pairs it took. Exits with 1 where the
verdict is wrong more often than it promises, or does not find what is there.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.verdict_bounds import Array, RankFollower, agree, mean_is_above, ranks, rate_ends
from mirrorproof_sidecar.judge import (
    Durations,
    EndpointEvidence,
    Evidence,
    Sources,
    Thresholds,
    Verdict,
    judge,
)
from mirrorproof_sidecar.judge.sequences import Prior, prior_near

PROMISE: Final = Thresholds().alpha
NEVER: Final = np.iinfo(np.int64).max
Z_95: Final = 1.9600  # a two-sided interval of 95 %
Z_KAYENTA: Final = 2.3263 / 0.75  # 98 %; shift - z * its error > a quarter of the shift
CHECKS: Final = 5
LOWEST_BITS: Final = 18
EDGES: Final = np.array(
    [(64 + part) << octave for octave in range(LOWEST_BITS - 7, 27) for part in range(64)]
)
"""The judge's buckets from 0.13 ms to 8 s; what is outside is counted at the ends."""


@dataclass(frozen=True)
class World:
    """What is drawn for each pair, all of it independent but for the load, which both versions share."""

    name: str
    noise: float = 0.0  # chance that two answers of one version differ, with nothing to name it
    difference: float = 0.0  # chance that v2 truly differs
    control: bool = False  # whether the verdict knows the noise from a control, as Diffy always does
    fails: float = 0.005  # chance that v1 fails, for whatever reason
    fails_more: float = 0.0  # and v2 on top of that
    slower: float = 1.0  # v2's time as a multiple of v1's
    slower_ms: float = 0.0


AA: Final = (
    World("A/A, noise 0.05 %", noise=0.0005),
    World("A/A, noise 1 %, a control", noise=0.01, control=True),
    World("each rate just what is allowed", noise=0.001, fails_more=0.005, slower=1.25, slower_ms=10.0),
)
AB: Final = (
    World("1 % differ, no noise", difference=0.01),
    World("1 % differ, noise 0.05 %", difference=0.01, noise=0.0005),
    World("1 % differ, noise 0.2 %, a control", difference=0.01, noise=0.002, control=True),
    World("v2 fails 2 % more often", fails_more=0.02),
    World("v2 takes twice as long + 10 ms", slower=2.0, slower_ms=10.0),
)


class OurScope:
    """The checks of one scope for all courses: of all endpoints together, or of the only one."""

    def __init__(self, world: World, *, together: bool, courses: int, pairs: int) -> None:
        thresholds = Thresholds()
        limits = thresholds.together if together else thresholds.of("GET /")
        # The only endpoint is the first: 1 / (1 * 2) of its half.
        share = (PROMISE / 2 if together else PROMISE / 4) / CHECKS
        self.world = world
        self.limit = limits.number("max_difference_rate")
        self.error_limit = limits.number("max_error_increase")
        self.share = share
        rate, low_alpha, prior = world.noise + world.difference, share, prior_near(self.limit)
        if world.control:
            low_alpha, prior = share / 4, prior_near(0.01)
        self.low, self.noise_high = _ends(pairs, rate, low_alpha, prior)
        self.slack_ns = limits.number("latency_slack_ms") * 1e6
        self.quantiles = [
            (
                1 + limits.number(f"max_p{q * 100:.0f}_slowdown"),
                *ranks(pairs, q, share / 2),
                RankFollower(courses, len(EDGES)),
                RankFollower(courses, len(EDGES)),
            )
            for q in (0.5, 0.95)
        ]

    def failing(self, state: State) -> Array:
        """Which courses fail by any check at this look."""
        if self.world.control:
            failing = self._beyond_noise(state)
        else:
            failing = self.low[state.answered, state.differing] > self.limit
        failing |= mean_is_above(state.worse, state.better, state.number, self.error_limit, self.share)
        for times, low_rank, high_rank, primary, shadow in self.quantiles:
            high, low_of_v2 = high_rank[state.answered], low_rank[state.answered]
            enough = (high <= state.answered) & (low_of_v2 > 0)
            primary.follow(state.counts[0], state.came, state.buckets[0], np.where(enough, high, 0))
            shadow.follow(state.counts[1], state.came, state.buckets[1], np.where(enough, low_of_v2, 0))
            allowed = EDGES[np.minimum(primary.at + 1, len(EDGES) - 1)] * times + self.slack_ns
            failing |= enough & (EDGES[shadow.at] > allowed)
        return failing

    def _beyond_noise(self, state: State) -> Array:
        ups, downs, number = state.differing, state.control_differing, state.answered
        both = np.maximum(0, ups + downs - number)
        paired = mean_is_above(ups - both, downs - both, number, self.limit, self.share / 2)
        apart = self.low[number, ups] - self.noise_high[number, downs]
        return paired | (apart > self.limit)


def _ends(pairs: int, rate: float, alpha: float, prior: Prior) -> tuple[Array, Array]:
    most = int(rate * pairs + 8 * (rate * pairs) ** 0.5) + 20
    low, high = rate_ends(pairs, most, low_alpha=alpha, high_alpha=alpha, prior=prior)
    agree(low, high, low_alpha=alpha, high_alpha=alpha, prior=prior)
    return low, high


class State:
    """What has been seen of every course so far."""

    def __init__(self, courses: int) -> None:
        self.number = 0
        zeros = [np.zeros(courses, dtype=np.int64) for _ in range(5)]
        self.answered, self.differing, self.control_differing, self.worse, self.better = zeros
        self.counts = tuple(np.zeros((courses, len(EDGES)), dtype=np.int16) for _ in range(2))
        self.buckets: tuple[Array, Array] = (zeros[0], zeros[0])
        self.came: Array = np.zeros(courses, dtype=bool)
        self._rows = np.arange(courses)
        self._load = np.zeros(courses)

    def draw(self, world: World, generator: Any) -> None:
        """One more pair in every course."""
        courses = len(self._rows)
        chances = generator.random((5, courses), dtype=np.float32)
        primary_fails, shadow_fails = chances[0] < world.fails, chances[1] < world.fails + world.fails_more
        self.came = ~(primary_fails | shadow_fails)
        self.number += 1
        self.answered += self.came
        differs = (chances[2] < world.noise) | (chances[4] < world.difference)
        self.differing += self.came & differs
        self.control_differing += self.came & (chances[3] < world.noise)
        self.worse += shadow_fails & ~primary_fails
        self.better += primary_fails & ~shadow_fails
        normal = generator.standard_normal((3, courses), dtype=np.float32)
        self._load = 0.95 * self._load + 0.1 * normal[2]
        base_ns = 15e6 * np.exp(self._load)
        times = (base_ns * np.exp(0.6 * normal[0]), base_ns * np.exp(0.6 * normal[1]))
        times = (times[0], times[1] * world.slower + world.slower_ms * 1e6)
        self.buckets = bucket_index(times[0]), bucket_index(times[1])
        for counts, bucket in zip(self.counts, self.buckets, strict=True):
            counts[self._rows, bucket] += self.came


def bucket_index(times_ns: Array) -> Array:
    """Which of `EDGES` is the judge's bucket of each time."""
    fraction, bits = np.frexp(times_ns)
    return np.clip((bits - LOWEST_BITS) * 64 + (128 * fraction - 64).astype(np.int64), 0, len(EDGES) - 1)


class MannWhitney:
    """The statistic of the test, kept up pair by pair; values of one bucket are tied."""

    def __init__(self, courses: int) -> None:
        self._u = np.zeros(courses)
        self._cubes = np.zeros(courses)
        self._rows = np.arange(courses)
        self._counts = np.zeros((2, courses, len(EDGES) // 4 + 1), dtype=np.int32)

    def z(self, state: State) -> Array:
        """How far v2's ranks are above v1's, in standard errors."""
        rows, came = self._rows, state.came[self._rows]
        mine, its = (bucket[rows] // 4 for bucket in state.buckets)
        place = np.arange(self._counts.shape[2])
        v1, v2 = self._counts
        for own, bucket in ((v1, mine), (v2, its)):
            tied = v1[rows, bucket] + v2[rows, bucket]
            self._cubes += came * (3.0 * tied * tied + 3.0 * tied)
            if own is v2:
                self._u += came * ((v1 * (place < bucket[:, None])).sum(1) + 0.5 * v1[rows, bucket])
            else:
                self._u += came * ((v2 * (place > bucket[:, None])).sum(1) + 0.5 * v2[rows, bucket])
            own[rows, bucket] += came
        n = np.maximum(state.answered[rows], 2).astype(float)
        variance = n * n / 12 * (2 * n + 1 - self._cubes / (2 * n * (2 * n - 1)))
        return np.where(n >= 30, (self._u - n * n / 2) / np.sqrt(np.maximum(variance, 1e-9)), 0.0)


def diffy(state: State) -> Array:
    """Diffy's filter of a field, with its default thresholds."""
    raw, noise = state.differing, state.control_differing
    apart = np.abs(raw - noise)
    relative = 100 * apart / np.maximum(raw + noise, 1)
    return (raw > noise) & (relative > 20) & (100 * apart / np.maximum(state.answered, 1) > 0.03)


def simulate(
    world: World, courses: int, pairs: int, *, tests: int, until_found: bool = False
) -> dict[str, Array]:
    """When each gate first says `fail` in each course, `NEVER` where it does not. `tests`: courses that the
    Mann-Whitney test is made for as well. `until_found`: end once the verdict has failed every course."""
    generator = np.random.default_rng(4)
    state, mann_whitney = State(courses), MannWhitney(tests)
    scopes = [OurScope(world, together=one, courses=courses, pairs=pairs) for one in (True, False)]
    first = {name: np.full(courses, NEVER) for name in ("mirrorproof", "Diffy")}
    first |= {name: np.full(tests, NEVER) for name in ("Mann-Whitney", "Kayenta")}
    for number in range(1, pairs + 1):
        state.draw(world, generator)
        failing = scopes[0].failing(state) | scopes[1].failing(state)
        z = mann_whitney.z(state)
        for name, now in (
            ("mirrorproof", failing), ("Diffy", diffy(state)), ("Mann-Whitney", z > Z_95),
            ("Kayenta", z > Z_KAYENTA),
        ):  # fmt: skip
            first[name] = np.where(now & (first[name] == NEVER), number, first[name])
        done = until_found and (first["mirrorproof"] != NEVER).all()
        if done or number in (pairs // 3, pairs):
            hold_against_the_judge(world, state, failing)
        if done:
            break
    return first


def hold_against_the_judge(world: World, state: State, failing: Array, looks: int = 20) -> None:
    """What the arrays say of some courses has to be what the judge says of their evidence."""
    some = [*np.nonzero(failing)[0][:looks], *np.nonzero(~failing)[0][:looks]]
    for course in map(int, some):
        answered, number = int(state.answered[course]), state.number
        primary, shadow = (
            Durations.counted(zip(EDGES.tolist(), counts[course].tolist(), strict=True))
            for counts in state.counts
        )
        seen = Evidence(
            pairs=number, compared=number, answered=answered, differing=int(state.differing[course]),
            effects_compared=answered, shadow_failed_alone=int(state.worse[course]),
            primary_failed_alone=int(state.better[course]), primary=primary, shadow=shadow,
            control_answered=answered if world.control else 0,
            control_differing=int(state.control_differing[course]) if world.control else 0,
        )  # fmt: skip
        judged = judge([EndpointEvidence("e", "s", "GET", "/", seen)], Sources())
        if (judged.verdict is Verdict.FAIL) is not bool(failing[course]):
            raise AssertionError(f"{world.name}: the judge says {judged.verdict}: {judged.reasons}")


def share(first: Array) -> float:
    return float((first != NEVER).mean())


def shown(first: Array, *, median: bool) -> str:
    found = f"{100 * share(first):.2f} %"
    if not median or share(first) <= 0.5:
        return found
    return f"{found}, {np.median(first.astype(float)):,.0f} pairs"


def show(console: Console, title: str, rows: list[tuple[World, dict[str, Array]]], *, median: bool) -> None:
    names = ("mirrorproof", "Diffy", "Mann-Whitney", "Kayenta")
    table = Table(title=title, title_justify="left")
    table.add_column("course")
    for name in names:
        table.add_column(name, justify="right")
    for world, first in rows:
        # Where v2 is slower, a test of latency that says so is not wrong.
        right = () if median or world.slower == 1 else ("Mann-Whitney", "Kayenta")
        table.add_row(
            world.name, *("-" if one in right else shown(first[one], median=median) for one in names)
        )
    console.print(table)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--pairs", type=int, default=2000)
    arguments = parser.parse_args()
    console, started_s = Console(width=130), time.perf_counter()
    runs, pairs = arguments.runs, arguments.pairs
    tests, some, more = max(1, runs // 10), max(1, runs // 20), 3 * pairs
    same = [(world, simulate(world, runs, pairs, tests=tests)) for world in AA]
    other = [(world, simulate(world, some, more, tests=some, until_found=True)) for world in AB]
    show(console, f"Wrong `fail` in {pairs:,} pairs, of {runs:,} courses, looked at after every pair "
                  f"(Mann-Whitney, Kayenta: of {tests:,})", same, median=False)  # fmt: skip
    show(console, f"Right `fail` in {more:,} pairs, of {some:,} courses; shorter where the verdict found all",
         other, median=True)  # fmt: skip
    console.print(f"{time.perf_counter() - started_s:.0f} s")
    wrong = [world.name for world, first in same if share(first["mirrorproof"]) > PROMISE]
    missed = [world.name for world, first in other if share(first["mirrorproof"]) < 0.95]
    if wrong or missed:
        console.print(f"wrong more often than promised: {wrong}; not found: {missed}", style="red")
    return 1 if wrong or missed else 0


if __name__ == "__main__":
    sys.exit(main())
