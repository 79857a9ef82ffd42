"""Comparing two JSON bodies, beside other libraries, in one interleaved run.

    python -m benchmarks.compare [--rounds N] [--sizes 1K,20K] [--spaced]

Two bodies of a shop's orders are compared from their bytes to the list of differences. Peers decode with
orjson, the fastest decoder; mirrorproof reads the bytes itself. The anchor is `orjson.loads` of both and
`==`: what a yes or no costs. Three cases:

    ignored   only a field that a rule ignores differs
    diff      the price of one order in fifty differs too
    worst     every order differs in a field that a rule with a wildcard ignores

Rounds are interleaved, so that a busy machine hits all alike; the figure is the median over the rounds.
Times are CPU times, since the machine may be busy; compare the ratios, not the microseconds. A peer that
would take longer than 10 s for one call, by how its time grew with the size so far, is left out.
`--spaced` writes the bodies as `json.dumps` does, with a blank after each comma and colon.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import statistics
import time
from collections.abc import Callable
from typing import Any, Final

import dictdiffer
import jsondiff
import jsonpatch
import orjson
from deepdiff import DeepDiff
from rich.console import Console
from rich.table import Table

from mirrorproof.decision import Mode, Role
from mirrorproof.exchange import Exchange, Request, Response
from mirrorproof_sidecar.compare import IgnoreRule, Rules, compare
from mirrorproof_sidecar.compare.found import Found
from mirrorproof_sidecar.compare.jsonwalk import walk_raw
from mirrorproof_sidecar.compare.rules import matcher_for

SIZES: Final = {"1K": 1_000, "20K": 20_000, "200K": 200_000, "2M": 2_000_000}
CASES: Final = ("ignored", "diff", "worst")
RULES: Final = Rules(
    ignore=(
        IgnoreRule("/body/generated_at", reason="the time of the answer"),
        IgnoreRule("/body/orders/*/updated_at", reason="the time of the answer"),
    ),
    shapes=False,
    correspond=False,
)
ANCHOR: Final = "orjson twice and =="
OURS: Final = "mirrorproof, the body"
PEER: Final = "deepdiff"
_TOO_SLOW_S: Final = 10.0

Call = Callable[[bytes, bytes], object]


def order(random_: random.Random, number: int) -> dict[str, Any]:
    """One order, about 400 bytes."""
    return {
        "id": 100_000 + number,
        "number": f"SO-{random_.randrange(10**8):08d}",
        "status": random_.choice(["new", "paid", "shipped", "returned"]),
        "price": round(random_.uniform(1, 900), 2),
        "currency": "EUR",
        "customer": {
            "id": random_.randrange(10**6),
            "name": random_.choice(["Ada", "Grace", "Linus", "Mary"]),
        },
        "address": {"street": f"Market Street {random_.randrange(200)}", "city": "Zürich", "zip": "8001"},
        "lines": [
            {"sku": f"A-{random_.randrange(10**5)}", "quantity": random_.randrange(1, 9)} for _ in range(2)
        ],
        "tags": ["web", "gift"],
        "created_at": "2024-05-01T09:00:00Z",
        "updated_at": f"2024-05-01T10:{random_.randrange(60):02d}:00Z",
    }


def bodies(size: int, case: str, *, spaced: bool) -> tuple[bytes, bytes]:
    """Two bodies of about `size` bytes."""
    random_ = random.Random(7)
    orders: list[dict[str, Any]] = []
    taken = 100
    while taken < size:
        orders.append(order(random_, len(orders)))
        taken += len(orjson.dumps(orders[-1])) + 1
    others = orjson.loads(orjson.dumps(orders))
    if case == "diff":
        for one in others[len(others) // 2 :: 50]:
            one["price"] += 1
    if case == "worst":
        for one in others:
            one["updated_at"] = one["updated_at"].replace("T10", "T11")
    write: Callable[[Any], bytes] = (lambda tree: json.dumps(tree).encode()) if spaced else orjson.dumps
    head = {"page": 1, "generated_at": "2024-05-01T12:00:00Z", "orders": orders}
    return write(head), write(head | {"generated_at": "2024-05-01T12:00:01Z", "orders": others})


def anchor(one: bytes, other: bytes) -> object:
    return orjson.loads(one) == orjson.loads(other)


def ours(one: bytes, other: bytes) -> object:
    found = Found(matcher_for(RULES, "GET /orders", ("application/json",) * 2, (200, 200)))
    where = found.at("body")
    found.part(where, lambda: walk_raw(where, one, other, found))
    return found.comparison()


def exchange(body: bytes) -> Exchange:
    response = Response(
        status=200, headers=[("content-type", "application/json")], body=body, body_bytes=len(body)
    )
    return Exchange(
        exchange_id="x", pair_id="p", service="shop", version="1", role=Role.PRIMARY, mode=Mode.DRY_RUN,
        started_unix_ns=0, duration_ns=1, request=Request(method="GET", path="/orders"), response=response,
    )  # fmt: skip


def ours_whole(one: bytes, other: bytes) -> object:
    return compare(exchange(one), exchange(other), RULES)


def by_deepdiff(one: bytes, other: bytes) -> object:
    ignored = [r"^root\['generated_at'\]$", r"^root\['orders'\]\[\d+\]\['updated_at'\]$"]
    return DeepDiff(orjson.loads(one), orjson.loads(other), exclude_regex_paths=ignored)


def by_jsonpatch(one: bytes, other: bytes) -> object:
    return jsonpatch.make_patch(orjson.loads(one), orjson.loads(other)).patch


def by_dictdiffer(one: bytes, other: bytes) -> object:
    return list(dictdiffer.diff(orjson.loads(one), orjson.loads(other), ignore={"generated_at"}))


def by_jsondiff(one: bytes, other: bytes) -> object:
    return jsondiff.diff(orjson.loads(one), orjson.loads(other))


CALLS: Final[dict[str, Call]] = {
    ANCHOR: anchor,
    OURS: ours,
    "mirrorproof, the exchange": ours_whole,
    "jsonpatch": by_jsonpatch,
    "dictdiffer": by_dictdiffer,
    PEER: by_deepdiff,
    "jsondiff": by_jsondiff,
}


def check(case: str, one: bytes, other: bytes) -> None:
    """That what is measured finds what was put in."""
    found: Any = ours(one, other)
    wanted = len(orjson.loads(one)["orders"])
    differences = len(range(wanted // 2, wanted, 50)) if case == "diff" else 0
    ignored = len(found.ignored) + found.ignored_omitted
    told = len(found.differences) + found.differences_omitted
    if (told, ignored, found.incomparable) != (differences, wanted + 1 if case == "worst" else 1, ()):
        raise SystemExit(f"{case}: found {told} differences, {ignored} ignored, {found.incomparable}")


def measure(
    size: str, case: str, rounds: int, spaced: bool, before: list[dict[str, float]]
) -> dict[str, float]:
    """Seconds a call, by name: the median over interleaved rounds. `before`: the figures of smaller sizes."""
    one, other = bodies(SIZES[size], case, spaced=spaced)
    check(case, one, other)
    calls = {name: call for name, call in CALLS.items() if expected_s(name, before) < _TOO_SLOW_S}
    repeats = dict.fromkeys(calls, 1)
    for name, call in calls.items():
        began = time.thread_time()
        call(one, other)
        repeats[name] = max(1, int(0.004 / (time.thread_time() - began)))
    taken: dict[str, list[float]] = {name: [] for name in calls}
    gc.disable()
    for number in range(rounds):
        for name, call in calls.items():
            if number and sum(taken[name]) > _TOO_SLOW_S / 4:
                continue  # the slow ones are slow whichever round it is
            began = time.thread_time()
            for _ in range(repeats[name]):
                call(one, other)
            taken[name].append((time.thread_time() - began) / repeats[name])
            gc.collect(0)
    gc.enable()
    return {name: statistics.median(times) for name, times in taken.items()}


def expected_s(name: str, before: list[dict[str, float]]) -> float:
    """What one call may take now: the time grows as it did last."""
    times = [figures.get(name, _TOO_SLOW_S) for figures in before]
    return times[-1] * (times[-1] / times[-2] if len(times) > 1 else 20) if times else 0.0


def targets(figures: dict[tuple[str, str], dict[str, float]]) -> list[tuple[str, float, float, bool]]:
    """What was aimed at: words, the ratio seen, the ratio wanted, whether larger is better."""
    found: list[tuple[str, float, float, bool]] = []
    for (size, case), times in figures.items():
        to_anchor = times[OURS] / times[ANCHOR]
        if PEER in times and case == "diff":
            wanted = 50.0 if size == "1K" else 300.0
            found.append((f"{size} {case}: faster than {PEER}", times[PEER] / times[OURS], wanted, True))
        if size in ("200K", "2M"):
            limit = {"ignored": 0.3, "diff": 0.6, "worst": 2.0}[case]
            found.append((f"{size} {case}: time beside {ANCHOR}", to_anchor, limit, False))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--sizes", default=",".join(SIZES))
    parser.add_argument("--spaced", action="store_true")
    options = parser.parse_args()
    console = Console()
    figures: dict[tuple[str, str], dict[str, float]] = {}
    for case in CASES:
        before: list[dict[str, float]] = []
        for size in options.sizes.split(","):
            before.append(measure(size, case, options.rounds, options.spaced, before))
            figures[size, case] = before[-1]
    for case in CASES:
        table = Table(title=f"{case}: µs (times the anchor)", title_justify="left")
        table.add_column("")
        for size in options.sizes.split(","):
            table.add_column(size, justify="right")
        for name in CALLS:
            cells = []
            for size in options.sizes.split(","):
                times = figures[size, case]
                ratio = times.get(name, 0.0) / times[ANCHOR]
                cells.append(f"{times[name] * 1e6:,.0f} ({ratio:.2f})" if name in times else "-")
            table.add_row(name, *cells)
        console.print(table)
    for words, seen, wanted, more in targets(figures):
        reached = seen >= wanted if more else seen <= wanted
        target = f"target {'≥' if more else '≤'} {wanted:g}"
        console.print(f"{words}: {seen:.2f} ({target}): {'reached' if reached else 'NOT reached'}")


if __name__ == "__main__":
    main()
