"""The payment service: a small service of its own, which counts who called it.

It counts by what the caller calls itself, and so knows whether v2 took money, whatever the guards of v2's
process believe.

Knows payments. Must not know the shop or mirrorproof.
"""

from __future__ import annotations

import secrets
from collections import Counter

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

__all__ = ["create_app"]


def create_app() -> Starlette:
    """The payment service as an ASGI application."""
    charged: Counter[str] = Counter()

    async def pay(request: Request) -> JSONResponse:
        await request.json()
        charged[request.headers.get("user-agent", "").removeprefix("shop/")] += 1
        return JSONResponse({"id": f"pay_{secrets.token_hex(6)}", "status": "approved"}, status_code=201)

    async def count(request: Request) -> JSONResponse:
        return JSONResponse(dict(charged))

    return Starlette(
        routes=[
            Route("/payments", pay, methods=["POST"]),
            Route("/payments/count", count, methods=["GET"]),
        ]
    )
