"""The proof and the planted table: each thing that has to hold, and what is said when it does not."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from rich.console import Console

from mirrorproof_demo.planted import LATENCY, PLANTED, seek, unexpected
from mirrorproof_demo.proof import Evidence, Load, prove
from mirrorproof_demo.report import piped_report, print_report
from mirrorproof_demo.witness import Writes

_SIDES = {"primary": 0, "shadow": 0, "control": 0}


def difference(method: str, route: str, path: str, pairs: int = 3) -> dict[str, Any]:
    example = {"pair": "p", "path": path.replace("*", "0"), "primary": {"summary": "one"}, "shadow": "other"}
    return {
        "method": method, "route": route, "path": path, "kind": "changed_value", "pairs": pairs,
        "example": example,
    }  # fmt: skip


def endpoint(method: str, route: str, p50s: tuple[float, float]) -> dict[str, Any]:
    sides = zip(("primary", "shadow"), p50s, strict=True)
    figures = {side: {"p50_ms": p50, "p95_ms": p50, "errors": 0, "error_rate": 0.0} for side, p50 in sides}
    return {"method": method, "route": route, "pairs": 10, "matched": 10, "different": 0, **figures}


def summary(**totals: int) -> dict[str, Any]:
    """A summary as the recorder gives it, with everything planted found."""
    paths = [one for one in PLANTED if one.path != LATENCY]
    return {
        "totals": {"pairs": 100, "matched": 60, "different": 40, "incomparable": 0, **totals},
        "completeness": {
            "unpaired": dict(_SIDES), "ambiguous": dict(_SIDES), "waiting": dict(_SIDES),
            "yielded": 0, "truncated": 0, "effects_suppressed": 30, "refused": {"malformed": 0},
            "dropped": {"unsent": 0},
        },
        "endpoints": [endpoint("GET", "/search", (4.0, 46.0))],
        "differences": [
            difference(one.method, one.route, one.path.replace("http:*payments", "http:~1~1h~1payments"))
            for one in paths
        ],
        "ignored": [{"path": "/body/id", "pairs": 9, "reason": "a number", "count": 9}],
        "effects": [{"side": "shadow", "kind": "sql.insert", "target": "orders", "outcome": "suppressed",
                     "count": 30}],
        "spans": {"made": 40, "exported": 40, "failed": 0, "dropped": 0},
    }  # fmt: skip


def evidence(**changed: Any) -> Evidence:
    given: dict[str, Any] = {
        "wanted": 100, "load": Load(sent=100, answered=100), "mirrored": 100, "summary": summary(),
        "writes": Writes({"rows in orders": {"v1": 30}, "payments": {"v1": 30}}), "spans_exported": 40,
        "seconds": 12.5,
    }  # fmt: skip
    return Evidence(**given | changed)


def test_the_proof_holds_where_nothing_speaks_against_it() -> None:
    proof = prove(evidence())
    assert proof.reasons == ()
    assert proof.holds


def test_the_figures_are_one_json_object_with_the_promised_keys() -> None:
    figures = json.loads(json.dumps(prove(evidence()).figures()))
    promised = (
        "requests mirrored pairs matched different unpaired effects_suppressed writes_by_shadow "
        "spans_exported planted unpaired_by versions seconds"
    )
    assert set(promised.split()) <= set(figures)
    assert figures["writes_by_shadow"] == 0
    assert figures["seconds"] == 12.5


def with_unpaired(**sides: int) -> dict[str, Any]:
    found = summary(pairs=100 - sum(sides.values()))
    found["completeness"]["unpaired"] |= sides
    return found


def without(path: str) -> dict[str, Any]:
    found = summary()
    found["differences"] = [one for one in found["differences"] if one["path"] != path]
    return found


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"writes": Writes({"payments": {"v1": 3, "v2": 1}})}, "v2 wrote for real: 1 payments"),
        ({"writes": Writes({"payments": {}})}, "proves nothing"),
        ({"mirrored": 101}, "Envoy mirrored 101 requests; the recorder knows of 100 pairs and 0 unpaired"),
        ({"summary": summary(pairs=99)}, "99 pairs"),
        ({"summary": summary(pairs=0), "mirrored": 0}, "not one pair"),
        ({"load": Load(sent=100, answered=99)}, "99 were answered"),
        ({"load": Load(sent=100, answered=100, wrong=2)}, "v1 answered 2 requests otherwise"),
        ({"summary": without("/body/total")}, "not found: rounding bug, POST /orders at /body/total"),
    ],
)
def test_each_thing_that_does_not_hold_is_a_reason_in_words(changed: dict[str, Any], reason: str) -> None:
    proof = prove(evidence(**changed))
    assert any(reason in one for one in proof.reasons), proof.reasons
    assert not proof.holds


def test_what_the_recorder_names_as_unpaired_is_accounted_for() -> None:
    proof = prove(evidence(summary=with_unpaired(primary=2, shadow=1)))
    assert proof.holds
    assert proof.figures()["unpaired"] == 3
    assert proof.figures()["unpaired_by"]["only v1 was recorded"] == 2


def test_every_planted_difference_is_found_in_a_summary_that_holds_it() -> None:
    assert all(sought.found for sought in seek(summary()))


def test_a_difference_counts_only_at_its_endpoint() -> None:
    elsewhere = copy.deepcopy(summary())
    for one in elsewhere["differences"]:
        one["route"] = "/elsewhere"
    assert [sought.found for sought in seek(elsewhere) if sought.planted.path != LATENCY] == [False] * 9
    assert len(unexpected(elsewhere)) == 9


def test_what_nobody_planted_is_told_apart() -> None:
    found = summary()
    found["differences"].append(difference("GET", "/search", "/body/hits/*/name"))
    (one,) = prove(evidence(summary=found)).figures()["unexpected"]
    assert (one["endpoint"], one["path"]) == ("GET /search", "/body/hits/*/name")


@pytest.mark.parametrize("p50s", [(4.0, 5.0), (46.0, 4.0)])
def test_a_query_that_is_not_slower_is_not_found_to_be(p50s: tuple[float, float]) -> None:
    found = summary() | {"endpoints": [endpoint("GET", "/search", p50s)]}
    assert [sought.found for sought in seek(found) if sought.planted.path == LATENCY] == [False]


def printed(proof: Any) -> str:
    console = Console(width=150, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    print_report(console, proof)
    return console.export_text()


def test_the_report_says_in_words_that_the_proof_holds() -> None:
    text = printed(prove(evidence()))
    assert "The proof holds" in text
    assert "NOT FOUND" not in text


def test_the_report_names_what_is_missing_and_who_wrote() -> None:
    writes = Writes({"rows in orders": {"v1": 3, "v2": 7}})
    text = printed(prove(evidence(summary=without("/body/total"), writes=writes)))
    assert "NOT FOUND" in text
    assert "The proof does not hold" in text
    assert "v2 wrote for real: 7 rows in orders" in text


def test_the_report_shows_where_long_values_part_ways() -> None:
    found = summary()
    same = "POST http://127.0.0.1:1/payments " + '{"reference":"c", ' * 6
    (inserted,) = [one for one in found["differences"] if one["path"].startswith("/effects/sql")]
    inserted["example"] |= {
        "primary": {"summary": same + "21.71"},
        "shadow": {"summary": same + "21.70"},
    }
    text = printed(prove(evidence(summary=found)))
    assert "21.71 →" in text
    assert "21.70" in text


def test_a_piped_report_is_narrow_and_nothing_pads_its_lines() -> None:
    lines = piped_report(prove(evidence())).splitlines()
    assert max(map(len, lines)) <= 100
    assert [line for line in lines if line != line.rstrip()] == []
    assert "The proof holds" in lines[-1]


def test_where_there_is_nowhere_to_export_to_that_is_said() -> None:
    assert "40 spans exported" in printed(prove(evidence()))
    text = printed(prove(evidence(exporting=False)))
    assert "no OTLP endpoint set" in text
    assert "40 spans" not in text


def test_without_guards_effects_are_no_differences_and_the_report_says_why() -> None:
    found = summary()
    found["differences"].append(difference("PUT", "/carts", "/effects/sql.insert/cart_lines/*"))
    found["differences"].append(difference("GET", "/search", "/body/hits/*/name"))
    proof = prove(evidence(summary=found, guards=False))
    assert [one["path"] for one in proof.unexpected] == ["/body/hits/*/name"]
    assert "what v2 writes and sends goes unseen" in printed(proof)
    assert "Without guards" not in printed(prove(evidence(summary=found)))
    assert [sought.found for sought in proof.planted if sought.planted.path.startswith("/effects")] == [
        False,
        False,
    ]
