"""The wire format, version 1: one request and its answer as one side saw them.

Knows the shapes and their two encodings (MessagePack and JSON, where bytes are base64). Must not know
how an exchange was captured, or what becomes of it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from mirrorproof.decision import Mode, Role
from mirrorproof.errors import WireError

__all__ = [
    "CONFLICTED",
    "EFFECTS_LATE",
    "EFFECTS_UNOBSERVED",
    "SCHEMA",
    "YIELDED",
    "Batch",
    "Effect",
    "Exchange",
    "Outcome",
    "Request",
    "Response",
    "SourceReport",
    "decode_batch",
    "encode_batch",
]

SCHEMA: Final = 1
EFFECTS_UNOBSERVED: Final = "effects_unobserved"
"""Note on an exchange whose process did not look at its effects: an empty list then means nothing."""
EFFECTS_LATE: Final = "effects_late"
"""Note on a mirrored exchange that was refused a write after its response: what came next is not known."""
YIELDED: Final = "yielded"
"""Note on an exchange whose work was given up so that v1 need not wait."""
CONFLICTED: Final = "conflicted:"
"""Note on a mirrored exchange, with the digest of an effect behind it: the database refused that one because
of a row that is there already, or of another's change. v1 may have made it: see `conflicts_with`."""

Id = Annotated[str, Meta(min_length=1, max_length=256)]
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Header = tuple[str, str]
"""Name in lower case, value; both decoded as Latin-1 so that no byte is lost (RFC 9110, 5.5)."""


class Outcome(StrEnum):
    """What became of an effect."""

    EXECUTED = "executed"
    SUPPRESSED = "suppressed"  # the application was told that it happened
    BLOCKED = "blocked"  # the application was told that it did not
    YIELDED = "yielded"  # given up so that v1 need not wait


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """A write, done or suppressed.

    `kind` is dotted (`sql.insert`, `http.request`), `target` what it would change (a table, a method and
    URL), `summary` a readable, redacted line, `digest` equal for equal effects.
    """

    kind: str
    target: str
    summary: str
    digest: str
    outcome: Outcome


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """The request. `route` is the framework's template (`/orders/{id}`) where it is known.

    `body_sha256` is the hex digest of the whole body, `None` where the application did not read all of it.
    """

    method: Annotated[str, Meta(min_length=1, max_length=64)]
    route: str | None = None
    path: str
    query: str = ""
    headers: list[Header] = msgspec.field(default_factory=list)
    body_sha256: str | None = None
    body_bytes: Count = 0


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """The answer. `body` holds at most the capture bound; `body_bytes` and `sha256` (hex) are of the whole
    body before redaction; `truncated` says that `body` is not the whole of it."""

    status: Annotated[int, Meta(ge=100, le=999)]
    headers: list[Header] = msgspec.field(default_factory=list)
    body: bytes = b""
    body_bytes: Count = 0
    truncated: bool = False
    sha256: str = ""


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """One request and its answer. Either `response` or `error` is set; both where an answer broke off.

    `attempt` counts from 1 (Envoy's `x-envoy-attempt-count`). Times are nanoseconds.
    """

    schema: int = SCHEMA
    exchange_id: Id
    pair_id: Id
    attempt: Annotated[int, Meta(ge=1, le=1_000_000)] = 1
    service: Id
    version: str
    role: Role
    mode: Mode
    started_unix_ns: Count
    duration_ns: Count
    request: Request
    response: Response | None = None
    error: str | None = None
    effects: list[Effect] = msgspec.field(default_factory=list)
    trace_id: str | None = None
    span_id: str | None = None
    notes: list[str] = msgspec.field(default_factory=list)

    @property
    def yielded(self) -> bool:
        """Whether the request's work was given up: its answer then says nothing about the version."""
        return YIELDED in self.notes or any(effect.outcome is Outcome.YIELDED for effect in self.effects)

    def conflicts_with(self, primary: Exchange) -> bool:
        """Whether v1 was first: it made the same change that the database refused here.

        Not so where the change was made here before as well: then it would be refused without v1, too.
        """
        made = [effect.digest for effect in self.effects]
        refused = {note.removeprefix(CONFLICTED) for note in self.notes if note.startswith(CONFLICTED)}
        return any(
            made.count(digest) < sum(
                effect.digest == digest and effect.outcome is Outcome.EXECUTED for effect in primary.effects
            )
            for digest in refused
        )  # fmt: skip

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise ValueError(f"schema {self.schema} is not known here; this reader takes schema {SCHEMA}")
        if self.response is None and self.error is None:
            raise ValueError("either `response` or `error` has to be set")


class SourceReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one capturing process has counted since it started: how losses reach the summary.

    `counters` only ever grow, so a report that is sent twice, or late, changes nothing.
    """

    source_id: Id
    service: Id
    version: str
    role: Role
    counters: dict[str, Count]


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """What a capturing process posts: its exchanges and, where it has one, its report."""

    exchanges: list[Exchange] = msgspec.field(default_factory=list)
    source: SourceReport | None = None


class _Envelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    exchanges: list[msgspec.Raw] = msgspec.field(default_factory=list)
    source: SourceReport | None = None


def encode_batch(batch: Batch) -> bytes:
    """`batch` as MessagePack."""
    return msgspec.msgpack.encode(batch)


def decode_batch(body: bytes, content_type: str) -> Batch:
    """A posted batch: an envelope (`Batch`) or a bare array of exchanges.

    Raises `WireError` that names the item's index and field where something does not fit.
    """
    decode: Any
    if content_type == "application/msgpack":
        decode = msgspec.msgpack.decode
    elif content_type == "application/json":
        decode = msgspec.json.decode
    else:
        raise WireError(
            f"content type {content_type!r} is not taken; send application/msgpack or application/json"
        )
    try:
        envelope: _Envelope | list[msgspec.Raw] = decode(body, type=_Envelope | list[msgspec.Raw])
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise WireError(f"the batch is no array of exchanges and no envelope: {error}") from error
    if isinstance(envelope, list):
        envelope = _Envelope(envelope)
    exchanges = [_decode_one(raw, index, decode) for index, raw in enumerate(envelope.exchanges)]
    return Batch(exchanges=exchanges, source=envelope.source)


def _decode_one(raw: msgspec.Raw, index: int, decode: Any) -> Exchange:
    try:
        exchange: Exchange = decode(raw, type=Exchange)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise WireError(f"exchange {index}: {error}", index) from error
    return exchange
