"""The APScheduler guard: what a request schedules runs later, by threads and timers that serve everybody.

So adding, changing and removing a job is an effect of the request's, whatever store keeps it, and a scheduler
that is started or woken up is nobody's.

Knows APScheduler 3. Must not know what a job does.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any, Final

from mirrorproof.context import current, detached
from mirrorproof.guards import Guard
from mirrorproof.guards.acting import Write, acting, refuse_unanswered
from mirrorproof.guards.housekeeping import unmarked

__all__ = ["ApschedulerGuard"]

_ADDED: Final = "apscheduler"  # ids of jobs that were added without effect


class ApschedulerGuard(Guard):
    """Guards APScheduler's schedulers."""

    name = "apscheduler"
    module = "apscheduler.schedulers.base"
    distribution = "apscheduler"
    tested = ("3.10", "3.11")
    covers = "jobs that are added, changed and removed by any scheduler; pause, resume; shutdown is refused"

    def install(self) -> None:
        from apscheduler.schedulers.base import BaseScheduler

        judged: dict[str, tuple[Any, Any]] = {
            "add_job": (_added, partial(_job, BaseScheduler.add_job)),
            "modify_job": (partial(_changed, "modify"), _found),
            "remove_job": (partial(_changed, "remove"), _gone),
            "remove_all_jobs": (lambda *_: Write("job.remove", "all jobs"), lambda *_: None),
        }
        for name in ("pause", "resume"):
            judged[name] = (partial(_of_all, name), lambda *_: None)
        for name, (describe, stub) in judged.items():
            self.wrap(BaseScheduler, name, partial(_judged, acting(describe, stub)))
        self.wrap(BaseScheduler, "start", unmarked)
        self.wrap(BaseScheduler, "shutdown", _shut_down)


def _judged(judge: Any, wrapped: Any, its: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    def scheduled(*args: Any, **kwargs: Any) -> Any:
        with detached():  # wakes the scheduler up, whose timers are everybody's
            return wrapped(*args, **kwargs)

    return judge(scheduled, its, args, kwargs)


def _shut_down(wrapped: Any, its: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    refuse_unanswered(_of_all("shutdown", its, args, kwargs))  # its callers wait for its thread's end
    return wrapped(*args, **kwargs)


def _name(func: Any) -> str:
    if isinstance(func, str):
        return func
    func = getattr(func, "func", func)  # a partial's
    return f"{getattr(func, '__module__', '?')}:{getattr(func, '__qualname__', type(func).__qualname__)}"


def _added(its: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Write:
    given = dict(zip(("func", "trigger", "args", "kwargs", "id"), args, strict=False)) | kwargs
    trigger = given.get("trigger")
    payload = {
        "func": _name(given["func"]), "args": list(given.get("args") or ()),
        "kwargs": dict(given.get("kwargs") or {}),
        "trigger": trigger if isinstance(trigger, str | None) else type(trigger).__name__,
    }  # fmt: skip
    return Write("job.add", f"job {given.get('id') or payload['func']}", payload)


def _changed(verb: str, its: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Write:
    return Write(f"job.{verb}", f"job {args[0] if args else kwargs['job_id']}")


def _of_all(verb: str, its: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Write:
    return Write(f"job.{verb}", "scheduler")


# -- what a scheduler would have answered


def _own() -> set[str]:
    context = current()
    return set() if context is None or not context.in_request else context.resources.setdefault(_ADDED, set())


def _job(add: Callable[..., Any], its: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The job, as a scheduler makes it that is not started, and keeps it for later."""
    from apscheduler.jobstores.base import ConflictingIdError, JobLookupError
    from apscheduler.schedulers.base import STATE_STOPPED

    apart = object.__new__(type(its))
    apart.__dict__.update(its.__dict__, state=STATE_STOPPED, _pending_jobs=[])
    job = add(apart, *args, **kwargs)
    job._scheduler = its
    if its.state != STATE_STOPPED:
        try:
            if not kwargs.get("replace_existing") and its._lookup_job(
                job.id, kwargs.get("jobstore", "default")
            ):
                raise ConflictingIdError(job.id)
        except JobLookupError:
            pass
        missing = {name: value for name, value in its._job_defaults.items() if not hasattr(job, name)}
        if not hasattr(job, "next_run_time"):
            missing["next_run_time"] = job.trigger.get_next_fire_time(None, datetime.now(its.timezone))
        job._modify(**missing)
    _own().add(job.id)
    return job


def _found(its: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    job_id = args[0] if args else kwargs["job_id"]
    if job_id in _own():
        return None
    return its._lookup_job(job_id, args[1] if len(args) > 1 else kwargs.get("jobstore"))[0]


def _gone(its: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    _found(its, args, kwargs)
