"""The OpenSearch guard: at the transport under opensearch-py, sync and async.

Knows opensearch-py's transports. Must not know which call is a read, nor what one is answered:
`guards.searching` and `guards.search_answers` do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from mirrorproof.guards.search_guard import SearchGuard
from mirrorproof.guards.searching import SearchRequest, request_of
from mirrorproof.rulings import CannedAnswer

__all__ = ["OpensearchGuard"]


class OpensearchGuard(SearchGuard):
    """Guards opensearch-py, its plug-ins' clients, its helpers and its DSL."""

    name = "opensearch"
    module = "opensearchpy"
    distribution = "opensearch-py"
    tested = ("2.8", "3.2")
    covers = "every call of OpenSearch and AsyncOpenSearch, through opensearch-py's transports"
    parameters = ("method", "url", "params", "body", "timeout", "ignore", "headers")

    def install(self) -> None:
        import opensearchpy

        self.judge(opensearchpy.Transport)
        if hasattr(opensearchpy, "AsyncTransport"):  # which is there where aiohttp is
            self.judge(opensearchpy.AsyncTransport)

    def request(self, transport: Any, given: dict[str, Any]) -> SearchRequest:
        return request_of(
            given["method"], given["url"], given.get("params"), given.get("body"), _host(transport)
        )

    def asking(self, given: dict[str, Any], request: SearchRequest) -> dict[str, Any]:
        asked = {
            "method": request.method, "url": request.path, "params": dict(request.query),
            "body": request.body,
        }  # fmt: skip
        return asked | {name: given[name] for name in ("headers", "timeout") if name in given}

    def answer(self, transport: Any, given: dict[str, Any], answer: CannedAnswer, body: Any) -> Any:
        ignored = given.get("ignore") or (given.get("params") or {}).get("ignore") or ()
        if answer.status < 300 or answer.status in ([ignored] if isinstance(ignored, int) else ignored):
            return body
        from opensearchpy.exceptions import HTTP_EXCEPTIONS, TransportError

        error = body.get("error", body) if isinstance(body, Mapping) else body
        reason = error.get("type", error) if isinstance(error, Mapping) else error
        raise HTTP_EXCEPTIONS.get(answer.status, TransportError)(answer.status, reason, body)

    def succeeded(self, answer: Any) -> bool:
        # The client returns an error whose status it was told to ignore.
        return not isinstance(answer, Mapping) or not (
            answer.get("result") == "not_found" or ("error" in answer and "status" in answer)
        )


def _host(transport: Any) -> str | None:
    """The first host that the client was given, without its port."""
    first = next(iter(transport.hosts or ()), None)
    if isinstance(first, str):
        return urlsplit(first if "//" in first else f"//{first}").hostname
    return first.get("host", "localhost") if isinstance(first, Mapping) else None
