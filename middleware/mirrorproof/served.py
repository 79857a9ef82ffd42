"""One request that is mirrored, or captured, or both: its messages seen as they pass.

Theory of operation. Messages are passed on as they are, at once: bodies are sampled, never buffered. The
response's last message ends the context; a mirrored one is held back until its request's body has been
read, since v1's upload would stall otherwise. Whatever observing goes wrong is swallowed by `failsafe`.

Knows ASGI's http messages. Must not know how a request was decided upon.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

from mirrorproof.asgi_types import ASGIApp, Message, Receive, Scope, Send
from mirrorproof.body import BodyMeter, BodyPump, BodySample
from mirrorproof.capture import Capture, take_answer, take_headers, take_query
from mirrorproof.context import MirrorContext, entered
from mirrorproof.failsafe import failsafe
from mirrorproof.head import TRACEPARENT_HEADER, RequestHead
from mirrorproof.telemetry import TraceIds, annotate_end, annotate_start, parse_traceparent

__all__ = ["DRAIN_S", "ServedRequest"]

_log = logging.getLogger("mirrorproof")
DRAIN_S: Final = 10.0
"""Seconds that a mirrored answer, which nobody waits for, is held back until its request is read."""
Submit = Callable[[Capture], object]


class ServedRequest:
    """Serves one request. `submit`, where there is one, gets its capture at the end."""

    def __init__(
        self, context: MirrorContext, head: RequestHead, scope: Scope, receive: Receive, *, send: Send,
        submit: Submit | None,
    ) -> None:  # fmt: skip
        self.context = context
        self.head = head
        self.scope = scope
        self._submit = submit
        self._send = send
        self._pump = self._make_pump(receive)
        self._meter = self._pump.meter if self._pump else BodyMeter(receive)
        self._receive = self._pump.receive if self._pump else self._meter.receive
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

    def _make_pump(self, receive: Receive) -> BodyPump | None:
        if not self.context.mirrored or self.head.bodyless(self.scope["method"]):
            return None
        settings = self.context.settings
        return BodyPump(receive, settings.max_unread_bytes, settings.unread_patience_s)

    async def run(self, app: ASGIApp) -> None:
        """Have the application serve it. Raises what the application raises."""
        error: str | None = None
        try:
            with entered(self.context):
                await app(self.scope, self._receive, self.send)
        except BaseException as raised:
            error = self._judge(raised)
            if not (self._complete and self.context.mirrored and isinstance(raised, Exception)):
                raise
        finally:
            self.context.end()
            if self._pump is not None:
                self._pump.stop()
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

    async def send(self, message: Message) -> None:
        """What the application sends, on its way to the server."""
        kind = message["type"]
        if kind == "http.response.start":
            failsafe("see a response", self.context.counters, self._see_start, message)
        elif kind == "http.response.body":
            last = not message.get("more_body", False)
            failsafe("see a body", self.context.counters, self._sample.feed, message.get("body", b""))
            if last:
                await self._send_last(message)
                return
        elif kind in ("http.response.pathsend", "http.response.zerocopysend"):
            if not self._unseen:
                self._notes.append("body_left_out:sent by the server")
            self._unseen = True
            if kind == "http.response.pathsend" or not message.get("more_body", False):
                await self._send_last(message)
                return
        await self._send(message)

    async def _send_last(self, message: Message) -> None:
        if self._pump is not None:
            await self._pump.drain(DRAIN_S)
        await self._send(message)
        self._complete = True
        self._duration_ns = time.perf_counter_ns() - self._started_ns
        failsafe("annotate a span", self.context.counters, annotate_end, self.context)
        self.context.end()

    def _see_start(self, message: Message) -> None:
        self._status = message["status"]
        self._headers = message.get("headers", ())
        self._trace = annotate_start(self.context)

    def _finish(self, error: str | None) -> None:
        lost = self.context.ledger.lost
        if lost:
            self.context.counters.add("effects_lost", lost)
        self._note_losses()
        if not self._status and error is None:
            error = "no response"
        if not self._complete and error is None:
            error = "incomplete response"
        if self._submit is not None:
            self._submit(self._capture(error))

    def _note_losses(self) -> None:
        if self._sample.truncated:
            self.context.counters.add("truncated")
        if self._pump is not None and self._pump.overrun:
            self.context.counters.add("body_overrun")
            self._notes.append("body_overrun")

    def _capture(self, error: str | None) -> Capture:
        scope, settings, head = self.scope, self.context.settings, self.head
        answer = None
        if self._status:
            answer = take_answer(self._status, self._headers, self._sample, settings, self._notes)
            answer.truncated |= self._unseen
        read_whole = self._meter.complete or (not self._meter.sample.size and head.bodyless(scope["method"]))
        return Capture(
            context=self.context, method=scope["method"], path=scope["path"],
            query=take_query(scope.get("query_string", b""), settings, self._notes),
            request_headers=take_headers(scope["headers"], settings, self._notes), attempt=head.attempt,
            started_unix_ns=self._started_unix_ns,
            duration_ns=self._duration_ns or time.perf_counter_ns() - self._started_ns,
            route=_route(scope), request_sha256=self._meter.sample.sha256 if read_whole else None,
            request_bytes=self._meter.sample.size, answer=answer, error=error,
            trace=self._trace or parse_traceparent(head.found.get(TRACEPARENT_HEADER, b"")),
            notes=self._notes,
        )  # fmt: skip


def _route(scope: Scope) -> str | None:
    """The framework's template for the path, where it left one in the scope.

    Starlette and FastAPI leave the innermost route, which knows nothing of what it is mounted under: that
    part is taken from the path, its parameters named again.
    """
    route = scope.get("route")
    template = getattr(route, "path_format", None) or getattr(route, "path", None)
    if not isinstance(template, str):
        return None
    values = {name: str(value) for name, value in scope.get("path_params", {}).items()}
    own = template
    for name in [name for name in values if f"{{{name}}}" in template]:
        own = own.replace(f"{{{name}}}", values.pop(name), 1)
    path: str = scope["path"]
    if not path.endswith(own):  # a converter read the value in another spelling, as 7 from 007
        return template
    mount = path[: len(path) - len(own)] + "/"
    for name, value in values.items():
        mount = mount.replace(f"/{value}/", f"/{{{name}}}/", 1)
    return mount[:-1] + template
