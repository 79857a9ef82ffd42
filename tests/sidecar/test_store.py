"""The store, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import column, create_engine, func, insert, select, table

from mirrorproof.decision import Role
from mirrorproof.errors import SettingsError
from mirrorproof.exchange import Batch, Effect, Exchange, Outcome, SourceReport
from mirrorproof_sidecar.compare import IgnoreRule, Rules, ToleranceRule
from mirrorproof_sidecar.recorder.settler import Settler
from mirrorproof_sidecar.settings import RecorderSettings
from mirrorproof_sidecar.store import Store
from mirrorproof_sidecar.store.browsing import PairFilter, one_pair, page_of_pairs
from mirrorproof_sidecar.store.ingest import Ingested, ingest
from mirrorproof_sidecar.store.migrations import upgrade
from mirrorproof_sidecar.store.retention import forget, prune_endpoints, sweep
from mirrorproof_sidecar.store.rulebook import current_rules, put_rules
from mirrorproof_sidecar.store.schema import METADATA, ignored
from mirrorproof_sidecar.store.settling import backlog
from mirrorproof_sidecar.store.summary import fields, summary

Make = Callable[..., Exchange]


class House:
    """A store and a settler with a clock that the test sets."""

    def __init__(self, url: str, **settings: Any) -> None:
        self.store = Store(url)
        self.settings = RecorderSettings(store=url, **settings)
        self.found: list[Any] = []
        self.settler = Settler(self.store, self.settings, [lambda pair, finding: self.found.append(pair)])
        self.now_s = 1000.0

    def take(self, *exchanges: Exchange, source: SourceReport | None = None) -> Ingested:
        return self.store.write(
            ingest, Batch(exchanges=list(exchanges), source=source), now_s=self.now_s,
            settle_s=self.settings.settle_s, max_endpoints=self.settings.max_endpoints,
        )  # fmt: skip

    def settle(self) -> None:
        while self.settler.round(self.now_s, everything=True):
            pass

    def summary(self) -> dict[str, Any]:
        return self.store.read(summary)

    def pairs(self, **wanted: Any) -> list[Any]:
        found: list[Any] = self.store.read(page_of_pairs, PairFilter(**wanted))["pairs"]
        return found

    def rows(self) -> dict[str, int]:
        return self.store.read(
            lambda connection: {
                table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
                for table in METADATA.sorted_tables
            }
        )


@pytest.fixture
def house(store_url: str) -> Iterator[House]:
    built = House(store_url)
    yield built
    built.store.close()


def test_the_migrations_make_the_tables_that_the_code_expects(house: House) -> None:
    def drift(connection: Any) -> Any:
        return compare_metadata(MigrationContext.configure(connection), METADATA)

    assert house.store.read(drift) == []


def test_what_was_hidden_before_causes_were_kept_was_hidden_by_a_rule(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/old.db")
    with engine.begin() as connection:
        upgrade(connection, "0001")
        row = {"pair": "p", "endpoint": "e", "against": "shadow", "pattern": "/body/a", "reason": "a clock"}
        connection.execute(insert(table("ignored", *map(column, row), column("count"))), row | {"count": 2})
        upgrade(connection)
        (found,) = connection.execute(select(ignored))
    engine.dispose()

    assert (found.by, found.name, found.reason, found.count) == ("rule", "", "a clock", 2)


def test_stores_that_open_at_once_do_not_clash(store_url: str) -> None:
    with ThreadPoolExecutor(6) as threads:
        stores = list(threads.map(Store, [store_url] * 6))

    for store in stores:
        store.ping()
        store.close()


def test_an_exchange_that_comes_again_changes_nothing(house: House, make_exchange: Make) -> None:
    exchange = make_exchange()

    assert house.take(exchange, exchange).accepted == 1
    again = house.take(exchange)

    assert (again.accepted, again.duplicates, again.keys) == (0, 1, 0)
    assert house.rows()["exchanges"] == 1


def test_two_sides_become_a_pair_with_its_differences(house: House, make_exchange: Make) -> None:
    house.take(make_exchange(body=b'{"a":[1,2]}'), make_exchange("shadow", body=b'{"a":[1,3]}'))
    house.settle()

    (pair,) = house.pairs()
    assert (pair["result"], pair["differences"], pair["route"]) == ("different", 1, "/orders/{id}")
    found = house.store.read(one_pair, pair["id"])
    assert found is not None
    assert found["found"] == [{"path": "/body/a/1", "kind": "changed_value", "primary": 2, "shadow": 3}]
    assert found["hidden"][0]["path"] == "/headers/date"
    assert found["primary_exchange"]["response"]["body_text"] == '{"a":[1,2]}'
    assert house.found == [pair["id"]]
    assert house.store.read(backlog) == 0


def test_a_pair_in_which_v1_was_first_is_counted_and_is_no_difference(
    house: House, make_exchange: Make
) -> None:
    claim = {"kind": "sql.insert", "target": "claims", "summary": "INSERT claims", "digest": "d"}
    house.take(
        make_exchange(effects=[Effect(**claim, outcome=Outcome.EXECUTED)]),
        make_exchange("shadow", body=b'{"error":"taken"}', notes=["conflicted:d"]),
    )
    house.settle()

    found = house.summary()
    assert (found["totals"]["different"], found["totals"]["incomparable"]) == (0, 1)
    assert found["completeness"]["conflict_with_primary"] == 1
    assert found["endpoints"][0]["completeness"]["conflict_with_primary"] == 1


def test_a_field_of_every_item_is_one_difference_in_the_summary(house: House, make_exchange: Make) -> None:
    house.take(make_exchange(body=b'{"a":[1,2]}'), make_exchange("shadow", body=b'{"a":[3,4]}'))
    house.settle()

    (difference,) = house.summary()["differences"]
    assert (difference["path"], difference["count"], difference["pairs"]) == ("/body/a/*", 2, 1)
    assert difference["example"]["path"] == "/body/a/0"


def test_nul_and_odd_unicode_from_strangers_are_kept(house: House, make_exchange: Make) -> None:
    odd = "a\0b\ud7ff\U0010ffff"
    request = {"path": f"/x/{odd}", "route": None, "query": odd, "method": odd}
    source = SourceReport(
        source_id=odd, service=odd, version=odd, role=Role.SHADOW, counters={odd: 2**63 - 1}
    )
    changes = {"request": request, "service": odd, "version": odd, "notes": [odd], "error": odd}
    effect = Effect(kind=odd, target=odd, summary=odd, digest=odd, outcome=Outcome.SUPPRESSED)
    house.take(
        make_exchange("primary", odd, body=b'"\\u0000"', **changes),
        make_exchange("shadow", odd, body=b'{"\\u0000":"\\u0000"}', effects=[effect], **changes),
        source=source,
    )
    house.settle()

    assert house.summary()["totals"]["pairs"] == 1
    (pair,) = house.pairs()
    found = house.store.read(one_pair, pair["id"])
    assert found is not None
    assert found["primary_exchange"]["pair_id"] == odd


def test_large_numbers_and_long_texts_fit(house: House, make_exchange: Make) -> None:
    large = 2**63 - 1
    house.take(
        make_exchange(
            started_unix_ns=large, duration_ns=large, request={"path": "/" + "x" * 100_000, "route": None}
        ),
        make_exchange("shadow", request={"path": "/" + "x" * 100_000, "route": None}, pair_id="p1"),
    )
    house.settle()

    assert house.summary()["totals"]["pairs"] == 1


def test_ids_that_agree_where_they_are_cut_do_not_pair(house: House, make_exchange: Make) -> None:
    house.take(
        make_exchange("primary", "p", service="a", request={"method": "bGET"}),
        make_exchange("shadow", "p", service="ab", request={"method": "GET"}),
    )
    house.settle()

    assert house.summary()["totals"]["pairs"] == 0


def test_a_late_partner_revises_what_had_expired(house: House, make_exchange: Make) -> None:
    house.take(make_exchange())
    house.settle()
    house.now_s += house.settings.expire_after_s
    house.settler.round(house.now_s)
    assert house.summary()["completeness"]["unpaired"]["primary"] == 1

    house.take(make_exchange("shadow"))
    house.settle()

    held = house.summary()["completeness"]
    assert (held["unpaired"]["primary"], held["paired"]["primary"], held["revised"]) == (0, 1, 1)
    assert house.rows()["pending"] == 0


def test_a_pair_that_turns_out_wrong_is_revoked(house: House, make_exchange: Make) -> None:
    one, two = {"body_sha256": "1"}, {"body_sha256": "2"}
    house.take(make_exchange(request=one, body=b"[1]"), make_exchange("shadow", request=two, body=b"[2]"))
    house.settle()
    assert house.summary()["totals"]["different"] == 1

    house.take(make_exchange(request=two, body=b"[2]"), make_exchange("shadow", request=one, body=b"[1]"))
    house.settle()

    found = house.summary()
    assert (found["totals"]["matched"], found["totals"]["different"]) == (2, 0)
    assert found["completeness"]["revoked"] == 1
    assert found["differences"] == []
    assert house.rows()["differences"] == 0


def test_only_the_last_attempt_is_compared(house: House, make_exchange: Make) -> None:
    house.take(
        make_exchange(status=503, body=b""), make_exchange(attempt=2, body=b"[1]"),
        make_exchange("shadow", body=b"[1]"),
    )  # fmt: skip
    house.settle()

    found = house.summary()
    assert found["totals"]["matched"] == 1
    assert found["completeness"]["superseded"]["primary"] == 1


def test_an_id_that_is_reused_too_often_is_set_aside(store_url: str, make_exchange: Make) -> None:
    house = House(store_url, max_per_key=4)
    house.take(make_exchange(), make_exchange("shadow"))
    house.settle()
    house.take(*(make_exchange() for _ in range(3)))
    house.settle()

    found = house.summary()
    assert found["totals"]["pairs"] == 0
    assert found["completeness"]["ambiguous"] == {"primary": 4, "shadow": 1, "control": 0}
    house.store.close()


def test_two_recorders_report_a_pair_once(house: House, store_url: str, make_exchange: Make) -> None:
    other = House(store_url)
    house.take(*(make_exchange(side, f"p{n}") for n in range(20) for side in ("primary", "shadow")))

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda one: one.settle(), [house, other]))

    assert sorted(house.found + other.found) == sorted(pair["id"] for pair in house.pairs(limit=100))
    assert house.summary()["totals"]["pairs"] == 20
    other.store.close()


def test_what_arrives_while_settling_is_not_overlooked(
    house: House, make_exchange: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mirrorproof_sidecar.recorder import settler

    late = make_exchange("shadow")

    def load_then_arrive(*args: Any) -> Any:
        found = load(*args)
        if late.exchange_id not in taken:
            taken.append(late.exchange_id)
            ingest(args[0], Batch(exchanges=[late]), now_s=house.now_s, settle_s=1, max_endpoints=9)
        return found

    taken: list[str] = []
    load = settler.load
    monkeypatch.setattr(settler, "load", load_then_arrive)
    # Reading is a transaction of its own, so the arrival is written inside it and counts as another's.
    monkeypatch.setattr(house.store, "read", house.store.write)
    house.take(make_exchange())
    house.settler.round(house.now_s, everything=True)
    assert house.summary()["completeness"]["waiting"] == {"primary": 1, "shadow": 1, "control": 0}

    house.settle()

    assert house.summary()["totals"]["pairs"] == 1


def test_reports_of_a_source_only_ever_grow(house: House) -> None:
    def report(seen: int, source: str = "one", role: Role = Role.PRIMARY) -> SourceReport:
        counters = {"seen": seen, "dropped_unsent": 1}
        return SourceReport(source_id=source, service="orders", version="v1", role=role, counters=counters)

    for seen in (5, 9, 7):
        house.take(source=report(seen))
    house.take(source=report(4, "two", Role.SHADOW))

    held = house.summary()["completeness"]
    assert held["seen"] == {"primary": 9, "shadow": 4}
    assert (held["dropped"]["unsent"], held["sources"]) == (2, 2)


def test_mad_counters_do_not_overflow_the_sum(house: House) -> None:
    for source in "abc":
        counters = {"seen": 2**63 - 1}
        house.take(
            source=SourceReport(source_id=source, service="s", version="", role=Role.MIXED, counters=counters)
        )

    assert house.summary()["completeness"]["seen"]["mixed"] == 3 * 2**48


def test_endpoints_are_bounded(store_url: str, make_exchange: Make) -> None:
    house = House(store_url, max_endpoints=2)
    for number in range(5):
        request = {"path": f"/p{'x' * number}", "route": None}
        house.take(make_exchange(pair=f"p{number}", request=request))

    routes = sorted(endpoint["route"] for endpoint in house.summary()["endpoints"])
    assert routes == ["(other)", "/p", "/px"]
    house.store.close()


def test_both_sides_count_at_the_primarys_endpoint(house: House, make_exchange: Make) -> None:
    house.take(make_exchange(), make_exchange("shadow", request={"route": "/orders/{order}"}))
    house.settle()

    (endpoint,) = house.summary()["endpoints"]
    assert endpoint["route"] == "/orders/{id}"
    assert endpoint["completeness"]["paired"] == {"primary": 1, "shadow": 1, "control": 0}


def test_figures_of_latency_and_errors_are_of_the_pairs(house: House, make_exchange: Make) -> None:
    for number in range(1, 101):
        more = {"duration_ns": number * 1_000_000}
        house.take(make_exchange("primary", f"p{number}", **more))
        house.take(make_exchange("shadow", f"p{number}", **more, status=500 if number == 1 else 200))
    house.settle()

    totals = house.summary()["totals"]
    assert (totals["shadow"]["p50_ms"], totals["shadow"]["p95_ms"]) == (50.0, 95.0)
    assert (totals["primary"]["errors"], totals["shadow"]["errors"]) == (0, 1)
    assert totals["shadow"]["error_rate"] == 0.01


def test_fields_show_how_much_of_it_is_noise(house: House, make_exchange: Make) -> None:
    for number in range(4):
        for side, body in (("primary", b'{"a":1}'), ("shadow", b'{"a":2}'), ("control", b'{"a":3}')):
            same = side == "control" and number
            house.take(make_exchange(side, f"p{number}", body=b'{"a":1}' if same else body))
    house.settle()

    (endpoint,) = house.summary()["endpoints"]
    assert endpoint["control"] == {"pairs": 4, "matched": 3, "different": 1, "incomparable": 0}
    found = house.store.read(fields, endpoint["id"])
    assert found is not None
    (field,) = found["fields"]
    # That of the request whose control differs from v1 as well says nothing; it is listed with the reason.
    assert (field["share"], field["noise_share"]) == (0.75, 0.25)
    assert ("/body/a", 1) in [(one["path"], one["count"]) for one in found["ignored"]]
    assert house.store.read(fields, "nothing") is None


def test_a_field_tells_when_it_was_seen_how_much_was_hidden_and_some_examples(
    house: House, make_exchange: Make
) -> None:
    close = b'{"items":[{"price":1.0},{"price":5}]}'
    far = b'{"items":[{"price":1.01},{"price":6}]}'
    tolerance = ToleranceRule("/body/items/0/price", absolute=0.1)
    house.store.write(put_rules, Rules(tolerance=(tolerance,)).with_defaults(), now_s=1.0)
    for number in range(5):
        house.now_s += 10.0
        house.take(
            make_exchange("primary", f"p{number}", body=close),
            make_exchange("shadow", f"p{number}", body=far if number < 4 else close),
        )
    house.settle()

    (endpoint,) = house.summary()["endpoints"]
    found = house.store.read(fields, endpoint["id"])
    assert found is not None
    (field,) = found["fields"]
    assert (field["path"], field["pairs"], field["share"]) == ("/body/items/*/price", 4, 0.8)
    assert field["hidden"] == {"tolerance": 0.8}
    assert field["last_seen_unix_s"] - field["first_seen_unix_s"] == 30.0
    assert len({example["pair"] for example in field["examples"]}) == 3
    assert {example["path"] for example in field["examples"]} == {"/body/items/1/price"}
    assert (found["omitted"], field["folded"]) == (0, False)
    (hidden,) = (one for one in found["ignored"] if one["by"] == "tolerance")
    assert hidden["last_seen_unix_s"] - hidden["first_seen_unix_s"] == 30.0


def test_pairs_are_paged_and_filtered(house: House, make_exchange: Make) -> None:
    for number in range(7):
        body = b'{"a":2}' if number % 2 else b'{"a":1}'
        house.take(make_exchange("primary", f"p{number}"), make_exchange("shadow", f"p{number}", body=body))
    house.settle()

    pages, cursor = [], None
    while True:
        page = house.store.read(page_of_pairs, PairFilter(limit=3, cursor=cursor))
        pages.append([pair["pair_id"] for pair in page["pairs"]])
        if (cursor := page["next"]) is None:
            break
    assert pages == [["p6", "p5", "p4"], ["p3", "p2", "p1"], ["p0"]]
    assert {pair["pair_id"] for pair in house.pairs(result="different")} == {"p1", "p3", "p5"}
    assert len(house.pairs(path="/body/a", kind="changed_value")) == 3
    assert house.pairs(path="/body/b") == []
    assert [pair["pair_id"] for pair in house.pairs(pair_id="p4")] == ["p4"]


def test_new_rules_hold_for_new_comparisons(house: House, make_exchange: Make) -> None:
    rules = Rules((IgnoreRule("/body/a", reason="a clock"), IgnoreRule("/headers/**", reason="all of them")))
    for number in range(2):
        house.take(
            make_exchange("primary", f"p{number}"), make_exchange("shadow", f"p{number}", body=b'{"a":2}')
        )
        house.settle()
        house.store.write(put_rules, rules, now_s=1.0)

    found = house.summary()
    assert (found["totals"]["different"], found["totals"]["matched"]) == (1, 1)
    assert ("/body/a", "rule", "/body/a", "a clock", 1, 1) in {
        tuple(one[key] for key in ("path", "by", "name", "reason", "count", "pairs"))
        for one in found["ignored"]
    }
    assert house.store.read(current_rules) == rules
    assert house.rows()["rules"] == 1


def test_what_is_too_old_is_deleted_and_nothing_of_it_stays(house: House, make_exchange: Make) -> None:
    effect = Effect(kind="sql.insert", target="orders", summary="", digest="d", outcome=Outcome.SUPPRESSED)
    for number in range(5):
        house.take(
            make_exchange("primary", f"p{number}"),
            make_exchange("shadow", f"p{number}", body=b"[]", effects=[effect]),
        )
    house.settle()
    house.now_s += 10
    house.take(make_exchange("primary", "young", request={"route": "/young"}))
    house.settle()

    while house.store.write(sweep, before_s=house.now_s - 5, limit=3):
        pass
    house.store.write(prune_endpoints)

    left = {name: count for name, count in house.rows().items() if count}
    del left["rule_usage"]  # numbers only: they say how often a rule was of use
    assert left == {"exchanges": 1, "endpoints": 1, "pending": 1}


@pytest.mark.parametrize("by", ["row", "pair id"])
def test_a_pair_can_be_forgotten(house: House, make_exchange: Make, by: str) -> None:
    house.take(make_exchange(body=b"[1]"), make_exchange("shadow"), make_exchange("primary", "other"))
    house.settle()
    (pair,) = house.pairs()

    assert house.store.write(forget, pair["id"] if by == "row" else "p1") == (2, 1)

    left = house.rows()
    assert (left["exchanges"], left["pairs"], left["differences"], left["ignored"]) == (1, 0, 0, 0)
    assert house.store.write(forget, "p1") == (0, 0)


def test_suppressed_effects_are_counted_by_kind_and_target(house: House, make_exchange: Make) -> None:
    def effect(target: str) -> Effect:
        return Effect(kind="http.request", target=target, summary="", digest="d", outcome=Outcome.SUPPRESSED)

    house.take(make_exchange("shadow", effects=[effect("POST http://pay/1"), effect("POST http://pay/2")]))

    found = house.summary()
    assert found["completeness"]["effects_suppressed"] == 2
    (counted,) = found["effects"]
    assert (counted["side"], counted["outcome"], counted["count"]) == ("shadow", "suppressed", 2)
    assert (counted["kind"], counted["target"]) == ("http.request", "POST http://pay/{id}")


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("sqlite://", "needs a file"),
        ("sqlite:///:memory:", "needs a file"),
        ("sqlite:////no/such/folder/x.db", "folder /no/such/folder does not exist"),
        ("nonsense", "no database URL"),
    ],
)
def test_a_store_that_cannot_be_is_refused_by_name(url: str, says: str) -> None:
    with pytest.raises(SettingsError, match="MIRRORPROOF_STORE") as caught:
        Store(url)
    assert says in str(caught.value)
