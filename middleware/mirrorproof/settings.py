"""Settings: flags, then `MIRRORPROOF_*` variables, then one TOML file, in that order.

Each setting is described in one place, its field; `--help`, docs/settings.md and errors read it there.
Knows files and the environment. Must not know what a setting does.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from enum import StrEnum
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar, get_type_hints
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from mirrorproof.decision import Mode, Policy, Role, Trust
from mirrorproof.errors import SettingsError
from mirrorproof.rulings import EffectRule

__all__ = ["DatabaseMode", "Settings", "Unguarded", "describe", "load"]

S = TypeVar("S", bound=msgspec.Struct)

PREFIX: Final = "MIRRORPROOF_"
CONFIG_VARIABLE: Final = PREFIX + "CONFIG"
_MAX_FILE_BYTES: Final = 1 << 20
# What Kubernetes sets for each Service of the namespace, `NAME=value`: a Service that is called
# mirrorproof-mirror must not set `mirror_port`, and a misspelt port must not pass for such a variable.
_KUBERNETES_LINK = re.compile(
    r"\w+_SERVICE_(HOST|PORT(_\w+)?)=.*|\w+_PORT(_\d+_(TCP|UDP|SCTP))?=\w+://.*"
    r"|\w+_PORT_\d+_(TCP|UDP|SCTP)_(PROTO|PORT|ADDR)=.*"
)
_SECRETS: Final = frozenset({"token", "key", "read_token"})
# Read by other programs of this distribution, which this package does not import.
_OTHERS_VARIABLES: Final = frozenset(
    PREFIX + name for name in ("CONFIG", "LISTEN", "STORE", "RETENTION_S", "EXPIRE_AFTER_S", "SETTLE_S",
                               "READ_TOKEN", "RULES", "DESCRIPTORS", "THRESHOLDS", "MATCH_SAMPLE",
                               "LOG_LEVEL", "MAX_POST_BYTES", "MAX_BACKLOG", "MAX_ENDPOINTS", "MAX_PER_KEY",
                               "REPEAT_WITHIN_S", "REREAD_PRIMARY_URL", "REREADS_PER_MINUTE")
)  # fmt: skip


class Unguarded(StrEnum):
    """What becomes of a mirrored request's way out that no guard covers."""

    BLOCK = "block"  # stopped with `UnguardedError`, recorded as blocked
    RECORD = "record"  # let through, recorded as executed
    OFF = "off"  # let through unseen


class DatabaseMode(StrEnum):
    """How mirrored requests use one database."""

    DRY_RUN = "dry_run"  # on a lease that is rolled back at the request's end
    READ_ONLY = "read_only"  # writes raise `ReadOnlyError`
    ROLLBACK_AT_COMMIT = "rollback_at_commit"  # rolled back at each commit: locks are short
    SNAPSHOT = "snapshot"  # SQLite: on a private copy of the file, in memory
    OFF = "off"  # v2's own: really written


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """Settings of the middleware and the guards; TOML table `[middleware]`."""

    service: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=256,
            description="Name of the service; the same for v1 and v2, or they never pair.",
        ),
    ] = "unknown"
    version: Annotated[str, Meta(description="Version that this process runs, for people to read.")] = ""
    role: Annotated[
        Role, Meta(description="What this process is: primary, shadow, control or mixed. Decides alone "
                               "whether a mark counts; see ARCHITECTURE.md.")
    ] = Role.MIXED  # fmt: skip
    mode: Annotated[
        Mode, Meta(description="How mirrored requests are treated: dry_run, read_only or observe.")
    ] = Mode.DRY_RUN
    modes: Annotated[
        dict[str, Mode], Meta(description="Exceptions from `mode` by path glob; the first that fits wins.")
    ] = {}
    trust: Annotated[
        tuple[Trust, ...], Meta(description="What must hold beside the mark in role mixed: mirror_port, key; "
                                            "all that are listed.")
    ] = ()  # fmt: skip
    mirror_port: Annotated[
        int | None, Meta(description="The local port that only mirrors come in on, for trust `mirror_port`.")
    ] = None
    key: Annotated[
        str | None, Meta(description="Shared secret of `x-mirror-signature`, for trust `key`.")
    ] = None
    signature_max_age_s: Annotated[
        float, Meta(gt=0, le=86_400, description="Seconds that a signature is good for, either way.")
    ] = 300.0
    recorder: Annotated[
        str | None, Meta(description="URL of the recorder; without one nothing is shipped.")
    ] = None
    token: Annotated[str | None, Meta(description="Token for the recorder.")] = None
    sample: Annotated[
        float, Meta(ge=0, le=1, description="Share of pair ids that is captured, chosen by hash: both sides "
                                            "take the same ones.")
    ] = 1.0  # fmt: skip
    max_body_bytes: Annotated[
        int, Meta(ge=0, le=64 << 20, description="Bytes of a response body that are kept; what is longer is "
                                                 "truncated, counted and still digested whole.")
    ] = 262_144  # fmt: skip
    max_header_bytes: Annotated[
        int, Meta(ge=0, le=1 << 20, description="Bytes of names and values kept of each side's headers.")
    ] = 65_536
    max_unread_bytes: Annotated[
        int, Meta(ge=65_536, le=1 << 30, description="Bytes of a mirrored request's body held for an "
                  "application that does not read it yet.")
    ] = 8 << 20  # fmt: skip
    unread_patience_s: Annotated[
        float, Meta(ge=0, le=60, description="Seconds that v1's client may be held back, in all, once that "
                                             "is full; then the mirrored request is cut off.")
    ] = 0.25  # fmt: skip
    max_effects: Annotated[int, Meta(ge=1, le=100_000, description="Effects kept for one request.")] = 500
    redact: Annotated[
        tuple[str, ...], Meta(description="Further keys to redact in headers, query, forms and JSON; matched "
                                          "as a part of the name, without case, - and _.")
    ] = ()  # fmt: skip
    queue_exchanges: Annotated[int, Meta(ge=1, description="Exchanges that wait for the recorder.")] = 10_000
    queue_bytes: Annotated[int, Meta(ge=1 << 16, description="Bytes that wait for the recorder.")] = 64 << 20
    batch_exchanges: Annotated[int, Meta(ge=1, le=10_000, description="Exchanges in one post.")] = 200
    flush_interval_s: Annotated[
        float, Meta(gt=0, le=3600, description="Seconds that an exchange waits at most.")
    ] = 0.5
    ship_timeout_s: Annotated[
        float, Meta(gt=0, le=600, description="Seconds for one post to the recorder.")
    ] = 5.0
    ship_attempts: Annotated[
        int,
        Meta(ge=1, le=100, description="Attempts for one post, backing off up to 5 s."),
    ] = 30
    shutdown_timeout_s: Annotated[
        float, Meta(ge=0, le=60, description="Seconds that a shutdown waits for what is queued.")
    ] = 2.0
    guards: Annotated[
        bool, Meta(description="Install the guards when the middleware is built. Off is for tests of the "
                               "guards themselves.")
    ] = True  # fmt: skip
    observe_effects: Annotated[
        bool,
        Meta(description="Record what live requests write, to compare it with what v2 would have written."),
    ] = True
    observe_sample: Annotated[
        float, Meta(ge=0, le=1, description="Share of live requests whose effects are recorded, chosen by "
                                            "hash of the pair id. A pair outside it is compared without "
                                            "its effects.")
    ] = 1.0  # fmt: skip
    effect_rules: Annotated[
        tuple[EffectRule, ...],
        Meta(description="What mirrored requests may really do, what they are answered otherwise, what is "
                         "refused; the first rule that fits counts."),
    ] = ()  # fmt: skip
    unguarded: Annotated[
        Unguarded, Meta(description="What becomes of a mirrored request's way out that no guard covers "
                                    "(sockets, files, processes): block, record or off.")
    ] = Unguarded.BLOCK  # fmt: skip
    unguarded_allow: Annotated[
        tuple[str, ...], Meta(description="Such ways that are let through: globs of what the ledger names, "
                                          "`socket 10.0.0.7:8125`, `file /var/log/*`, `process /bin/date`.")
    ] = ()  # fmt: skip
    databases: Annotated[
        dict[str, DatabaseMode],
        Meta(description="How mirrored requests use a database, by glob of its URL without driver and "
                         "credentials (`postgresql://db:5432/shop`, `sqlite:////data/shop.db`), whether it "
                         "is reached by SQLAlchemy, by Django or by a driver itself (then host, port and name"
                         " as they are given to `connect`): dry_run (on a lease, the default), read_only "
                         "(writes are refused), rollback_at_commit (locks end at each commit, after which "
                         "the application does not see its writes), snapshot (SQLite: on a copy of the file "
                         "in memory, up to 64 MiB, so v1 never waits for a lock; by SQLAlchemy's engines), "
                         "off (v2's own database: really written, "
                         "in every mode). The first that fits wins."),
    ] = {}  # fmt: skip
    yield_poll_ms: Annotated[
        float, Meta(ge=0, le=1000, description="Milliseconds between two looks for live work in PostgreSQL "
                                               "or MariaDB that waits for a mirrored request, whose "
                                               "transaction is ended then (one connection for each engine, "
                                               "only while mirrored requests hold any). 0 switches it off.")
    ] = 5.0  # fmt: skip
    sqlite_writer_limit_ms: Annotated[
        float, Meta(ge=0, le=60_000, description="Milliseconds that a mirrored request keeps the writer lock "
                                                 "of an SQLite file, by SQLAlchemy or Django. Then its "
                                                 "transaction is ended and its later statements fail, as "
                                                 "SQLite does not tell who waits. Who does asks at intervals:"
                                                 " 33 ms later, then 53. 0 switches it off.")
    ] = 25.0  # fmt: skip
    mesh_domains: Annotated[
        tuple[str, ...], Meta(description="Hosts, or endings of hosts, that a mirrored request's mark may be "
                                          "sent on to.")
    ] = ("svc.cluster.local",)  # fmt: skip
    outside_requests: Annotated[
        tuple[str, ...], Meta(description="Kinds of effect (globs such as sql.*) that a shadow process may "
                                          "have outside requests, at start-up for instance. Threads "
                                          "that the application starts itself count as outside. A "
                                          "process's own files are let through unless this says otherwise.")
    ] = ("file.*",)  # fmt: skip

    def __post_init__(self) -> None:
        # A role as plain text would compare unequal to every role, and a shadow would run live.
        for name, kind in (("role", Role), ("mode", Mode)):
            value = getattr(self, name)
            if not isinstance(value, kind):
                msgspec.structs.force_setattr(self, name, msgspec.convert(value, kind))
        if self.recorder is not None and not _is_http_url(self.recorder):
            raise ValueError("`recorder` has to be a URL such as http://127.0.0.1:9600 (http or https)")
        if self.token is not None and not (self.token.isascii() and self.token.isprintable()):
            raise ValueError("`token` has to be printable ASCII, without a line's end")
        if Trust.MIRROR_PORT in self.trust and self.mirror_port is None:
            raise ValueError("trust `mirror_port` needs `mirror_port` to be set")
        if Trust.KEY in self.trust and not self.key:
            raise ValueError("trust `key` needs `key` to be set")
        if Mode.LIVE in (self.mode, *self.modes.values()):
            raise ValueError("`live` is no mode for mirrored requests; take dry_run, read_only or observe")

    def __repr__(self) -> str:
        shown = (f"{name}={_shown(name, getattr(self, name))}" for name in self.__struct_fields__)
        return f"Settings({', '.join(shown)})"

    def database_mode(self, url: str) -> DatabaseMode:
        """How mirrored requests use the database of this URL."""
        fits = (mode for pattern, mode in self.databases.items() if fnmatchcase(url, pattern))
        return next(fits, DatabaseMode.DRY_RUN)

    @classmethod
    def load(cls, env: Mapping[str, str] | None = None, **flags: Any) -> Settings:
        """Settings from `flags`, the environment and the file that `MIRRORPROOF_CONFIG` names.

        Raises `SettingsError` that names the key.
        """
        return load(cls, "middleware", flags, os.environ if env is None else env)

    @cached_property
    def policy(self) -> Policy:
        """The part that `decide` needs."""
        return Policy(
            role=self.role, mode=self.mode, modes=tuple(self.modes.items()), trust=frozenset(self.trust),
            mirror_port=self.mirror_port, key=self.key.encode() if self.key else None,
            signature_max_age_s=self.signature_max_age_s,
        )  # fmt: skip


def _read_start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_MAX_FILE_BYTES + 1)


def load(
    kind: type[S],
    section: str,
    flags: Mapping[str, Any],
    env: Mapping[str, str],
    read: Callable[[Path], bytes] = _read_start,
) -> S:
    """`kind` filled from `flags` (those that are not `None`), `env`, then the file's table `section`.

    In variables, lists are separated by commas, and what is more than a list of words is JSON. Raises
    `SettingsError` that names the key and its source.
    """
    known = {field.name: field for field in msgspec.structs.fields(kind)}
    given = {key: value for key, value in flags.items() if value is not None}
    _refuse_unknown(given, known, "")
    sources: list[tuple[str, dict[str, Any]]] = [
        (f"{CONFIG_VARIABLE} file, [{section}] ", _from_file(env.get(CONFIG_VARIABLE), section, known, read)),
        (PREFIX, _from_env(kind, env, known)),
        ("", given),
    ]
    merged: dict[str, Any] = {}
    labels: dict[str, str] = {}
    for label, values in sources:
        merged |= values
        labels |= {key: label + (key.upper() if label == PREFIX else key) for key in values}
    for key, value in merged.items():
        _check_one(known[key], value, labels[key])
    try:
        return msgspec.convert(merged, kind, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsError(f"settings: {error}") from error


def _check_one(field: msgspec.structs.FieldInfo, value: Any, label: str) -> None:
    try:
        msgspec.convert(value, field.type, strict=False)
    except msgspec.ValidationError as error:
        shown = _shown(field.name, value)
        raise SettingsError(f"{label} = {shown}: {error}. {_description(field)}") from error


def _shown(name: str, value: Any) -> str:
    return "***" if name in _SECRETS and value is not None else repr(value)


def _is_http_url(text: str) -> bool:
    try:
        url = urlsplit(text)
        return url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:  # of a port that is no number, or too large
        return False


def _from_env(kind: type[msgspec.Struct], env: Mapping[str, str], known: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    every = {PREFIX + name.upper() for name in (*known, *Settings.__struct_fields__)} | _OTHERS_VARIABLES
    for variable, text in env.items():
        if not variable.startswith(PREFIX) or _KUBERNETES_LINK.fullmatch(f"{variable}={text}"):
            continue
        name = variable.removeprefix(PREFIX).lower()
        if name in known:
            values[name] = _from_text(variable, text, get_type_hints(kind)[name])
        elif variable not in every:
            raise SettingsError(f"{variable} is no setting. {_nearest(variable, every)}")
    return values


def _from_text(variable: str, text: str, hint: Any) -> Any:
    """A variable's value: as it is, a list of words separated by commas, or JSON for what is nested."""
    origin = getattr(hint, "__origin__", hint)
    if origin is tuple and not text.lstrip().startswith("["):
        return [part.strip() for part in text.split(",") if part.strip()]
    if origin not in (tuple, dict):
        return text
    try:
        return msgspec.json.decode(text.encode("utf-8", "surrogateescape"))
    except (msgspec.DecodeError, RecursionError) as error:
        raise SettingsError(f"{variable} = {text!r} has to be JSON: {error}") from error


def _from_file(
    path: str | None, section: str, known: Mapping[str, Any], read: Callable[[Path], bytes]
) -> dict[str, Any]:
    if not path:
        return {}
    try:
        content = read(Path(path))
        if len(content) > _MAX_FILE_BYTES:
            raise OSError("it is larger than 1 MiB")
        table = tomllib.loads(content.decode())
    except (OSError, ValueError, RecursionError) as error:  # ValueError: TOML, UTF-8, integers too long
        raise SettingsError(f"{CONFIG_VARIABLE}: {path} cannot be read: {error}") from error
    sections = ("middleware", "recorder")
    _refuse_unknown(table, dict.fromkeys(sections), f"{path}: ")
    values = table.get(section, {})
    if not isinstance(values, dict):
        raise SettingsError(f"{path}: {section} has to be a table")
    _refuse_unknown(values, known, f"{path}: [{section}] ")
    return values


def _refuse_unknown(given: Mapping[str, Any], known: Mapping[str, Any], where: str) -> None:
    for key in given:
        if key not in known:
            raise SettingsError(f"{where}{key} is no setting. {_nearest(key, known)}")


def _nearest(key: str, known: Any) -> str:
    from difflib import get_close_matches

    near = get_close_matches(key, sorted(known), n=1)
    return f"Did you mean {near[0]}?" if near else "See docs/settings.md for those that exist."


def describe(kind: type[msgspec.Struct]) -> list[tuple[str, str, str]]:
    """(name, default, description) of each setting, for `--help` and the documentation."""
    return [
        (field.name, "" if field.default is msgspec.NODEFAULT else str(field.default), _description(field))
        for field in msgspec.structs.fields(kind)
    ]


def _description(field: msgspec.structs.FieldInfo) -> str:
    meta = [part for part in getattr(field.type, "__metadata__", ()) if isinstance(part, Meta)]
    return (meta[0].description or "") if meta else ""
