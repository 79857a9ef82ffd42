"""The shipping agent: a bounded queue and a background thread between a service and the recorder.

Theory of operation. `submit` never waits and never raises: it appends, or counts a drop. One daemon
thread, started by the first submit of each process, takes batches, encodes them and posts them, with
retries that back off. Each post carries the counters as well, so that what was lost here is known there.
What is still queued when the time for shutting down is over is counted as dropped and logged. At all
times captured = shipped + dropped (by reason) + waiting.

Knows captures and the recorder's `POST /v1/exchanges`. Must not know requests or guards.
"""

from __future__ import annotations

import atexit
import http.client
import json
import logging
import os
import random
import time
import uuid
import weakref
from collections import deque
from dataclasses import dataclass
from threading import Event, Lock, Thread
from typing import Final, Protocol
from urllib.parse import urlsplit

from mirrorproof.context import own_traffic
from mirrorproof.counters import Counters
from mirrorproof.exchange import Batch, Exchange, SourceReport, encode_batch
from mirrorproof.failsafe import failsafe
from mirrorproof.settings import Settings

__all__ = ["Agent", "Shippable"]

_log = logging.getLogger("mirrorproof")
_MAX_BACKOFF_S: Final = 5.0
_MAX_RETRY_AFTER_S: Final = 30.0
_REPORT_INTERVAL_S: Final = 2.0
_PATH: Final = "/v1/exchanges"
_FINAL: Final = frozenset({202, 400, 413})
"""Answers that another attempt would not change."""


class Shippable(Protocol):
    """What the agent ships: something of a known size that becomes an exchange when it is its turn."""

    @property
    def size(self) -> int: ...

    def exchange(self) -> Exchange: ...


@dataclass(frozen=True, slots=True)
class _Answer:
    """The recorder's answer to one post; status 0 where there was none."""

    status: int
    retry_after_s: float = 0.0
    bad_index: int | None = None


class Agent:
    """Ships exchanges to the recorder that `settings.recorder` names.

    Raises `ValueError` where there is none.
    """

    def __init__(self, settings: Settings, counters: Counters) -> None:
        if not settings.recorder:
            raise ValueError("the shipping agent needs `recorder`, the recorder's URL")
        self._settings = settings
        self._counters = counters
        self._start_afresh()
        atexit.register(self.close)
        after_fork = weakref.WeakMethod(self._fork)
        os.register_at_fork(after_in_child=lambda: (call := after_fork()) and call())

    def _start_afresh(self) -> None:
        self._post = _Poster(self._settings)
        self._queue: deque[tuple[int, Shippable]] = deque()  # with the size that it was counted with
        self._queued_bytes = 0
        self._in_hand = 0
        self._lock = Lock()
        self._wake = Event()
        self._idle = Event()
        self._closing = False
        self._thread: Thread | None = None
        self._source_id = uuid.uuid4().hex
        self._warned: set[int] = set()
        self._reported: dict[str, int] = {}
        self._reported_at_s = 0.0

    def _fork(self) -> None:
        # A forked worker is a source of its own: what waits, and what was counted, is its parent's.
        self._start_afresh()
        self._counters.start_afresh()

    @property
    def waiting(self) -> int:
        """How many items are queued or being shipped."""
        with self._lock:
            return len(self._queue) + self._in_hand

    def submit(self, item: Shippable) -> bool:
        """Queue an item; `False` (and counted) where there is no room. Never waits."""
        size = item.size
        self._counters.add("captured")
        with self._lock:
            full = len(self._queue) >= self._settings.queue_exchanges
            if self._closing or full or self._queued_bytes + size > self._settings.queue_bytes:
                self._counters.add("dropped_queue_full")
                return False
            self._queue.append((size, item))
            self._queued_bytes += size
            batch_is_full = len(self._queue) >= self._settings.batch_exchanges
        self._ensure_thread()
        if batch_is_full:
            self._wake.set()
        return True

    def flush(self, timeout_s: float | None = None) -> bool:
        """Ship what is queued, waiting `timeout_s` (default `shutdown_timeout_s`) at most. `True` if done."""
        if timeout_s is None:
            timeout_s = self._settings.shutdown_timeout_s
        if self._thread is None:
            return not self._queue
        deadline_s = time.monotonic() + timeout_s
        while True:
            self._idle.clear()
            self._wake.set()
            if not self._idle.wait(max(0.0, deadline_s - time.monotonic())):
                return False
            if not self.waiting:
                return True

    def close(self, timeout_s: float | None = None) -> None:
        """Flush and stop. What is left is dropped, counted and logged. A second call does nothing."""
        if self._closing:
            return
        atexit.unregister(self.close)
        self.flush(timeout_s)
        self._closing = True
        self._wake.set()
        with self._lock:
            left = len(self._queue)
            self._queue.clear()
            self._queued_bytes = 0
        self._counters.add("dropped_unsent", left)
        left += self._in_hand  # the thread counts these itself, once it knows what became of them
        if left:
            _log.warning("mirrorproof: %d exchanges were not shipped before the shutdown", left)

    def _ensure_thread(self) -> None:
        if self._thread is not None:
            return
        with self._lock:
            if self._thread is None:
                thread = Thread(target=self._run, name="mirrorproof-shipping", daemon=True)
                thread.start()
                self._thread = thread

    def _run(self) -> None:
        with own_traffic():
            while not self._closing:
                self._wake.wait(self._settings.flush_interval_s)
                self._wake.clear()
                failsafe("ship exchanges", self._counters, self._ship_all)
                if not self._queue:
                    self._idle.set()

    def _ship_all(self) -> None:
        while self._queue and not self._closing:
            try:
                self._ship(self._take_batch())
            finally:
                self._settle("dropped_unsent", self._in_hand)  # none, unless this failed in a new way
        # Counters also travel alone: a service that captures nothing any more still has losses to tell.
        if self._counters.snapshot() != self._reported and self._report_is_due():
            self._ship([])

    def _report_is_due(self) -> bool:
        return not self._idle.is_set() or time.monotonic() - self._reported_at_s >= _REPORT_INTERVAL_S

    def _take_batch(self) -> list[Exchange]:
        with self._lock:
            taken = [
                self._queue.popleft() for _ in range(min(len(self._queue), self._settings.batch_exchanges))
            ]
            self._queued_bytes -= sum(size for size, _ in taken)
            self._in_hand = len(taken)
        built = (failsafe("build an exchange", self._counters, item.exchange) for _, item in taken)
        exchanges = [exchange for exchange in built if exchange is not None]
        self._settle("dropped_rejected", len(taken) - len(exchanges))
        return exchanges

    def _settle(self, counter: str, number: int) -> None:
        self._counters.add(counter, number)
        self._in_hand -= number

    def _ship(self, exchanges: list[Exchange]) -> None:
        """Post a batch; every exchange of it ends up shipped or counted as dropped."""
        waiting = [exchanges]
        while waiting:
            batch = waiting.pop()
            answer = self._post_patiently(batch)
            if answer.status == 413 and len(batch) > 1:
                middle = len(batch) // 2
                waiting += (batch[middle:], batch[:middle])
            elif answer.status in (400, 413):
                bad = answer.bad_index if answer.bad_index is not None else -1
                others = batch[:bad] + batch[bad + 1 :] if 0 <= bad < len(batch) else []
                self._settle("dropped_rejected", len(batch) - len(others))
                waiting += [others] if others else []
            else:
                self._settle("shipped" if answer.status == 202 else "dropped_unsent", len(batch))

    def _post_patiently(self, batch: list[Exchange]) -> _Answer:
        """The recorder's answer to a batch, after as many attempts as the settings allow."""
        answer = _Answer(0)
        for attempt in range(self._settings.ship_attempts):
            if attempt:
                self._pause(max(answer.retry_after_s, _backoff_s(attempt)))
            counted = self._counters.snapshot()
            try:
                body = encode_batch(Batch(exchanges=batch, source=self._report(counted)))
            except ValueError:  # text that is no Unicode: split like what is too large, down to the culprit
                return _Answer(413)
            answer = self._post(body)
            if answer.status == 202:
                self._reported, self._reported_at_s = counted, time.monotonic()
            if answer.status in _FINAL or self._closing:
                break
            self._warn(answer)
        return answer

    def _warn(self, answer: _Answer) -> None:
        """Say once for each kind of failure that the recorder does not take what it is sent."""
        if answer.status in self._warned:
            return
        self._warned.add(answer.status)
        what = f"answers {answer.status}" if answer.status else "does not answer"
        hint = "; check `token`" if answer.status in (401, 403) else ""
        _log.warning(
            "mirrorproof: the recorder at %s %s%s; trying again", self._settings.recorder, what, hint
        )

    def _pause(self, seconds: float) -> None:
        deadline_s = time.monotonic() + seconds
        while not self._closing and (left_s := deadline_s - time.monotonic()) > 0:
            time.sleep(min(left_s, 0.05))

    def _report(self, counted: dict[str, int]) -> SourceReport:
        return SourceReport(
            source_id=self._source_id, service=self._settings.service, version=self._settings.version,
            role=self._settings.role, counters=counted,
        )  # fmt: skip


def _backoff_s(attempt: int) -> float:
    return float(min(_MAX_BACKOFF_S, 0.1 * 2**attempt)) * random.uniform(0.5, 1.0)


class _Poster:
    """One kept-alive connection to the recorder. Any failure is an answer with status 0."""

    def __init__(self, settings: Settings) -> None:
        self._url = urlsplit(settings.recorder or "")
        self._timeout_s = settings.ship_timeout_s
        self._connection: http.client.HTTPConnection | None = None
        self._headers = {"Content-Type": "application/msgpack", "User-Agent": "mirrorproof"}
        if settings.token:
            self._headers["Authorization"] = f"Bearer {settings.token}"

    def __call__(self, body: bytes) -> _Answer:
        try:
            connection = self._connection = self._connection or self._connect()
            connection.request("POST", self._url.path.rstrip("/") + _PATH, body, self._headers)
            response = connection.getresponse()
            return _read_answer(response)
        except (OSError, http.client.HTTPException):
            self._hang_up()
            return _Answer(0)

    def _connect(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._url.scheme == "https" else http.client.HTTPConnection
        return kind(self._url.hostname or "localhost", self._url.port, timeout=self._timeout_s)

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _read_answer(response: http.client.HTTPResponse) -> _Answer:
    body = response.read(65_536)
    response.close()
    retry_after = response.getheader("Retry-After", "")
    bad_index: int | None = None
    if response.status == 400:
        try:
            found = json.loads(body).get("index")
            bad_index = found if isinstance(found, int) else None
        except (ValueError, AttributeError, RecursionError):
            bad_index = None
    told_s = float(retry_after) if retry_after.isascii() and retry_after.isdigit() else 0.0
    return _Answer(response.status, min(told_s, _MAX_RETRY_AFTER_S), bad_index)
