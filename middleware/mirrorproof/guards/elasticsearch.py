"""The Elasticsearch guard: at the transport under elasticsearch-py 8 and later, sync and async.

Knows elastic_transport. Must not know which call is a read, nor what one is answered: `guards.searching` and
`guards.search_answers` do.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from mirrorproof.guards.search_guard import SearchGuard
from mirrorproof.guards.searching import SearchRequest, request_of
from mirrorproof.rulings import CannedAnswer

__all__ = ["ElasticsearchGuard"]

# The client asks a server that it has not met yet who it is by these.
_HEADERS = {
    "x-elastic-product": "Elasticsearch",
    "content-type": "application/vnd.elasticsearch+json;compatible-with=9",
}


class ElasticsearchGuard(SearchGuard):
    """Guards elasticsearch-py, its helpers and its DSL."""

    name = "elasticsearch"
    module = "elastic_transport"
    distribution = "elastic-transport"
    tested = ("8.15", "9.4")
    covers = "every call of Elasticsearch and AsyncElasticsearch, through elastic_transport's transports"
    parameters = ("method", "target")

    def install(self) -> None:
        from elastic_transport import AsyncTransport, Transport

        self.judge(Transport)
        self.judge(AsyncTransport)

    def request(self, transport: Any, given: dict[str, Any]) -> SearchRequest:
        host = transport.node_pool.all()[0].host
        return request_of(given["method"], given["target"], None, given.get("body"), host)

    def asking(self, given: dict[str, Any], request: SearchRequest) -> dict[str, Any]:
        target = f"{request.path}?{urlencode(request.query)}" if request.query else request.path
        asked = {"method": request.method, "target": target, "body": request.body}
        return asked | {name: given[name] for name in ("headers", "request_timeout") if name in given}

    def answer(self, transport: Any, given: dict[str, Any], answer: CannedAnswer, body: Any) -> Any:
        from elastic_transport import ApiResponseMeta, HttpHeaders, TransportApiResponse

        headers = HttpHeaders(_HEADERS | {name.lower(): value for name, value in answer.headers.items()})
        node = transport.node_pool.all()[0].config
        return TransportApiResponse(ApiResponseMeta(answer.status, "1.1", headers, 0.0, node), body)

    def succeeded(self, answer: Any) -> bool:
        return 200 <= int(answer.meta.status) < 300

    def body_of(self, answer: Any) -> Any:
        return answer.body

    def returned(self, transport: Any, given: dict[str, Any], answer: Any) -> Any:
        from elastic_transport import TransportApiResponse

        if isinstance(answer, TransportApiResponse):
            return answer
        return self.answer(transport, given, CannedAnswer(), answer)
