"""The tables, as SQLAlchemy Core knows them. Must not know what is written when, or migrations.

Ids that came from strangers are never keys: `uid` is a digest of the exchange's id, `key` one of what pairs.
Text that people see has passed `safe_text`, since PostgreSQL refuses NUL in text.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
)

__all__ = [
    "METADATA",
    "counters",
    "differences",
    "effects",
    "endpoints",
    "exchanges",
    "ignored",
    "pairs",
    "pending",
    "rule_usage",
    "rules",
    "safe_text",
    "sources",
]

METADATA: Final = MetaData()

_ID = String(32)


def _serial() -> Column[int]:
    return Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True)


exchanges: Final = Table(
    "exchanges",
    METADATA,
    Column("uid", _ID, primary_key=True),
    Column("key", _ID, nullable=False),
    Column("pair_id", Text, nullable=False),
    Column("endpoint", _ID, nullable=False),
    Column("side", String(8), nullable=False),
    Column("state", String(12), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("started_ns", BigInteger, nullable=False),
    Column("received_s", Float(53), nullable=False),
    Column("query_digest", _ID, nullable=False),
    Column("body_digest", _ID),
    Column("truncated", Boolean, nullable=False),
    Column("yielded", Boolean, nullable=False),
    Column("suppressed", Integer, nullable=False),
    Column("blob", LargeBinary, nullable=False),
    Index("exchanges_key", "key"),
    Index("exchanges_pair_id", "pair_id", postgresql_using="hash"),
    Index("exchanges_received", "received_s"),
    Index(
        "exchanges_counts", "endpoint", "side", "state", "truncated", "yielded", "suppressed", "received_s"
    ),
)
"""Whole exchanges as MessagePack in `blob`, beside what is asked for. `exchanges_counts` covers what the
summary and the verdict count, so that they never read past the blobs."""

pairs: Final = Table(
    "pairs",
    METADATA,
    Column("id", _ID, primary_key=True),
    Column("key", _ID, nullable=False),
    Column("pair_id", Text, nullable=False),
    Column("endpoint", _ID, nullable=False),
    Column("against", String(8), nullable=False),
    Column("primary_uid", _ID, nullable=False),
    Column("other_uid", _ID, nullable=False),
    Column("result", String(12), nullable=False),
    Column("reason", Text, nullable=False),
    Column("started_ns", BigInteger, nullable=False),
    Column("received_s", Float(53), nullable=False),
    Column("primary_ns", BigInteger, nullable=False),
    Column("other_ns", BigInteger, nullable=False),
    Column("primary_status", SmallInteger),
    Column("other_status", SmallInteger),
    Column("primary_error", Boolean, nullable=False),
    Column("other_error", Boolean, nullable=False),
    Column("differences", Integer, nullable=False),
    Column("ignored", Integer, nullable=False),
    Column("effects", String(9), nullable=False, server_default="unknown"),
    Column("primary_bucket", BigInteger),
    Column("other_bucket", BigInteger),
    Index("pairs_key", "key"),
    Index("pairs_received", "received_s"),
    Index("pairs_recent", "started_ns", "id"),
    Index(
        "pairs_counts",
        "against", "endpoint", "result", "primary_error", "other_error", "effects", "received_s",
    ),
    Index("pairs_primary_bucket", "against", "endpoint", "primary_bucket", "received_s"),
    Index("pairs_other_bucket", "against", "endpoint", "other_bucket", "received_s"),
)  # fmt: skip
"""One row for each comparison; `received_s` is the earlier of its two exchanges', for retention. `effects`
says whether what both wrote is `alike`, `different`, `unknown` or in `conflict`, and of a pair with the
control `noise` where all that differs was known as such; the buckets are those of the durations
(`judge.durations`) where the pair was compared and neither version failed. The indices cover what
the verdict counts."""

differences: Final = Table(
    "differences",
    METADATA,
    _serial(),
    Column("pair", _ID, nullable=False),
    Column("endpoint", _ID, nullable=False),
    Column("against", String(8), nullable=False),
    Column("path", Text, nullable=False),
    Column("pattern", Text, nullable=False),
    Column("kind", String(64), nullable=False),
    Column("primary_json", Text),
    Column("other_json", Text),
    Index("differences_pair", "pair"),
    Index("differences_endpoint", "against", "endpoint"),
)
"""One row for each difference. A value that is absent is SQL NULL; JSON null is the text `null`."""

ignored: Final = Table(
    "ignored",
    METADATA,
    _serial(),
    Column("pair", _ID, nullable=False),
    Column("endpoint", _ID, nullable=False),
    Column("against", String(8), nullable=False),
    Column("pattern", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("count", Integer, nullable=False),
    Column("by", String(16), nullable=False, server_default="rule"),
    Column("name", Text, nullable=False, server_default=""),
    Index("ignored_pair", "pair"),
)
"""What was hidden, counted for each pair, path pattern, cause (`compare.Cause`), name and reason."""

effects: Final = Table(
    "effects",
    METADATA,
    _serial(),
    Column("uid", _ID, nullable=False),
    Column("side", String(8), nullable=False),
    Column("kind", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("outcome", String(12), nullable=False),
    Column("count", Integer, nullable=False),
    Index("effects_uid", "uid"),
)
"""Effects of each exchange, counted by kind, target template and outcome."""

endpoints: Final = Table(
    "endpoints",
    METADATA,
    Column("id", _ID, primary_key=True),
    Column("service", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("route", Text, nullable=False),
)

pending: Final = Table(
    "pending",
    METADATA,
    Column("key", _ID, primary_key=True),
    Column("arrivals", BigInteger, nullable=False),
    Column("fresh", Boolean, nullable=False),
    Column("since_s", Float(53), nullable=False),
    Column("due_s", Float(53), nullable=False),
    Index("pending_due", "due_s"),
)
"""Keys to settle at `due_s`: `fresh` since `since_s` because of arrivals, else for an expiry. `arrivals` only
grows, so that a settlement can tell that it was overtaken."""

sources: Final = Table(
    "sources",
    METADATA,
    Column("source", _ID, primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("service", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("role", String(8), nullable=False),
    Column("value", BigInteger, nullable=False),
    Column("updated_s", Float(53), nullable=False),
)
"""Counters of capturing processes: the highest value that each has reported."""

rules: Final = Table(
    "rules",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("rules_json", Text, nullable=False),
    Column("created_s", Float(53), nullable=False),
)
"""Every set of rules that held; the last one does."""

rule_usage: Final = Table(
    "rule_usage",
    METADATA,
    Column("rules", Integer, primary_key=True, autoincrement=False),
    Column("rule", _ID, primary_key=True),
    Column("pairs", BigInteger, nullable=False),
)
"""In how many pairs each rule of the set `rules` (0: the default ones) was of use, by a digest of the rule;
the empty digest counts all pairs that were compared under the set."""

counters: Final = Table(
    "counters",
    METADATA,
    Column("name", String(64), primary_key=True),
    Column("value", BigInteger, nullable=False),
)
"""What the recorder itself counts across restarts."""


def safe_text(text: str, max_chars: int = 2048) -> str:
    """`text` as both databases take it: NUL as U+2400, what is no UTF-8 as `?`, cut at `max_chars`."""
    cleaned = text.replace("\0", "\u2400").encode("utf-8", "replace").decode()
    return cleaned if len(cleaned) <= max_chars else cleaned[: max_chars - 1] + "…"
