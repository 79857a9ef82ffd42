"""One endpoint judged, or all of them together: what its checks and gaps come to.

Pure. Must not know other scopes, or how it is told.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from mirrorproof_sidecar.judge.checks import Check, Verdict
from mirrorproof_sidecar.judge.completeness import Gap
from mirrorproof_sidecar.judge.evidence import EndpointEvidence, Evidence

__all__ = ["Scope"]


@dataclass(frozen=True, slots=True)
class Scope:
    """One endpoint, or all of them together (`endpoint` is `None`), judged.

    `label` is what it is called in a sentence. `share` is of all requests. A `minor` one holds
    nothing up while it is undecided.
    """

    endpoint: EndpointEvidence | None
    label: str
    evidence: Evidence
    checks: tuple[Check, ...]
    gaps: tuple[Gap, ...]
    share: float
    minor: bool

    @property
    def verdict(self) -> Verdict:
        """Whatever is missing, what was seen is enough to fail."""
        verdicts = {check.verdict for check in self.checks}
        if Verdict.FAIL in verdicts:
            return Verdict.FAIL
        missing = any(gap.too_much for gap in self.gaps) or not self.evidence.compared
        return Verdict.UNDECIDED if missing or Verdict.UNDECIDED in verdicts else Verdict.PASS

    @property
    def open_checks(self) -> tuple[Check, ...]:
        """Those that are undecided."""
        return tuple(check for check in self.checks if check.verdict is Verdict.UNDECIDED)

    @property
    def more(self) -> int | None:
        """What the open checks lack, in requests to everything, if this scope goes on having its share of
        them; `None` where none is open or no number would do."""
        more = [check.more for check in self.open_checks]
        pairs_of_requests = self.share * (
            self.evidence.pairs / self.evidence.traffic if self.evidence.pairs else 1
        )
        if not more or not pairs_of_requests or any(one is None for one in more):
            return None
        return math.ceil(max(one for one in more if one is not None) / pairs_of_requests)
