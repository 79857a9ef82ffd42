"""`MirrorMiddleware`: the one line that a Python service adds.

Theory of operation. For an http request: read the headers once, decide, and then either refuse it or run
the application with the request's context set. The middleware holds configuration only; each request that
is mirrored or captured has a `ServedRequest` of its own. The decision and the context are not observing:
they are made where an error still stops the request.

Knows ASGI's scopes. Must not know any framework, guard or the wire format.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from typing import Any

from mirrorproof.asgi_types import ASGIApp, Receive, Scope, Send
from mirrorproof.context import MirrorContext, entered, set_process_context
from mirrorproof.counters import Counters
from mirrorproof.decision import SIGNATURE_HEADER, Arrival, Decision, Mark, Role, decide, read_mark
from mirrorproof.errors import SettingsError
from mirrorproof.guards import install_guards
from mirrorproof.head import RequestHead
from mirrorproof.sampling import sampled
from mirrorproof.served import DRAIN_S, ServedRequest
from mirrorproof.settings import Settings
from mirrorproof.shipping import Agent

__all__ = ["MirrorMiddleware"]

_log = logging.getLogger("mirrorproof")


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
        if self.settings.role is Role.MIXED and not self.settings.trust:
            _log.warning(
                "mirrorproof: role mixed without `trust` believes any caller's x-istio-mirror, and drops the "
                "writes of whoever sends it; set MIRRORPROOF_ROLE, or MIRRORPROOF_TRUST=mirror_port or key"
            )
        if self.settings.role.always_mirrored:
            set_process_context(self.settings, self.counters)
        if self.settings.guards:
            install_guards(strict=self.settings.role is not Role.PRIMARY)

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
        head = RequestHead(scope)
        decision = self._decide(scope, head)
        if decision.refusal is not None:
            await _refuse(decision, receive, send)
            return
        context = self._context(decision, head)
        submit = self.agent.submit if self.agent is not None and self._captures(context.pair_id) else None
        if context.mirrored or submit is not None:
            await ServedRequest(context, head, scope, receive, send=send, submit=submit).run(self.app)
            return
        await self._run(context, scope, receive, send)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        head = RequestHead(scope)
        decision = self._decide(scope, head)
        if decision.refusal is not None:
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": decision.reason})
            return
        context = self._context(decision, head)
        await self._run(context, scope, receive, send)

    async def _run(self, context: MirrorContext, scope: Scope, receive: Receive, send: Send) -> None:
        """The application, with the context set and nothing seen."""
        with entered(context):
            try:
                await self.app(scope, receive, send)
            finally:
                context.end()

    def _decide(self, scope: Scope, head: RequestHead) -> Decision:
        if self._unmarked is not None and not head.marks:
            return self._unmarked
        server = scope.get("server")
        target = scope.get("raw_path") or scope["path"].encode()
        signature = head.found.get(SIGNATURE_HEADER)
        decision = decide(
            self.settings.policy,
            Arrival(
                mark=read_mark(head.marks), method=scope.get("method", "GET"), path=scope["path"],
                target=target.decode("latin-1"), pair_id=head.pair_id or "",
                port=server[1] if server else None,
                signature=signature.decode("latin-1") if signature else None, now_unix_s=time.time(),
            ),
        )  # fmt: skip
        if decision.counter:
            self.counters.add(decision.counter)
        return decision

    def _context(self, decision: Decision, head: RequestHead) -> MirrorContext:
        return MirrorContext(
            decision, settings=self.settings, counters=self.counters, pair_id=head.pair_id or ""
        )

    def _captures(self, pair_id: str) -> bool:
        if not pair_id:
            self.counters.add("no_pair_id")
            return False
        if not sampled(pair_id, self.settings.sample):
            self.counters.add("sampled_out")
            return False
        return True


async def _refuse(decision: Decision, receive: Receive, send: Send) -> None:
    """Answer 400 or 403. The body is read to its end, so that a mirror's caller is not held up."""
    with suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_S):
            while (message := await receive())["type"] == "http.request" and message.get("more_body", False):
                pass
    body = (decision.reason + "\n").encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": decision.refusal, "headers": headers})
    await send({"type": "http.response.body", "body": body})
