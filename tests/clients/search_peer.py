"""A stand-in for Elasticsearch and OpenSearch: a fake that stores documents and speaks enough of their HTTP.

Knows what the servers change and answer. Must not know who calls, nor how the guards tell reads from writes.
"""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

__all__ = ["SearchPeer"]


class SearchPeer:
    """Indices of documents, cursors that move, and a note of each change."""

    about = "a small fake that speaks Elasticsearch's and OpenSearch's HTTP (no real server)"

    def __init__(self) -> None:
        self.indices: dict[str, dict[str, Any]] = {"orders": {f"old-{n}": {"total": n} for n in range(500)}}
        self.cursors: dict[str, int] = {"v1": 0}
        self.changes: list[str] = []
        self.seen: list[tuple[str, str]] = []
        self.headers: list[dict[str, str]] = []
        self._lock = threading.Lock()
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        self.host = f"127.0.0.1:{self._server.server_port}"
        self.url = f"http://{self.host}"

    def look(self) -> Any:
        """Each change so far, and how far the cursor went that v1 holds."""
        return list(self.changes), self.cursors.get("v1")

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> tuple[int, Any]:
        url = urlsplit(target)
        parts = [unquote(each) for each in url.path.strip("/").split("/")]
        query = {name: values[0] for name, values in parse_qs(url.query, keep_blank_values=True).items()}
        with self._lock:
            self.seen.append((method, url.path))
            self.headers.append(headers)
            return self._answer(method, parts, query, body)

    def _answer(self, method: str, parts: list[str], query: dict[str, str], body: bytes) -> tuple[int, Any]:
        index = "orders" if parts[0].startswith("_") else parts.pop(0)
        said = {} if not body or parts[:1] == ["_bulk"] else json.loads(body)
        documents = self.indices.get(index, {})
        match method, parts:
            case (("GET" | "HEAD"), []):
                return (200, _ABOUT) if not index or index in self.indices else (404, {})
            case (("GET" | "HEAD"), ["_doc", name]):
                found = name in documents
                return 200 if found else 404, {
                    "_index": index, "_id": name, "found": found, "_source": documents.get(name),
                }  # fmt: skip
            case (("GET" | "POST"), ["_count"]):
                return (200, {"count": len(documents)}) if documents else (404, {"error": "no such index"})
            case (("GET" | "POST"), ["_search"]):
                return 200, self._opened(documents, query)
            case (("GET" | "POST"), ["_search", "scroll"]):
                return 200, self._scrolled(said["scroll_id"])
            case "DELETE", ["_search", "scroll"]:
                named = said["scroll_id"]
                return 200, {"succeeded": True, "num_freed": self._closed(named)}
            case "POST", ["_pit"] | ["_search", "point_in_time"]:
                return 200, {"id": "a-pit", "pit_id": "a-pit"}
            case "GET", _:
                return 200, {"tasks": {}}
        self.changes.append(f"{method} {index}/{'/'.join(parts)}")
        return self._change(method, index, parts, said, body)

    def _opened(self, documents: dict[str, Any], query: dict[str, str]) -> dict[str, Any]:
        hits = [{"_index": "orders", "_id": name, "_source": documents[name]} for name in list(documents)[:3]]
        cursor = f"scroll-{len(self.cursors)}" if "scroll" in query else None
        if cursor:
            self.cursors[cursor] = 0
        return _page(hits, cursor)

    def _scrolled(self, cursor: str) -> dict[str, Any]:
        self.cursors[cursor] += 1
        return _page([], cursor)

    def _closed(self, named: str | list[str]) -> int:
        given = [named] if isinstance(named, str) else named
        if "_all" in given:
            self.changes.append("closed every scroll")
        return sum(self.cursors.pop(each, None) is not None for each in given)

    def _change(
        self, method: str, index: str, parts: list[str], said: Any, body: bytes
    ) -> tuple[int, dict[str, Any]]:
        documents = self.indices.setdefault(index, {})
        match method, parts:
            case (("PUT" | "POST"), ["_doc" | "_create", *name]):
                key = name[0] if name else f"made-{len(self.changes)}"
                documents[key] = said
                return 201, _written(index, key, "created")
            case "POST", ["_update", name]:
                return 200, _written(index, name, "updated")
            case "DELETE", ["_doc", name]:
                found = documents.pop(name, None) is not None
                return 200 if found else 404, _written(index, name, "deleted" if found else "not_found")
            case (("PUT" | "POST"), ["_bulk"]):
                return 200, {"took": 1, "errors": False, "items": _bulked(index, body)}
            case "POST", ["_delete_by_query" | "_update_by_query" | "_reindex"]:
                done = "deleted" if parts == ["_delete_by_query"] else "updated"
                return 200, {"took": 1, "total": 3, done: 3, "failures": []}
        return 200, {"acknowledged": True, "shards_acknowledged": True, "index": index, "_shards": {}}


_ABOUT = {
    "name": "fake", "cluster_name": "fake", "tagline": "a fake",
    "version": {"number": "9.0.0", "build_flavor": "default"},
}  # fmt: skip


def _page(hits: list[Any], cursor: str | None) -> dict[str, Any]:
    shards = {"total": 1, "successful": 1, "skipped": 0, "failed": 0}
    page = {"took": 1, "timed_out": False, "_shards": shards, "hits": {"total": {"value": 3}, "hits": hits}}
    return page | ({"_scroll_id": cursor} if cursor else {})


def _written(index: str, name: str, result: str) -> dict[str, Any]:
    return {"_index": index, "_id": name, "_version": 1, "result": result, "_shards": {"successful": 1}}


def _bulked(index: str, body: bytes) -> list[dict[str, Any]]:
    lines = iter(map(json.loads, filter(None, body.split(b"\n"))))
    items = []
    for head in lines:
        [(operation, meta)] = head.items()
        if operation != "delete":
            next(lines)
        items.append({operation: _written(index, meta.get("_id", "made"), operation) | {"status": 200}})
    return items


def _handler(peer: SearchPeer) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, answer = peer.answer(self.command, self.path, headers, body)
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("x-elastic-product", "Elasticsearch")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _any

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


PEERS: dict[str, Callable[[], SearchPeer]] = {"search": SearchPeer}
