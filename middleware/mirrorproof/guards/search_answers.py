"""What a suppressed call of Elasticsearch or OpenSearch is answered, in the shape that the servers give.

Knows the servers' answers. Must not know their clients, nor when a call is suppressed.
"""

from __future__ import annotations

import secrets
from typing import Any, Final

from mirrorproof.guards.searching import BulkAction, SearchRequest, bulk_actions, is_on_cursor

__all__ = ["answer_of", "count_of", "is_by_query"]

_SHARDS: Final = {"total": 2, "successful": 1, "failed": 0}
_BY_QUERY: Final = {"_delete_by_query": "deleted", "_update_by_query": "updated"}
_RESULTS: Final = {
    "index": (201, "created", 1), "create": (201, "created", 1),
    "update": (200, "updated", 2), "delete": (200, "deleted", 2),
}  # fmt: skip
_OF_SHARDS: Final = frozenset({"_cache", "_flush", "_forcemerge", "_refresh"})
_COUNT_PARAMETERS: Final = (
    "q", "df", "analyzer", "analyze_wildcard", "default_operator", "lenient", "routing", "preference",
    "expand_wildcards", "ignore_unavailable", "allow_no_indices",
)  # fmt: skip


def is_by_query(request: SearchRequest) -> bool:
    """Whether the answer says how many documents a query found: what `count_of` asks for."""
    return request.index is not None and len(request.api) == 1 and request.api[0] in _BY_QUERY


def count_of(request: SearchRequest) -> SearchRequest:
    """The read that tells how many documents a delete or an update by query would reach."""
    body = request.loaded()
    query = {"query": body["query"]} if isinstance(body, dict) and "query" in body else None
    asked = {name: request.query[name] for name in _COUNT_PARAMETERS if name in request.query}
    path = request.path.rpartition("/")[0] + "/_count"
    return SearchRequest("POST", path, asked, query, request.host)


def answer_of(request: SearchRequest, count: int = 0) -> tuple[int, Any]:
    """Status and body. `count`: how many documents a call by query would reach."""
    name = request.api[0] if request.api else ""
    if request.index is not None and name in ("_doc", "_create", "_update"):
        return _document(request, request.index, name)
    if name == "_bulk":
        items = [{each.operation: _item(each)} for each in bulk_actions(request)]
        return 200, {"took": 0, "errors": False, "items": items}
    if name == "_reindex" or is_by_query(request):
        return 200, _by_query(request, count)
    return 200, _cursor(request) if is_on_cursor(request) else _managed(request, name)


def _managed(request: SearchRequest, name: str) -> dict[str, Any]:
    if name in _OF_SHARDS:
        return {"_shards": dict(_SHARDS)}
    if request.index is not None and not request.api and request.method == "PUT":
        return {"acknowledged": True, "shards_acknowledged": True, "index": request.index}
    return {"acknowledged": True}


def _document(request: SearchRequest, index: str, name: str) -> tuple[int, dict[str, Any]]:
    operation = "update" if name == "_update" else "delete" if request.method == "DELETE" else "index"
    status, answer = _done(operation, index, request.document)
    if request.query.get("refresh") in ("", "true"):
        answer["forced_refresh"] = True
    if operation == "update" and request.query.get("_source", "false") != "false":
        body = request.loaded()
        known = body.get("doc") or body.get("upsert") if isinstance(body, dict) else None
        answer["get"] = {"found": True, "_source": known or {}}  # as much as the call says of it
    return status, answer


def _item(action: BulkAction) -> dict[str, Any]:
    status, answer = _done(action.operation, action.index, action.document)
    return answer | {"status": status}


def _done(operation: str, index: str | None, document: str | None) -> tuple[int, dict[str, Any]]:
    status, result, version = _RESULTS[operation]
    return status, {
        "_index": index,
        "_id": secrets.token_urlsafe(15) if document is None else document,  # as long as a server's
        "_version": version,
        "result": result,
        "_shards": dict(_SHARDS),
        "_seq_no": 0,
        "_primary_term": 1,
    }


def _by_query(request: SearchRequest, count: int) -> dict[str, Any]:
    if request.query.get("wait_for_completion") == "false":
        return {"task": f"mirrorproof:{secrets.randbelow(1 << 31)}"}
    most = request.query.get("max_docs", "")
    count = min(count, int(most)) if most.isdigit() else count
    found = dict.fromkeys(("created", "updated", "deleted"), 0)
    if request.api[0] in _BY_QUERY:
        found[_BY_QUERY[request.api[0]]] = count
    return {
        "took": 0, "timed_out": False, "total": count, **found, "batches": int(count > 0),
        "version_conflicts": 0, "noops": 0, "retries": {"bulk": 0, "search": 0}, "throttled_millis": 0,
        "requests_per_second": -1.0, "throttled_until_millis": 0, "failures": [],
    }  # fmt: skip


def _cursor(request: SearchRequest) -> dict[str, Any]:
    if "scroll" not in request.api or request.method == "DELETE":
        return {"acknowledged": True, "succeeded": True, "num_freed": 1}
    body = request.loaded()
    named = body.get("scroll_id") if isinstance(body, dict) else body
    return {
        "_scroll_id": named or request.query.get("scroll_id") or request.api[-1],
        "took": 0,
        "timed_out": False,
        "_shards": {"total": 1, "successful": 1, "skipped": 0, "failed": 0},
        "hits": {"total": {"value": 0, "relation": "eq"}, "max_score": None, "hits": []},
    }
