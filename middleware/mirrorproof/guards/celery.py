"""The Celery guard: a worker's task whose message bears the mark is mirrored, and so are a result's writes.

What Celery sends goes through kombu, whose guard puts the mark on what a rule lets through. The mark holds
for that task only: the next task of the same worker is what its own message says.

Knows Celery's tracer and its result back ends. Must not know a transport.
"""

from __future__ import annotations

import sys
from functools import cache, wraps
from typing import Any

from mirrorproof.context import MirrorContext, entered
from mirrorproof.decision import MARK_HEADER, PAIR_ID_HEADER, Decision, Mode, Role
from mirrorproof.guards import Guard
from mirrorproof.guards.acting import Write
from mirrorproof.settings import Settings

__all__ = ["CeleryGuard"]


class CeleryGuard(Guard):
    """Guards Celery's workers and result back ends."""

    name = "celery"
    module = "celery.app.trace"
    distribution = "celery"
    tested = ("5.7", "5.7")
    covers = "tasks that a Celery worker executes, by the mark in their message's headers; results stored"

    def install(self) -> None:
        from celery.app import trace
        from celery.backends.base import Backend

        self.wrap(trace, "build_tracer", _build_tracer)
        worker = sys.modules.get("celery.worker.consumer.consumer")
        if worker is not None:  # has taken the tracer's builder by name already
            self.wrap(worker, "build_tracer", _build_tracer)
        self.guard(Backend, "store_result", _stored, lambda _, args, kwargs: (args[1:2] or [None])[0])


def _stored(backend: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Write:
    values = dict(zip(("task_id", "result", "state"), args, strict=False)) | kwargs
    request = values.get("request")
    task = getattr(request, "task", None) or ""
    payload = {"state": values.get("state"), "result": values.get("result")}
    return Write("celery.result", f"task {task}".rstrip(), payload)


def _build_tracer(wrapped: Any, _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    tracer = wrapped(*args, **kwargs)

    @wraps(tracer)
    def trace(uuid: Any, task_args: Any, task_kwargs: Any, request: Any = None) -> Any:
        context = _context_of(request or {})
        if context is None:
            return tracer(uuid, task_args, task_kwargs, request)
        try:
            with entered(context):
                return tracer(uuid, task_args, task_kwargs, request)
        finally:
            context.end()

    return trace


@cache
def _settings() -> Settings:
    return Settings.load()


def _context_of(request: Any) -> MirrorContext | None:
    """The mirrored context of a task whose message bears the mark, however malformed; `None` if live."""
    mark, pair_id = MARK_HEADER.decode(), PAIR_ID_HEADER.decode()
    headers = request.get("headers") or {}
    if mark not in request and mark not in headers:
        return None
    settings = _settings()
    if settings.role is Role.PRIMARY:
        return None
    mode = settings.mode if settings.mode is not Mode.LIVE else Mode.DRY_RUN
    given = request.get(pair_id) or headers.get(pair_id) or ""
    return MirrorContext(Decision(mode), settings=settings, pair_id=str(given))
