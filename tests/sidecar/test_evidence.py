"""What the store counts for a verdict, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mirrorproof.decision import Role
from mirrorproof.exchange import Batch, Effect, Exchange, Outcome, SourceReport
from mirrorproof_sidecar.judge import EndpointEvidence, Evidence
from mirrorproof_sidecar.recorder.settler import Settler
from mirrorproof_sidecar.settings import RecorderSettings
from mirrorproof_sidecar.store import Store
from mirrorproof_sidecar.store.evidence import endpoint_evidence, sources
from mirrorproof_sidecar.store.ingest import ingest

Make = Callable[..., Exchange]


class House:
    """A store and a settler with a clock that the test sets."""

    def __init__(self, url: str) -> None:
        self.store = Store(url)
        self.settings = RecorderSettings(store=url)
        self.now_s = 1000.0

    def take(self, *exchanges: Exchange, source: SourceReport | None = None) -> None:
        self.store.write(
            ingest, Batch(exchanges=list(exchanges), source=source), now_s=self.now_s,
            settle_s=self.settings.settle_s, max_endpoints=self.settings.max_endpoints,
        )  # fmt: skip
        settler = Settler(self.store, self.settings)
        while settler.round(self.now_s, everything=True):
            pass

    def evidence(self, since_s: float | None = None) -> list[EndpointEvidence]:
        return self.store.read(endpoint_evidence, since_s=since_s)

    def only(self) -> Evidence:
        (found,) = self.evidence()
        return found.evidence


@pytest.fixture
def house(store_url: str) -> Iterator[House]:
    built = House(store_url)
    yield built
    built.store.close()


def counts(evidence: Evidence, *names: str) -> tuple[int, ...]:
    return tuple(getattr(evidence, name) for name in names)


def test_pairs_that_match_and_pairs_that_differ_are_counted(house: House, make_exchange: Make) -> None:
    for pair, body in (("a", b"[1]"), ("b", b"[1]"), ("c", b"[2]")):
        house.take(make_exchange("primary", pair, body=b"[1]"), make_exchange("shadow", pair, body=body))

    found = house.only()
    assert counts(found, "pairs", "compared", "answered", "differing") == (3, 3, 3, 1)
    assert counts(found, "primary_calls", "primary_paired", "shadow_calls", "shadow_paired") == (3, 3, 3, 3)
    assert (found.primary.total, found.shadow.total) == (3, 3)
    assert found.shadow.quantile_ns(0.5) == pytest.approx(8e6, rel=0.01)


def test_a_failure_is_no_difference(house: House, make_exchange: Make) -> None:
    for pair, mine, its in (("a", 200, 503), ("b", 500, 200), ("c", 500, 500), ("d", 200, 404)):
        house.take(make_exchange("primary", pair, status=mine), make_exchange("shadow", pair, status=its))

    found = house.only()
    assert counts(found, "shadow_failed_alone", "primary_failed_alone", "both_failed") == (1, 1, 1)
    assert counts(found, "answered", "differing") == (1, 1)
    assert found.shadow.total == 1


def test_effects_count_where_both_sides_were_seen(house: House, make_exchange: Make) -> None:
    def effect(outcome: Outcome, digest: str = "d") -> list[Effect]:
        return [Effect(kind="sql.insert", target="t", summary="", digest=digest, outcome=outcome)]

    done, held = Outcome.EXECUTED, Outcome.SUPPRESSED
    house.take(make_exchange(effects=effect(done)), make_exchange("shadow", effects=effect(held)))
    house.take(
        make_exchange("primary", "b", effects=effect(done)),
        make_exchange("shadow", "b", effects=effect(held, "other")),
    )
    house.take(make_exchange("primary", "c", notes=["effects_unobserved"]), make_exchange("shadow", "c"))

    assert counts(house.only(), "answered", "effects_compared", "effects_differing") == (3, 2, 1)


def test_a_control_is_counted_apart(house: House, make_exchange: Make) -> None:
    house.take(
        make_exchange(body=b"[1]"),
        make_exchange("shadow", body=b"[1]"),
        make_exchange("control", body=b"[2]"),
    )

    found = house.only()
    assert counts(found, "answered", "differing", "control_answered", "control_differing") == (1, 0, 1, 1)
    assert counts(found, "primary_calls", "primary_paired", "recorded") == (1, 1, 3)


def test_what_has_no_partner_counts_at_once_and_an_earlier_attempt_does_not(
    house: House, make_exchange: Make
) -> None:
    house.take(make_exchange("primary", "alone"))
    house.take(make_exchange(status=503), make_exchange(attempt=2), make_exchange("shadow"))

    assert counts(house.only(), "primary_calls", "primary_paired", "shadow_calls") == (2, 1, 1)


def test_what_is_cut_given_up_or_in_conflict_is_counted(house: House, make_exchange: Make) -> None:
    claim = {"kind": "sql.insert", "target": "claims", "summary": "INSERT claims", "digest": "d"}
    house.take(
        make_exchange(effects=[Effect(**claim, outcome=Outcome.EXECUTED)]),
        make_exchange("shadow", body=b'{"error":"taken"}', status=500, notes=["conflicted:d"]),
    )
    house.take(make_exchange("primary", "y"), make_exchange("shadow", "y", notes=["yielded"]))

    found = house.only()
    assert counts(found, "pairs", "compared", "incomparable", "conflicts") == (2, 0, 2, 1)
    assert counts(found, "shadow_failed_alone", "unknown", "yielded", "shadow_recorded") == (0, 1, 1, 2)


def test_only_what_came_since_then_is_judged(house: House, make_exchange: Make) -> None:
    house.take(make_exchange(body=b"[1]"), make_exchange("shadow", body=b"[2]"))
    house.now_s = 2000.0
    house.take(make_exchange("primary", "late"), make_exchange("shadow", "late"))

    (all_of_it,), (late,) = house.evidence(), house.evidence(1500.0)
    assert counts(all_of_it.evidence, "answered", "differing", "recorded") == (2, 1, 4)
    assert counts(late.evidence, "answered", "differing", "recorded") == (1, 0, 2)
    assert late.evidence.shadow.total == 1
    assert house.evidence(3000.0) == []


def test_endpoints_come_in_the_order_in_which_they_were_first_seen(house: House, make_exchange: Make) -> None:
    for place, route in enumerate(("/z", "/a", "/m")):
        house.now_s = 1000.0 + place
        request = {"path": route, "route": route}
        house.take(*(make_exchange(side, route, request=request) for side in ("primary", "shadow")))
    house.now_s = 900.0
    house.take(make_exchange("primary", "early", request={"path": "/m", "route": "/m"}))

    assert [one.label for one in house.evidence()] == ["GET /m", "GET /z", "GET /a"]


def test_what_processes_count_is_added_up(house: House) -> None:
    counters = {"seen": 10, "captured": 9, "dropped_unsent": 2, "dropped_rejected": 1, "unmarked": 3,
                "no_pair_id": 4, "observer_errors": 5}  # fmt: skip
    for name, role in (("one", Role.PRIMARY), ("other", Role.SHADOW)):
        report = SourceReport(source_id=name, service="s", version="v", role=role, counters=counters)
        house.take(source=report)

    found = house.store.read(sources)
    assert (found.reporting, found.seen, found.seen_by_shadow, found.captured) == (2, 20, 10, 18)
    assert (found.dropped, found.unmarked, found.without_id, found.observer_errors) == (6, 6, 8, 10)


def test_a_pair_that_is_revoked_no_longer_counts(house: House, make_exchange: Make) -> None:
    one, two = {"body_sha256": "1"}, {"body_sha256": "2"}
    house.take(make_exchange(request=one, body=b"[1]"), make_exchange("shadow", request=two, body=b"[2]"))
    assert house.only().differing == 1

    house.take(make_exchange(request=two, body=b"[2]"), make_exchange("shadow", request=one, body=b"[1]"))

    assert counts(house.only(), "answered", "differing") == (2, 0)


def test_counting_reads_indices_and_never_the_exchanges_themselves(tmp_path: Path) -> None:
    house = House(f"sqlite:///{tmp_path}/store.db")
    plans: list[str] = []

    def explain(connection: Any) -> None:
        from sqlalchemy import event

        def remember(conn: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
            if statement.startswith("SELECT") and (" pairs" in statement or " exchanges" in statement):
                rows = conn.connection.execute("EXPLAIN QUERY PLAN " + statement, parameters).fetchall()
                plans.extend(row[3] for row in rows)

        event.listen(connection, "before_cursor_execute", remember)
        endpoint_evidence(connection)

    house.store.read(explain)
    assert plans
    reads = [plan for plan in plans if plan.startswith(("SCAN", "SEARCH"))]
    assert len(reads) == 4
    assert [plan for plan in reads if "COVERING INDEX" not in plan] == []
    house.store.close()


def test_noise_that_is_known_is_no_difference_of_the_control_either(
    house: House, make_exchange: Make
) -> None:
    def three(pair: str, price: int) -> list[Exchange]:
        """The lot differs each time and everywhere; v2's price is its own."""
        prices = {"primary": 1, "control": 1, "shadow": price}
        lots = {"primary": 10, "control": 11, "shadow": 12}
        return [
            make_exchange(side, pair, body=b'{"lot":%d%d,"price":%d}' % (len(pair), lots[side], prices[side]))
            for side in prices
        ]

    for number in range(60):
        house.take(*three(f"p{number}", 1))
    before = house.only()
    for number in range(3):
        house.take(*three(f"late{number}", 2))
    after = house.only()

    assert before.differing == 0
    assert after.differing == 3
    assert before.control_differing > 0
    assert after.control_differing == before.control_differing
