"""`MirrorWSGIMiddleware`: the one line that a Flask, Django or other WSGI service adds.

Theory of operation. The decision, the context and the capture are those of ASGI. WSGI's differences: the
server pulls the answer out of an iterable, so each step of it runs within the request's context, and the
request is over when the iterable is (its effects are refused from then on, those of its `close()` too).
A mirrored request's body, up to `max_unread_bytes`, is read before the application is called, and what is
left after it, since v1's upload stalls while v2 does not read.

The mark. CGI's names cannot tell `x_istio_mirror` from `x-istio-mirror`: both are HTTP_X_ISTIO_MIRROR. Some
servers drop names with underscores before they fold (gunicorn from 22 on with its default `header_map`,
waitress, Werkzeug's from 3.1 on): there an underscored mark does not exist. Others fold (wsgiref, uWSGI).
So in role mixed without `trust`, a mark from a server that is not known to drop is malformed, and refused;
`underscores_dropped=True` says that the server, or the proxy before it, drops such names. What a server
has joined ("true,true") is malformed everywhere.

Knows PEP 3333. Must not know any framework, guard or the wire format.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from contextlib import suppress
from typing import Any, Final
from urllib.parse import quote

from mirrorproof.decision import Decision, Mark
from mirrorproof.gate import Gate
from mirrorproof.head import RequestHead
from mirrorproof.observation import DRAIN_S
from mirrorproof.settings import Settings
from mirrorproof.shipping import Agent
from mirrorproof.wsgi_served import ServedWSGIRequest, body_of

__all__ = ["MirrorWSGIMiddleware"]

Environ = MutableMapping[str, Any]
WSGIApp = Callable[[Any, Any], Iterable[bytes]]
_DROPS_UNDERSCORES: Final = re.compile(r"gunicorn/(2[2-9]|[3-9]\d)\.|waitress|Werkzeug/(3\.[1-9]|[4-9]\.)")
_CGI_HEADERS: Final = ("CONTENT_TYPE", "CONTENT_LENGTH")
_REASONS: Final = {400: "400 Bad Request", 403: "403 Forbidden"}
_CHUNK_BYTES: Final = 65_536


class MirrorWSGIMiddleware:
    """WSGI middleware: marks, guards, captures and ships.

    `settings`, `agent` and the overrides are those of `MirrorMiddleware`. `underscores_dropped` says whether
    header names with underscores are dropped on the way here; by default the server's name tells.

        app.wsgi_app = MirrorWSGIMiddleware(app.wsgi_app, service="orders", version="v2", role="shadow")

    Raises `SettingsError` that names the key.
    """

    def __init__(
        self, app: WSGIApp, *, settings: Settings | None = None, agent: Agent | None = None,
        underscores_dropped: bool | None = None, **overrides: Any,
    ) -> None:  # fmt: skip
        self.app = app
        self._gate = Gate(settings, agent, **overrides)
        self._underscores_dropped = underscores_dropped
        self.settings = self._gate.settings
        self.counters = self._gate.counters
        self.agent = self._gate.agent

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        self.counters.add("seen")
        headers = list(_headers(environ))
        head = RequestHead(headers)
        decision = self._gate.unmarked(head) or self._decide(environ, head)
        if decision.refusal is not None:
            return _refuse(decision, environ, start_response)
        context = self._gate.context(decision, head)
        submit = self._gate.submit_for(context)
        served = ServedWSGIRequest(context, head, environ, headers, path=_path(environ), submit=submit)
        return served.run(self.app, start_response)

    def _decide(self, environ: Environ, head: RequestHead) -> Decision:
        port = str(environ.get("SERVER_PORT", ""))
        return self._gate.decide(
            head, method=environ["REQUEST_METHOD"], path=_path(environ), target=_target(environ),
            port=int(port) if port.isdigit() else None,
            mark=Mark.MALFORMED if head.marks and self._may_be_folded(environ) else None,
        )  # fmt: skip

    def _may_be_folded(self, environ: Environ) -> bool:
        """Whether the mark may be an underscored header, and nothing else vouches for it."""
        if self.settings.trust or self.settings.role.always_mirrored:
            return False
        if self._underscores_dropped is not None:
            return not self._underscores_dropped
        return not _DROPS_UNDERSCORES.match(str(environ.get("SERVER_SOFTWARE", "")))


def _headers(environ: Environ) -> Iterator[tuple[bytes, bytes]]:
    """The request's headers as far as CGI's names tell them, in lower case."""
    for key, value in environ.items():
        if key.startswith("HTTP_"):
            name = key[5:]
        elif key in _CGI_HEADERS and value:
            name = key
        else:
            continue
        if isinstance(value, str):
            yield _bytes(name.replace("_", "-").lower()), _bytes(value)


def _bytes(text: str) -> bytes:
    return text.encode("latin-1", "replace")


def _path(environ: Environ) -> str:
    """The decoded path, mount and all. WSGI's strings are bytes in Latin-1's clothes."""
    path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    return _bytes(path).decode("utf-8", "replace") or "/"


def _target(environ: Environ) -> bytes:
    """The path as the caller sent it, where the server tells; else put together again."""
    for key in ("RAW_URI", "REQUEST_URI"):
        raw = environ.get(key)
        if isinstance(raw, str) and raw.startswith("/"):
            return _bytes(raw.partition("?")[0])
    return quote(_bytes(environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", ""))).encode() or b"/"


def _refuse(decision: Decision, environ: Environ, start_response: Any) -> Iterable[bytes]:
    """Answer 400 or 403. The body is read to its end, so that a mirror's caller is not held up."""
    body = body_of(environ)
    until_s = time.monotonic() + DRAIN_S
    with suppress(Exception):
        while time.monotonic() < until_s and body.read(_CHUNK_BYTES):
            pass
    answer = (decision.reason + "\n").encode()
    headers = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(answer)))]
    start_response(_REASONS[decision.refusal or 400], headers)
    return [answer]
