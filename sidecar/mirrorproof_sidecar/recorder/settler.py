"""One round of settling: claim what is due, pair it, compare the pairs, write it down, tell the observers.

Blocks, so it runs in a thread. Knows the store, pairing and comparison. Must not know HTTP, asyncio, or
what an observer does with a finding.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from mirrorproof.exchange import Exchange
from mirrorproof_sidecar.compare import Comparison, Context, Rules, compare
from mirrorproof_sidecar.compare.formats import Schemas
from mirrorproof_sidecar.compare.moved import without_moved
from mirrorproof_sidecar.finding import Finding
from mirrorproof_sidecar.pairing import Effects, Side, effects, settle
from mirrorproof_sidecar.recorder.noisebook import NoiseBook
from mirrorproof_sidecar.recorder.rereading import Rereader
from mirrorproof_sidecar.settings import RecorderSettings
from mirrorproof_sidecar.store import Store
from mirrorproof_sidecar.store.noise import load_tally
from mirrorproof_sidecar.store.rulebook import rules_in_force
from mirrorproof_sidecar.store.settling import (
    Claim,
    KeyState,
    Outcome,
    claim,
    load,
    load_exchanges,
    pair_id_of,
    record,
)

__all__ = ["BATCH_KEYS", "Observer", "Settler"]

_log = logging.getLogger("mirrorproof.recorder")

BATCH_KEYS: Final = 100
"""Requests settled in one round: their exchanges are in memory together."""

_LEASE_S: Final = 30.0
"""After a crash in the middle of a round, its keys are due again this much later."""

_NOTHING: Final = Effects((), (), {}, 0)

Observer = Callable[[str, Finding], None]
"""Hears of each new finding, with the pair's id."""


class Settler:
    """Settles what is in `store`; `observers` hear of each finding once it is written down."""

    def __init__(
        self,
        store: Store,
        settings: RecorderSettings,
        observers: Sequence[Observer] = (),
        schemas: Schemas | None = None,
    ) -> None:
        self._store = store
        self._settings = settings
        self._observers = observers
        self._context = Context(schemas=schemas)
        self._noise = NoiseBook(settings.repeat_within_s)
        url = settings.reread_primary_url
        self._rereader = Rereader(url, settings.rereads_per_minute) if url else None

    def round(self, now_s: float, *, everything: bool = False) -> int:
        """Settle up to `BATCH_KEYS` requests that are due, or have news if `everything`. How many it took."""
        claims = self._store.write(
            claim, now_s=now_s, limit=BATCH_KEYS, lease_s=_LEASE_S, everything=everything
        )
        if claims:
            self._settle(claims, now_s)
        return len(claims)

    def _settle(self, claims: Sequence[Claim], now_s: float) -> None:
        states = self._store.read(load, claims, self._settings.max_per_key)
        planned = [(state, *self._plan(state, now_s)) for state in states]
        uids = [uid for _, plan, _ in planned for match in plan.add for uid in (match.primary, match.other)]
        exchanges = self._store.read(load_exchanges, uids)
        rules_number, rules = self._store.read(rules_in_force)
        self._noise.refresh(now_s, lambda: self._store.read(load_tally))
        outcomes = []
        for state, plan, due_s in planned:
            findings = self._findings(state, plan, exchanges, rules)
            if findings is not None:
                aside = state.count > self._settings.max_per_key
                outcomes.append(Outcome(state.claim, plan, due_s, findings, aside))
        for finding in self._store.write(record, outcomes, now_s=now_s, rules_number=rules_number):
            self._tell(finding)

    def _plan(self, state: KeyState, now_s: float) -> tuple[Effects, float | None]:
        if state.count > self._settings.max_per_key:
            return _NOTHING, None
        settled = settle(
            state.seen, now_s=now_s, expire_after_s=self._settings.expire_after_s,
            max_exchanges=self._settings.max_per_key,
        )  # fmt: skip
        return effects(settled, recorded=state.recorded, states=state.states), settled.due_s

    def _findings(
        self, state: KeyState, plan: Effects, exchanges: dict[str, Exchange], rules: Rules
    ) -> tuple[Finding, ...] | None:
        """The comparisons that the plan asks for; `None` if an exchange was deleted meanwhile."""
        received_s = {seen.uid: seen.received_s for seen in state.seen}
        controls: dict[str, Comparison] = {}
        findings = []
        # The control first: what it says of the same answer of v1 is known when v2's is compared.
        for match in sorted(plan.add, key=lambda match: match.against is not Side.CONTROL):
            primary, other = exchanges.get(match.primary), exchanges.get(match.other)
            if primary is None or other is None:
                return None
            endpoint, explained = state.endpoints[match.primary], False
            if match.against is Side.CONTROL:
                comparison = controls[match.primary] = _compare(primary, other, rules, self._context)
                explained = self._noise.explains(primary, comparison)
            else:
                known = self._noise.known(primary, controls.get(match.primary))
                context = replace(self._context, noise=known)
                comparison = self._reread(primary, other, rules, _compare(primary, other, rules, context))
                self._noise.show(endpoint, primary, lambda a, b: _compare(a, b, rules, self._context))
            findings.append(
                Finding(
                    match, state.claim.key, endpoint, state.endpoints[match.other],
                    min(received_s[match.primary], received_s[match.other]), primary, other, comparison,
                    explained,
                )
            )  # fmt: skip
        return tuple(findings)

    def _reread(self, primary: Exchange, other: Exchange, rules: Rules, comparison: Comparison) -> Comparison:
        """`comparison` without what moved between the two answers, if v1 may be asked once more."""
        second = self._rereader.read(primary) if self._rereader and comparison.differences else None
        if second is None:
            return comparison
        again = _compare(second, other, rules, self._context)
        return without_moved(comparison, again, _compare(primary, second, rules, self._context))

    def _tell(self, finding: Finding) -> None:
        pair = pair_id_of(finding.match)
        for observer in self._observers:
            try:
                observer(pair, finding)
            except Exception:
                _log.exception("a comparison could not be reported; it is in the store")


def _compare(primary: Exchange, other: Exchange, rules: Rules, context: Context) -> Comparison:
    try:
        return compare(primary, other, rules, context=context)
    except Exception as error:
        # `compare` promises not to raise; if it does, the pair is never called equal.
        _log.exception("a comparison failed")
        return Comparison(incomparable=(f"the comparison failed: {type(error).__name__}",))
