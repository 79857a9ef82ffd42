"""The aiohttp application: routes, who may call them, and the recorder's life around it.

Knows aiohttp. Must not know what a handler does.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from aiohttp import web

from mirrorproof_sidecar.recorder.access import Access, Denial, Right
from mirrorproof_sidecar.recorder.answers import error_answers, problem, security_headers
from mirrorproof_sidecar.recorder.handlers import RECORDER, ROUTES
from mirrorproof_sidecar.recorder.service import Recorder

__all__ = ["make_app"]

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_log = logging.getLogger("mirrorproof.recorder")
_MAX_DENIED_TOLD: Final = 200

_DENIED: Final = web.AppKey("denied", set[tuple[str | None, str]])
"""Peer address and reason of the denials that were logged."""
_ACCESS: Final = web.AppKey("access", Access)
_OPEN_PATHS: Final = frozenset({"/healthz", "/readyz"})
"""A kubelet asks these, by the pod's address and without a token; they tell nothing."""


def make_app(recorder: Recorder) -> web.Application:
    """The application; it starts `recorder` and stops it at the end."""
    settings = recorder.settings
    app = web.Application(
        middlewares=[security_headers, error_answers, _guarded],
        client_max_size=settings.max_post_bytes,
    )
    app[RECORDER] = recorder
    app[_ACCESS] = Access(settings.token, settings.read_token)
    app[_DENIED] = set()
    app.cleanup_ctx.append(_running)
    app.add_routes(ROUTES)
    return app


async def _running(app: web.Application) -> AsyncIterator[None]:
    recorder = app[RECORDER]
    try:
        await recorder.start()
        yield
    finally:
        await recorder.stop()


@web.middleware
async def _guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
    denial = request.app[_ACCESS].denial(
        _right(request),
        authorization=request.headers.get("Authorization"),
        host=request.headers.get("Host"),
        origin=request.headers.get("Origin"),
    )
    if denial is None:
        return await handler(request)
    _tell(request, denial)
    headers = {"WWW-Authenticate": "Bearer"} if denial.status == 401 else None
    return problem(denial.status, denial.error, headers=headers)


def _tell(request: web.Request, denial: Denial) -> None:
    """Log a denial, once per peer address and reason: a wrong token loses everything that its owner sends."""
    told, one = request.app[_DENIED], (request.remote, denial.error)
    if one in told or len(told) >= _MAX_DENIED_TOLD:
        return
    told.add(one)
    _log.warning("%s was answered %d: %s (told once)", request.remote, denial.status, denial.error)
    if len(told) == _MAX_DENIED_TOLD:
        _log.warning("further denials are not logged")


def _right(request: web.Request) -> Right:
    if request.path in _OPEN_PATHS:
        return Right.NONE
    return Right.READ if request.method in ("GET", "HEAD") else Right.WRITE
