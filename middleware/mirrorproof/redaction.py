"""Redaction: credentials, cookies and personal keys go before anything is queued, logged or sent.

Theory of operation. JSON is not parsed and written again, which would change numbers and collapse
duplicate keys, and so hide differences. Instead the text is scanned for `"key":`, and where the key is
sensitive the value behind it is replaced, byte for byte; this also works on truncated and broken JSON.
A quick look for any of the stems decides whether the scan is needed at all. Null, true and false stay:
they are no secrets, and a difference between them and a value should be seen. What takes the place of a
bare number in JSON is quoted, so that JSON stays JSON.

Pure. Must not know where text comes from or goes. Whoever calls it and sees it raise drops the text.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterable
from functools import lru_cache
from typing import Final
from urllib.parse import unquote_plus

__all__ = ["REDACTED", "Redactor", "UnreadableBodyError"]

REDACTED: Final = "[redacted]"
_STEMS: Final = (
    "authorization", "proxyauth", "cookie", "passwd", "password", "passphrase", "secret", "token", "apikey",
    "accesskey", "privatekey", "credential", "session", "csrf", "xsrf", "creditcard", "cardnumber", "cardno",
    "cvv", "cvc", "iban", "ssn", "xforwardedclientcert", "jwt", "bearer", "pwd", "xauth", "oidcdata",
    "clientprincipal", "assertion",
)  # fmt: skip
_WHOLE_NAMES: Final = frozenset({"auth", "pass", "pin", "otp", "sig", "pw"})
"""Sensitive by themselves, but common inside of other names: shipping, author, passenger."""
# Each stem, however it is spelt in a raw text, holds one of these.
_HINTS: Final = (
    b"auth", b"cookie", b"pass", b"secret", b"token", b"key", b"credential", b"session", b"srf", b"card",
    b"cv", b"iban", b"ssn", b"clientcert", b"jwt", b"bearer", b"pwd", b"oidc", b"principal", b"assertion",
    b'"pin"', b'"otp"', b'"sig"', b'"pw"', b"\\u",
)  # fmt: skip
_NOT_SECRET: Final = frozenset({"null", "true", "false"})
# Possessive (`*+`), so that a hostile text cannot make them backtrack. A line's end ends a string: JSON
# allows none inside, and a stray quote in other text then costs one line at most.
_STRING = re.compile(r'"((?:[^"\\\r\n]++|\\.)*+)("\s*+:\s*+|")?')
_SCALAR = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[^\s,\]}]++', re.DOTALL)
_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)
# The first character stands before its look-behind: a search then skips to such characters at C speed.
_CARD = re.compile(r"[2-6](?<![\w.-].)\d{3}(?:[ -]?\d{4}|[ -]?\d{6}){2}[ -]?\d{1,7}(?![\w.-])")
_IBAN = re.compile(
    r"[A-Z](?<![A-Za-z0-9].)[A-Z]\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?![A-Za-z0-9])"
)
# Secrets that are known by their looks: a JSON Web Token (RFC 7519), a bearer token (RFC 6750), the password
# in a URL (RFC 3986, 3.2.1).
_SECRET = re.compile(
    r"eyJ[\w-]{5,}\.[\w-]{5,}\.[\w-]*|(?<=[Bb]earer )[\w.~+/=-]{8,}|(?<=://)[^/\s:@\"']{0,99}:[^/\s@\"']{1,256}(?=@)"
)
_ASSIGNED = re.compile(r"(?<![\w.-])([A-Za-z][\w.-]{1,63})=([^&\s;\"'<>\\]+)")
_URL_PARTS = re.compile("([?#])")
_PART_NAME = re.compile(rb'\bname="?([^";\r\n]*)', re.IGNORECASE)
_IN_QUOTES = re.compile(r'("(?:[^"\\]++|\\.)*+"?)', re.DOTALL)
_MAX_DECODED_BYTES: Final = 4 << 20
_SHORTEST_NUMBER: Final = 13
"""Characters of the shortest text that can hold a card number or an IBAN."""


class UnreadableBodyError(Exception):
    """The body is encoded in a way that cannot be read here, so it cannot be redacted."""


class Redactor:
    """Redacts by name, and card numbers and IBANs by pattern. `extra` are further parts of names."""

    def __init__(self, extra: Iterable[str] = ()) -> None:
        more = tuple(_normal(key) for key in extra)
        self._stems = _STEMS + tuple(key for key in more if key)
        # A key of the user's own has no hint: then every body is scanned.
        self._hints = () if more else _HINTS
        self._known: dict[str | bytes, bool] = {}

    @staticmethod
    @lru_cache(maxsize=16)
    def shared(extra: tuple[str, ...] = ()) -> Redactor:
        """The redactor for these extra keys: one for all who ask."""
        return Redactor(extra)

    def sensitive(self, name: str | bytes) -> bool:
        """Whether values under this name are redacted. Case, `-`, `_`, `.` and blanks do not count."""
        known = self._known.get(name)
        if known is None:
            normal = _normal(name if isinstance(name, str) else name.decode("latin-1"))
            known = normal in _WHOLE_NAMES or any(stem in normal for stem in self._stems)
            if len(self._known) < 4096 and len(name) < 256:
                self._known[name] = known
        return known

    def text(self, text: str) -> str:
        """A text under a name that is not sensitive: what is a secret by its looks replaced."""
        return _plain(text)

    def headers(self, headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """Header values under sensitive names replaced."""
        return [(name, REDACTED if self.sensitive(name) else value) for name, value in headers]

    def url(self, url: str) -> str:
        """The query and the fragment of a URL redacted."""
        pieces = _URL_PARTS.split(url)
        pieces[2::2] = [self.query(piece) for piece in pieces[2::2]]
        return "".join(pieces)

    def query(self, query: str) -> str:
        """A query or form, `a=1&b=2`: values replaced, everything else as it was."""
        return "&".join(self._field(field) for field in query.split("&")) if query else query

    def _field(self, field: str) -> str:
        name, equals, value = field.partition("=")
        if not value:
            return field
        if self.sensitive(unquote_plus(name)):
            return name + equals + REDACTED
        if len(value) < _SHORTEST_NUMBER:
            return field
        text = unquote_plus(value)
        return field if _plain(text) == text else name + equals + REDACTED

    def body(self, body: bytes, content_type: str, encoding: str = "") -> bytes:
        """A body, or the first part of one, by its media type and content coding.

        Raises `UnreadableBodyError` for a coding other than gzip and deflate.
        """
        if not body or encoding not in ("", "identity"):
            return self._encoded(body, content_type, encoding) if body else body
        content_type = content_type.strip()
        if content_type.startswith("multipart/"):
            return self._multipart(body)
        if content_type.startswith("application/x-www-form-urlencoded"):
            return self.query(body.decode("latin-1")).encode("latin-1")
        if not content_type or any(word in content_type for word in ("json", "text", "xml", "javascript")):
            return self._text(body, "json" in content_type)
        return body

    def _encoded(self, body: bytes, content_type: str, encoding: str) -> bytes:
        decoded = _inflate(body, encoding)
        redacted = self.body(decoded, content_type)
        if redacted == decoded:
            return body
        return gzip.compress(redacted, 1, mtime=0) if "gzip" in encoding else zlib.compress(redacted, 1)

    def _text(self, body: bytes, is_json: bool = False) -> bytes:
        if b"\0" in body:  # UTF-16 or UTF-32: no key would be found in it
            raise UnreadableBodyError("text that is not UTF-8")
        text = original = body.decode("latin-1")
        if (b":" in body or b"=" in body) and self._hinted(body.lower()):
            text = _ASSIGNED.sub(self._assigned, self._json_values(text))
        text = _plain_json(text) if is_json else _plain(text)
        return body if text is original else text.encode("latin-1")

    def _assigned(self, found: re.Match[str]) -> str:
        # In a URL inside of a text, in a form without its media type, in a line of settings.
        return f"{found[1]}={REDACTED}" if self.sensitive(found[1]) else found[0]

    def _hinted(self, lowered: bytes) -> bool:
        for hint in self._hints:  # a loop, not `any`: it runs for every body
            if hint in lowered:
                return True
        return not self._hints

    def _json_values(self, text: str) -> str:
        pieces: list[str] = []
        done = position = 0
        while (found := _STRING.search(text, position)) is not None:
            position = found.end()
            if found[2] == '"':
                position -= 1  # in text that is no JSON, this quote may as well open the next string
            if not found[2] or found[2] == '"' or not self.sensitive(_unescape(found[1])):
                continue
            end = _value_end(text, position)
            value = text[position:end]
            pieces += (text[done:position], value if value in _NOT_SECRET or not value else f'"{REDACTED}"')
            done = position = end
        pieces.append(text[done:])
        return "".join(pieces)

    def _multipart(self, body: bytes) -> bytes:
        boundary = body.split(b"\r\n", 1)[0]
        if not boundary.startswith(b"--") or len(boundary) < 3 or b"\n" in boundary:
            raise UnreadableBodyError("multipart body without its boundary")
        return boundary.join(self._part(part) for part in body.split(boundary))

    def _part(self, part: bytes) -> bytes:
        head, blank, content = part.partition(b"\r\n\r\n")
        name = _PART_NAME.search(head)
        if not blank or name is None:
            return part
        if self.sensitive(name[1].decode("latin-1")):
            return head + blank + REDACTED.encode() + b"\r\n"
        if b"filename" in head.lower():
            return part
        return head + blank + self._text(content)


def _normal(name: str) -> str:
    return name.lower().translate({ord(c): None for c in "-_. "})


def _unescape(key: str) -> str:
    """A key as it reads: its text is UTF-8 seen as Latin-1, and may have escapes."""
    if not key.isascii():
        key = key.encode("latin-1").decode("utf-8", "replace")
    if "\\" not in key:
        return key
    try:
        return str(json.loads(f'"{key}"', strict=False))
    except ValueError:
        return key


def _value_end(text: str, start: int) -> int:
    """Where the JSON value that starts at `start` ends; the text's end if it does not."""
    if text[start : start + 1] not in ("{", "["):
        scalar = _SCALAR.match(text, start)
        return scalar.end() if scalar else start
    depth = 0
    for token in _TOKEN.finditer(text, start):
        if token[0] in ("{", "["):
            depth += 1
        elif token[0] in ("}", "]"):
            depth -= 1
            if depth == 0:
                return token.end()
    return len(text)


def _plain(text: str) -> str:
    """Card numbers (that pass Luhn's check), IBANs (that pass mod 97) and secrets by their looks replaced."""
    if "eyJ" in text or "earer " in text or ("://" in text and "@" in text):
        text = _SECRET.sub(REDACTED, text)
    if len(text) < _SHORTEST_NUMBER:
        return text
    text = _CARD.sub(lambda found: REDACTED if _luhn(found[0]) else found[0], text)
    return _IBAN.sub(lambda found: REDACTED if _mod_97(found[0]) else found[0], text)


def _plain_json(text: str) -> str:
    """As `_plain`; a card number that is a bare JSON number becomes a string."""
    if _plain(text) == text:
        return text
    pieces = _IN_QUOTES.split(text)  # outside and inside of quotes in turn
    pieces[::2] = [_plain(piece).replace(REDACTED, f'"{REDACTED}"') for piece in pieces[::2]]
    pieces[1::2] = [_plain(piece) for piece in pieces[1::2]]
    return "".join(pieces)


def _luhn(text: str) -> bool:
    # ISO/IEC 7812-1, annex B.
    digits = [int(c) for c in text if c.isdigit()][::-1]
    doubled = (2 * d - 9 if d > 4 else 2 * d for d in digits[1::2])
    return 13 <= len(digits) <= 19 and (sum(digits[::2]) + sum(doubled)) % 10 == 0


def _mod_97(text: str) -> bool:
    # ISO 13616-1: country and check digits go last, letters count from A = 10.
    packed = text.replace(" ", "")
    return int("".join(str(int(c, 36)) for c in packed[4:] + packed[:4])) % 97 == 1


def _inflate(body: bytes, encoding: str) -> bytes:
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise UnreadableBodyError(f"content coding {encoding}")
    window_bits = 47 if "gzip" in encoding else 15  # 47: zlib or gzip header, whichever is there
    stream = zlib.decompressobj(window_bits)
    try:
        decoded = stream.decompress(body, _MAX_DECODED_BYTES)
    except zlib.error as error:
        raise UnreadableBodyError(f"content coding {encoding}: {error}") from error
    if stream.unused_data:
        raise UnreadableBodyError(f"content coding {encoding}: more than one stream")
    if stream.unconsumed_tail:
        raise UnreadableBodyError(f"content coding {encoding}: larger than 4 MiB")
    return decoded
