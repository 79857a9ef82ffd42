"""`MirrorMiddleware`: the one line that a Python service adds.

Theory of operation. For an http request: read the headers once, decide, and then either refuse it or run
the application with the request's context set and its messages seen as they pass. The middleware holds
configuration only; each request has a `_Request` of its own. Messages are passed on as they are, at once:
bodies are sampled, never buffered. Whatever observing goes wrong is swallowed by `failsafe`; the decision
and the context are not observing, and are made where an error still stops the request.

Knows ASGI. Must not know any framework, guard or the wire format.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from mirrorproof.asgi_types import ASGIApp, Message, Receive, Scope, Send
from mirrorproof.body import BodyMeter, BodyPump, BodySample
from mirrorproof.capture import Capture, take_answer, take_headers, take_query
from mirrorproof.context import MirrorContext, entered, set_process_context
from mirrorproof.counters import Counters
from mirrorproof.decision import (
    ATTEMPT_HEADER,
    MARK_HEADER,
    PAIR_ID_HEADER,
    SIGNATURE_HEADER,
    Arrival,
    Decision,
    Mark,
    decide,
    pair_id_from,
    read_mark,
)
from mirrorproof.errors import SettingsError
from mirrorproof.failsafe import failsafe
from mirrorproof.guards import install_guards
from mirrorproof.sampling import sampled
from mirrorproof.settings import Settings
from mirrorproof.shipping import Agent
from mirrorproof.telemetry import TraceIds, annotate_end, annotate_start, parse_traceparent

__all__ = ["MirrorMiddleware"]

_REQUEST_ID: Final = b"x-request-id"
_TRACEPARENT: Final = b"traceparent"
_INTERESTING: Final = frozenset(
    {PAIR_ID_HEADER, SIGNATURE_HEADER, ATTEMPT_HEADER, _REQUEST_ID, _TRACEPARENT, b"content-length",
     b"transfer-encoding"}
)  # fmt: skip
_CONNECTION: Final = b"connection"
_MARK_LENGTH: Final = len(MARK_HEADER)
_BODYLESS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_DRAIN_S: Final = 10.0
"""Seconds that a mirrored answer, which nobody waits for, is held back until its request is read."""

RawPairs = Sequence[Sequence[bytes]]


class MirrorMiddleware:
    """ASGI middleware: marks, guards, captures and ships.

    `settings` default to `Settings.load(**overrides)`: flags given here, then `MIRRORPROOF_*` variables,
    then the TOML file. `agent` is for those who ship exchanges their own way.

        app.add_middleware(MirrorMiddleware, service="orders", version="v2", role="shadow")

    Raises `SettingsError` that names the key.
    """

    def __init__(
        self, app: ASGIApp, *, settings: Settings | None = None, agent: Agent | None = None, **overrides: Any
    ) -> None:
        if settings is not None and overrides:
            raise SettingsError(f"give either `settings` or {', '.join(sorted(overrides))}, not both")
        self.app = app
        self.settings = settings or Settings.load(**overrides)
        self.counters = Counters()
        self.agent = agent or (Agent(self.settings, self.counters) if self.settings.recorder else None)
        # Where no rule and no count depends on the request, the decision is made once.
        self._unmarked = (
            None if self.settings.role.always_mirrored else decide(self.settings.policy, Arrival(Mark.ABSENT))
        )
        if self.settings.role.always_mirrored:
            set_process_context(self.settings, self.counters)
        if self.settings.guards:
            install_guards()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "http":
            await self._http(scope, receive, send)
        elif kind == "websocket":
            await self._websocket(scope, receive, send)
        elif kind == "lifespan":
            try:
                await self.app(scope, receive, send)
            finally:
                # The application has shut down. Servers may end the process by a signal from here on, so
                # this is the last chance to ship, and it is bounded.
                if self.agent is not None:
                    self.agent.flush()
        else:
            await self.app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.counters.add("seen")
        arrival = _Arrived(scope)
        decision = self._decide(scope, arrival)
        if decision.refusal is not None:
            await _refuse(decision, receive, send)
            return
        context = self._context(decision, arrival)
        if context.mirrored or self._captures(context.pair_id):
            await _Request(self, context, arrival, scope=scope, receive=receive, send=send).run()
            return
        with entered(context):
            try:
                await self.app(scope, receive, send)
            finally:
                context.end()

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        arrival = _Arrived(scope)
        decision = self._decide(scope, arrival)
        if decision.refusal is not None:
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": decision.reason})
            return
        context = self._context(decision, arrival)
        with entered(context):
            try:
                await self.app(scope, receive, send)
            finally:
                context.end()

    def _decide(self, scope: Scope, arrival: _Arrived) -> Decision:
        if self._unmarked is not None and not arrival.marks:
            return self._unmarked
        server = scope.get("server")
        target = scope.get("raw_path") or scope["path"].encode()
        signature = arrival.found.get(SIGNATURE_HEADER)
        decision = decide(
            self.settings.policy,
            Arrival(
                mark=read_mark(arrival.marks), method=scope.get("method", "GET"), path=scope["path"],
                target=target.decode("latin-1"), pair_id=arrival.pair_id or "",
                port=server[1] if server else None,
                signature=signature.decode("latin-1") if signature else None, now_unix_s=time.time(),
            ),
        )  # fmt: skip
        if decision.counter:
            self.counters.add(decision.counter)
        return decision

    def _context(self, decision: Decision, arrival: _Arrived) -> MirrorContext:
        return MirrorContext(
            decision, settings=self.settings, counters=self.counters, pair_id=arrival.pair_id or ""
        )

    def _captures(self, pair_id: str) -> bool:
        if self.agent is None:
            return False
        if not pair_id:
            self.counters.add("no_pair_id")
            return False
        if not sampled(pair_id, self.settings.sample):
            self.counters.add("sampled_out")
            return False
        return True


class _Arrived:
    """What one pass over the raw headers finds. The first value of each name counts."""

    __slots__ = ("found", "marks", "pair_id")

    def __init__(self, scope: Scope) -> None:
        found: dict[bytes, bytes] = {}
        marks: list[tuple[bytes, bytes]] = []
        for name, value in scope["headers"]:
            if name in _INTERESTING:
                found.setdefault(bytes(name), bytes(value))
            elif len(name) == _MARK_LENGTH or name == _CONNECTION:
                # Whatever is as long as the mark's name may be the mark, mangled: `read_mark` decides.
                marks.append((name, value))
        if marks:
            marks = [pair for pair in marks if read_mark([pair]) is not Mark.ABSENT]
        self.found = found
        self.marks = marks
        self.pair_id = pair_id_from(found.get(PAIR_ID_HEADER), found.get(_REQUEST_ID))

    @property
    def attempt(self) -> int:
        """Envoy's count of tries, from 1."""
        text = self.found.get(ATTEMPT_HEADER, b"1")
        return max(1, int(text)) if text.isdigit() and len(text) < 6 else 1

    def bodyless(self, method: str) -> bool:
        """Whether the request has no body, as far as its head tells."""
        length = self.found.get(b"content-length")
        if length is None:
            return method in _BODYLESS and b"transfer-encoding" not in self.found
        return length == b"0"


class _Request:
    """One request that is mirrored, or captured, or both."""

    def __init__(
        self, middleware: MirrorMiddleware, context: MirrorContext, arrival: _Arrived, *, scope: Scope,
        receive: Receive, send: Send,
    ) -> None:  # fmt: skip
        self.middleware = middleware
        self.context = context
        self.arrival = arrival
        self.scope = scope
        self._send = send
        self._pump = self._make_pump(receive)
        self._meter = self._pump.meter if self._pump else BodyMeter(receive)
        self._receive = self._pump.receive if self._pump else self._meter.receive
        self._status = 0
        self._headers: RawPairs = ()
        self._sample = BodySample(middleware.settings.max_body_bytes)
        self._complete = False
        self._unseen = False
        self._trace: TraceIds | None = None
        self._notes: list[str] = []
        self._started_unix_ns = time.time_ns()
        self._started_ns = time.perf_counter_ns()
        self._duration_ns = 0

    def _make_pump(self, receive: Receive) -> BodyPump | None:
        if not self.context.mirrored or self.arrival.bodyless(self.scope["method"]):
            return None
        settings = self.context.settings
        return BodyPump(receive, settings.max_unread_bytes, settings.unread_patience_s)

    async def run(self) -> None:
        error: str | None = None
        try:
            with entered(self.context):
                await self.middleware.app(self.scope, self._receive, self.send)
        except BaseException as raised:
            error = type(raised).__name__
            raise
        finally:
            self.context.end()
            if self._pump is not None:
                self._pump.stop()
            failsafe("capture an exchange", self.middleware.counters, self._finish, error)

    async def send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.start":
            failsafe("see a response", self.middleware.counters, self._see_start, message)
        elif kind == "http.response.body":
            last = not message.get("more_body", False)
            failsafe("see a body", self.middleware.counters, self._sample.feed, message.get("body", b""))
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
            await self._pump.drain(_DRAIN_S)
        await self._send(message)
        self._complete = True
        self._duration_ns = time.perf_counter_ns() - self._started_ns
        failsafe("annotate a span", self.middleware.counters, annotate_end, self.context)
        self.context.end()

    def _see_start(self, message: Message) -> None:
        self._status = message["status"]
        self._headers = message.get("headers", ())
        self._trace = annotate_start(self.context)

    def _finish(self, error: str | None) -> None:
        middleware, context = self.middleware, self.context
        if context.ledger.lost:
            middleware.counters.add("effects_lost", context.ledger.lost)
        self._note_losses()
        if not self._status and error is None:
            error = "no response"
        if not self._complete and error is None:
            error = "incomplete response"
        # A mirrored request is asked here, a live one was asked before it began.
        if middleware.agent is None or (context.mirrored and not middleware._captures(context.pair_id)):
            return
        middleware.agent.submit(self._capture(error))

    def _note_losses(self) -> None:
        if self._sample.truncated:
            self.middleware.counters.add("truncated")
        if self._pump is not None and self._pump.overrun:
            self.middleware.counters.add("body_overrun")
            self._notes.append("body_overrun")

    def _capture(self, error: str | None) -> Capture:
        scope, settings, arrival = self.scope, self.context.settings, self.arrival
        answer = None
        if self._status:
            answer = take_answer(self._status, self._headers, self._sample, settings, self._notes)
            answer.truncated |= self._unseen
        read_whole = self._meter.complete or (
            not self._meter.sample.size and arrival.bodyless(scope["method"])
        )
        return Capture(
            context=self.context, method=scope["method"], path=scope["path"],
            query=take_query(scope.get("query_string", b""), settings),
            request_headers=take_headers(scope["headers"], settings, self._notes), attempt=arrival.attempt,
            started_unix_ns=self._started_unix_ns,
            duration_ns=self._duration_ns or time.perf_counter_ns() - self._started_ns,
            route=_route(scope), request_sha256=self._meter.sample.sha256 if read_whole else None,
            request_bytes=self._meter.sample.size, answer=answer, error=error,
            trace=self._trace or parse_traceparent(arrival.found.get(_TRACEPARENT, b"")),
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


async def _refuse(decision: Decision, receive: Receive, send: Send) -> None:
    """Answer 400 or 403. The body is read to its end, so that a mirror's caller is not held up."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_DRAIN_S):
            while (message := await receive())["type"] == "http.request" and message.get("more_body", False):
                pass
    body = (decision.reason + "\n").encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": decision.refusal, "headers": headers})
    await send({"type": "http.response.body", "body": body})
