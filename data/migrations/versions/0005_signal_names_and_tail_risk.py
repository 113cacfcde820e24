"""Name a signal and say whether it was replayed; risk in the tail at two levels, or why it is not known.

Both are taken from the audit events, where these tell of them: the projector has passed them.
"""

import json
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from alembic import op

from data.migrations import events
from data.schema import types

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_RENAMED = {"value_at_risk": "value_at_risk_95", "expected_shortfall": "expected_shortfall_95"}
_TAIL: dict[str, Callable[[Any], object]] = {
    "value_at_risk_99": float,
    "expected_shortfall_99": float,
    "tail_returns": int,
    "tail_unknown": events.text,
}
_BATCH = 5_000


def upgrade() -> None:
    # Constant defaults, because a compressed hypertable takes no other column that must have a value.
    op.add_column("signals", sa.Column("name", sa.String(length=64), nullable=False, server_default=""))
    op.add_column("signals", sa.Column("replayed", sa.Boolean(), nullable=False, server_default=sa.false()))
    _name_signals(op.get_bind())
    op.create_index(
        op.f("ix_signals_strategy_symbol_timestamp"),
        "signals",
        ["strategy", "symbol", "timestamp"],
        unique=False,
    )
    for old, new in _RENAMED.items():
        op.execute(f"ALTER TABLE risk_metrics RENAME COLUMN {old} TO {new}")
    op.add_column("risk_metrics", sa.Column("value_at_risk_99", sa.Double(), nullable=True))
    op.add_column("risk_metrics", sa.Column("expected_shortfall_99", sa.Double(), nullable=True))
    op.add_column("risk_metrics", sa.Column("tail_returns", sa.Integer(), nullable=True))
    op.add_column("risk_metrics", sa.Column("tail_unknown", sa.Text(), nullable=True))
    _take_tails(op.get_bind())


def downgrade() -> None:
    with op.batch_alter_table("risk_metrics") as risk:
        for name in ("tail_unknown", "tail_returns", "expected_shortfall_99", "value_at_risk_99"):
            risk.drop_column(name)
    for old, new in _RENAMED.items():
        op.execute(f"ALTER TABLE risk_metrics RENAME COLUMN {new} TO {old}")
    op.drop_index(op.f("ix_signals_strategy_symbol_timestamp"), table_name="signals")
    with op.batch_alter_table("signals") as signals:
        signals.drop_column("replayed")
        signals.drop_column("name")


def _name_signals(connection: sa.Connection) -> None:
    """Take names from the events that the rows were made of; a row whose event is gone has its strategy's."""
    connection.execute(sa.text("UPDATE signals SET name = strategy"))
    told = connection.execute(
        sa.text(
            "SELECT signals.run_id, signals.seq, audit_events.body FROM signals "
            "JOIN runs ON runs.run_id = signals.run_id "
            "JOIN audit_events ON audit_events.journal_id = runs.journal_id "
            "AND audit_events.seq = signals.seq WHERE audit_events.kind = 'signal'"
        )
    )
    named = sa.text(
        "UPDATE signals SET name = :name, replayed = :replayed WHERE run_id = :run_id AND seq = :seq"
    )
    for rows in told.partitions(_BATCH):
        connection.execute(named, [_told(*row) for row in rows])


def _told(run_id: str, seq: int, body: str) -> dict[str, object]:
    event = json.loads(body)
    name = str(event.get("name") or event["strategy"]).replace("\0", "\ufffd")
    return {"run_id": run_id, "seq": seq, "name": name, "replayed": bool(event.get("replayed", False))}


def _take_tails(connection: sa.Connection) -> None:
    """Take the tails of the last that was told of each moment and scope: a snapshot tells of none."""
    tails: dict[tuple[str, int, str], dict[str, object]] = {}
    for run_id, _, kind, body in events.told(connection, "risk_metrics", "snapshot"):
        moment = int(body["trading_time"]) // types.MICROSECOND
        place = (run_id, moment, events.text(body.get("scope")) or "book")
        tails[place] = {
            name: read(body[name])
            for name, read in _TAIL.items()
            if kind == "risk_metrics" and body.get(name) is not None
        }
    key = ("run_id", "timestamp", "scope")
    risk = sa.table(
        "risk_metrics", *map(sa.column, ("run_id", "scope", *_TAIL)), sa.column("timestamp", types.UtcTime)
    )
    statement = (
        risk.update()
        .where(*(risk.c[name] == sa.bindparam(f"its_{name}") for name in key))
        .values({name: sa.bindparam(f"new_{name}") for name in _TAIL})
    )
    rows = [
        {"its_run_id": run_id, "its_timestamp": moment * types.MICROSECOND, "its_scope": scope}
        | {f"new_{name}": tail.get(name) for name in _TAIL}
        for (run_id, moment, scope), tail in tails.items()
        if tail
    ]
    for first in range(0, len(rows), _BATCH):
        connection.execute(statement, rows[first : first + _BATCH])
