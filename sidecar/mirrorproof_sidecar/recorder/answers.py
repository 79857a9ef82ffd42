"""How the recorder answers: JSON bodies, JSON errors, and the headers that go with everything.

Knows aiohttp, and what a failing database raises. Must not know routes or the recorder.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
from aiohttp import web
from sqlalchemy.exc import DBAPIError

__all__ = ["ProblemError", "error_answers", "json_answer", "problem", "security_headers"]

_log = logging.getLogger("mirrorproof.recorder")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_WORDS: Final = {
    404: "there is nothing here; the calls are /v1/exchanges, /v1/summary, /v1/verdict, "
    "/v1/endpoints/{id}/fields, /v1/trends, /v1/pairs, /v1/pairs/{id}, /v1/rules, /healthz, /readyz "
    "and /metrics; docs/http-api.md describes them",
    413: "the post is larger than MIRRORPROOF_MAX_POST_BYTES allows; send fewer exchanges at once",
}


class ProblemError(Exception):
    """What a handler raises to be answered as `problem`."""

    def __init__(self, status: int, error: str) -> None:
        super().__init__(error)
        self.status = status


def json_answer(data: Any, status: int = 200, **headers: str) -> web.Response:
    """`data` as JSON."""
    return web.Response(
        body=msgspec.json.encode(data), status=status, content_type="application/json", headers=headers
    )


def problem(status: int, error: str, *, headers: dict[str, str] | None = None, **more: Any) -> web.Response:
    """An error in the recorder's form: `{"error": "...", ...}`."""
    return json_answer({"error": error, **more}, status, **(headers or {}))


@web.middleware
async def security_headers(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Headers that keep a browser from making more of an answer than it is."""
    response = await handler(request)
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    return response


@web.middleware
async def error_answers(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Whatever goes wrong, as a JSON body; what nobody expected is logged and says nothing of the inside."""
    try:
        return await handler(request)
    except ProblemError as error:
        return problem(error.status, str(error))
    except web.HTTPException as error:
        headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
        return problem(error.status, _WORDS.get(error.status, error.reason), headers=headers)
    except DBAPIError as error:
        _log.error("%s %s: the store failed: %s", request.method, request.path, error.orig)
        return problem(503, "the store does not answer; nothing was taken", headers={"Retry-After": "2"})
    except Exception:
        _log.exception("%s %s failed", request.method, request.path)
        return problem(500, "the recorder failed here; its log says how")
