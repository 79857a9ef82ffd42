"""What every HTTP client's guard shares: is it a write, what is it called, what is answered instead.

Knows requests as values, the ledger it writes and whether OpenTelemetry is exporting. Must not know any one
client.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPResponse
from typing import Any, Final
from urllib.parse import quote

from opentelemetry import context as otel_context

from mirrorproof.body import BodySample
from mirrorproof.context import Action, MirrorContext, Ruling
from mirrorproof.decision import MARK_HEADER, PAIR_ID_HEADER
from mirrorproof.errors import EffectRefusedError, LateEffectError, ReadOnlyError
from mirrorproof.exchange import Outcome
from mirrorproof.ledger import digest_of
from mirrorproof.redaction import Redactor, UnreadableBodyError
from mirrorproof.rulings import CannedAnswer, Where
from mirrorproof.settings import Settings

__all__ = [
    "KIND",
    "MARKING_HEADERS",
    "OutboundRequest",
    "RawHeaders",
    "answer_of",
    "answered",
    "forwarded_headers",
    "refuse",
    "ruling_for",
    "said",
    "settle",
]

KIND: Final = "http.request"
RawHeaders = list[tuple[bytes, bytes]]
BAGGAGE_HEADER: Final = b"baggage"
MARKING_HEADERS: Final = frozenset({MARK_HEADER, PAIR_ID_HEADER, BAGGAGE_HEADER})
"""The headers, in lower case, that `forwarded_headers` may change."""
_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_STATUSES: Final = frozenset(HTTPStatus)
_DEFAULT_ANSWER: Final = CannedAnswer(status=200, headers={"content-type": "application/json"}, body="{}")
_MAX_BODY_SHOWN: Final = 2048
_OUR_BAGGAGE: Final = (b"mirrorproof.mirrored", b"mirrorproof.pair_id")
_MAX_BAGGAGE_BYTES: Final = 8192  # W3C Baggage, 3.3.2
_TELEMETRY_PATHS: Final = ("/v1/traces", "/v1/metrics", "/v1/logs")
_EXPORTING: Final = getattr(otel_context, "_SUPPRESS_INSTRUMENTATION_KEY", "suppress_instrumentation")


@dataclass(frozen=True, slots=True)
class OutboundRequest:
    """A request that the application is about to send. `host` has no port, `path` no query.

    `upgrade`: it asks for another protocol, a web socket say, through which anything may be written.
    """

    method: str
    scheme: str
    host: str
    port: int | None
    path: str
    query: str
    content_type: str
    upgrade: bool = False

    @property
    def safe(self) -> bool:
        """Whether the method is defined to change nothing (RFC 9110, 9.2.1)."""
        return self.method in _SAFE_METHODS and not self.upgrade

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
    """What to do with a request: reads, and telemetry on its way out, are always executed."""
    if context is None or request.safe or _is_telemetry(request):
        return Ruling(Action.EXECUTE)
    return context.ruling(KIND, request.target, request.where)


def _is_telemetry(request: OutboundRequest) -> bool:
    # OpenTelemetry's own exporters set the key while they send; nobody else's post has both.
    return (
        request.method == "POST"
        and request.path.endswith(_TELEMETRY_PATHS)
        and otel_context.get_value(_EXPORTING) is True
    )


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


def refuse(context: MirrorContext, request: OutboundRequest, why: str) -> None:
    """Record the request as blocked, and raise `EffectRefusedError`, which says why unless a rule or the
    mode does."""
    try:
        settle(context, request, BodySample(0), Action.REFUSE)
    except (LateEffectError, ReadOnlyError):
        raise
    except EffectRefusedError as error:
        raise EffectRefusedError(f"{request.target}: {why}") from error


def _shown(body: BodySample, content_type: str, redactor: Redactor) -> str:
    try:
        return redactor.body(body.kept[:_MAX_BODY_SHOWN], content_type.lower()).decode("utf-8", "replace")
    except UnreadableBodyError:
        return f"({body.size} bytes)"


def answer_of(ruling: Ruling) -> CannedAnswer:
    """What a suppressed request is answered: what the rule that fits says, else 200 `{}`."""
    return _DEFAULT_ANSWER if ruling.rule is None or ruling.rule.answer is None else ruling.rule.answer


def said(answer: CannedAnswer) -> bytes:
    """The answer as a server would say it."""
    content = answer.body.encode()
    reason = HTTPStatus(answer.status).phrase if answer.status in _STATUSES else ""
    lines = [f"HTTP/1.1 {answer.status} {reason}", *(f"{n}: {v}" for n, v in answer.headers.items())]
    if not any(name.lower() == "content-length" for name in answer.headers):
        lines.append(f"content-length: {len(content)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + content


def answered(answer: CannedAnswer, method: str) -> HTTPResponse:
    """The answer as the standard library's response, for the clients that build on it."""
    heard: Any = _Said(said(answer))
    response = HTTPResponse(heard, method=method)
    response.begin()
    return response


class _Said:
    """What a response is read from, in a socket's place."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def makefile(self, *_: Any, **__: Any) -> io.BytesIO:
        return io.BytesIO(self._raw)


def forwarded_headers(
    context: MirrorContext | None, host: str, headers: Iterable[tuple[bytes, bytes]]
) -> RawHeaders:
    """The request's headers as they may leave: the mark goes to the mesh, from mirrored requests, only.

    The mark is our header, and two members of W3C baggage for services that know OpenTelemetry.
    """
    mirrored = context is not None and context.mirrored and _in_mesh(host, context.settings)
    kept = [(name, value) for name, value in headers if name.lower() != MARK_HEADER]
    baggage = [value for name, value in kept if name.lower() == BAGGAGE_HEADER]
    if mirrored or any(name in value for value in baggage for name in _OUR_BAGGAGE):
        kept = [(name, value) for name, value in kept if name.lower() != BAGGAGE_HEADER]
        merged = _merged_baggage(baggage, context.pair_id if mirrored and context else None)
        if merged:
            kept.append((BAGGAGE_HEADER, merged))
    if not mirrored or context is None:
        return kept
    kept.append((MARK_HEADER, b"true"))
    if context.pair_id:
        kept = [(name, value) for name, value in kept if name.lower() != PAIR_ID_HEADER]
        kept.append((PAIR_ID_HEADER, context.pair_id.encode("latin-1", "replace")))
    return kept


def _merged_baggage(values: Iterable[bytes], pair_id: str | None) -> bytes:
    """One baggage header of the application's members and, for a mirror, ours, which come first.

    What does not fit is left out, from the end, as the specification wants it.
    """
    ours = [] if pair_id is None else [_OUR_BAGGAGE[0] + b"=true"]
    if pair_id:
        ours.append(_OUR_BAGGAGE[1] + b"=" + quote(pair_id, safe="").encode())
    members = [member.strip() for value in values for member in value.split(b",")]
    theirs = [each for each in members if each and each.partition(b"=")[0].strip() not in _OUR_BAGGAGE]
    fitting, size = [], -1
    for member in ours + theirs:
        size += len(member) + 1
        if size > _MAX_BAGGAGE_BYTES:
            break
        fitting.append(member)
    return b",".join(fitting)


def _in_mesh(host: str, settings: Settings) -> bool:
    host = host.lower().rstrip(".")
    return any(host == domain or host.endswith("." + domain) for domain in settings.mesh_domains)
