"""Comparing two recordings without a recorder: what one would have said, from a store that is thrown away.

Knows the store and the settler, so that pairs, endpoints and figures are the recorder's own. Must not know
formats of files or of reports.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import msgspec

from mirrorproof.decision import Mode, Role
from mirrorproof.exchange import Batch, Exchange
from mirrorproof_sidecar.compare import Rules
from mirrorproof_sidecar.progress import Tell
from mirrorproof_sidecar.recorder.settler import Settler
from mirrorproof_sidecar.settings import RecorderSettings
from mirrorproof_sidecar.store import Store
from mirrorproof_sidecar.store.ingest import ingest
from mirrorproof_sidecar.store.rulebook import put_rules
from mirrorproof_sidecar.store.summary import summary
from mirrorproof_sidecar.store.trends import trends

__all__ = ["EXIT_CODES", "compare_recorded"]

EXIT_CODES: Final = {"pass": 0, "fail": 1, "undecided": 2}
_AT_ONCE: Final = 200
_MAX_ENDPOINTS: Final = 1000


def compare_recorded(
    primary: Iterable[Exchange], shadow: Iterable[Exchange], rules: Rules, tell: Tell
) -> dict[str, Any]:
    """The report on two recordings of the same requests, whatever role each exchange was recorded in.

    Exchanges pair as in the recorder: by pair id, service, method and path. Memory does not grow with the
    recordings; the disk for temporary files has to hold both.
    """
    with TemporaryDirectory(prefix="mirrorproof-") as folder:
        store = Store(f"sqlite:///{Path(folder) / 'compared.db'}")
        try:
            return _compare(store, {Role.PRIMARY: primary, Role.SHADOW: shadow}, rules, tell)
        finally:
            store.close()


def _compare(
    store: Store, sides: Mapping[Role, Iterable[Exchange]], rules: Rules, tell: Tell
) -> dict[str, Any]:
    store.write(put_rules, rules, now_s=0.0)
    settings = RecorderSettings(repeat_within_s=0.0)
    last_s, read = 0.0, 0
    for role, exchanges in sides.items():
        for batch in _batches(_as_side(exchange, role) for exchange in exchanges):
            now_s = batch[0].started_unix_ns / 1e9
            last_s = max(last_s, now_s)
            store.write(
                ingest, Batch(exchanges=batch), now_s=now_s, settle_s=0.0, max_endpoints=_MAX_ENDPOINTS
            )
            read += len(batch)
            tell(f"{read:,} exchanges read")
    settler, settled = Settler(store, settings), 0
    # At a time at which whatever has no partner by then has waited for long enough.
    while done := settler.round(last_s + settings.expire_after_s + 1, everything=True):
        settled += done
        tell(f"{settled:,} requests compared")
    found = store.read(summary)
    found["completeness"]["sources"] = 1  # files lose nothing on the way
    return {
        "schema": 1, "generated_unix_s": round(last_s, 3), **found,
        "spans": dict.fromkeys(("made", "exported", "failed", "dropped"), 0),
        "verdict": _verdict(found), "trends": store.read(trends),
    }  # fmt: skip


def _batches(exchanges: Iterator[Exchange]) -> Iterator[list[Exchange]]:
    while batch := list(islice(exchanges, _AT_ONCE)):
        yield batch


def _as_side(exchange: Exchange, role: Role) -> Exchange:
    """The exchange as one of the primary's or the shadow's. The same recording may be both."""
    mode = Mode.LIVE if role is Role.PRIMARY else Mode.DRY_RUN
    return msgspec.structs.replace(
        exchange, role=role, mode=mode, exchange_id=f"{role.value}:{exchange.exchange_id}"
    )


def _verdict(found: Mapping[str, Any]) -> dict[str, Any]:
    """Same, different or undecided, in the shape of a verdict. No statistics: what is there is all there
    is."""
    endpoints = [_scope(one) | {"minor": False, "service": one["service"], "method": one["method"],
                                "route": one["route"]} for one in found["endpoints"]]  # fmt: skip
    together = _scope(found["totals"] | {"completeness": found["completeness"]})
    return {
        "verdict": together["verdict"], "reasons": [check["words"] for check in together["checks"]],
        "more_requests": None,
        "evidence": {"all": together, "endpoints": endpoints, "notes": []},
    }  # fmt: skip


def _scope(figures: Mapping[str, Any]) -> dict[str, Any]:
    held = figures["completeness"]
    alone = sum(held[state][side] for state in ("unpaired", "ambiguous", "waiting") for side in held[state])
    unknown = figures["incomparable"]
    compared = figures["pairs"] - unknown
    different = "fail" if figures["different"] else "pass" if compared else "undecided"
    checks = [
        _check("differences", different, f"{figures['different']:,} of {compared:,} compared pairs differ"),
        _check("complete", "undecided" if alone or unknown else "pass",
               f"{alone:,} exchanges without a partner, {unknown:,} pairs that could not be compared"),
    ]  # fmt: skip
    verdicts = [check["verdict"] for check in checks]
    worst = next(one for one in ("fail", "undecided", "pass") if one in verdicts)
    return {"verdict": worst, "checks": checks, "completeness": []}


def _check(name: str, verdict: str, words: str) -> dict[str, Any]:
    return {"name": name, "verdict": verdict, "words": words}
