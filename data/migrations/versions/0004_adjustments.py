"""Add the table of adjustments: changes of the book that are no trades.

Those that the audit events tell of are taken in: the projector has passed them.
"""

from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from alembic import op

from data.migrations import events
from data.migrations.columns import Money, UtcTime
from data.schema import types

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

LOST = ("adjustments",)
_BATCH = 5_000
_MONEY = ("quantity", "fraction", "price", "cash")


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
    _take_in(op.get_bind())


def downgrade() -> None:
    op.drop_table("adjustments")


def _take_in(connection: sa.Connection) -> None:
    names = ("run_id", "seq", "kind", "symbol", "new_symbol", "ordered_by", "reason", "action")
    amounts = (sa.column(name, types.Money) for name in _MONEY)
    adjustments = sa.table(
        "adjustments", *map(sa.column, names), sa.column("timestamp", types.UtcTime), *amounts
    )
    rows = [_row(run, seq, body) for run, seq, _, body in events.told(connection, "adjustment")]
    for first in range(0, len(rows), _BATCH):
        connection.execute(adjustments.insert(), rows[first : first + _BATCH])


def _row(run_id: str, seq: int, body: dict[str, Any]) -> dict[str, Any]:
    amounts = {name: None if body.get(name) is None else Decimal(body[name]) for name in _MONEY}
    known = {"run_id": run_id, "seq": seq, "timestamp": int(body["time"]), "kind": body["what"]}
    told = {name: events.text(body.get(name)) for name in ("symbol", "new_symbol", "reason", "action")}
    return known | amounts | told | {"ordered_by": events.text(body.get("by"))}
