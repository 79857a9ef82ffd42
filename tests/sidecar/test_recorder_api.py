"""The HTTP contract, on a real socket."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import create_engine, make_url, text

from mirrorproof.decision import Role
from mirrorproof.exchange import Batch, Exchange, Response, SourceReport, encode_batch
from mirrorproof_sidecar.compare import DEFAULT_RULES

Make = Callable[..., Exchange]
JSON = {"Content-Type": "application/json"}


def as_json(*exchanges: Exchange) -> list[Any]:
    plain: list[Any] = msgspec.to_builtins(list(exchanges))
    return plain


async def test_a_batch_is_taken_and_taken_again_changes_nothing(client: Any, make_exchange: Make) -> None:
    exchanges = [make_exchange(), make_exchange("shadow")]

    assert await client.post(*exchanges) == {"accepted": 2, "duplicates": 0}
    assert await client.post(*exchanges) == {"accepted": 0, "duplicates": 2}

    summary = await client.summary()
    assert summary["totals"]["pairs"] == 1
    assert summary["completeness"]["duplicates"] == 2


async def test_json_and_gzip_are_taken(client: Any, make_exchange: Make) -> None:
    body = json.dumps(as_json(make_exchange())).encode()

    assert (await client.ask("POST", "/v1/exchanges", 202, data=body, headers=JSON))["accepted"] == 1
    packed = {**JSON, "Content-Encoding": "gzip"}
    answer = await client.ask("POST", "/v1/exchanges", 202, data=gzip.compress(body), headers=packed)
    assert answer == {"accepted": 0, "duplicates": 1}


async def test_the_report_of_a_source_reaches_the_summary(client: Any) -> None:
    report = SourceReport(
        source_id="s", service="orders", version="v2", role=Role.SHADOW,
        counters={"seen": 9, "captured": 8, "dropped_queue_full": 1, "unmarked": 2, "refused_malformed": 3},
    )  # fmt: skip
    await client.post(batch=Batch(source=report))

    held = (await client.summary())["completeness"]
    assert (held["seen"], held["captured"]) == ({"shadow": 9}, {"shadow": 8})
    assert held["dropped"] == {"queue_full": 1, "unsent": 0, "rejected": 0}
    assert (held["unmarked"], held["refused"]) == (2, {"malformed": 3, "untrusted": 0})


async def test_a_bad_item_is_named_and_nothing_of_its_batch_is_taken(
    client: Any, make_exchange: Make
) -> None:
    good, bad, worse = as_json(make_exchange(), make_exchange(), make_exchange())
    bad["request"]["path"] = 5
    del worse["request"]["method"]

    answer = await client.ask("POST", "/v1/exchanges", 400, json=[good, bad])
    assert (answer["index"], answer["field"]) == (1, "request.path")
    answer = await client.ask("POST", "/v1/exchanges", 400, json=[good, good, worse])
    assert (answer["index"], answer["field"]) == (2, "request.method")

    assert sum((await client.summary())["completeness"]["recorded"].values()) == 0


@pytest.mark.parametrize(
    ("body", "headers", "status", "says"),
    [
        (b"", JSON, 400, "no array"),
        (b"{", JSON, 400, "no array"),
        (b"[1]", JSON, 400, "exchange 0"),
        (b'"\\ud800"', JSON, 400, "no array"),
        (b"\xff\xfe", JSON, 400, "no array"),
        (b"[" * 100_000, JSON, 400, "no array"),
        (b'{"exchanges": [], "more": 1}', JSON, 400, "unknown field"),
        (b"[]", {"Content-Type": "text/plain"}, 400, "content type"),
        (b"[]", {**JSON, "Content-Encoding": "br"}, 415, "not taken"),
        (b"no gzip", {**JSON, "Content-Encoding": "gzip"}, 400, "no gzip"),
        (gzip.compress(b"[]", mtime=0)[:-9], {**JSON, "Content-Encoding": "gzip"}, 400, "too early"),
        (b"\xc1", {"Content-Type": "application/msgpack"}, 400, "no array"),
        (b"\xdd\xff\xff\xff\xff", {"Content-Type": "application/msgpack"}, 400, "no array"),
    ],
)
async def test_bad_bodies_are_refused_with_words(
    client: Any, body: bytes, headers: dict[str, str], status: int, says: str
) -> None:
    answer = await client.ask("POST", "/v1/exchanges", status, data=body, headers=headers)

    assert says in answer["error"]
    assert await client.get("/readyz") == {"status": "ready"}


async def test_deep_json_in_a_recorded_body_is_data(client: Any, make_exchange: Make) -> None:
    deep = b"[" * 100_000
    await client.post(make_exchange(body=deep), make_exchange("shadow", body=deep + b"1"))

    totals = (await client.summary())["totals"]
    assert totals["pairs"] == 1
    assert totals["matched"] == 0


async def test_what_is_too_large_is_413_packed_or_not(running: Any) -> None:
    bomb = gzip.compress(b"[" + b" " * 50_000_000 + b"]")
    async with running(max_post_bytes=200_000) as client:
        for data, more in ((b"[" + b" " * 200_001, {}), (bomb, {"Content-Encoding": "gzip"})):
            answer = await client.ask("POST", "/v1/exchanges", 413, data=data, headers={**JSON, **more})
            assert "MIRRORPROOF_MAX_POST_BYTES" in answer["error"]


async def test_a_full_backlog_is_429_until_it_is_settled(running: Any, make_exchange: Make) -> None:
    async with running(max_backlog=2) as client:
        await client.post(make_exchange("primary", "p1"), make_exchange("primary", "p2"))
        body = encode_batch(Batch(exchanges=[make_exchange("shadow", "p1")]))
        more = {"data": body, "headers": {"Content-Type": "application/msgpack"}}
        async with client.session.post("/v1/exchanges", **more) as response:
            assert response.status == 429
            assert int(response.headers["Retry-After"]) > 0
        await client.summary()
        assert (await client.ask("POST", "/v1/exchanges", 202, **more))["accepted"] == 1


async def test_settling_happens_by_itself(running: Any, make_exchange: Make, until: Any) -> None:
    async with running(settle_s=0.05) as client:
        await client.post(make_exchange(), make_exchange("shadow"))

        async def pairs() -> int:
            return int((await client.get("/v1/summary"))["totals"]["pairs"])

        assert await until(pairs) == 1


async def test_what_has_no_partner_is_waiting_then_unpaired(
    running: Any, make_exchange: Make, until: Any
) -> None:
    async with running() as client:
        await client.post(make_exchange())
        assert (await client.summary())["completeness"]["waiting"]["primary"] == 1
    async with running(expire_after_s=0.2, settle_s=0.0) as client:
        await client.post(make_exchange("primary", "p2"))

        async def expired() -> int:
            return int((await client.get("/v1/summary"))["completeness"]["unpaired"]["primary"])

        assert await until(expired)


async def test_pairs_are_listed_shown_and_forgotten(client: Any, make_exchange: Make) -> None:
    await client.post(
        make_exchange(body=b"\xff\0"), make_exchange("shadow", body=b"<script>alert(1)</script>")
    )
    await client.summary()

    listed = await client.get("/v1/pairs?result=different&limit=1")
    assert listed["next"] is None
    (pair,) = listed["pairs"]
    shown = await client.get(f"/v1/pairs/{pair['id']}")
    assert shown["primary_exchange"]["response"]["body_base64"] == "/wA="
    assert shown["shadow_exchange"]["response"]["body_text"] == "<script>alert(1)</script>"
    assert shown["found"][0]["path"] == "/body"

    deleted = await client.ask("DELETE", f"/v1/pairs/{pair['id']}")
    assert deleted == {"deleted": {"exchanges": 2, "pairs": 1}}
    assert "no pair" in (await client.get(f"/v1/pairs/{pair['id']}", 404))["error"]
    await client.ask("DELETE", f"/v1/pairs/{pair['id']}", 404)


async def test_a_compressed_body_is_shown_unpacked(client: Any, make_exchange: Make) -> None:
    packed = gzip.compress(b'{"a":1}')
    response = Response(status=200, headers=[("content-encoding", "gzip")], body=packed)
    await client.post(make_exchange(response=response), make_exchange("shadow"))
    await client.summary()

    (pair,) = (await client.get("/v1/pairs"))["pairs"]
    shown = await client.get(f"/v1/pairs/{pair['id']}")
    assert shown["primary_exchange"]["response"]["body_text"] == '{"a":1}'


async def test_while_the_store_is_gone_answers_say_so(
    running: Any, fresh_postgres: str, make_exchange: Make
) -> None:
    server = make_url(fresh_postgres).set(database="postgres")
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    async with running(store=fresh_postgres) as client:
        name = make_url(fresh_postgres).database
        with engine.connect() as connection:
            connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))
        posted = await client.ask("POST", "/v1/exchanges", 503, json=as_json(make_exchange()))
        assert "store" in posted["error"]
        await client.get("/readyz", 503)
        await client.get("/healthz", 200)
        with engine.connect() as connection:
            connection.execute(text(f'CREATE DATABASE "{name}"'))
    engine.dispose()


async def test_fields_of_an_endpoint_are_found_by_its_id(client: Any, make_exchange: Make) -> None:
    await client.post(make_exchange(), make_exchange("shadow", body=b'{"a":"1"}'))
    (endpoint,) = (await client.summary())["endpoints"]

    found = await client.get(f"/v1/endpoints/{endpoint['id']}/fields")
    (field,) = found["fields"]
    assert (field["path"], field["kind"], field["noise_share"]) == ("/body/a", "changed_type", None)
    assert (field["example"]["primary"], field["example"]["shadow"]) == (1, "1")
    await client.get("/v1/endpoints/none/fields", 404)


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("limit=0", "limit"), ("limit=9999", "limit"), ("limit=x", "limit"), ("limit=²", "limit"),
        ("cursor=x", "cursor"), ("result=good", "one of matched, different, incomparable"),
        ("against=me", "one of shadow, control"),
        ("kind=xx", "one of status, header, body, missing"), ("kind=", "kind"), ("nope=1", "nope"),
    ],
)  # fmt: skip
async def test_a_bad_parameter_is_named(client: Any, query: str, names: str) -> None:
    assert names in (await client.get(f"/v1/pairs?{query}", 400))["error"]


async def test_rules_are_read_checked_and_replaced(client: Any, make_exchange: Make) -> None:
    assert await client.get("/v1/rules") == json.loads(DEFAULT_RULES.to_json())
    for bad, names in (
        ({"ignored": []}, "ignored"),
        ({"ignore": [{"path": "body"}]}, "path"),
        ({"ignore": [{"path": "/body/a", "why": ""}]}, "why"),
    ):
        assert names in (await client.ask("PUT", "/v1/rules", 400, json=bad))["error"]
    await client.ask("PUT", "/v1/rules", 400, data=b"{")

    assert "defaults" in (await client.ask("PUT", "/v1/rules?defaults=x", 400, json={}))["error"]

    own = {"path": "/body/a", "reason": "a clock"}
    effective = {"ignore": [*DEFAULT_RULES.to_dict()["ignore"], own]}
    assert await client.ask("PUT", "/v1/rules", json={"ignore": [own]}) == effective
    await client.post(make_exchange(), make_exchange("shadow", body=b'{"a":2}'))
    assert (await client.summary())["totals"]["matched"] == 1
    assert await client.get("/v1/rules") == effective
    assert await client.ask("PUT", "/v1/rules", json=effective) == effective


async def test_rules_that_were_never_of_use_are_reported(client: Any, make_exchange: Make) -> None:
    rules = {
        "ignore": [{"path": "/body/a"}, {"path": "/body/nowhere"}],
        "order": [{"path": "/body/items", "as": "set"}],
    }
    await client.ask("PUT", "/v1/rules?defaults=0", json=rules)
    for number in range(3):
        one, other = (b'{"a":%d,"items":[%s]}' % (n, items) for n, items in ((1, b"1,2"), (number, b"2,1")))
        await client.post(
            make_exchange("primary", f"p{number}", body=one),
            make_exchange("shadow", f"p{number}", body=other),
        )
        await client.summary()

    found = await client.get("/v1/rules?usage=1")
    assert found["compared"] == 3
    assert [(rule["sort"], rule["path"], rule["pairs"]) for rule in found["rules"]] == [
        ("ignore", "/body/a", 2), ("ignore", "/body/nowhere", 0), ("order", "/body/items", 3),
    ]  # fmt: skip
    assert found["unused"] == [{"sort": "ignore", "pairs": 0, "path": "/body/nowhere"}]

    await client.ask("PUT", "/v1/rules?defaults=0", json={"ignore": [{"path": "/body/a"}]})
    again = await client.get("/v1/rules?usage=1")
    assert (again["compared"], [rule["pairs"] for rule in again["rules"]]) == (0, [0])
    assert "usage" in (await client.get("/v1/rules?use=1", 400))["error"]


async def test_the_default_rules_go_only_when_that_is_asked_for(client: Any, make_exchange: Make) -> None:
    rules = {"ignore": [{"path": "/body/a"}]}
    assert await client.ask("PUT", "/v1/rules?defaults=0", json=rules) == rules

    await client.post(make_exchange(), make_exchange("shadow"))
    assert [one["path"] for one in (await client.summary())["differences"]] == ["/headers/date"]
    assert await client.get("/v1/rules") == rules
    assert await client.ask("PUT", "/v1/rules", json={}) == json.loads(DEFAULT_RULES.to_json())


async def test_pairs_of_an_endpoint_are_found_by_its_id_and_by_its_name(
    client: Any, make_exchange: Make
) -> None:
    await client.post(make_exchange(), make_exchange("shadow"))
    (endpoint,) = (await client.summary())["endpoints"]

    for named, pairs in (
        (endpoint["id"], 1), ("GET /orders/{id}", 1), ("get /orders/{id}", 1),
        ("POST /orders/{id}", 0), ("GET /orders", 0), ("none", 0),
    ):  # fmt: skip
        found = await client.get("/v1/pairs", params={"endpoint": named})
        assert len(found["pairs"]) == pairs, named


async def test_a_file_of_rules_holds_from_the_start(running: Any, tmp_path: Any) -> None:
    (tmp_path / "rules.toml").write_text('[[ignore]]\npath = "/body/now"\nreason = "a clock"\n')

    async with running(rules=str(tmp_path / "rules.toml")) as client:
        rules = (await client.get("/v1/rules"))["ignore"]
        assert rules[-1] == {"path": "/body/now", "reason": "a clock"}
        assert len(rules) == len(DEFAULT_RULES.ignore) + 1


async def test_metrics_count_what_was_compared(client: Any, make_exchange: Make) -> None:
    await client.post(make_exchange(), make_exchange("shadow", status=500))
    await client.summary()

    async with client.session.get("/metrics") as response:
        exposed = await response.text()
        assert response.headers["Content-Type"].startswith("text/plain")
    samples = {
        (sample.name, *(sample.labels.get(name) for name in ("route", "side", "result"))): sample.value
        for family in text_string_to_metric_families(exposed)
        for sample in family.samples
    }
    assert samples["mirrorproof_pairs_total", "/orders/{id}", None, "different"] == 1
    assert samples["mirrorproof_failures_total", "/orders/{id}", "shadow", None] == 1
    assert samples["mirrorproof_exchanges_total", None, "primary", None] == 1
    assert samples["mirrorproof_backlog", None, None, None] == 0


async def test_answers_say_how_a_browser_has_to_take_them(client: Any) -> None:
    for path in ("/v1/summary", "/nothing", "/healthz"):
        async with client.session.get(path) as response:
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert "default-src 'none'" in response.headers["Content-Security-Policy"]
            assert response.content_type == "application/json"


async def test_unknown_calls_are_json_errors(client: Any) -> None:
    error = (await client.get("/v1/nothing", 404))["error"]
    assert "/v1/summary" in error
    assert "docs/http-api.md" in error
    assert "error" in await client.ask("DELETE", "/v1/pairs", 405)


async def test_with_tokens_each_may_do_its_own(running: Any, make_exchange: Make) -> None:
    async with running(token="all", read_token="read") as client:
        body = {"json": as_json(make_exchange())}
        for token, post, get in (
            (None, 401, 401),
            ("wrong", 401, 401),
            ("read", 403, 200),
            ("all", 202, 200),
        ):
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            assert (
                "error" in await client.ask("POST", "/v1/exchanges", post, headers=headers, **body)
                or post == 202
            )
            await client.ask("GET", "/v1/summary", get, headers=headers)
        assert await client.get("/healthz") == {"status": "ok"}
        assert await client.get("/readyz") == {"status": "ready"}


async def test_a_denial_is_logged_once_for_each_peer_and_reason(
    running: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(token="all") as client:
        for token in ("wrong", "wrong again", "all"):
            body = {"json": [], "headers": {"Authorization": f"Bearer {token}"}}
            await client.ask("POST", "/v1/exchanges", 202 if token == "all" else 401, **body)
        for _ in range(2):
            await client.get("/v1/summary", 401)

    told = [record.getMessage() for record in caplog.records if "was answered 401" in record.getMessage()]
    assert len(told) == 2
    assert told[0].startswith("127.0.0.1 was answered 401: the token is not the one")
    assert "a token is needed" in told[1]
    assert "wrong" not in "".join(told)


async def test_without_a_token_web_pages_cannot_reach_it(client: Any) -> None:
    await client.get("/v1/summary", 403, headers={"Host": "attacker.example:9600"})
    await client.get("/v1/summary", 403, headers={"Origin": "https://attacker.example"})
    await client.get("/v1/summary", 403, headers={"Origin": "null"})
    await client.get(
        "/v1/summary", 200, headers={"Host": "localhost:9600", "Origin": "http://localhost:3000"}
    )
