"""Give the journal's projections keys that hold their time, and the tables that were missing.

A hypertable is partitioned by a time that its key must hold, so orders and fills are identified by the
journal's number of their first event. These tables are projections: they are made anew and empty, without a
cursor, and the next start of the projector fills them from the journal.
"""

import sqlalchemy as sa
from alembic import op

from data.migrations.columns import Document, Money, UtcTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

LOST = (
    "account_snapshots", "audit_events", "commissions", "daily_pnl", "fills", "order_events", "orders",
    "position_history", "positions", "projection_cursor", "risk_metrics", "runs", "signals",
    "trading_sessions",
)  # fmt: skip


def upgrade() -> None:
    _drop_first_tables()
    op.create_table(
        "account_snapshots",
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("timestamp", UtcTime(), nullable=False),
        sa.Column("cash", Money(), nullable=False),
        sa.Column("equity", Money(), nullable=False),
        sa.Column("unrealized_pnl", Money(), nullable=False),
        sa.Column("realized_pnl", Money(), nullable=False),
        sa.Column("fees", Money(), nullable=False),
        sa.Column("gross_exposure", Money(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "timestamp", name=op.f("pk_account_snapshots")),
    )
    op.create_table(
        "audit_events",
        sa.Column("journal_id", sa.String(length=64), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at", UtcTime(), nullable=False),
        sa.Column("time_ns", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("client_order_id", sa.String(length=64), nullable=True),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("prev_hash", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("journal_id", "seq", "recorded_at", name=op.f("pk_audit_events")),
    )
    op.create_index(
        op.f("ix_audit_events_client_order_id"), "audit_events", ["client_order_id"], unique=False
    )
    op.create_index(
        op.f("ix_audit_events_kind_recorded_at"), "audit_events", ["kind", "recorded_at"], unique=False
    )
    op.create_table(
        "commissions",
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("timestamp", UtcTime(), nullable=False),
        sa.Column("fill_id", sa.String(length=96), nullable=False),
        sa.Column("commission", Money(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "seq", "timestamp", name=op.f("pk_commissions")),
    )
    op.create_index(op.f("ix_commissions_run_id_fill_id"), "commissions", ["run_id", "fill_id"], unique=False)
    op.create_table(
        "daily_pnl",
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("timestamp", UtcTime(), nullable=False),
        sa.Column("trading_day", sa.Date(), nullable=False),
        sa.Column("opening_equity", Money(), nullable=False),
        sa.Column("closing_equity", Money(), nullable=False),
        sa.Column("pnl", Money(), nullable=False),
        sa.Column("realized_pnl", Money(), nullable=False),
        sa.Column("unrealized_pnl", Money(), nullable=False),
        sa.Column("fees", Money(), nullable=False),
        sa.Column("gross_exposure", Money(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "timestamp", name=op.f("pk_daily_pnl")),
    )
    op.create_table(
        "fills",
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("timestamp", UtcTime(), nullable=False),
        sa.Column("fill_id", sa.String(length=96), nullable=False),
        sa.Column("client_order_id", sa.String(length=64), nullable=True),
        sa.Column("exec_id", sa.String(length=64), nullable=True),
        sa.Column("symbol", sa.String(length=32), nullable=False),
        sa.Column("side", sa.String(length=8), nullable=False),
        sa.Column("quantity", Money(), nullable=False),
        sa.Column("price", Money(), nullable=False),
        sa.Column("account", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("run_id", "seq", "timestamp", name=op.f("pk_fills")),
    )
    op.create_index(op.f("ix_fills_client_order_id"), "fills", ["client_order_id"], unique=False)
    op.create_index(op.f("ix_fills_run_id_fill_id"), "fills", ["run_id", "fill_id"], unique=False)
    op.create_index(op.f("ix_fills_run_id_timestamp"), "fills", ["run_id", "timestamp"], unique=False)
    op.create_table(
        "order_events",
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("timestamp", UtcTime(), nullable=False),
        sa.Column("client_order_id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("old_status", sa.String(length=24), nullable=True),
        sa.Column("new_status", sa.String(length=24), nullable=True),
        sa.Column("body", Document(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "seq", "timestamp", name=op.f("pk_order_events")),
    )
    op.create_index(
        op.f("ix_order_events_run_id_client_order_id"),
        "order_events",
        ["run_id", "client_order_id"],
        unique=False,
    )
    op.create_table(
        "orders",
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("client_order_id", sa.String(length=64), nullable=False),
        sa.Column("order_id", sa.String(length=32), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("symbol", sa.String(length=32), nullable=False),
        sa.Column("side", sa.String(length=8), nullable=False),
        sa.Column("quantity", Money(), nullable=False),
        sa.Column("order_type", sa.String(length=32), nullable=False),
        sa.Column("limit_price", Money(), nullable=True),
        sa.Column("stop_price", Money(), nullable=True),
        sa.Column("time_in_force", sa.String(length=8), nullable=False),
        sa.Column("outside_rth", sa.Boolean(), nullable=False),
        sa.Column("account", sa.String(length=64), nullable=True),
        sa.Column("strategy", sa.String(length=64), nullable=True),
        sa.Column("signal_id", sa.String(length=64), nullable=True),
        sa.Column("status", sa.String(length=24), nullable=False),
        sa.Column("filled_quantity", Money(), nullable=False),
        sa.Column("average_fill_price", Money(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("rule", sa.String(length=64), nullable=True),
        sa.Column("dry_run", sa.Boolean(), nullable=False),
        sa.Column("submitted_at", UtcTime(), nullable=False),
        sa.Column("updated_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "seq", "created_at", name=op.f("pk_orders")),
    )
    op.create_index(
        op.f("ix_orders_run_id_client_order_id"), "orders", ["run_id", "client_order_id"], unique=False
    )
    op.create_index(op.f("ix_orders_signal_id"), "orders", ["signal_id"], unique=False)
    op.create_index(op.f("ix_orders_status"), "orders", ["status"], unique=False)
    op.create_index(op.f("ix_orders_symbol"), "orders", ["symbol"], unique=False)
    op.create_table(
        "position_history",
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("timestamp", UtcTime(), nullable=False),
        sa.Column("symbol", sa.String(length=32), nullable=False),
        sa.Column("quantity", Money(), nullable=False),
        sa.Column("average_cost", Money(), nullable=False),
        sa.Column("market_value", Money(), nullable=False),
        sa.Column("unrealized_pnl", Money(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "timestamp", "symbol", name=op.f("pk_position_history")),
    )
    op.create_table(
        "positions",
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("symbol", sa.String(length=32), nullable=False),
        sa.Column("timestamp", UtcTime(), nullable=False),
        sa.Column("quantity", Money(), nullable=False),
        sa.Column("average_cost", Money(), nullable=False),
        sa.Column("market_value", Money(), nullable=False),
        sa.Column("unrealized_pnl", Money(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "symbol", name=op.f("pk_positions")),
    )
    op.create_table(
        "projection_cursor",
        sa.Column("journal_id", sa.String(length=64), nullable=False),
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("last_seq", sa.BigInteger(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("journal_id", "run_id", name=op.f("pk_projection_cursor")),
    )
    op.create_table(
        "risk_metrics",
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("timestamp", UtcTime(), nullable=False),
        sa.Column("scope", sa.String(length=96), nullable=False),
        sa.Column("gross_exposure", Money(), nullable=True),
        sa.Column("net_exposure", Money(), nullable=True),
        sa.Column("value_at_risk", sa.Double(), nullable=True),
        sa.Column("expected_shortfall", sa.Double(), nullable=True),
        sa.Column("volatility", sa.Double(), nullable=True),
        sa.Column("drawdown", sa.Double(), nullable=True),
        sa.Column("delta", sa.Double(), nullable=True),
        sa.Column("gamma", sa.Double(), nullable=True),
        sa.Column("vega", sa.Double(), nullable=True),
        sa.Column("theta", sa.Double(), nullable=True),
        sa.Column("details", Document(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "timestamp", "scope", name=op.f("pk_risk_metrics")),
    )
    op.create_table(
        "runs",
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("journal_id", sa.String(length=64), nullable=False),
        sa.Column("started_at", UtcTime(), nullable=True),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("profile", sa.String(length=32), nullable=True),
        sa.Column("account", sa.String(length=64), nullable=True),
        sa.Column("strategy", sa.String(length=64), nullable=True),
        sa.Column("timeframe", sa.String(length=8), nullable=True),
        sa.Column("symbols", sa.Text(), nullable=True),
        sa.Column("config_hash", sa.String(length=64), nullable=True),
        sa.Column("git_sha", sa.String(length=64), nullable=True),
        sa.Column("initial_cash", Money(), nullable=True),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_runs")),
    )
    op.create_table(
        "signals",
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("timestamp", UtcTime(), nullable=False),
        sa.Column("signal_id", sa.String(length=64), nullable=False),
        sa.Column("strategy", sa.String(length=64), nullable=False),
        sa.Column("symbol", sa.String(length=32), nullable=False),
        sa.Column("direction", sa.String(length=8), nullable=False),
        sa.Column("strength", sa.Double(), nullable=True),
        sa.Column("target", Money(), nullable=True),
        sa.Column("features", Document(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "seq", "timestamp", name=op.f("pk_signals")),
    )
    op.create_index(op.f("ix_signals_signal_id"), "signals", ["signal_id"], unique=False)
    op.create_table(
        "trading_sessions",
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("started_at", UtcTime(), nullable=False),
        sa.Column("ended_at", UtcTime(), nullable=True),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("profile", sa.String(length=32), nullable=True),
        sa.Column("account", sa.String(length=64), nullable=True),
        sa.Column("git_sha", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("run_id", "seq", name=op.f("pk_trading_sessions")),
    )


def downgrade() -> None:
    op.drop_table("trading_sessions")
    op.drop_index(op.f("ix_signals_signal_id"), table_name="signals")
    op.drop_table("signals")
    op.drop_table("runs")
    op.drop_table("risk_metrics")
    op.drop_table("projection_cursor")
    op.drop_table("positions")
    op.drop_table("position_history")
    op.drop_index(op.f("ix_orders_symbol"), table_name="orders")
    op.drop_index(op.f("ix_orders_status"), table_name="orders")
    op.drop_index(op.f("ix_orders_signal_id"), table_name="orders")
    op.drop_index(op.f("ix_orders_run_id_client_order_id"), table_name="orders")
    op.drop_table("orders")
    op.drop_index(op.f("ix_order_events_run_id_client_order_id"), table_name="order_events")
    op.drop_table("order_events")
    op.drop_index(op.f("ix_fills_run_id_timestamp"), table_name="fills")
    op.drop_index(op.f("ix_fills_run_id_fill_id"), table_name="fills")
    op.drop_index(op.f("ix_fills_client_order_id"), table_name="fills")
    op.drop_table("fills")
    op.drop_table("daily_pnl")
    op.drop_index(op.f("ix_commissions_run_id_fill_id"), table_name="commissions")
    op.drop_table("commissions")
    op.drop_index(op.f("ix_audit_events_kind_recorded_at"), table_name="audit_events")
    op.drop_index(op.f("ix_audit_events_client_order_id"), table_name="audit_events")
    op.drop_table("audit_events")
    op.drop_table("account_snapshots")
    _create_first_tables()


def _drop_first_tables() -> None:
    op.drop_table("runs")
    op.drop_table("projection_cursor")
    op.drop_table("positions")
    op.drop_index(op.f("ix_orders_symbol"), table_name="orders")
    op.drop_index(op.f("ix_orders_status"), table_name="orders")
    op.drop_table("orders")
    op.drop_index(op.f("ix_fills_run_id_timestamp"), table_name="fills")
    op.drop_index(op.f("ix_fills_client_order_id"), table_name="fills")
    op.drop_table("fills")
    op.drop_table("equity")


def _create_first_tables() -> None:
    op.create_table(
        "equity",
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("timestamp", sa.BigInteger(), nullable=False),
        sa.Column("cash", Money(), nullable=False),
        sa.Column("equity", Money(), nullable=False),
        sa.Column("unrealized_pnl", Money(), nullable=False),
        sa.Column("realized_pnl", Money(), nullable=False),
        sa.Column("fees", Money(), nullable=False),
        sa.Column("gross_exposure", Money(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "timestamp", name=op.f("pk_equity")),
    )
    op.create_table(
        "fills",
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("fill_id", sa.String(length=96), nullable=False),
        sa.Column("client_order_id", sa.String(length=64), nullable=False),
        sa.Column("exec_id", sa.String(length=64), nullable=True),
        sa.Column("symbol", sa.String(length=32), nullable=False),
        sa.Column("side", sa.String(length=8), nullable=False),
        sa.Column("quantity", Money(), nullable=False),
        sa.Column("price", Money(), nullable=False),
        sa.Column("commission", Money(), nullable=True),
        sa.Column("account", sa.String(length=64), nullable=True),
        sa.Column("timestamp", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "fill_id", name=op.f("pk_fills")),
    )
    op.create_index(op.f("ix_fills_client_order_id"), "fills", ["client_order_id"], unique=False)
    op.create_index(op.f("ix_fills_run_id_timestamp"), "fills", ["run_id", "timestamp"], unique=False)
    op.create_table(
        "orders",
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("client_order_id", sa.String(length=64), nullable=False),
        sa.Column("order_id", sa.String(length=32), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("symbol", sa.String(length=32), nullable=False),
        sa.Column("side", sa.String(length=8), nullable=False),
        sa.Column("quantity", Money(), nullable=False),
        sa.Column("order_type", sa.String(length=16), nullable=False),
        sa.Column("limit_price", Money(), nullable=True),
        sa.Column("stop_price", Money(), nullable=True),
        sa.Column("time_in_force", sa.String(length=8), nullable=False),
        sa.Column("outside_rth", sa.Boolean(), nullable=False),
        sa.Column("account", sa.String(length=64), nullable=True),
        sa.Column("strategy", sa.String(length=64), nullable=True),
        sa.Column("status", sa.String(length=24), nullable=False),
        sa.Column("filled_quantity", Money(), nullable=False),
        sa.Column("average_fill_price", Money(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("rule", sa.String(length=64), nullable=True),
        sa.Column("dry_run", sa.Boolean(), nullable=False),
        sa.Column("submitted_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "client_order_id", name=op.f("pk_orders")),
    )
    op.create_index(op.f("ix_orders_status"), "orders", ["status"], unique=False)
    op.create_index(op.f("ix_orders_symbol"), "orders", ["symbol"], unique=False)
    op.create_table(
        "positions",
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("timestamp", sa.BigInteger(), nullable=False),
        sa.Column("symbol", sa.String(length=32), nullable=False),
        sa.Column("quantity", Money(), nullable=False),
        sa.Column("average_cost", Money(), nullable=False),
        sa.Column("market_value", Money(), nullable=False),
        sa.Column("unrealized_pnl", Money(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "timestamp", "symbol", name=op.f("pk_positions")),
    )
    op.create_table(
        "projection_cursor",
        sa.Column("journal_id", sa.String(length=64), nullable=False),
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("last_seq", sa.BigInteger(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("journal_id", "run_id", name=op.f("pk_projection_cursor")),
    )
    op.create_table(
        "runs",
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("journal_id", sa.String(length=64), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("profile", sa.String(length=32), nullable=True),
        sa.Column("account", sa.String(length=64), nullable=True),
        sa.Column("strategy", sa.String(length=64), nullable=True),
        sa.Column("timeframe", sa.String(length=8), nullable=True),
        sa.Column("symbols", sa.Text(), nullable=True),
        sa.Column("config_hash", sa.String(length=64), nullable=True),
        sa.Column("git_sha", sa.String(length=64), nullable=True),
        sa.Column("initial_cash", Money(), nullable=True),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_runs")),
    )
