"""What every HTTP client's guard shares: is it a write, what is it called, what is answered instead.

Pure, but for the ledger it writes. Must not know any one client.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from mirrorproof.body import BodySample
from mirrorproof.context import Action, MirrorContext, Ruling
from mirrorproof.decision import MARK_HEADER, PAIR_ID_HEADER
from mirrorproof.exchange import Outcome
from mirrorproof.ledger import digest_of
from mirrorproof.redaction import Redactor, UnreadableBodyError
from mirrorproof.rulings import CannedAnswer, Where
from mirrorproof.settings import Settings

__all__ = [
    "KIND",
    "OutboundRequest",
    "RawHeaders",
    "answer_of",
    "forwarded_headers",
    "ruling_for",
    "settle",
]

KIND: Final = "http.request"
RawHeaders = list[tuple[bytes, bytes]]
_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_DEFAULT_ANSWER: Final = CannedAnswer(status=200, headers={"content-type": "application/json"}, body="{}")
_MAX_BODY_SHOWN: Final = 2048


@dataclass(frozen=True, slots=True)
class OutboundRequest:
    """A request that the application is about to send. `host` has no port, `path` no query."""

    method: str
    scheme: str
    host: str
    port: int | None
    path: str
    query: str
    content_type: str

    @property
    def safe(self) -> bool:
        """Whether the method is defined to change nothing (RFC 9110, 9.2.1)."""
        return self.method in _SAFE_METHODS

    @property
    def target(self) -> str:
        """What an effect of this request would change."""
        port = f":{self.port}" if self.port else ""
        return f"{self.method} {self.scheme}://{self.host}{port}{self.path}"

    @property
    def where(self) -> Where:
        """What rules can name of it."""
        return Where(host=self.host, method=self.method, path=self.path)


def ruling_for(context: MirrorContext | None, request: OutboundRequest) -> Ruling:
    """What to do with a request: reads are always executed."""
    if context is None or request.safe:
        return Ruling(Action.EXECUTE)
    return context.ruling(KIND, request.target, request.where)


def settle(context: MirrorContext, request: OutboundRequest, body: BodySample, action: Action) -> None:
    """Write the request into the ledger, or raise where it is refused.

    `body` is the request's body as far as it was seen; its digest is of all of it.
    """
    redactor = Redactor.shared(context.settings.redact)
    query = redactor.query(request.query)
    summary = f"{request.target}{'?' if query else ''}{query} {_shown(body, request.content_type, redactor)}"
    digest = digest_of(KIND, request.target, [request.query, body.sha256])
    if action is Action.REFUSE:
        context.refuse(KIND, request.target, summary, digest)
    outcome = Outcome.SUPPRESSED if action is Action.SUPPRESS else Outcome.EXECUTED
    context.record(KIND, request.target, summary.rstrip(), digest, outcome)


def _shown(body: BodySample, content_type: str, redactor: Redactor) -> str:
    try:
        return redactor.body(body.kept[:_MAX_BODY_SHOWN], content_type.lower()).decode("utf-8", "replace")
    except UnreadableBodyError:
        return f"({body.size} bytes)"


def answer_of(ruling: Ruling) -> CannedAnswer:
    """What a suppressed request is answered: what the rule that fits says, else 200 `{}`."""
    return _DEFAULT_ANSWER if ruling.rule is None or ruling.rule.answer is None else ruling.rule.answer


def forwarded_headers(
    context: MirrorContext | None, host: str, headers: Iterable[tuple[bytes, bytes]]
) -> RawHeaders:
    """The request's headers as they may leave: the mark goes to the mesh, from mirrored requests, only."""
    kept = [(name, value) for name, value in headers if name.lower() != MARK_HEADER]
    if context is None or not context.mirrored or not _in_mesh(host, context.settings):
        return kept
    kept.append((MARK_HEADER, b"true"))
    if context.pair_id:
        kept = [(name, value) for name, value in kept if name.lower() != PAIR_ID_HEADER]
        kept.append((PAIR_ID_HEADER, context.pair_id.encode("latin-1", "replace")))
    return kept


def _in_mesh(host: str, settings: Settings) -> bool:
    host = host.lower().rstrip(".")
    return any(host == domain or host.endswith("." + domain) for domain in settings.mesh_domains)
