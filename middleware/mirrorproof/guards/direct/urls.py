"""Which database the arguments of a driver's `connect` name, as the setting `databases` matches it.

`postgresql://db:5432/shop`: host, port and database as they were given, whether as a URL, as
`host=db dbname=shop` or as arguments; what was not given is left out. `sqlite:////data/shop.db` for a file.

Pure. Must not know drivers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

__all__ = ["url_for"]

_DATABASE: Final = ("dbname", "database", "db")
_PAIR: Final = re.compile(r"(\w+)\s*=\s*(?:'((?:[^'\\\\]|\\\\.)*)'|(\S+))")


def url_for(dialect: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    """The URL without driver and credentials. `dialect` is SQLAlchemy's name: `postgresql.psycopg`."""
    first = args[0] if args else None
    named = dict(first) if isinstance(first, Mapping) else {}
    named |= {name: value for name, value in kwargs.items() if value is not None}
    if dialect.startswith("sqlite"):
        return f"sqlite:///{named.get('database', first or '')}"
    text = next(
        (each for each in (first, named.get("dsn"), named.get("conninfo")) if isinstance(each, str)), ""
    )
    found = _in_text(text) | named
    database = next((found[name] for name in _DATABASE if found.get(name)), "")
    port = f":{found['port']}" if found.get("port") else ""
    host = found.get("host") or ""
    return f"{dialect.partition('.')[0]}://{host}{port}/{database}"


def _in_text(text: str) -> dict[str, Any]:
    if "://" not in text:
        return {name: quoted or plain for name, quoted, plain in _PAIR.findall(text)}
    url = urlsplit(text)
    hosts = url.netloc.rpartition("@")[2]
    host, _, port = hosts.rpartition(":") if re.search(r":\d+$", hosts) else (hosts, "", "")
    options = {name: values[-1] for name, values in parse_qs(url.query).items()}
    found = {"host": unquote(host), "port": port, "database": unquote(url.path.lstrip("/"))}
    return {name: value for name, value in found.items() if value} | {
        name: options[name] for name in ("host", "port", "dbname", "database") if name in options
    }
