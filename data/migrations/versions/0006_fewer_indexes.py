"""Remove indexes that no query of this program reads; each was written with every row."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_UNREAD = (
    ("orders", ("status",)),
    ("orders", ("symbol",)),
    ("fills", ("run_id", "timestamp")),
    ("commissions", ("run_id", "fill_id")),
)


def upgrade() -> None:
    for table, columns in _UNREAD:
        op.drop_index(op.f(f"ix_{table}_{'_'.join(columns)}"), table_name=table)


def downgrade() -> None:
    for table, columns in _UNREAD:
        op.create_index(op.f(f"ix_{table}_{'_'.join(columns)}"), table, list(columns), unique=False)
