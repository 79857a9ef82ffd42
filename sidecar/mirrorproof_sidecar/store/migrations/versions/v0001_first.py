"""The tables as they first were."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "counters",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "differences",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("pair", sa.String(length=32), nullable=False),
        sa.Column("endpoint", sa.String(length=32), nullable=False),
        sa.Column("against", sa.String(length=8), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("pattern", sa.Text(), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("primary_json", sa.Text(), nullable=True),
        sa.Column("other_json", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("differences_endpoint", "differences", ["against", "endpoint"], unique=False)
    op.create_index("differences_pair", "differences", ["pair"], unique=False)
    op.create_table(
        "effects",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("uid", sa.String(length=32), nullable=False),
        sa.Column("side", sa.String(length=8), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("outcome", sa.String(length=12), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("effects_uid", "effects", ["uid"], unique=False)
    op.create_table(
        "endpoints",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("route", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "exchanges",
        sa.Column("uid", sa.String(length=32), nullable=False),
        sa.Column("key", sa.String(length=32), nullable=False),
        sa.Column("pair_id", sa.Text(), nullable=False),
        sa.Column("endpoint", sa.String(length=32), nullable=False),
        sa.Column("side", sa.String(length=8), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("started_ns", sa.BigInteger(), nullable=False),
        sa.Column("received_s", sa.Float(precision=53), nullable=False),
        sa.Column("query_digest", sa.String(length=32), nullable=False),
        sa.Column("body_digest", sa.String(length=32), nullable=True),
        sa.Column("truncated", sa.Boolean(), nullable=False),
        sa.Column("yielded", sa.Boolean(), nullable=False),
        sa.Column("suppressed", sa.Integer(), nullable=False),
        sa.Column("blob", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("uid"),
    )
    op.create_index(
        "exchanges_counts",
        "exchanges",
        ["endpoint", "side", "state", "truncated", "yielded", "suppressed"],
        unique=False,
    )
    op.create_index("exchanges_key", "exchanges", ["key"], unique=False)
    op.create_index("exchanges_pair_id", "exchanges", ["pair_id"], unique=False, postgresql_using="hash")
    op.create_index("exchanges_received", "exchanges", ["received_s"], unique=False)
    op.create_table(
        "ignored",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("pair", sa.String(length=32), nullable=False),
        sa.Column("endpoint", sa.String(length=32), nullable=False),
        sa.Column("against", sa.String(length=8), nullable=False),
        sa.Column("pattern", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ignored_pair", "ignored", ["pair"], unique=False)
    op.create_table(
        "pairs",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("key", sa.String(length=32), nullable=False),
        sa.Column("pair_id", sa.Text(), nullable=False),
        sa.Column("endpoint", sa.String(length=32), nullable=False),
        sa.Column("against", sa.String(length=8), nullable=False),
        sa.Column("primary_uid", sa.String(length=32), nullable=False),
        sa.Column("other_uid", sa.String(length=32), nullable=False),
        sa.Column("result", sa.String(length=12), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("started_ns", sa.BigInteger(), nullable=False),
        sa.Column("received_s", sa.Float(precision=53), nullable=False),
        sa.Column("primary_ns", sa.BigInteger(), nullable=False),
        sa.Column("other_ns", sa.BigInteger(), nullable=False),
        sa.Column("primary_status", sa.SmallInteger(), nullable=True),
        sa.Column("other_status", sa.SmallInteger(), nullable=True),
        sa.Column("primary_error", sa.Boolean(), nullable=False),
        sa.Column("other_error", sa.Boolean(), nullable=False),
        sa.Column("differences", sa.Integer(), nullable=False),
        sa.Column("ignored", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("pairs_counts", "pairs", ["against", "endpoint", "result"], unique=False)
    op.create_index("pairs_key", "pairs", ["key"], unique=False)
    op.create_index("pairs_received", "pairs", ["received_s"], unique=False)
    op.create_index("pairs_recent", "pairs", ["started_ns", "id"], unique=False)
    op.create_table(
        "pending",
        sa.Column("key", sa.String(length=32), nullable=False),
        sa.Column("arrivals", sa.BigInteger(), nullable=False),
        sa.Column("fresh", sa.Boolean(), nullable=False),
        sa.Column("since_s", sa.Float(precision=53), nullable=False),
        sa.Column("due_s", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_index("pending_due", "pending", ["due_s"], unique=False)
    op.create_table(
        "rules",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("rules_json", sa.Text(), nullable=False),
        sa.Column("created_s", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "sources",
        sa.Column("source", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("role", sa.String(length=8), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.Column("updated_s", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("source", "name"),
    )


def downgrade() -> None:
    for table in (
        "sources", "rules", "pending", "pairs", "ignored", "exchanges", "endpoints", "effects",
        "differences", "counters",
    ):  # fmt: skip
        op.drop_table(table)
