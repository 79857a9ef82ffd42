"""What every middleware does with a request's head: decide, make its context, choose whether to ship.

Theory of operation. One `Gate` belongs to one middleware and holds configuration only. The decision and the
context are not observing: they are made where an error still stops the request.

Knows settings, the decision and the shipping agent. Must not know ASGI, WSGI or any framework.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from mirrorproof.capture import Capture
from mirrorproof.context import MirrorContext, set_process_context
from mirrorproof.counters import Counters
from mirrorproof.decision import SIGNATURE_HEADER, Arrival, Decision, Mark, Role, decide, read_mark
from mirrorproof.errors import SettingsError
from mirrorproof.guards import install_guards
from mirrorproof.head import RequestHead
from mirrorproof.sampling import sampled
from mirrorproof.serving import told
from mirrorproof.settings import Settings
from mirrorproof.shipping import Agent

__all__ = ["Gate", "Submit"]

_log = logging.getLogger("mirrorproof")
Submit = Callable[[Capture], object]


class Gate:
    """Settings, counters and shipping of one middleware. Makes the process dry and installs the guards.

    Raises `SettingsError` that names the key.
    """

    def __init__(
        self, settings: Settings | None = None, agent: Agent | None = None, **overrides: Any
    ) -> None:
        if settings is not None and overrides:
            raise SettingsError(f"give either `settings` or {', '.join(sorted(overrides))}, not both")
        self.settings = settings or Settings.load(**overrides)
        told()
        self.counters = Counters()
        self.agent = agent or (Agent(self.settings, self.counters) if self.settings.recorder else None)
        # Where no rule and no count depends on the request, the decision is made once.
        self._unmarked = (
            None if self.settings.role.always_mirrored else decide(self.settings.policy, Arrival(Mark.ABSENT))
        )
        if self.settings.role is Role.MIXED and not self.settings.trust:
            _log.warning(
                "mirrorproof: role mixed without `trust` believes any caller's x-istio-mirror, and drops the "
                "writes of whoever sends it; set MIRRORPROOF_ROLE, or MIRRORPROOF_TRUST=mirror_port or key"
            )
        if self.settings.role.always_mirrored:
            set_process_context(self.settings, self.counters)
        if self.settings.guards:
            install_guards(strict=self.settings.role is not Role.PRIMARY)

    def unmarked(self, head: RequestHead) -> Decision | None:
        """The decision about a request without a mark, where it needs nothing else of the request."""
        return None if head.marks else self._unmarked

    def decide(
        self, head: RequestHead, *, method: str, path: str, target: bytes, port: int | None,
        mark: Mark | None = None,
    ) -> Decision:  # fmt: skip
        """The decision about any request, counted. `mark`, where it is given, is not read from the head."""
        signature = head.found.get(SIGNATURE_HEADER)
        decision = decide(
            self.settings.policy,
            Arrival(
                mark=mark or read_mark(head.marks), method=method, path=path,
                target=target.decode("latin-1"), pair_id=head.pair_id or "", port=port,
                signature=signature.decode("latin-1") if signature else None, now_unix_s=time.time(),
            ),
        )  # fmt: skip
        if decision.counter:
            self.counters.add(decision.counter)
        return decision

    def context(self, decision: Decision, head: RequestHead) -> MirrorContext:
        """The context of a request that was not refused."""
        return MirrorContext(
            decision, settings=self.settings, counters=self.counters, pair_id=head.pair_id or ""
        )

    def submit_for(self, context: MirrorContext) -> Submit | None:
        """Where the request's capture goes; `None` where nothing is captured."""
        if self.agent is None:
            return None
        if not context.pair_id:
            self.counters.add("no_pair_id")
            return None
        if not sampled(context.pair_id, self.settings.sample):
            self.counters.add("sampled_out")
            return None
        return self.agent.submit
