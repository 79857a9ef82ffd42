"""`MirrorMiddleware`: the one line that a Python service adds.

Theory of operation. For an http request: read the headers once, decide, and then either refuse it or run
the application with the request's context set. The middleware holds configuration only; each request that
is mirrored or captured has a `ServedRequest` of its own. What does not depend on ASGI is in `gate`.

Knows ASGI's scopes. Must not know any framework, guard or the wire format.
"""

from __future__ import annotations

import asyncio
from contextlib import nullcontext, suppress
from typing import Any

from mirrorproof.asgi_types import ASGIApp, Receive, Scope, Send
from mirrorproof.body import on_asyncio
from mirrorproof.context import MirrorContext, entered
from mirrorproof.decision import Decision
from mirrorproof.gate import Gate
from mirrorproof.head import RequestHead
from mirrorproof.observation import DRAIN_S
from mirrorproof.served import ServedRequest
from mirrorproof.settings import Settings
from mirrorproof.shipping import Agent

__all__ = ["MirrorMiddleware"]


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
        self.app = app
        self._gate = Gate(settings, agent, **overrides)
        self.settings = self._gate.settings
        self.counters = self._gate.counters
        self.agent = self._gate.agent

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
        head = RequestHead(scope["headers"])
        decision = self._gate.unmarked(head) or self._decide(scope, head)
        if decision.refusal is not None:
            await _refuse(decision, receive, send)
            return
        context = self._gate.context(decision, head)
        submit = self._gate.submit_for(context)
        if context.mirrored or submit is not None:
            await ServedRequest(context, head, scope, receive, send=send, submit=submit).run(self.app)
            return
        await self._run(context, scope, receive, send)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        head = RequestHead(scope["headers"])
        decision = self._gate.unmarked(head) or self._decide(scope, head)
        if decision.refusal is not None:
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": decision.reason})
            return
        await self._run(self._gate.context(decision, head), scope, receive, send)

    async def _run(self, context: MirrorContext, scope: Scope, receive: Receive, send: Send) -> None:
        """The application, with the context set and nothing seen."""
        with entered(context):
            try:
                await self.app(scope, receive, send)
            finally:
                context.end()

    def _decide(self, scope: Scope, head: RequestHead) -> Decision:
        server = scope.get("server")
        return self._gate.decide(
            head, method=scope.get("method", "GET"), path=scope["path"],
            target=scope.get("raw_path") or scope["path"].encode(), port=server[1] if server else None,
        )  # fmt: skip


async def _refuse(decision: Decision, receive: Receive, send: Send) -> None:
    """Answer 400 or 403. The body is read to its end, so that a mirror's caller is not held up."""
    with suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_S) if on_asyncio() else nullcontext():
            while (message := await receive())["type"] == "http.request" and message.get("more_body", False):
                pass
    body = (decision.reason + "\n").encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": decision.refusal, "headers": headers})
    await send({"type": "http.response.body", "body": body})
