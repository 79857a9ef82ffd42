"""What a body says it is: media type and character set.

Knows Content-Type (RFC 9110, 8.3). Must not know what is done with it. Only character sets that are named
here are decoded: Python also takes `zlib`, `hex` and `punycode` for encodings, and imports modules by name.
"""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Final

__all__ = ["CharsetError", "Media", "Sort", "decode_text", "media"]

_MAX_HEADER_CHARS: Final = 1000
_CODECS: Final = {
    "utf-8": "utf-8", "utf8": "utf-8", "us-ascii": "ascii", "ascii": "ascii",
    "iso-8859-1": "latin-1", "latin1": "latin-1", "latin-1": "latin-1",
    "utf-16": "utf-16", "utf-16le": "utf-16-le", "utf-16be": "utf-16-be",
    "utf-32": "utf-32", "utf-32le": "utf-32-le", "utf-32be": "utf-32-be",
    "shift_jis": "shift_jis", "windows-31j": "cp932", "euc-jp": "euc_jp", "iso-2022-jp": "iso2022_jp",
    "euc-kr": "euc_kr", "big5": "big5", "gb2312": "gb2312", "gbk": "gbk", "gb18030": "gb18030",
    "koi8-r": "koi8_r", "koi8-u": "koi8_u", "macintosh": "mac_roman",
    **{f"windows-{page}": f"cp{page}" for page in range(1250, 1259)},
    **{f"iso-8859-{part}": f"iso8859_{part}" for part in (*range(2, 12), *range(13, 17))},
}  # fmt: skip


class Sort(Enum):
    """How a body of this type is compared."""

    JSON = "json"
    TEXT = "text"
    BYTES = "bytes"


class CharsetError(ValueError):
    """The body is not in the character set that its header names, or that set is not known here."""


@dataclass(frozen=True, slots=True)
class Media:
    """A Content-Type. `charset` is in lower case, `utf-8` where none is named; so are parameters' names."""

    type: str
    charset: str = "utf-8"
    parameters: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def sort(self) -> Sort:
        """By the type alone; what the bytes look like is never guessed at."""
        if self.type == "application/json" or self.type.endswith("+json"):
            return Sort.JSON
        return Sort.TEXT if self.type.startswith("text/") else Sort.BYTES


def media(header_values: list[str]) -> Media:
    """The first Content-Type."""
    if not header_values:
        return Media("")
    essence, *given = header_values[0][:_MAX_HEADER_CHARS].split(";")
    parameters: dict[str, str] = {}
    for parameter in given:
        name, _, value = parameter.partition("=")
        if value := value.strip().strip('"'):
            parameters.setdefault(name.strip().lower(), value)
    charset = parameters.get("charset", "utf-8").lower()
    return Media(essence.strip().lower(), charset, MappingProxyType(parameters))


def decode_text(body: bytes, charset: str, *, whole: bool) -> str:
    """The text. A body that was cut may end inside a character. Raises `CharsetError`."""
    codec = _CODECS.get(charset)
    if codec is None:
        raise CharsetError(f"charset {charset[:40]!r} is not known here")
    try:
        return codecs.getincrementaldecoder(codec)().decode(body, final=whole)
    except UnicodeError as error:
        # The error's own words would quote the body.
        place = f" at byte {error.start}" if isinstance(error, UnicodeDecodeError) else ""
        raise CharsetError(f"not {charset}{place}") from error
