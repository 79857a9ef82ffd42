"""One ASGI request that is mirrored, or captured, or both: its messages seen as they pass.

Theory of operation. Messages are passed on as they are, at once: bodies are sampled, never buffered. The
response's last message ends the context; a mirrored one is held back until its request's body has been
read, since v1's upload would stall otherwise. Whatever observing goes wrong is swallowed by `failsafe`.

Knows ASGI's http messages. Must not know how a request was decided upon.
"""

from __future__ import annotations

from mirrorproof.asgi_types import ASGIApp, Message, Receive, Scope, Send
from mirrorproof.body import BodyMeter, BodyPump, on_asyncio
from mirrorproof.context import MirrorContext, entered
from mirrorproof.failsafe import failsafe
from mirrorproof.gate import Submit
from mirrorproof.head import RequestHead
from mirrorproof.observation import DRAIN_S, Asked, Observation

__all__ = ["ServedRequest"]


class ServedRequest(Observation):
    """Serves one request. `submit`, where there is one, gets its capture at the end."""

    def __init__(
        self, context: MirrorContext, head: RequestHead, scope: Scope, receive: Receive, *, send: Send,
        submit: Submit | None,
    ) -> None:  # fmt: skip
        super().__init__(context, head, submit)
        self.scope = scope
        self._send = send
        self._pump = self._make_pump(receive)
        self._meter = self._pump.meter if self._pump else BodyMeter(receive)
        self._receive = self._pump.receive if self._pump else self._meter.receive

    def _make_pump(self, receive: Receive) -> BodyPump | None:
        if not self.context.mirrored or self.head.bodyless(self.scope["method"]) or not on_asyncio():
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
            if not self._stays(raised):
                raise
        finally:
            if self._pump is not None:
                self._pump.stop()
            self.close(error)

    async def send(self, message: Message) -> None:
        """What the application sends, on its way to the server."""
        kind = message["type"]
        if kind == "http.response.start":
            failsafe("see a response", self.context.counters, self._see_message, message)
        elif kind == "http.response.body":
            last = not message.get("more_body", False)
            failsafe("see a body", self.context.counters, self._sample.feed, message.get("body", b""))
            if last:
                await self._send_last(message)
                return
        elif kind in ("http.response.pathsend", "http.response.zerocopysend"):
            self._see_unseen()
            if kind == "http.response.pathsend" or not message.get("more_body", False):
                await self._send_last(message)
                return
        await self._send(message)

    async def _send_last(self, message: Message) -> None:
        if self._pump is not None:
            await self._pump.drain(DRAIN_S)
        await self._send(message)
        self._see_end()

    def _see_message(self, message: Message) -> None:
        self._see_start(message["status"], message.get("headers", ()))

    def asked(self) -> Asked:
        """What was asked for, when it is over."""
        scope = self.scope
        return Asked(
            scope["method"], scope["path"], scope.get("query_string", b""), scope["headers"],
            self._meter.sample, self._meter.complete,
            self._pump is not None and self._pump.overrun, _route(scope),
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
