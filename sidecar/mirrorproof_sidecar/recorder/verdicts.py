"""Answers of `GET /v1/verdict`, at a bounded cost however often and by however many they are asked.

Knows asyncio and a clock. Must not know requests, or what makes a verdict.

A verdict counts all pairs. So one that took t seconds to make is good for 10 t more: whoever polls costs a
tenth of a thread, all together one thread at most, and with a small store each answer is as new as its
question.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection

from mirrorproof_sidecar.judge import Thresholds, judge, to_wire
from mirrorproof_sidecar.store.evidence import endpoint_evidence, sources

__all__ = ["Verdicts", "verdict"]

_REST: Final = 10.0
_MAX_KEPT: Final = 16


def verdict(connection: Connection, thresholds: Thresholds, since_s: float | None = None) -> dict[str, Any]:
    """The verdict on what the store holds, as plain data."""
    return to_wire(judge(endpoint_evidence(connection, since_s=since_s), sources(connection), thresholds))


@dataclass(frozen=True, slots=True)
class _Kept:
    answer: dict[str, Any]
    good_until_s: float


class Verdicts:
    """Makes answers with `make(since_s)`, one at a time, and keeps the last for each `since_s`."""

    def __init__(
        self,
        make: Callable[[float | None], Awaitable[dict[str, Any]]],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._make = make
        self._monotonic = monotonic
        self._one_at_a_time = asyncio.Lock()
        self._kept: OrderedDict[float | None, _Kept] = OrderedDict()

    async def ask(self, since_s: float | None = None, *, fresh: bool = False) -> dict[str, Any]:
        """The verdict on what came from `since_s` on; `fresh`: made for this question."""
        async with self._one_at_a_time:
            kept = self._kept.get(since_s)
            began_s = self._monotonic()
            if kept is not None and not fresh and began_s < kept.good_until_s:
                return kept.answer
            answer = await self._make(since_s)
            ended_s = self._monotonic()
            self._kept[since_s] = _Kept(answer, ended_s + _REST * (ended_s - began_s))
            self._kept.move_to_end(since_s)
            if len(self._kept) > _MAX_KEPT:
                self._kept.popitem(last=False)
            return answer
