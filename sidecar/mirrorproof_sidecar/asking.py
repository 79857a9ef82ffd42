"""Asking a recorder over HTTP: one call, JSON back, and every failure as a sentence.

Knows aiohttp. Must not know what is asked for.
"""

from __future__ import annotations

import json
import os
from typing import Any, Final

from mirrorproof_sidecar.examples import clean

__all__ = ["ReportError", "ask"]

_TIMEOUT_S: Final = 60.0


class ReportError(Exception):
    """The recorder could not be asked; the words say why. `passing`: it may be there a little later."""

    def __init__(self, words: str, *, passing: bool = False) -> None:
        super().__init__(words)
        self.passing = passing


async def ask(
    url: str, call: str, *, token: str | None = None, timeout_s: float = _TIMEOUT_S
) -> dict[str, Any]:
    """What the recorder at `url` answers to `GET <call>`. Raises `ReportError`."""
    import aiohttp

    headers = {"Authorization": f"Bearer {token}"} if token else {}
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    try:
        async with (
            aiohttp.ClientSession(headers=headers, timeout=timeout) as session,
            session.get(url.rstrip("/") + call) as response,
        ):
            status, body = response.status, await response.read()
    except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError) as error:
        raise ReportError(f"{url} is no recorder's URL; one looks like http://127.0.0.1:9600") from error
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise ReportError(
            f"no recorder answers at {url} ({_why(error, timeout_s)}): start one with `mirrorproof recorder` "
            "or name another with --recorder or MIRRORPROOF_RECORDER",
            passing=True,
        ) from error
    if status != 200:
        raise ReportError(f"{url} answered {status}: {_error_in(body)}", passing=status >= 500)
    try:
        answer: dict[str, Any] = json.loads(body)
    except ValueError as error:
        raise ReportError(f"what answers at {url} is no recorder: its answer is no JSON") from error
    return answer


def _why(error: Exception, timeout_s: float) -> str:
    """What went wrong on the way to the recorder, in a few words."""
    if isinstance(error, TimeoutError):
        return f"nothing came within {timeout_s:g} s"
    if isinstance(error, OSError) and error.errno is not None:
        # aiohttp's own words repeat the address and its TLS settings.
        words = os.strerror(error.errno) if error.errno > 0 else error.strerror or "no such host"
        return words.lower()
    return str(error) or type(error).__name__


def _error_in(body: bytes) -> str:
    try:
        return clean(str(json.loads(body)["error"]))
    except (ValueError, KeyError, TypeError):
        return "(no reason given)"
