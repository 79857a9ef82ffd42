"""What a verdict counts, in columns and indices that cover it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_COUNTS = ["against", "endpoint", "result", "primary_error", "other_error", "effects", "received_s"]
_EXCHANGES = ["endpoint", "side", "state", "truncated", "yielded", "suppressed", "received_s"]


def upgrade() -> None:
    # Of pairs from before, neither is known: they count for differences and failures only.
    op.add_column("pairs", sa.Column("effects", sa.String(9), nullable=False, server_default="unknown"))
    op.add_column("pairs", sa.Column("primary_bucket", sa.BigInteger(), nullable=True))
    op.add_column("pairs", sa.Column("other_bucket", sa.BigInteger(), nullable=True))
    op.drop_index("pairs_counts", "pairs")
    op.create_index("pairs_counts", "pairs", _COUNTS)
    op.create_index("pairs_primary_bucket", "pairs", ["against", "endpoint", "primary_bucket", "received_s"])
    op.create_index("pairs_other_bucket", "pairs", ["against", "endpoint", "other_bucket", "received_s"])
    op.drop_index("exchanges_counts", "exchanges")
    op.create_index("exchanges_counts", "exchanges", _EXCHANGES)


def downgrade() -> None:
    op.drop_index("exchanges_counts", "exchanges")
    op.create_index("exchanges_counts", "exchanges", _EXCHANGES[:-1])
    for name in ("pairs_other_bucket", "pairs_primary_bucket", "pairs_counts"):
        op.drop_index(name, "pairs")
    with op.batch_alter_table("pairs") as table:
        for name in ("other_bucket", "primary_bucket", "effects"):
            table.drop_column(name)
    op.create_index("pairs_counts", "pairs", ["against", "endpoint", "result"])
