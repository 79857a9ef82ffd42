"""What is counted, by closed names: how losses reach the summary and the verdict.

Knows names and numbers. Must not know who counts or who reads.
"""

from __future__ import annotations

from threading import Lock
from typing import Final

__all__ = ["NAMES", "Counters"]

NAMES: Final = (
    "seen",  # http requests that arrived
    "captured",  # exchanges handed to the shipping agent: shipped, dropped or still waiting
    "shipped",  # exchanges that the recorder acknowledged
    "sampled_out",  # left out by the sampling hash, the same ones on both sides
    "no_pair_id",  # nothing to pair by: neither x-mirror-id nor x-request-id
    "dropped_queue_full",  # the agent's queue was full
    "dropped_unsent",  # given up after retries, or at shutdown
    "dropped_rejected",  # the recorder refused the exchange as malformed
    "truncated",  # a response body over the capture bound
    "body_overrun",  # a mirrored request's body cut off so that v1 need not wait
    "unmarked",  # role shadow or control: no well-formed mark, dry all the same
    "mark_ignored",  # role primary: a mark, ignored
    "refused_malformed",  # role mixed: answered 400
    "refused_untrusted",  # role mixed: answered 403
    "effects_lost",  # effects beyond the ledger's bound
    "effects_outside",  # effects of a shadow process outside any request
    "effects_late",  # effects refused after the response had ended
    "overlay_full",  # suppressed Redis writes beyond the bound of what a request sees of its own
    "observer_errors",  # errors of our own observing code, swallowed
)


class Counters:
    """Numbers that only grow, safe from any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._values: dict[str, int] = dict.fromkeys(NAMES, 0)

    def add(self, name: str, amount: int = 1) -> None:
        """Count. Raises `KeyError` for a name that is not in `NAMES`."""
        with self._lock:
            self._values[name] += amount

    def start_afresh(self) -> None:
        """From zero: in a forked process, whose counts are its own."""
        self._lock = Lock()
        self._values = dict.fromkeys(NAMES, 0)

    def snapshot(self) -> dict[str, int]:
        """All counters as they stand."""
        with self._lock:
            return dict(self._values)

    def __getitem__(self, name: str) -> int:
        return self._values[name]
