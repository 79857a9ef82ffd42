"""Asking v1 once more where that is safe: off unless an address is set.

Knows HTTP and bounds. Must not know what the second answer is compared with. Blocks, so it runs in the
settling thread.

Safe is: GET or HEAD, with nobody's credentials or cookie, a path that stays on the address that the operator
set, and only so many a minute. A live request is made, so v1 counts it as one; it carries no mark and no pair
id.
"""

from __future__ import annotations

import http.client
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

import msgspec

from mirrorproof.exchange import Exchange, Response
from mirrorproof_sidecar.recorder.identity import is_personal

__all__ = ["Rereader", "is_safe"]

_log = logging.getLogger("mirrorproof.recorder")

_TIMEOUT_S: Final = 2.0
_MAX_BODY_BYTES: Final = 1 << 20
_KEPT: Final = frozenset(("accept", "accept-language", "host", "user-agent"))
_MAX_TARGET_CHARS: Final = 8192


def is_safe(exchange: Exchange) -> bool:
    """Whether asking again changes nothing and needs nobody's identity."""
    request = exchange.request
    target = request.path + request.query
    return (
        request.method.upper() in ("GET", "HEAD")
        and not request.body_bytes
        and exchange.error is None
        and not is_personal(request)
        and "[redacted]" not in target
        and request.path.startswith("/")
        and not request.path.startswith("//")
        and len(target) <= _MAX_TARGET_CHARS
        and target.isascii()
        and target.isprintable()
        and " " not in target
    )


class Rereader:
    """Asks v1 at `url`, at most `per_minute` times in a minute."""

    def __init__(self, url: str, per_minute: int, now: Callable[[], float] = time.monotonic) -> None:
        self._url = urlsplit(url)
        self._now = now
        self._asked: deque[float] = deque(maxlen=per_minute)

    def read(self, first: Exchange) -> Exchange | None:
        """v1's second answer to a request that is safe; `None` where there is none."""
        if not is_safe(first) or not self._may():
            return None
        started_ns = time.time_ns()
        try:
            response = self._ask(first)
        except (OSError, http.client.HTTPException, ValueError) as error:
            _log.info("v1 could not be asked again: %s", error)
            return None
        if response is None:
            return None
        return msgspec.structs.replace(
            first, exchange_id=f"{first.exchange_id[:240]}:again", started_unix_ns=started_ns,
            duration_ns=time.time_ns() - started_ns, response=response,
        )  # fmt: skip

    def _may(self) -> bool:
        now_s = self._now()
        if len(self._asked) == self._asked.maxlen and now_s - self._asked[0] < 60:
            return False
        self._asked.append(now_s)
        return True

    def _ask(self, first: Exchange) -> Response | None:
        kind = http.client.HTTPSConnection if self._url.scheme == "https" else http.client.HTTPConnection
        connection = kind(self._url.hostname or "", self._url.port, timeout=_TIMEOUT_S)
        request = first.request
        target = self._url.path.rstrip("/") + request.path + (f"?{request.query}" if request.query else "")
        headers = {name: value for name, value in request.headers if name.lower() in _KEPT}
        try:
            connection.request(request.method, target, headers=headers | {"accept-encoding": "identity"})
            answer = connection.getresponse()
            body = answer.read(_MAX_BODY_BYTES + 1)
        finally:
            connection.close()
        if len(body) > _MAX_BODY_BYTES:
            return None
        names = [(name.lower(), value) for name, value in answer.getheaders()]
        return Response(status=answer.status, headers=names, body=body, body_bytes=len(body))
