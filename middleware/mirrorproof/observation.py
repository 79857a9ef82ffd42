"""One request that is mirrored, or captured, or both, as it is observed: what ASGI and WSGI have in common.

The shell tells it of the response's start, its pieces and its end; it ends the context, keeps a sample and
makes the capture. Whatever observing goes wrong is swallowed by `failsafe`.

Knows heads, bodies and captures. Must not know how messages arrive.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from mirrorproof.body import BodySample
from mirrorproof.capture import Capture, take_answer, take_headers, take_query
from mirrorproof.context import MirrorContext
from mirrorproof.failsafe import failsafe
from mirrorproof.gate import Submit
from mirrorproof.head import TRACEPARENT_HEADER, RequestHead
from mirrorproof.telemetry import TraceIds, annotate_end, annotate_start, parse_traceparent

__all__ = ["DRAIN_S", "Asked", "Observation"]

_log = logging.getLogger("mirrorproof")
DRAIN_S: Final = 10.0
"""Seconds that a mirrored answer, which nobody waits for, is held back until its request is read."""


class Asked(NamedTuple):
    """The request, once it is over. `complete`: its body was read to the end. `route` is a template."""

    method: str
    path: str
    query: bytes
    headers: Sequence[Any]
    body: BodySample
    complete: bool
    overrun: bool = False
    route: str | None = None


class Observation:
    """Observes one request. `submit`, where there is one, gets its capture at the end."""

    def __init__(self, context: MirrorContext, head: RequestHead, submit: Submit | None) -> None:
        self.context = context
        self.head = head
        self._submit = submit
        self._status = 0
        self._headers: Sequence[Sequence[bytes]] = ()
        self._sample = BodySample(context.settings.max_body_bytes)
        self._complete = False
        self._unseen = False
        self._trace: TraceIds | None = None
        self._notes: list[str] = []
        self._started_unix_ns = time.time_ns()
        self._started_ns = time.perf_counter_ns()
        self._duration_ns = 0

    def asked(self) -> Asked:
        """What was asked for, when it is over."""
        raise NotImplementedError

    def close(self, error: str | None) -> None:
        """The request is over: end the context if the response did not, and capture."""
        self.context.end()
        failsafe("capture an exchange", self.context.counters, self._finish, error)

    def _judge(self, raised: BaseException) -> str | None:
        """The exchange's error. What is raised after the response is none of the response's.

        After a mirrored response it is mostly late work being refused, and stays here: a server that saw it
        would close the connection, on which a proxy may have sent a live request already.
        """
        name = type(raised).__name__
        if not self._complete:
            return name
        self._notes.append(f"raised_after_response:{name}")
        if self.context.mirrored:
            _log.warning("mirrorproof: a mirrored request raised after its response: %r", raised)
        return None

    def _stays(self, raised: BaseException) -> bool:
        """Whether it must not reach the server."""
        return self._complete and self.context.mirrored and isinstance(raised, Exception)

    def _see_unseen(self) -> None:
        if not self._unseen:
            self._notes.append("body_left_out:sent by the server")
        self._unseen = True

    def _see_end(self) -> None:
        self._complete = True
        self._duration_ns = time.perf_counter_ns() - self._started_ns
        failsafe("annotate a span", self.context.counters, annotate_end, self.context)
        self.context.end()

    def _see_start(self, status: int, headers: Sequence[Sequence[bytes]]) -> None:
        self._status = status
        self._headers = headers
        self._trace = annotate_start(self.context)

    def _finish(self, error: str | None) -> None:
        asked = self.asked()
        lost = self.context.ledger.lost
        if lost:
            self.context.counters.add("effects_lost", lost)
        self._note_losses(asked)
        if not self._status and error is None:
            error = "no response"
        if not self._complete and error is None:
            error = "incomplete response"
        if self._submit is not None:
            self._submit(self._capture(asked, error))

    def _note_losses(self, asked: Asked) -> None:
        if self._sample.truncated:
            self.context.counters.add("truncated")
        if asked.overrun:
            self.context.counters.add("body_overrun")
            self._notes.append("body_overrun")

    def _capture(self, asked: Asked, error: str | None) -> Capture:
        settings, head = self.context.settings, self.head
        answer = None
        if self._status:
            answer = take_answer(self._status, self._headers, self._sample, settings, self._notes)
            answer.truncated |= self._unseen
        read_whole = asked.complete or (not asked.body.size and head.bodyless(asked.method))
        return Capture(
            context=self.context, method=asked.method, path=asked.path,
            query=take_query(asked.query, settings, self._notes),
            request_headers=take_headers(asked.headers, settings, self._notes), attempt=head.attempt,
            started_unix_ns=self._started_unix_ns,
            duration_ns=self._duration_ns or time.perf_counter_ns() - self._started_ns,
            route=asked.route, request_sha256=asked.body.sha256 if read_whole else None,
            request_bytes=asked.body.size, answer=answer, error=error,
            trace=self._trace or parse_traceparent(head.found.get(TRACEPARENT_HEADER, b"")),
            notes=self._notes,
        )  # fmt: skip
