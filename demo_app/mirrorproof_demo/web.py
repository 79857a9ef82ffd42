"""Small questions over HTTP to our own processes.

Knows HTTP GET and JSON. Must not know what is asked.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

__all__ = ["get_json", "get_text", "is_up", "loopback", "port_of"]

_TIMEOUT_S = 5.0
_opener = build_opener(ProxyHandler({}))  # everything is on this machine: no proxy of the environment's


def get_text(url: str) -> str:
    """The answer's body. Raises `OSError` where there is none, or no success."""
    with _opener.open(url, timeout=_TIMEOUT_S) as answer:
        text: str = answer.read().decode("utf-8")
        return text


def get_json(url: str) -> Any:
    """The answer's body as JSON. Raises `OSError` or `ValueError`."""
    return json.loads(get_text(url))


def is_up(url: str) -> bool:
    """Whether `url` answers with success."""
    try:
        get_text(url)
    except (URLError, OSError):
        return False
    return True


def loopback(port: int) -> str:
    """The URL of a port of this machine."""
    return f"http://127.0.0.1:{port}"


def port_of(url: str) -> int:
    """The port of such a URL."""
    return int(url.rpartition(":")[2])
