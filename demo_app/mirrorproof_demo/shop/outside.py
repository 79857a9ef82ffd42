"""What the shop touches outside its database: the payment service and the warehouse's pick list.

Knows the payment service's API and the pick list's format. Must not know the shop's HTTP or database.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import httpx

from mirrorproof import side_effect
from mirrorproof_demo.shop.store import Line

__all__ = ["PaymentError", "Payments", "append_to_pick_list"]


class PaymentError(Exception):
    """The payment service could not be reached or did not approve."""


class Payments:
    """A client of the payment service; tests give a `transport`."""

    def __init__(self, url: str, version: str, transport: httpx.AsyncBaseTransport | None = None) -> None:
        headers = {"user-agent": f"shop/{version}"}
        self._client = httpx.AsyncClient(base_url=url, headers=headers, timeout=5.0, transport=transport)

    async def charge(self, reference: str, amount: str) -> str:
        """Take the money; returns the payment's id. Raises `PaymentError`."""
        try:
            answer = await self._client.post("/payments", json={"reference": reference, "amount": amount})
            answer.raise_for_status()
            payment = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise PaymentError(str(error)) from error
        if payment.get("status") != "approved":
            raise PaymentError(f"not approved: {payment}")
        return str(payment["id"])

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


def append_to_pick_list(path: Path, version: str, reference: str, lines: Sequence[Line]) -> None:
    """Tell the warehouse what to pick: a line of the file that both versions append to."""
    goods = {line.sku: line.quantity for line in lines}
    with side_effect("file.append", "picklist", payload={"reference": reference, "goods": goods}) as effect:
        if effect.live:
            entry = {"reference": reference, "goods": goods, "written_by": version}
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")
