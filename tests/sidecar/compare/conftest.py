"""Exchanges to compare, made in one line."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from mirrorproof.decision import Mode, Role
from mirrorproof.exchange import Effect, Exchange, Outcome, Request, Response
from mirrorproof_sidecar.compare import Comparison, Rules, compare


def make_exchange(body: bytes = b"", content_type: str | None = None, **more: Any) -> Exchange:
    """An exchange whose capture is whole, unless told otherwise."""
    headers = [("content-type", content_type)] if content_type is not None else []
    kept = more.pop("kept", body)
    response = Response(
        status=more.pop("status", 200),
        headers=headers + more.pop("headers", []),
        body=kept,
        body_bytes=len(body),
        truncated=more.pop("truncated", kept != body),
        sha256=more.pop("sha256", hashlib.sha256(body).hexdigest()),
    )
    request = Request(
        method=more.pop("method", "GET"), path=more.pop("path", "/orders/7"), route=more.pop("route", None)
    )
    values: dict[str, Any] = {
        "exchange_id": "x", "pair_id": "p", "service": "shop", "version": "1", "role": Role.PRIMARY,
        "mode": Mode.DRY_RUN, "started_unix_ns": 0, "duration_ns": 1, "request": request,
        "response": response,
    }  # fmt: skip
    return Exchange(**values | more)


def make_effect(digest: str, outcome: Outcome = Outcome.EXECUTED, **more: Any) -> Effect:
    values = {"kind": "sql.insert", "target": "orders", "summary": f"insert {digest}"}
    return Effect(digest=digest, outcome=outcome, **values | more)


def compare_json(primary: str | bytes, shadow: str | bytes, rules: Rules | None = None) -> Comparison:
    sides = (text if isinstance(text, bytes) else text.encode() for text in (primary, shadow))
    return compare(*(make_exchange(side, "application/json") for side in sides), rules or Rules())


@pytest.fixture(scope="session")
def exchange() -> Callable[..., Exchange]:
    """`make_exchange`."""
    return make_exchange


@pytest.fixture(scope="session")
def effect() -> Callable[..., Effect]:
    """`make_effect`."""
    return make_effect


@pytest.fixture(scope="session")
def json_pair() -> Callable[..., Comparison]:
    """`compare_json`."""
    return compare_json


@pytest.fixture(scope="session")
def told() -> Callable[[Comparison], list[tuple[str, str]]]:
    """The path and kind of each difference."""
    return lambda comparison: [(found.path, found.kind.value) for found in comparison.differences]
