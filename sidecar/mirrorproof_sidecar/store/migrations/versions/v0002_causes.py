"""Why each hidden difference did not count, and how often each rule was of use."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Until now only rules hid anything; by what path they did was not kept.
    op.add_column("ignored", sa.Column("by", sa.String(length=16), nullable=False, server_default="rule"))
    op.add_column("ignored", sa.Column("name", sa.Text(), nullable=False, server_default=""))
    op.create_table(
        "rule_usage",
        sa.Column("rules", sa.Integer(), nullable=False),
        sa.Column("rule", sa.String(length=32), nullable=False),
        sa.Column("pairs", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("rules", "rule"),
    )


def downgrade() -> None:
    op.drop_table("rule_usage")
    with op.batch_alter_table("ignored") as table:
        table.drop_column("name")
        table.drop_column("by")
