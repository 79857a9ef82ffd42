"""From one served request to its exchange: redacted at once, put into words later.

Theory of operation. `Capture` is made on the request's path, so it does only what cannot wait: it redacts
and cuts, since nothing unredacted may be queued. `Capture.exchange` is called by the shipping thread and
does the rest: decoding, naming, building the struct.

Knows raw header lists and bodies. Must not know ASGI or the network.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from mirrorproof.body import BodySample
from mirrorproof.context import MirrorContext
from mirrorproof.exchange import (
    CONFLICTED,
    EFFECTS_LATE,
    EFFECTS_UNOBSERVED,
    YIELDED,
    Effect,
    Exchange,
    Request,
    Response,
)
from mirrorproof.redaction import REDACTED, Redactor, UnreadableBodyError
from mirrorproof.settings import Settings
from mirrorproof.telemetry import TraceIds

__all__ = ["Answer", "Capture", "RawHeaders", "take_answer", "take_headers", "take_query"]

RawHeaders = list[tuple[bytes, bytes]]
_MAX_CONFLICTS: Final = 20
_OVERHEAD_BYTES: Final = 4096  # of the objects themselves; so are the next two
_HEADER_BYTES: Final = 150
_EFFECT_BYTES: Final = 600
_REDACTED: Final = REDACTED.encode()


@dataclass(slots=True)
class Answer:
    """The response so far, redacted. `body` holds at most `max_body_bytes`."""

    status: int
    headers: RawHeaders
    body: bytes
    body_bytes: int
    truncated: bool
    sha256: str


@dataclass(slots=True)
class Capture:
    """One served request. Times in nanoseconds."""

    context: MirrorContext
    method: str
    path: str
    query: str
    request_headers: RawHeaders
    attempt: int
    started_unix_ns: int
    duration_ns: int
    route: str | None = None
    request_sha256: str | None = None
    request_bytes: int = 0
    answer: Answer | None = None
    error: str | None = None
    trace: TraceIds | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def size(self) -> int:
        """About how many bytes it takes while it waits."""
        headers = self.request_headers + (self.answer.headers if self.answer else [])
        return (
            _OVERHEAD_BYTES
            + (len(self.answer.body) if self.answer else 0)
            + sum(_HEADER_BYTES + len(name) + len(value) for name, value in headers)
            + sum(_EFFECT_BYTES + len(each.summary) + len(each.target) for each in self.context.ledger)
            + 2 * (len(self.query) + len(self.path))
        )

    def exchange(self) -> Exchange:
        """The exchange, in the words of the wire format."""
        settings = self.context.settings
        effects, notes = self._effects()
        return Exchange(
            exchange_id=uuid.uuid4().hex, pair_id=self.context.pair_id, attempt=self.attempt,
            service=settings.service, version=settings.version, role=settings.role, mode=self.context.mode,
            started_unix_ns=self.started_unix_ns, duration_ns=self.duration_ns,
            request=self._request(), response=self._response(), error=self.error,
            effects=effects, notes=self.notes + notes,
            trace_id=self.trace[0] if self.trace else None, span_id=self.trace[1] if self.trace else None,
        )  # fmt: skip

    def _effects(self) -> tuple[list[Effect], list[str]]:
        context = self.context
        unknown = context.unobserved or not context.observes
        notes = [EFFECTS_UNOBSERVED] if unknown and not context.mirrored else []
        if context.ledger.lost:
            notes.append(f"effects_lost:{context.ledger.lost}")
        if context.yielded:
            notes.append(YIELDED)
        notes += [CONFLICTED + digest for digest in sorted(context.conflicts)[:_MAX_CONFLICTS]]
        if context.late:
            notes.append(EFFECTS_LATE)
        return context.ledger.effects, notes

    def _request(self) -> Request:
        return Request(
            method=self.method, path=_path_text(self.path), route=self.route,
            query=self.query, headers=_text(self.request_headers),
            body_sha256=self.request_sha256, body_bytes=self.request_bytes,
        )  # fmt: skip

    def _response(self) -> Response | None:
        answer = self.answer
        if answer is None:
            return None
        return Response(
            status=answer.status, headers=_text(answer.headers), body=answer.body,
            body_bytes=answer.body_bytes, truncated=answer.truncated, sha256=answer.sha256,
        )  # fmt: skip


def take_headers(headers: Iterable[Sequence[bytes]], settings: Settings, notes: list[str]) -> RawHeaders:
    """Redacted copies of raw headers, at most `max_header_bytes` of them; notes what was cut."""
    redactor = Redactor.shared(settings.redact)
    kept: RawHeaders = []
    room = settings.max_header_bytes
    for name, value in headers:
        room -= len(name) + len(value)
        if room < 0:
            notes.append("headers_truncated")
            break
        if redactor.sensitive(name):
            kept.append((name, _REDACTED))
        elif _may_hold_secrets(value):
            text = redactor.url(value.decode("latin-1"))
            kept.append((name, redactor.text(text).encode("latin-1")))
        else:
            kept.append((name, value))
    return kept


def _may_hold_secrets(value: bytes) -> bool:
    """Whether it may be a URL (Location, Referer) with a query, or hold a token by its looks."""
    in_query = b"=" in value and (b"?" in value or b"#" in value)
    return in_query or b"earer " in value or b"eyJ" in value or b"://" in value


def take_query(query: bytes, settings: Settings, notes: list[str]) -> str:
    """The query string, redacted, at most `max_header_bytes` of it; notes what was cut."""
    if len(query) > settings.max_header_bytes:
        notes.append("query_truncated")
        query = query[: settings.max_header_bytes]
    return Redactor.shared(settings.redact).query(query.decode("latin-1"))


def take_answer(
    status: int, headers: Sequence[Sequence[bytes]], sample: BodySample, settings: Settings, notes: list[str]
) -> Answer:
    """The response, redacted. A body that cannot be redacted is left out, and a note says so."""
    body, truncated = sample.kept, sample.truncated
    if body:
        media_type = _header(headers, b"content-type").lower()
        encoding = _header(headers, b"content-encoding").strip().lower()
        try:
            body = Redactor.shared(settings.redact).body(body, media_type, encoding)
        except Exception as error:
            why = str(error) if isinstance(error, UnreadableBodyError) else type(error).__name__
            notes.append(f"body_left_out:{why}")
            body, truncated = b"", True
    return Answer(status, take_headers(headers, settings, notes), body, sample.size, truncated, sample.sha256)


def _header(headers: Iterable[Sequence[bytes]], wanted: bytes) -> str:
    """All values of a header, as one (RFC 9110, 5.3): two content codings are not one."""
    return ", ".join(value.decode("latin-1") for name, value in headers if name.lower() == wanted)


def _text(headers: RawHeaders) -> list[tuple[str, str]]:
    return [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in headers]


def _path_text(path: str) -> str:
    """A path that any store and encoding can hold: lone surrogates become what they stood for."""
    if path.isascii():
        return path
    try:
        return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    except UnicodeEncodeError:  # a surrogate that stood for nothing
        return path.encode("utf-8", "replace").decode("utf-8")
