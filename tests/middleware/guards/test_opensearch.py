"""The OpenSearch guard, where the matrix cannot say it: rules, and errors in the client's own types."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from clients.search_peer import SearchPeer
from opensearchpy import ConflictError, OpenSearch, TransportError

from mirrorproof import Settings
from mirrorproof.context import MirrorContext, entered
from mirrorproof.decision import Decision, Mode
from mirrorproof.exchange import Outcome


@pytest.fixture
def client(search_peer: SearchPeer) -> Iterator[OpenSearch]:
    with OpenSearch(search_peer.url) as opened:
        yield opened


def mirrored(*rules: dict[str, Any], mode: Mode = Mode.DRY_RUN) -> MirrorContext:
    settings = Settings.load(env={}, role="mixed", mesh_domains=("127.0.0.1",), effect_rules=rules)
    return MirrorContext(Decision(mode), settings=settings, pair_id="pair-1")


def test_a_search_goes_to_the_mesh_with_the_mark_however_its_body_travels(search_peer: SearchPeer) -> None:
    with OpenSearch(search_peer.url, send_get_body_as="POST") as client, entered(mirrored()) as context:
        client.transport.perform_request("GET", "/orders/_search", body={"query": {"match_all": {}}})
    assert (search_peer.seen[-1], search_peer.headers[-1]["x-istio-mirror"]) == (
        ("POST", "/orders/_search"),
        "true",
    )
    assert list(context.ledger) == []


def test_a_rule_gives_the_answer(client: OpenSearch) -> None:
    with entered(mirrored({"kind": "search.index", "returns": {"_id": "canned"}})):
        assert client.index(index="orders", body={}) == {"_id": "canned"}


CONFLICT = {"host": "127.0.0.1", "answer": {"status": 409, "body": '{"error": {"type": "version_conflict"}}'}}


def test_a_rule_gives_an_error_that_the_client_raises_as_its_own(client: OpenSearch) -> None:
    with entered(mirrored(CONFLICT)), pytest.raises(ConflictError, match="version_conflict"):
        client.create(index="orders", id="7", body={})
    with (
        entered(mirrored(CONFLICT | {"answer": {"status": 503, "body": "no"}})),
        pytest.raises(TransportError),
    ):
        client.create(index="orders", id="7", body={})


def test_an_error_that_the_client_was_told_to_ignore_is_returned(client: OpenSearch) -> None:
    with entered(mirrored(CONFLICT)):
        answer = client.create(index="orders", id="7", body={}, params={"ignore": 409})
    assert answer["error"]["type"] == "version_conflict"


def test_what_the_server_refuses_in_a_live_request_did_not_happen(client: OpenSearch) -> None:
    with entered(mirrored(mode=Mode.LIVE)) as context:
        answer = client.delete(index="orders", id="nothing", params={"ignore": 404})
    assert answer["result"] == "not_found"
    assert list(context.ledger) == []


def test_a_delete_by_query_of_an_index_that_is_not_there_finds_nothing(client: OpenSearch) -> None:
    with entered(mirrored()):
        assert client.delete_by_query(index="nothing", body={"query": {}})["deleted"] == 0


def test_a_scroll_is_the_requests_own_from_its_first_page_to_its_end(
    search_peer: SearchPeer, client: OpenSearch
) -> None:
    with entered(mirrored()) as context:
        cursor = client.search(index="orders", params={"scroll": "1m"})["_scroll_id"]
        client.scroll(body={"scroll_id": cursor})
        client.clear_scroll(body={"scroll_id": [cursor]})
        client.clear_scroll(body={"scroll_id": ["v1"]})
    assert set(search_peer.cursors) == {"v1"}
    assert [(effect.kind, effect.outcome) for effect in context.ledger] == [
        ("search.cursor", Outcome.SUPPRESSED)
    ]


@pytest.mark.parametrize("hosts", [["127.0.0.1"], [{"host": "127.0.0.1", "port": 1}], "http://127.0.0.1:1"])
def test_rules_know_the_host_however_it_was_given(search_peer: SearchPeer, hosts: Any) -> None:
    canned = {"host": "127.0.0.1", "returns": "canned"}
    with OpenSearch(hosts, max_retries=0) as client, entered(mirrored(canned)):
        assert client.index(index="orders", body={}) == "canned"
