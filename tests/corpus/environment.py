"""Where and when one answer is made: clock, machine, randomness, sequences. Two answers differ in this alone.

Knows how real services write times, ids and tokens. Must not know what a comparison does with them.

An `Env` makes marked values: each is right for this answer and another one for the next. The notations are
those of public APIs, libraries and databases as their documents describe them.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime
from random import Random
from typing import Any
from urllib.parse import quote

from .labels import Why
from .marks import Bag, Marked

__all__ = ["HELD_OUT_STYLES", "IDS", "TIMES", "TUNING_STYLES", "Env", "Style", "moment"]

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_NANO = "useandom-26T198340PX75pxJACKVERYMINDBUSHWOLF_GQZbfghjklqvwyzrict"
_KSUID_EPOCH = 1_400_000_000
_TWITTER_EPOCH_MS = 1_288_834_974_657


def moment(at_s: float, hours: float = 0) -> datetime:
    """A time in a zone so many hours east of Greenwich."""
    return datetime.fromtimestamp(at_s, UTC if not hours else timezone(timedelta(hours=hours)))


def _z(text: str) -> str:
    return text.replace("+00:00", "Z")


TIMES: dict[str, Callable[[float], Any]] = {
    "iso_z": lambda at: _z(moment(at).isoformat(timespec="seconds")),
    "iso_milli": lambda at: _z(moment(at).isoformat(timespec="milliseconds")),
    "iso_micro": lambda at: moment(at).isoformat(timespec="microseconds"),
    "iso_offset": lambda at: moment(at, 2).isoformat(timespec="seconds"),
    "iso_naive": lambda at: moment(at).replace(tzinfo=None).isoformat(timespec="microseconds"),
    "sql": lambda at: moment(at).strftime("%Y-%m-%d %H:%M:%S"),
    "epoch": int,
    "epoch_ms": lambda at: int(at * 1000),
    "epoch_float": lambda at: round(at, 6),
    "rfc1123": lambda at: format_datetime(moment(at), usegmt=True),
    # In the held-out part only:
    "rfc2822": lambda at: format_datetime(moment(at, -5)),
    "epoch_text": lambda at: str(int(at * 1000)),
    "slack": lambda at: f"{at:.6f}",
    "compact": lambda at: moment(at).strftime("%Y%m%dT%H%M%SZ"),
    "ruby": lambda at: moment(at).strftime("%a %b %d %H:%M:%S +0000 %Y"),
    "iso_nano": lambda at: moment(at).strftime("%Y-%m-%dT%H:%M:%S.%f") + "417Z",
    "dotnet": lambda at: f"/Date({int(at * 1000)})/",
}

IDS = (
    "sequence",
    "uuid4",
    "uuid7",
    "ulid",
    "ksuid",
    "snowflake",
    "objectid",
    "nanoid",
    "prefixed",
    # In the held-out part only:
    "uuid1",
    "cuid",
    "xid",
    "base58",
    "number_text",
    "graph_id",
)


@dataclass(frozen=True, slots=True)
class Style:
    """The habits of one service: how it writes keys, ids and times."""

    case: str = "snake"
    ids: str = "uuid4"
    times: str = "iso_z"


TUNING_STYLES = tuple(
    Style(case, ids, times)
    for case, ids, times in (
        ("snake", "uuid4", "iso_z"),
        ("snake", "sequence", "iso_micro"),
        ("camel", "ulid", "iso_milli"),
        ("snake", "prefixed", "epoch"),
        ("camel", "objectid", "epoch_ms"),
        ("snake", "sequence", "sql"),
        ("snake", "uuid7", "iso_offset"),
        ("camel", "snowflake", "iso_milli"),
        ("snake", "nanoid", "iso_naive"),
        ("snake", "ksuid", "epoch_float"),
        ("camel", "sequence", "epoch_ms"),
        ("snake", "uuid4", "rfc1123"),
    )
)
HELD_OUT_STYLES = tuple(
    Style(case, ids, times)
    for case, ids, times in (
        ("pascal", "uuid1", "dotnet"),
        ("kebab", "xid", "iso_nano"),
        ("camel", "cuid", "epoch_text"),
        ("snake", "base58", "rfc2822"),
        ("snake", "number_text", "slack"),
        ("camel", "graph_id", "ruby"),
        ("snake", "sequence", "iso_z"),
        ("pascal", "uuid4", "iso_milli"),
        ("kebab", "prefixed", "compact"),
        ("camel", "uuid7", "iso_micro"),
    )
)


def _based(number: int, alphabet: str, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, len(alphabet))
        digits.append(alphabet[digit])
    return "".join(reversed(digits))


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Env:
    """One answer's surroundings. `ahead` is how far this side's sequences are ahead of v1's."""

    def __init__(self, random: Random, at_s: float, *, ahead: int, moved: bool, style: Style) -> None:
        self.random = random
        self.at_s = at_s
        self.ahead = ahead
        self.has_moved = moved
        self.style = style
        self.pod = (
            f"{self._pick('bcdfghjklmnpqrstvwxz2456789', 9)}-{self._pick('bcdfghjklmnpqrstvwxz2456789', 5)}"
        )

    def _pick(self, alphabet: str, length: int) -> str:
        return "".join(self.random.choice(alphabet) for _ in range(length))

    def _hex(self, digits: int) -> str:
        return f"{self.random.getrandbits(digits * 4):0{digits}x}"

    # Times

    def now(self, notation: str = "", plus_s: float = 0) -> Marked:
        """The time of this answer, or one so many seconds later."""
        write = TIMES[notation or self.style.times]
        at = self.at_s + plus_s + self.random.uniform(0, 0.004)
        return Marked(write(at), Why.FRESH_TIME, lambda seconds: write(at + seconds))

    def stored(self, at_s: float, notation: str = "") -> Any:
        """A time that is in the database: the same on both sides."""
        return TIMES[notation or self.style.times](at_s)

    def took_ms(self) -> Marked:
        """How long this answer took."""
        return Marked(max(1, int(self.random.lognormvariate(2.4, 0.6))), Why.DURATION)

    def took_s(self) -> Marked:
        """The same in seconds, as text."""
        return Marked(f"{self.random.lognormvariate(-4.2, 0.5):.6f}", Why.DURATION)

    # Ids

    def new_id(self, base: int, prefix: str = "obj") -> Marked:
        """The id of an object that this request makes; `base` is where its sequence stands."""
        scheme = self.style.ids
        why = Why.SEQUENCE if scheme in ("sequence", "number_text") else Why.RANDOM_ID
        return Marked(self.id_by(scheme, base, prefix), why)

    def id_by(self, scheme: str, base: int, prefix: str) -> Any:
        """An id by a scheme."""
        at_ms = int(self.at_s * 1000)
        bits = self.random.getrandbits
        match scheme:
            case "sequence":
                return base + self.ahead
            case "number_text":
                return str(base + self.ahead)
            case "uuid4":
                return str(uuid.UUID(int=bits(128), version=4))
            case "uuid7":
                number = (at_ms << 80) | (7 << 76) | (bits(12) << 64) | (2 << 62) | bits(62)
                return str(uuid.UUID(int=number))
            case "uuid1":
                ticks = at_ms * 10_000 + 0x01B21DD213814000 + bits(12)
                low, mid, high = ticks & 0xFFFFFFFF, (ticks >> 32) & 0xFFFF, (ticks >> 48) & 0x0FFF
                return str(
                    uuid.UUID(fields=(low, mid, high | 0x1000, 0x80 | bits(6), bits(8), 0x0242AC110002))
                )
            case "ulid":
                return _based((at_ms << 80) | bits(80), _CROCKFORD, 26)
            case "ksuid":
                return _based(((int(self.at_s) - _KSUID_EPOCH) << 128) | bits(128), _BASE62, 27)
            case "snowflake":
                return str(((at_ms - _TWITTER_EPOCH_MS) << 22) | (bits(10) << 12) | bits(4))
            case "objectid":
                return f"{int(self.at_s):08x}{bits(64):016x}"
            case "xid":
                number = (int(self.at_s) << 64) | bits(64)
                return _based(number, "0123456789abcdefghijklmnopqrstuv", 20)
            case "cuid":
                return (
                    "c"
                    + _based(at_ms, "0123456789abcdefghijklmnopqrstuvwxyz", 8)
                    + self._pick("0123456789abcdefghijklmnopqrstuvwxyz", 16)
                )
            case "nanoid":
                return self._pick(_NANO, 21)
            case "base58":
                return self._pick("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz", 22)
            case "graph_id":
                return base64.b64encode(f"{prefix.title()}:{base + self.ahead}".encode()).decode()
            case _:
                return f"{prefix}_{self._pick(_BASE62, 24)}"

    def uuid(self) -> Marked:
        """A random UUID, whatever the style."""
        return Marked(self.id_by("uuid4", 0, ""), Why.RANDOM_ID)

    def sequence(self, base: int) -> Marked:
        """The next number of a sequence that stands at `base`."""
        return Marked(base + self.ahead, Why.SEQUENCE)

    # Tokens, names of machines, traces

    def hex_token(self, digits: int = 32) -> Marked:
        """A random token in hex."""
        return Marked(self._hex(digits), Why.NONCE)

    def nonce(self, length: int = 22) -> Marked:
        """A random token in URL-safe base64."""
        return Marked(_b64(self.random.randbytes(length))[:length], Why.NONCE)

    def request_id(self) -> Marked:
        """The id of this request in this process."""
        return Marked(f"req_{self._pick(_BASE62, 14)}", Why.TRACE)

    def trace_id(self) -> Marked:
        """A W3C trace id."""
        return Marked(self._hex(32), Why.TRACE)

    def host(self, service: str) -> Marked:
        """The name of the pod that answered."""
        return Marked(f"{service}-{self.pod}", Why.HOST)

    def jwt(self, subject: str, lifetime_s: int = 3600) -> Marked:
        """A signed JSON Web Token (RFC 7519)."""
        claims = {
            "sub": subject,
            "iat": int(self.at_s),
            "exp": int(self.at_s) + lifetime_s,
            "jti": self._hex(16),
        }
        head = _b64(b'{"alg":"HS256","typ":"JWT"}')
        body = _b64(json.dumps(claims, separators=(",", ":")).encode())
        seal = _b64(hmac.digest(b"k", f"{head}.{body}".encode(), "sha256"))
        return Marked(f"{head}.{body}.{seal}", Why.TOKEN)

    def signed_url(self, url: str, lifetime_s: int = 900, signer: str = "s3") -> Marked:
        """A URL that allows access for a time, the way of S3, Google's and Azure's stores, or CloudFront."""
        seal = self._hex(64)
        stamp = TIMES["compact"](self.at_s)
        if signer == "gcs":
            query = (
                f"X-Goog-Algorithm=GOOG4-RSA-SHA256&X-Goog-Date={stamp}&X-Goog-Expires={lifetime_s}"
                f"&X-Goog-SignedHeaders=host&X-Goog-Signature={seal}"
            )
        elif signer == "azure":
            ends = quote(_z(moment(self.at_s + lifetime_s).isoformat(timespec="seconds")), safe="")
            mac = quote(base64.b64encode(self.random.randbytes(32)).decode(), safe="")
            query = f"sv=2023-11-03&se={ends}&sr=b&sp=r&sig={mac}"
        elif signer == "cloudfront":
            query = (
                f"Expires={int(self.at_s) + lifetime_s}&Signature={_b64(self.random.randbytes(96))}"
                "&Key-Pair-Id=K2JCJMDEHXQW5F"
            )
        else:
            scope = quote(f"AKIAIOSFODNN7EXAMPLE/{stamp[:8]}/eu-central-1/s3/aws4_request", safe="")
            query = (
                f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={scope}&X-Amz-Date={stamp}"
                f"&X-Amz-Expires={lifetime_s}&X-Amz-SignedHeaders=host&X-Amz-Signature={seal}"
            )
        return Marked(f"{url}?{query}", Why.SIGNED_URL)

    def cursor(self, position: dict[str, Any]) -> Marked:
        """An opaque cursor that holds a position and the time at which the search began."""
        inside = position | {"t": int(self.at_s * 1000)}
        return Marked(base64.b64encode(json.dumps(inside).encode()).decode(), Why.CURSOR)

    # Order, arithmetic, state

    def bag(self, items: list[Any]) -> Bag:
        """The items in an order of this process's own (a hash seed, a map's iteration)."""
        items = list(items)
        self.random.shuffle(items)
        return Bag(items)

    def jitter(self, value: float) -> Marked:
        """`value` as another order of additions makes it: off by a few units in the last place."""
        return Marked(value + self.random.choice((-2, -1, 0, 1, 2)) * 2**-52 * abs(value), Why.FLOAT)

    def moving(self, before: Any, after: Any) -> Any:
        """State that somebody else may have changed before this answer was made."""
        return Marked(after if self.has_moved else before, Why.MOVED, alone=True)

    def etag_of(self, *parts: Any) -> str:
        """An entity tag made of content."""
        return '"' + hashlib.md5("|".join(map(str, parts)).encode(), usedforsecurity=False).hexdigest() + '"'
