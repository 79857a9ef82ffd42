"""The mark, the role, the mode and trust: is this request live, mirrored, or refused?

Pure: values in, a `Decision` out; the clock arrives as an argument. Must not know ASGI, settings files or
what a guard does with the answer.

    role             marked                                        unmarked
    primary          live; the mark is ignored and counted         live
    shadow, control  mirrored                                      mirrored all the same, and counted
    mixed            mirrored if well formed and trusted,          live
                     otherwise refused (400, 403) and counted

A mark is well formed only as exactly one `x-istio-mirror: true`. Anything that another parser could take
for the mark (another case or spelling, underscores, doubled, nominated in `Connection`) is malformed:
guessing would either drop a live write or let a mirrored one through, and refusing a mirror costs nobody,
since its answer is thrown away.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum
from fnmatch import fnmatchcase
from typing import Final

__all__ = [
    "ATTEMPT_HEADER",
    "MARK_HEADER",
    "PAIR_ID_HEADER",
    "SIGNATURE_HEADER",
    "Arrival",
    "Decision",
    "Mark",
    "Mode",
    "Policy",
    "Role",
    "Trust",
    "decide",
    "pair_id_from",
    "read_mark",
    "sign",
    "signature_holds",
]

MARK_HEADER: Final = b"x-istio-mirror"
PAIR_ID_HEADER: Final = b"x-mirror-id"
SIGNATURE_HEADER: Final = b"x-mirror-signature"
ATTEMPT_HEADER: Final = b"x-envoy-attempt-count"
_FOLDED_MARK: Final = MARK_HEADER.replace(b"-", b"_")
_MAX_PAIR_ID_BYTES: Final = 256


class Role(StrEnum):
    """What the deployment says this process is. Never taken from a request."""

    PRIMARY = "primary"
    SHADOW = "shadow"
    CONTROL = "control"
    MIXED = "mixed"

    @property
    def always_mirrored(self) -> bool:
        """Whether the whole process is dry: it serves mirrors only."""
        return self in (Role.SHADOW, Role.CONTROL)


class Mode(StrEnum):
    """How a request is treated. `LIVE` is a real one; the others are for mirrored ones."""

    LIVE = "live"
    DRY_RUN = "dry_run"  # writes seem to happen, and are undone or stubbed
    READ_ONLY = "read_only"  # writes raise `ReadOnlyError`
    OBSERVE = "observe"  # writes happen: for a v2 whose whole world is its own


class Trust(StrEnum):
    """What must hold beside the mark itself before role `mixed` believes it."""

    MIRROR_PORT = "mirror_port"  # it came in on the mirror port
    KEY = "key"  # `x-mirror-signature` holds a valid HMAC


class Mark(Enum):
    """What the request's headers say about being a mirror."""

    ABSENT = "absent"
    WELL_FORMED = "well formed"
    MALFORMED = "malformed"


@dataclass(frozen=True, slots=True)
class Policy:
    """What the deployment fixed: `mode` for mirrored requests, `modes` its exceptions as (path glob, mode),
    the first that fits wins; `trust` all have to hold; `signature_max_age_s` in seconds, both ways."""

    role: Role = Role.MIXED
    mode: Mode = Mode.DRY_RUN
    modes: tuple[tuple[str, Mode], ...] = ()
    trust: frozenset[Trust] = frozenset()
    mirror_port: int | None = None
    key: bytes | None = None
    signature_max_age_s: float = 300.0


@dataclass(frozen=True, slots=True)
class Arrival:
    """What a request brought along. `path` is decoded, `target` is what the caller sent, without its query;
    `port` is the local port it came in on, `now_unix_s` the clock."""

    mark: Mark
    method: str = "GET"
    path: str = "/"
    target: str = "/"
    pair_id: str = ""
    port: int | None = None
    signature: str | None = None
    now_unix_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Decision:
    """`refusal` is the HTTP status to refuse with, else `None`; `counter` what to count, else `None`."""

    mode: Mode
    counter: str | None = None
    refusal: int | None = None
    reason: str = ""

    @property
    def mirrored(self) -> bool:
        """Whether the request is a mirror (and not refused)."""
        return self.mode is not Mode.LIVE and self.refusal is None


_LIVE: Final = Decision(Mode.LIVE)
_LIVE_MARK_IGNORED: Final = Decision(Mode.LIVE, "mark_ignored")
_MALFORMED: Final = Decision(
    Mode.DRY_RUN, "refused_malformed", 400, "x-istio-mirror has to be exactly one header with the value true"
)


def decide(policy: Policy, arrival: Arrival) -> Decision:
    """The table at the head of this module."""
    role, mark = policy.role, arrival.mark
    if role is Role.PRIMARY:
        return _LIVE if mark is Mark.ABSENT else _LIVE_MARK_IGNORED
    if role.always_mirrored:
        return Decision(_mirror_mode(policy, arrival), None if mark is Mark.WELL_FORMED else "unmarked")
    if mark is Mark.ABSENT:
        return _LIVE
    if mark is Mark.MALFORMED:
        return _MALFORMED
    distrust = _distrust(policy, arrival)
    if distrust:
        return Decision(Mode.DRY_RUN, "refused_untrusted", 403, distrust)
    return Decision(_mirror_mode(policy, arrival))


def _mirror_mode(policy: Policy, arrival: Arrival) -> Mode:
    for pattern, mode in policy.modes:
        if fnmatchcase(arrival.path, pattern):
            return mode
    return policy.mode


def _distrust(policy: Policy, arrival: Arrival) -> str:
    """Why the mark is not believed; empty where it is."""
    if Trust.MIRROR_PORT in policy.trust and (arrival.port is None or arrival.port != policy.mirror_port):
        return "a mirrored request has to come in on the mirror port"
    if Trust.KEY in policy.trust and not signature_holds(policy, arrival):
        return "x-mirror-signature is missing, wrong or too old"
    return ""


def sign(key: bytes, *, pair_id: str, method: str, target: str, unix_s: int) -> str:
    """The value of `x-mirror-signature`: `t=<unix seconds>,v1=<hex HMAC-SHA256>`.

    Signed are pair id, method, path and time, a line each. `target` is the path as it is sent, escapes and
    all, without its query.
    """
    signed = "\n".join((pair_id, method, target, str(unix_s))).encode("latin-1", "replace")
    return f"t={unix_s},v1={hmac.new(key, signed, hashlib.sha256).hexdigest()}"


def signature_holds(policy: Policy, arrival: Arrival) -> bool:
    """Whether the arrival's signature is ours, for this very request, and fresh."""
    head, _, _ = (arrival.signature or "").partition(",")
    stamp = head.removeprefix("t=")
    if not policy.key or head == stamp or not (stamp.isascii() and stamp.isdigit()) or len(stamp) > 12:
        return False
    if abs(arrival.now_unix_s - int(stamp)) > policy.signature_max_age_s:
        return False
    expected = sign(
        policy.key, pair_id=arrival.pair_id, method=arrival.method, target=arrival.target, unix_s=int(stamp)
    )
    given = (arrival.signature or "").encode("utf-8", "replace")
    return hmac.compare_digest(expected.encode(), given)


def read_mark(headers: Iterable[Sequence[bytes]]) -> Mark:
    """The mark in raw headers (name and value pairs, names in any case)."""
    found = Mark.ABSENT
    for name, value in headers:
        lowered = name.lower()
        if lowered == MARK_HEADER:
            fits = value == b"true" and found is Mark.ABSENT
            found = Mark.WELL_FORMED if fits else Mark.MALFORMED
        elif lowered.replace(b"-", b"_") == _FOLDED_MARK or _nominates_mark(lowered, value):
            return Mark.MALFORMED
        if found is Mark.MALFORMED:
            return found
    return found


def _nominates_mark(name: bytes, value: bytes) -> bool:
    # RFC 9110, 7.6.1: a next hop would drop the header that Connection names, and the mark with it.
    return name == b"connection" and MARK_HEADER in value.lower().replace(b"_", b"-")


def pair_id_from(mirror_id: bytes | None, request_id: bytes | None) -> str | None:
    """The pair id: `x-mirror-id`, else `x-request-id`; `None` where neither can be used."""
    for candidate in (mirror_id, request_id):
        if candidate and len(candidate) <= _MAX_PAIR_ID_BYTES:
            return candidate.decode("latin-1")
    return None
