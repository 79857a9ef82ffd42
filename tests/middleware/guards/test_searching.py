"""Calls of Elasticsearch and OpenSearch: which read, which write, what a write is called and answered."""

from __future__ import annotations

from typing import Any

import pytest

from mirrorproof.guards.search_answers import answer_of, count_of
from mirrorproof.guards.searching import SearchRequest, bulk_actions, opened_by, request_of, write_of


def request(line: str, body: Any = None) -> SearchRequest:
    method, _, target = line.partition(" ")
    return request_of(method, target, None, body, "search")


def kind(line: str, body: Any = None, own: tuple[str, ...] = ()) -> str | None:
    write = write_of(request(line, body), own)
    return None if write is None else write.kind


@pytest.mark.parametrize("line", [
    "GET /", "HEAD /", "GET /_cat/indices", "GET /orders", "HEAD /orders/_doc/7", "GET /orders/_doc/7",
    "POST /_search", "POST /orders/_search", "POST /orders,bills/_search?scroll=1m", "POST /_all/_search",
    "POST /orders/_count", "POST /_mget", "POST /_msearch", "POST /orders/_msearch/template",
    "POST /orders/_explain/7", "POST /orders/_explain/a%2Fb", "POST /orders/_validate/query",
    "POST /_analyze", "POST /_search/template", "POST /_render/template/mine", "POST /_sql",
    "POST /_eql/search", "POST /orders/_eql/search", "POST /orders/_pit?keep_alive=1m", "POST /_rank_eval",
    "POST /orders/_search/point_in_time", "POST /orders/_termvectors/7", "POST /_mtermvectors",
    "POST /orders/_search_shards", "POST /orders/_async_search", "POST /_query", "POST /_query/async",
    "POST /orders/_field_caps", "POST /%3Corders-%7Bnow%2Fd%7D%3E/_search", "POST /orders/_mvt/place/1/2/3",
    "POST /_ingest/pipeline/_simulate", "POST /_plugins/_ppl",
])  # fmt: skip
def test_what_reads_is_a_read(line: str) -> None:
    assert kind(line) is None


@pytest.mark.parametrize(("line", "expected"), [
    ("POST /orders/_doc", "search.index"), ("PUT /orders/_doc/7", "search.index"),
    ("PUT /orders/_create/7", "search.index"), ("POST /orders/_update/7", "search.update"),
    ("DELETE /orders/_doc/7", "search.delete"), ("POST /orders/_delete_by_query", "search.delete"),
    ("POST /orders/_update_by_query", "search.update"), ("POST /_reindex", "search.index"),
    ("PUT /orders", "search.manage"), ("DELETE /orders", "search.manage"),
    ("PUT /orders/_settings", "search.manage"), ("POST /_aliases", "search.manage"),
    ("PUT /_cluster/settings", "search.manage"), ("POST /_security/api_key", "search.manage"),
    ("POST /orders/_refresh", "search.refresh"), ("GET /orders/_refresh", "search.refresh"),
    ("POST /_flush", "search.refresh"), ("POST /anything/else", "search.manage"),
])  # fmt: skip
def test_what_writes_is_a_write(line: str, expected: str) -> None:
    assert kind(line) == expected


@pytest.mark.parametrize("line", [
    "POST /orders/_doc/_search", "PUT /orders/_doc/_count", "POST /orders/_create/_search",
    "POST /orders/_update/_search", "PUT /_ingest/pipeline/_simulate", "PUT /orders/_search",
    "POST /_doc/_search", "POST /orders/_doc/scroll", "POST /orders/%5Fsearch", "POST /orders//_search",
    "POST /orders/_search/../_doc/7", "POST /orders/_explain/..", "POST /orders/_explain/%2e%2e",
    "PATCH /orders/_search", "DELETE /orders/_search",
])  # fmt: skip
def test_what_only_looks_like_a_search_is_a_write(line: str) -> None:
    assert kind(line) is not None


def test_a_document_by_the_name_of_a_search_is_indexed() -> None:
    write = write_of(request("POST /orders/_doc/_search", {"total": 1}))
    assert write is not None
    assert (write.kind, write.target) == ("search.index", "orders/_search")
    assert answer_of(request("PUT /orders/_doc/scroll", {}))[1]["result"] == "created"


@pytest.mark.parametrize(("statement", "reads"), [
    ("SELECT * FROM orders", True), ("  select 1", True), ("SHOW TABLES LIKE %", True),
    ("DELETE FROM orders", False), ("", False),
])  # fmt: skip
def test_a_statement_of_opensearchs_sql_is_looked_into(statement: str, reads: bool) -> None:
    assert (kind("POST /_plugins/_sql", {"query": statement}) is None) is reads


@pytest.mark.parametrize(("line", "body"), [
    ("POST /_search/scroll", {"scroll_id": "one"}), ("GET /_search/scroll", {"scroll_id": "one"}),
    ("GET /_search/scroll/one", None), ("POST /_search/scroll?scroll_id=one", None),
    ("DELETE /_search/scroll", {"scroll_id": ["one"]}), ("DELETE /_search/scroll/one", None),
    ("DELETE /_pit", {"id": "one"}), ("DELETE /_search/point_in_time", {"pit_id": ["one"]}),
    ("DELETE /_async_search/one", None), ("DELETE /_eql/search/one", None),
    ("DELETE /_query/async/one", None), ("POST /_query/async/one/stop", None),
    ("POST /_sql/close", {"cursor": "one"}), ("DELETE /_sql/async/delete/one", None),
])  # fmt: skip
def test_a_cursor_is_moved_and_closed_freely_by_who_opened_it_only(line: str, body: Any) -> None:
    assert kind(line, body, own=("one",)) is None
    assert kind(line, body, own=("another",)) == "search.cursor"


@pytest.mark.parametrize(("line", "body"), [
    ("DELETE /_search/scroll", {"scroll_id": ["one", "another"]}), ("DELETE /_search/scroll/_all", None),
    ("DELETE /_search/point_in_time/_all", None), ("DELETE /_search/scroll", None),
])  # fmt: skip
def test_other_cursors_are_not_closed_along_with_ones_own(line: str, body: Any) -> None:
    assert kind(line, body, own=("one",)) == "search.cursor"


@pytest.mark.parametrize(("line", "body", "answer", "opened"), [
    ("POST /orders/_search?scroll=1m", {}, {"_scroll_id": "new"}, {"new"}),
    ("POST /_search/scroll", {"scroll_id": "one"}, {"_scroll_id": "new"}, {"new"}),
    ("POST /_search/scroll", {"scroll_id": "theirs"}, {"_scroll_id": "new"}, set()),
    ("POST /orders/_pit", None, {"id": "new"}, {"new"}),
    ("POST /_search", {"pit": {"id": "theirs"}}, {"pit_id": "theirs"}, set()),
    ("POST /_search/template", {"id": "a template"}, {"_scroll_id": "new"}, {"new"}),
    ("GET /_async_search/theirs", None, {"id": "theirs"}, set()),
])  # fmt: skip
def test_a_cursor_is_ones_own_if_one_opened_it(line: str, body: Any, answer: Any, opened: set[str]) -> None:
    assert opened_by(request(line, body), answer, ["one"]) == opened


LINES = [{"index": {"_id": "7", "routing": "a"}}, {"total": 1.5}, {"delete": {"_index": "bills", "_id": 8}}]
TEXT = '{"index": {"_id": "7", "routing": "a"}}\n{"total": 1.5}\n{"delete": {"_index": "bills", "_id": 8}}\n'


@pytest.mark.parametrize("body", [LINES, TEXT, TEXT.encode(), TEXT.split("\n"), tuple(LINES)])
def test_a_bulk_request_is_the_same_in_whatever_form_it_comes(body: Any) -> None:
    asked = request("POST /orders/_bulk", body)
    write = write_of(asked)
    assert write is not None
    assert (write.kind, write.target) == ("search.bulk", "bills, orders")
    assert write.digest == write_of(request("POST /orders/_bulk", LINES)).digest  # type: ignore[union-attr]
    status, answer = answer_of(asked)
    assert (status, answer["errors"]) == (200, False)
    assert [
        (name, item["_index"], item["_id"], item["status"])
        for each in answer["items"] for name, item in each.items()
    ] == [("index", "orders", "7", 201), ("delete", "bills", "8", 200)]  # fmt: skip


@pytest.mark.parametrize("body", [None, 7, "{", '{"drop": {}}', [{"index": {}, "delete": {}}], [7]])
def test_a_bulk_request_that_cannot_be_read_is_an_error(body: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        bulk_actions(request("POST /_bulk", body))


def test_a_line_separator_within_a_document_ends_no_line() -> None:
    body = '{"index": {}}\n{"text": "a\u2028b"}\n'
    assert bulk_actions(request("POST /orders/_bulk", body))[0].body == {"text": "a\u2028b"}


def test_equal_documents_have_equal_digests_and_others_do_not() -> None:
    def digest(line: str, body: Any) -> str:
        write = write_of(request(line, body))
        assert write is not None
        return write.digest

    one = digest("POST /orders/_doc", {"total": 1, "name": "a"})
    assert digest("POST /orders/_doc?refresh=true&timeout=1m", '{"name": "a", "total": 1}') == one
    assert digest("POST /orders/_doc", {"total": 2, "name": "a"}) != one
    assert digest("POST /orders/_doc?routing=b", {"total": 1, "name": "a"}) != one
    assert digest("POST /bills/_doc", {"total": 1, "name": "a"}) != one


def test_rules_can_name_host_method_and_path() -> None:
    write = write_of(request("PUT /orders/_doc/a%2Fb?routing=1", {}))
    assert write is not None
    assert (write.where.host, write.where.method, write.where.path) == ("search", "PUT", "/orders/_doc/a%2Fb")
    assert write.target == "orders/a/b"


def test_identifiers_that_the_server_would_make_differ() -> None:
    asked = request("POST /orders/_doc", {})
    assert answer_of(asked)[1]["_id"] != answer_of(asked)[1]["_id"]


def test_a_delete_by_query_is_counted_first_and_bounded() -> None:
    asked = request(
        "POST /orders/_delete_by_query?q=a&max_docs=2&refresh=true", {"query": {"term": {"a": 1}}}
    )
    count = count_of(asked)
    assert (count.method, count.path, count.query) == ("POST", "/orders/_count", {"q": "a"})
    assert count.body == {"query": {"term": {"a": 1}}}
    assert write_of(count) is None
    assert answer_of(asked, 7)[1]["deleted"] == 2
    later = request("POST /orders/_update_by_query?wait_for_completion=false")
    assert set(answer_of(later, 7)[1]) == {"task"}


def test_an_update_that_asks_for_the_document_gets_what_it_said_of_it() -> None:
    said = {"doc": {"total": 2}, "doc_as_upsert": True}
    assert answer_of(request("POST /orders/_update/7?_source=true", said))[1]["get"] == {
        "found": True, "_source": {"total": 2},
    }  # fmt: skip
    assert "get" not in answer_of(request("POST /orders/_update/7", said))[1]


@pytest.mark.parametrize(("line", "names"), [
    ("PUT /orders", {"acknowledged", "shards_acknowledged", "index"}), ("DELETE /orders", {"acknowledged"}),
    ("PUT /_ingest/pipeline/mine", {"acknowledged"}), ("POST /_refresh", {"_shards"}),
    ("POST /orders/_cache/clear", {"_shards"}), ("DELETE /_pit", {"acknowledged", "succeeded", "num_freed"}),
])  # fmt: skip
def test_administration_is_acknowledged(line: str, names: set[str]) -> None:
    status, answer = answer_of(request(line))
    assert (status, set(answer)) == (200, names)
