"""The Celery guard: a worker's task whose message bears the mark is mirrored, and so are a result's writes.

What Celery sends goes through kombu, whose guard puts the mark on what a rule lets through. The mark holds
for that task only: the next task of the same worker is what its own message says. A mirrored request that
waits without a limit for a result, which nobody may ever store, hears after a while that it timed out.

Knows Celery's tracer and its result back ends. Must not know a transport.
"""

from __future__ import annotations

import sys
from functools import cache, wraps
from typing import Any, Final

from mirrorproof.context import MirrorContext, current, entered
from mirrorproof.decision import MARK_HEADER, PAIR_ID_HEADER, Decision, Mode, Role
from mirrorproof.exchange import Outcome
from mirrorproof.guards import Guard
from mirrorproof.guards.acting import Write
from mirrorproof.settings import Settings

__all__ = ["CeleryGuard"]

_WAIT_S: Final = 10.0
_WAIT_FOR_NOTHING_S: Final = 1.0


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
        from celery.result import AsyncResult, ResultSet

        self.wrap(trace, "build_tracer", _build_tracer)
        worker = sys.modules.get("celery.worker.consumer.consumer")
        if worker is not None:  # has taken the tracer's builder by name already
            self.wrap(worker, "build_tracer", _build_tracer)
        self.guard(Backend, "store_result", _stored, lambda _, args, kwargs: (args[1:2] or [None])[0])
        for owner, names in ((AsyncResult, ("get", "wait")), (ResultSet, ("get", "join", "join_native"))):
            for name in names:
                self.wrap(owner, name, _waited)


def _stored(backend: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Write:
    values = dict(zip(("task_id", "result", "state"), args, strict=False)) | kwargs
    request = values.get("request")
    task = getattr(request, "task", None) or ""
    payload = {"state": values.get("state"), "result": values.get("result")}
    return Write("celery.result", f"task {task}".rstrip(), payload)


def _waited(wrapped: Any, _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    context = current()
    timeout = args[0] if args else kwargs.get("timeout")
    if timeout is None and context is not None and context.mirrored and context.in_request:
        kwargs.pop("timeout", None)
        args = (_WAIT_FOR_NOTHING_S if _has_suppressed_a_message(context) else _WAIT_S, *args[1:])
    return wrapped(*args, **kwargs)


def _has_suppressed_a_message(context: MirrorContext) -> bool:
    return any(each.kind == "queue.publish" and each.outcome is Outcome.SUPPRESSED for each in context.ledger)


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
