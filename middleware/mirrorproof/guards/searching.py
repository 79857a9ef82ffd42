"""What a call of Elasticsearch or OpenSearch is: a read or an effect, by its method and path.

A path is an index and an API, or an API alone: no index begins with an underscore. So a document whose
identifier is `_search` is no search. A POST that is not known to read is an effect. A cursor (of a scroll, a
point in time, a stored search) moves and closes for everybody who holds it, so only a request that opened it
does so freely: the one in a mirrored request may be v1's.

Pure. Knows the servers' APIs. Must not know their clients, nor when a call is suppressed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

import msgspec

from mirrorproof.guards.acting import Write
from mirrorproof.rulings import Where

__all__ = [
    "BulkAction",
    "SearchRequest",
    "bulk_actions",
    "is_on_cursor",
    "opened_by",
    "request_of",
    "write_of",
]

_READING_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_FRESHENING: Final = frozenset({"_flush", "_refresh"})  # by GET as well
_READS: Final = frozenset(tuple(path.split("/")) for path in (
    "_analyze", "_async_search", "_count", "_eql/search", "_explain/*", "_field_caps", "_graph/explore",
    "_index_template/_simulate", "_index_template/_simulate/*", "_index_template/_simulate_index/*",
    "_ingest/_simulate", "_ingest/pipeline/*/_simulate", "_ingest/pipeline/_simulate", "_knn_search",
    "_mget", "_ml/trained_models/*/_infer", "_msearch", "_msearch/template", "_mtermvectors", "_mvt/*/*/*/*",
    "_pit", "_query", "_query/async", "_rank_eval", "_render/template", "_render/template/*",
    "_rollup_search", "_scripts/painless/_execute", "_search", "_search/point_in_time", "_search/template",
    "_search_shards", "_security/_query/api_key", "_security/_query/role", "_security/_query/user",
    "_security/profile/_suggest", "_security/user/*/_has_privileges", "_security/user/_has_privileges",
    "_sql", "_sql/translate", "_terms_enum", "_termvectors", "_termvectors/*", "_validate/query",
    "_application/search_application/*/_search", "_application/search_application/*/_render_query",
    "_plugins/_asynchronous_search", "_plugins/_knn/models/_search", "_plugins/_ppl",
    "_plugins/_ppl/_explain", "_plugins/_sql", "_plugins/_sql/_explain",
))  # fmt: skip
_OPENING: Final = frozenset(tuple(path.split("/")) for path in (
    "_async_search", "_eql/search", "_pit", "_plugins/_asynchronous_search", "_plugins/_sql", "_query/async",
    "_search", "_search/point_in_time", "_search/scroll", "_search/scroll/*", "_search/template", "_sql",
))  # fmt: skip
_MOVING: Final = frozenset({("_search", "scroll"), ("_search", "scroll", "*")})
_CLOSING: Final = frozenset(tuple(path.split("/")) for path in (
    "DELETE/_async_search/*", "DELETE/_eql/search/*", "DELETE/_pit", "DELETE/_query/async/*",
    "DELETE/_plugins/_asynchronous_search/*", "DELETE/_search/point_in_time", "DELETE/_search/scroll",
    "DELETE/_search/point_in_time/_all", "DELETE/_search/scroll/*", "DELETE/_sql/async/delete/*",
    "POST/_plugins/_sql/close", "POST/_query/async/*/stop", "POST/_sql/close",
))  # fmt: skip
_CURSOR_NAMES: Final = ("_scroll_id", "scroll_id", "pit_id", "cursor", "id")
_SQL_READS: Final = frozenset({"SELECT", "SHOW", "DESCRIBE", "DESC", "EXPLAIN", "WITH"})
_OPTIONS: Final = ("op_type", "pipeline", "routing")
_BY_QUERY: Final = {"_delete_by_query": "search.delete", "_update_by_query": "search.update"}
_BULK_OPERATIONS: Final = frozenset({"index", "create", "update", "delete"})


@dataclass(frozen=True)
class SearchRequest:
    """One call. `path` is as it is sent, `query` its parameters as text."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    host: str | None = None

    @cached_property
    def index(self) -> str | None:
        """The index, or several, that the path begins with."""
        first = self._segments[0]
        return unquote(first) if not first.startswith("_") or first == "_all" else None

    @cached_property
    def api(self) -> tuple[str, ...]:
        """What the path says after the index, as it is sent."""
        return self._segments if self.index is None else self._segments[1:]

    @property
    def document(self) -> str | None:
        """The identifier of the document that is written."""
        return unquote(self.api[1]) if len(self.api) == 2 and self.api[1] else None

    @cached_property
    def _segments(self) -> tuple[str, ...]:
        return tuple(self.path.strip("/").split("/"))

    def loaded(self) -> Any:
        """The body, of JSON that is text already what it says."""
        return _loaded(self.body)


@dataclass(frozen=True, slots=True)
class BulkAction:
    """One action of a bulk request."""

    operation: str
    index: str | None
    document: str | None
    body: Any
    options: dict[str, Any]


def request_of(
    method: str, target: str, params: Mapping[str, Any] | None, body: Any, host: str | None
) -> SearchRequest:
    """A request from what the clients' transports are given."""
    path, _, query = target.partition("?")
    said = dict(parse_qsl(query, keep_blank_values=True))
    said |= {name: _text(value) for name, value in (params or {}).items()}
    return SearchRequest(method.upper(), path, said, body, host)


def write_of(request: SearchRequest, own: Iterable[str] = ()) -> Write | None:
    """What a call would change; `None` for a read. `own`: the cursors that the caller opened itself."""
    api = request.api
    if is_on_cursor(request):
        named = _cursors_named(request)
        return None if named and named <= set(own) else _effect(request, "search.cursor", "/".join(api[:2]))
    if request.method in _READING_METHODS and not _FRESHENING & set(api[:1]):
        return None
    if request.method == "POST" and _fits(api, _READS) and _asks(request):
        return None
    return _written(request, api)


def opened_by(request: SearchRequest, answer: Any, own: Iterable[str]) -> set[str]:
    """The cursors that an answer hands out, and nobody else holds."""
    if not isinstance(answer, Mapping):
        return set()
    handed = {value for name in _CURSOR_NAMES if isinstance(value := answer.get(name), str)}
    if not handed or not _fits(request.api, _OPENING):
        return set()
    body = request.loaded()
    held = [body.get("pit"), body.get("cursor")] if isinstance(body, Mapping) else []
    named = _cursors_named(request) if is_on_cursor(request) else _texts(held)
    return handed if named <= set(own) else set()


def bulk_actions(request: SearchRequest) -> list[BulkAction]:
    """What a bulk request consists of. Raises `ValueError` for a body that is none."""
    lines = iter(_lines(request.body))
    actions = []
    for head in lines:
        if not isinstance(head, Mapping) or len(head) != 1:
            raise ValueError("a bulk request's action has one name")
        [(operation, meta)] = head.items()
        if operation not in _BULK_OPERATIONS or not isinstance(meta, Mapping):
            raise ValueError(f"a bulk request has no action {operation!r}")
        body = None if operation == "delete" else next(lines, None)
        index, document = meta.get("_index", request.index), meta.get("_id")
        document = None if document is None else str(document)
        options = {name: meta[name] for name in _OPTIONS if name in meta}
        actions.append(BulkAction(operation, index, document, body, options))
    return actions


def is_on_cursor(request: SearchRequest) -> bool:
    """Whether a call moves or closes a cursor."""
    return _fits(request.api, _MOVING) or _fits((request.method, *request.api), _CLOSING)


def _cursors_named(request: SearchRequest) -> set[str]:
    """The cursors that a call moves or closes."""
    in_path = _match(request.api, _MOVING) or _match((request.method, *request.api), _CLOSING) or ()
    body = request.loaded()
    return {
        *in_path,
        *(request.query[name] for name in _CURSOR_NAMES if name in request.query),
        *_texts(body),
    }


def _texts(value: Any) -> set[str]:
    """A cursor, several, or what names them."""
    if isinstance(value, str):
        return {value}
    if isinstance(value, Mapping):
        return {text for name in _CURSOR_NAMES for text in _texts(value.get(name))}
    return {text for each in value for text in _texts(each)} if isinstance(value, (list, tuple)) else set()


def _fits(path: tuple[str, ...], known: frozenset[tuple[str, ...]]) -> bool:
    return _match(path, known) is not None


def _match(path: tuple[str, ...], known: frozenset[tuple[str, ...]]) -> tuple[str, ...] | None:
    """What the path has in the place of each `*` of the one in `known` that fits."""
    if path in known:
        return tuple(each for each in path if each == "*")
    for each in known:
        if len(path) == len(each) and each[0] == path[0] and all(map(_is_as_known, path, each)):
            return tuple(unquote(said) for said, want in zip(path, each, strict=True) if want == "*")
    return None


def _is_as_known(said: str, want: str) -> bool:
    return said == want or (want == "*" and unquote(said) not in ("", ".", ".."))


def _asks(request: SearchRequest) -> bool:
    """Whether a statement of OpenSearch's SQL, which has a DELETE, only asks."""
    if request.api[:2] != ("_plugins", "_sql"):
        return True
    body = request.loaded()
    said = str(body.get("query", "")).split(None, 1) if isinstance(body, Mapping) else []
    return (not said and "cursor" in (body or ())) or bool(said and said[0].upper() in _SQL_READS)


def _written(request: SearchRequest, api: tuple[str, ...]) -> Write:
    name = api[0] if api else ""
    if name == "_bulk":
        return _bulk(request)
    if api == ("_reindex",):
        body = request.loaded()
        into = body.get("dest", {}).get("index", "") if isinstance(body, Mapping) else ""
        return _effect(request, "search.index", f"{into} by _reindex", body)
    written = None if request.index is None else _documents_written(request, request.index, name)
    if written is not None:
        return written
    kind = "search.refresh" if name in _FRESHENING else "search.manage"
    return _effect(request, kind, f"{request.method} {request.path}", request.loaded())


def _documents_written(request: SearchRequest, index: str, name: str) -> Write | None:
    method, document, alone = request.method, request.document, len(request.api) == 1
    target = index if document is None else f"{index}/{document}"
    if name in _BY_QUERY and alone:
        return _effect(request, _BY_QUERY[name], f"{index} by query", _said(request))
    if name == "_doc" and method == "DELETE" and document is not None:
        return _effect(request, "search.delete", target, _options(request) or None)
    if name in ("_doc", "_create") and method in ("POST", "PUT") and (document is not None or alone):
        created = {"op_type": "create"} if name == "_create" else {}
        return _effect(request, "search.index", target, created | _said(request))
    if name == "_update" and method == "POST" and document is not None:
        return _effect(request, "search.update", target, _said(request))
    return None


def _bulk(request: SearchRequest) -> Write:
    actions = bulk_actions(request)
    payload = {
        operation: [
            [each.index, each.document, each.body, *([each.options] if each.options else [])]
            for each in actions if each.operation == operation
        ]
        for operation in dict.fromkeys(each.operation for each in actions)
    }  # fmt: skip
    target = ", ".join(sorted({str(each.index) for each in actions}))
    return _effect(request, "search.bulk", target, _options(request) | payload)


def _effect(request: SearchRequest, kind: str, target: str, payload: Any = None) -> Write:
    where = Where(host=request.host, method=request.method, path=request.path)
    return Write(kind, target, payload, where=where)


def _options(request: SearchRequest) -> dict[str, Any]:
    return {name: request.query[name] for name in _OPTIONS if name in request.query}


def _said(request: SearchRequest) -> dict[str, Any]:
    return _options(request) | {"body": request.loaded()}


def _lines(body: Any) -> list[Any]:
    """A bulk body's lines: of text or of objects, in one piece or in a list."""
    if isinstance(body, (str, bytes)):
        text = body if isinstance(body, str) else body.decode()
        return [_json(line) for line in text.split("\n") if line.strip()]
    if not isinstance(body, (list, tuple)):
        raise TypeError("a bulk request's body is text or a list")
    return [line for each in body for line in (_lines(each) if isinstance(each, (str, bytes)) else [each])]


def _loaded(body: Any) -> Any:
    if not isinstance(body, (str, bytes)):
        return body
    try:
        return _json(body)
    except ValueError:
        return body.decode("utf-8", "replace") if isinstance(body, bytes) else body


def _json(text: str | bytes) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return json.loads(text)  # which knows NaN


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value).lower() if isinstance(value, bool) else str(value)
