"""aiohttp.web's own middleware: marks, guards, captures and ships, as `MirrorMiddleware` does for ASGI.

aiohttp is imported only when the middleware is made. What it cannot see: the pieces of an answer that a
handler streams itself (a note says so), and the digest of a body that a handler did not read by `read`,
`text` or `json`. aiohttp reads what is left of a request's body after the answer, for 10 s by default; while
a handler runs and does not read, a mirror's upload waits.

Knows aiohttp's requests and responses. Must not know guards or the wire format.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from mirrorproof.body import BodySample
from mirrorproof.context import MirrorContext, entered
from mirrorproof.failsafe import failsafe
from mirrorproof.gate import Gate, Submit
from mirrorproof.head import RequestHead
from mirrorproof.observation import Asked, Observation
from mirrorproof.settings import Settings
from mirrorproof.shipping import Agent

__all__ = ["mirror_middleware"]


def mirror_middleware(
    settings: Settings | None = None, *, agent: Agent | None = None, **overrides: Any
) -> Any:
    """The middleware, to stand first. Settings, agent and overrides are those of `MirrorMiddleware`.

        app = web.Application(middlewares=[mirror_middleware(service="orders", version="v2"), ...])

    Raises `SettingsError` that names the key.
    """
    web = import_module("aiohttp.web")
    gate = Gate(settings, agent, **overrides)

    @web.middleware  # type: ignore[untyped-decorator]
    async def mirror(request: Any, handler: Any) -> Any:
        gate.counters.add("seen")
        head = RequestHead((name.lower(), value) for name, value in request.raw_headers)
        decision = gate.unmarked(head) or gate.decide(
            head, method=request.method, path=request.path,
            target=request.raw_path.partition("?")[0].encode("latin-1", "replace"), port=_port(request),
        )  # fmt: skip
        if decision.refusal is not None:
            return web.Response(status=decision.refusal, text=decision.reason + "\n")
        context = gate.context(decision, head)
        return await _Served(context, head, request, gate.submit_for(context)).run(handler)

    return mirror


def _port(request: Any) -> int | None:
    name = request.transport.get_extra_info("sockname") if request.transport else None
    return name[1] if isinstance(name, tuple) else None


class _Served(Observation):
    def __init__(
        self, context: MirrorContext, head: RequestHead, request: Any, submit: Submit | None
    ) -> None:
        super().__init__(context, head, submit)
        self._request = request

    async def run(self, handler: Any) -> Any:
        """Have the handler serve it. Raises what the handler raises."""
        error: str | None = None
        try:
            with entered(self.context):
                response = await handler(self._request)
            failsafe("see a response", self.context.counters, self._see, response)
            self._see_end()
        except BaseException as raised:
            if hasattr(raised, "status") and hasattr(raised, "prepare"):  # HTTPException, an answer
                failsafe("see a response", self.context.counters, self._see, raised)
                self._see_end()
            else:
                error = self._judge(raised)
            raise
        finally:
            self.close(error)
        return response

    def _see(self, response: Any) -> None:
        headers = [
            (name.encode("latin-1"), value.encode("latin-1")) for name, value in response.headers.items()
        ]
        self._see_start(response.status, headers)
        body = getattr(response, "body", None)
        if isinstance(body, (bytes, bytearray)):
            self._sample.feed(bytes(body))
        elif body is not None or response.prepared:
            self._see_unseen()

    def asked(self) -> Asked:
        """What was asked for, when it is over."""
        request = self._request
        body = getattr(request, "_read_bytes", None)
        sample = BodySample(0)
        sample.feed(body or b"")
        resource = request.match_info.route.resource
        return Asked(
            request.method, request.path, request.query_string.encode("latin-1", "replace"),
            request.raw_headers, sample, body is not None,
            route=resource.canonical if resource is not None else None,
        )  # fmt: skip
