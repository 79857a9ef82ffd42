"""The Elasticsearch guard, where the matrix cannot say it: rules, the mark, refusals by the server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from clients.search_peer import SearchPeer
from elasticsearch import ConflictError, Elasticsearch, NotFoundError

from mirrorproof import Settings
from mirrorproof.context import MirrorContext, entered
from mirrorproof.decision import Decision, Mode
from mirrorproof.errors import EffectRefusedError
from mirrorproof.exchange import Outcome


@pytest.fixture
def client(search_peer: SearchPeer) -> Iterator[Elasticsearch]:
    with Elasticsearch(search_peer.url, max_retries=0) as opened:
        yield opened


def mirrored(*rules: dict[str, Any], mode: Mode = Mode.DRY_RUN) -> MirrorContext:
    settings = Settings.load(env={}, role="mixed", mesh_domains=("127.0.0.1",), effect_rules=rules)
    return MirrorContext(Decision(mode), settings=settings, pair_id="pair-1")


def test_a_search_goes_to_the_mesh_with_the_mark(search_peer: SearchPeer, client: Elasticsearch) -> None:
    with entered(mirrored()):
        client.search(index="orders", query={"match_all": {}})
    assert (search_peer.seen[-1], search_peer.headers[-1]["x-istio-mirror"]) == (
        ("POST", "/orders/_search"),
        "true",
    )
    client.search(index="orders")
    assert "x-istio-mirror" not in search_peer.headers[-1]


def test_a_rule_gives_the_answer_as_a_body(client: Elasticsearch) -> None:
    with entered(mirrored({"kind": "search.index", "path": "/orders/*", "returns": {"_id": "canned"}})):
        answer = client.index(index="orders", document={})
        assert (answer["_id"], answer.meta.status) == ("canned", 200)
        assert client.index(index="bills", document={})["_id"] != "canned"


def test_a_rule_gives_the_answer_as_http_an_error_too(client: Elasticsearch) -> None:
    conflict = {"status": 409, "body": '{"error": {"type": "version_conflict"}}'}
    with (
        entered(mirrored({"host": "127.0.0.1", "method": "PUT", "answer": conflict})),
        pytest.raises(ConflictError, match="version_conflict"),
    ):
        client.create(index="orders", id="7", document={})


def test_a_rule_lets_a_write_happen(search_peer: SearchPeer, client: Elasticsearch) -> None:
    with entered(mirrored({"kind": "search.*", "target": "audit*", "action": "allow"})) as context:
        client.index(index="audit", document={"a": 1})
        client.index(index="orders", document={"a": 1})
    assert search_peer.changes == ["POST audit/_doc"]
    assert [effect.outcome for effect in context.ledger] == [Outcome.EXECUTED, Outcome.SUPPRESSED]


def test_a_rule_blocks_a_write(search_peer: SearchPeer, client: Elasticsearch) -> None:
    with entered(mirrored({"kind": "search.delete", "action": "block"})), pytest.raises(EffectRefusedError):
        client.delete_by_query(index="orders", query={"match_all": {}})
    assert search_peer.seen == []


def test_what_the_server_refuses_in_a_live_request_did_not_happen(client: Elasticsearch) -> None:
    with entered(mirrored(mode=Mode.LIVE)) as context, pytest.raises(NotFoundError):
        client.delete(index="orders", id="nothing")
    assert list(context.ledger) == []


def test_a_delete_by_query_of_an_index_that_is_not_there_finds_nothing(client: Elasticsearch) -> None:
    with entered(mirrored()):
        assert client.delete_by_query(index="nothing", query={"match_all": {}})["deleted"] == 0


def test_a_body_that_can_be_read_once_reaches_the_server_in_a_live_request(
    search_peer: SearchPeer, client: Elasticsearch
) -> None:
    lines = [{"index": {"_id": "7"}}, {"total": 1}]
    with entered(mirrored(mode=Mode.LIVE)) as context:
        answer = client.bulk(index="orders", operations=iter(lines))  # type: ignore[arg-type]
    assert [item["index"]["_id"] for item in answer["items"]] == ["7"]
    assert [(effect.kind, effect.outcome) for effect in context.ledger] == [("search.bulk", Outcome.EXECUTED)]


def test_a_bulk_request_that_cannot_be_read_is_refused_when_mirrored(
    search_peer: SearchPeer, client: Elasticsearch
) -> None:
    with entered(mirrored()), pytest.raises(EffectRefusedError):
        client.bulk(index="orders", operations="{")
    assert search_peer.seen == []


def test_a_scroll_is_the_requests_own_from_its_first_page_to_its_end(
    search_peer: SearchPeer, client: Elasticsearch
) -> None:
    with entered(mirrored()) as context:
        cursor = client.search(index="orders", scroll="1m")["_scroll_id"]
        client.scroll(scroll_id=cursor)
        client.clear_scroll(scroll_id=[cursor])
        client.clear_scroll(scroll_id="v1")
    assert set(search_peer.cursors) == {"v1"}
    assert [effect.kind for effect in context.ledger] == ["search.cursor"]


def test_what_a_process_that_is_not_observed_does_is_left_alone(client: Elasticsearch) -> None:
    settings = Settings.load(env={}, role="mixed", observe_effects=False)
    with entered(MirrorContext(Decision(Mode.LIVE), settings=settings)) as context:
        assert client.index(index="orders", document={})["result"] == "created"
    assert list(context.ledger) == []
