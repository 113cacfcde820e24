"""Add the table of adjustments: changes of the book that are no trades."""

import sqlalchemy as sa
from alembic import op

from data.migrations.columns import Money, UtcTime

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "adjustments",
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("timestamp", UtcTime(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("symbol", sa.String(length=32), nullable=False),
        sa.Column("quantity", Money(), nullable=False),
        sa.Column("fraction", Money(), nullable=False),
        sa.Column("price", Money(), nullable=True),
        sa.Column("cash", Money(), nullable=False),
        sa.Column("new_symbol", sa.String(length=32), nullable=True),
        sa.Column("ordered_by", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("action", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("run_id", "seq", "timestamp", name=op.f("pk_adjustments")),
    )


def downgrade() -> None:
    op.drop_table("adjustments")
