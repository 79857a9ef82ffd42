"""The recorder without HTTP: the store, the settling worker, retention, metrics and telemetry together.

Knows asyncio and threads: everything that blocks runs in an executor of its own. Must not know requests.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from sqlalchemy import Connection

from mirrorproof.exchange import Batch
from mirrorproof_sidecar.judge import Thresholds
from mirrorproof_sidecar.recorder.metrics import Metrics
from mirrorproof_sidecar.recorder.settler import BATCH_KEYS, Settler
from mirrorproof_sidecar.recorder.verdicts import Verdicts, verdict
from mirrorproof_sidecar.setting_files import read_rules, read_schemas, read_thresholds
from mirrorproof_sidecar.settings import RecorderSettings
from mirrorproof_sidecar.store import Store
from mirrorproof_sidecar.store.ingest import Ingested, ingest
from mirrorproof_sidecar.store.retention import prune_endpoints, sweep
from mirrorproof_sidecar.store.rulebook import put_rules
from mirrorproof_sidecar.store.settling import backlog, bump
from mirrorproof_sidecar.store.summary import summary
from mirrorproof_sidecar.telemetry import Telemetry

__all__ = ["Recorder"]

P = ParamSpec("P")
T = TypeVar("T")

_log = logging.getLogger("mirrorproof.recorder")
_THREADS: Final = 4
_SWEEP_EVERY_S: Final = 60.0
_SWEEP_ROWS: Final = 1000
_ERROR_PAUSE_S: Final = 1.0
_PATIENCE: Final = 100
_PATIENCE_PAUSE_S: Final = 0.02


class Recorder:
    """Takes batches, settles them in the background, answers questions.

    `start` opens the store (and brings it up to date); `stop` ends within about four seconds.
    """

    def __init__(self, settings: RecorderSettings, *, now: Callable[[], float] = time.time) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.telemetry = Telemetry.from_env(settings.match_sample)
        self.clock = now
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="mirrorproof-store")
        self._store: Store | None = None
        self._settler: Settler | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._round = asyncio.Lock()
        self._backlog = 0
        self._thresholds = Thresholds()
        self._verdicts = Verdicts(self._verdict)

    @property
    def overloaded(self) -> bool:
        """Whether so much waits to be settled that posts are turned away."""
        return self._backlog >= self.settings.max_backlog

    async def start(self) -> None:
        """Open the store and start working. Raises `SettingsError`, or what the database raises."""
        rules = read_rules(self.settings.rules) if self.settings.rules else None
        schemas = read_schemas(self.settings.descriptors) if self.settings.descriptors else None
        self._thresholds = read_thresholds(self.settings.thresholds)
        self._store = store = await self._in_thread(Store, self.settings.store)
        observers = (self.telemetry.observe, self.metrics.observe)
        self._settler = Settler(store, self.settings, observers, schemas)
        if rules is not None:
            await self.write(put_rules, rules, now_s=self.clock())
        self._backlog = await self.read(backlog)
        self._tasks = [
            asyncio.create_task(self._settle_forever()),
            asyncio.create_task(self._sweep_forever()),
        ]

    async def stop(self) -> None:
        """Stop working. What is stored and not settled is settled after the next start."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task
        async with self._round:
            pass
        await asyncio.to_thread(self.telemetry.shutdown)
        if self._store is not None:
            await self._in_thread(self._store.close)
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def take(self, batch: Batch) -> Ingested:
        """Store a batch; when this returns, it is durable."""
        taken = await self.write(
            ingest, batch, now_s=self.clock(), settle_s=self.settings.settle_s,
            max_endpoints=self.settings.max_endpoints,
        )  # fmt: skip
        self._backlog += taken.keys
        if taken.duplicates:
            await self.write(bump, "duplicates", taken.duplicates)
            self.metrics.duplicates.inc(taken.duplicates)
        for side, count in taken.by_side.items():
            self.metrics.exchanges.labels(side.value).inc(count)
        return taken

    async def settle_now(self) -> None:
        """Settle all that has arrived, without waiting for it to fall quiet.

        What has no partner and is younger than `expire_after_s` stays waiting. Where several recorders
        share a store, this waits for those that are at work on the rest, up to `_PATIENCE` times.
        """
        rounds = await self.read(backlog) // BATCH_KEYS + 2  # an end even while more keeps coming
        patience = _PATIENCE
        while rounds and patience:
            if await self._one_round(everything=True):
                rounds -= 1
            elif self._backlog:
                patience -= 1
                await asyncio.sleep(_PATIENCE_PAUSE_S)
            else:
                return

    async def summary(self) -> dict[str, Any]:
        """The answer of `GET /v1/summary`."""
        found = await self.read(summary)
        return {
            "schema": 1,
            "generated_unix_s": round(self.clock(), 3),
            **found,
            "spans": self.telemetry.counts,
        }

    async def verdict(self, since_s: float | None = None, *, fresh: bool = False) -> dict[str, Any]:
        """The answer of `GET /v1/verdict`: on what came from `since_s` on; `fresh`: counted for this
        question."""
        return await self._verdicts.ask(since_s, fresh=fresh)

    async def _verdict(self, since_s: float | None) -> dict[str, Any]:
        found = await self.read(verdict, self._thresholds, since_s)
        return {"schema": 1, "generated_unix_s": round(self.clock(), 3), "since_unix_s": since_s, **found}

    async def read(
        self, call: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """`Store.read` in a thread."""
        return await self._in_thread(lambda: self._opened.read(call, *args, **kwargs))

    async def write(
        self, call: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """`Store.write` in a thread."""
        return await self._in_thread(lambda: self._opened.write(call, *args, **kwargs))

    async def ping(self) -> None:
        """Raises if the store cannot be reached or is not open."""
        await self._in_thread(self._opened.ping)

    @property
    def _opened(self) -> Store:
        if self._store is None:
            raise RuntimeError("the recorder has not been started")
        return self._store

    async def _in_thread(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, lambda: call(*args, **kwargs))

    async def _one_round(self, *, everything: bool = False) -> int:
        async with self._round:
            if self._settler is None:
                raise RuntimeError("the recorder has not been started")
            # Shielded: a round that has begun is finished, so that `stop` does not close the store under it.
            done = asyncio.ensure_future(
                self._in_thread(self._settler.round, self.clock(), everything=everything)
            )
            try:
                settled = await asyncio.shield(done)
            except asyncio.CancelledError:
                await asyncio.wait([done])
                raise
            self._backlog = await self.read(backlog)
            self.metrics.backlog.set(self._backlog)
            return settled

    async def _settle_forever(self) -> None:
        pause_s = min(max(self.settings.settle_s / 4, 0.02), 0.5)
        while True:
            try:
                settled = await self._one_round()
            except Exception:
                self.metrics.settle_errors.inc()
                _log.exception("settling failed; it is tried again")
                await asyncio.sleep(_ERROR_PAUSE_S)
                continue
            if settled < BATCH_KEYS:
                await asyncio.sleep(pause_s)

    async def _sweep_forever(self) -> None:
        while True:
            try:
                await self.sweep()
            except Exception:
                _log.exception("deleting what is too old failed; it is tried again")
            await asyncio.sleep(min(_SWEEP_EVERY_S, self.settings.retention_s))

    async def sweep(self) -> int:
        """Delete what is older than `retention_s`, a bounded piece at a time. How many rows it were."""
        before_s = self.clock() - self.settings.retention_s
        total = 0
        while deleted := await self.write(sweep, before_s=before_s, limit=_SWEEP_ROWS):
            total += deleted
        if total:
            await self.write(prune_endpoints)
        return total
