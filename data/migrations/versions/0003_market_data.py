"""Bars, sessions, instruments, universes, fundamentals and corporate actions."""

import sqlalchemy as sa
from alembic import op

from data.migrations.columns import Document, Money, Serial, UtcTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

LOST = (
    "bar_changes", "bar_revisions", "bars_1m", "corporate_actions", "exchange_sessions", "fundamentals",
    "instruments", "option_bars_1m", "session_slots", "universe_members", "vendor_bar_revisions",
    "vendor_bars",
)  # fmt: skip


def upgrade() -> None:
    op.create_table(
        "bar_changes",
        sa.Column("change_id", Serial(), autoincrement=True, nullable=False),
        sa.Column("symbol", sa.String(length=32), nullable=False),
        sa.Column("first_ts", UtcTime(), nullable=False),
        sa.Column("last_ts", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("change_id", name=op.f("pk_bar_changes")),
    )
    op.create_table(
        "bar_revisions",
        sa.Column("symbol", sa.String(length=32), nullable=False),
        sa.Column("ts", UtcTime(), nullable=False),
        sa.Column("known_at", UtcTime(), nullable=False),
        sa.Column("superseded_at", UtcTime(), nullable=False),
        sa.Column("open", sa.Double(), nullable=False),
        sa.Column("high", sa.Double(), nullable=False),
        sa.Column("low", sa.Double(), nullable=False),
        sa.Column("close", sa.Double(), nullable=False),
        sa.Column("volume", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("symbol", "ts", "known_at", name=op.f("pk_bar_revisions")),
    )
    op.create_table(
        "bars_1m",
        sa.Column("symbol", sa.String(length=32), nullable=False),
        sa.Column("ts", UtcTime(), nullable=False),
        sa.Column("open", sa.Double(), nullable=False),
        sa.Column("high", sa.Double(), nullable=False),
        sa.Column("low", sa.Double(), nullable=False),
        sa.Column("close", sa.Double(), nullable=False),
        sa.Column("volume", sa.Double(), nullable=False),
        sa.Column("known_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("symbol", "ts", name=op.f("pk_bars_1m")),
    )
    op.create_table(
        "corporate_actions",
        sa.Column("symbol", sa.String(length=32), nullable=False),
        sa.Column("ex_date", sa.Date(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("known_at", UtcTime(), nullable=False),
        sa.Column("ratio", Money(), nullable=True),
        sa.Column("amount", Money(), nullable=True),
        sa.Column("currency", sa.String(length=8), nullable=True),
        sa.Column("new_symbol", sa.String(length=32), nullable=True),
        sa.PrimaryKeyConstraint(
            "symbol", "ex_date", "kind", "source", "known_at", name=op.f("pk_corporate_actions")
        ),
    )
    op.create_index(
        op.f("ix_corporate_actions_symbol_known_at"),
        "corporate_actions",
        ["symbol", "known_at"],
        unique=False,
    )
    op.create_table(
        "exchange_sessions",
        sa.Column("calendar", sa.String(length=16), nullable=False),
        sa.Column("session_date", sa.Date(), nullable=False),
        sa.Column("opens_at", UtcTime(), nullable=False),
        sa.Column("closes_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("calendar", "session_date", name=op.f("pk_exchange_sessions")),
    )
    op.create_index(
        op.f("ix_exchange_sessions_calendar_opens_at"),
        "exchange_sessions",
        ["calendar", "opens_at"],
        unique=False,
    )
    op.create_table(
        "fundamentals",
        sa.Column("symbol", sa.String(length=32), nullable=False),
        sa.Column("item", sa.String(length=64), nullable=False),
        sa.Column("period_end", sa.Date(), nullable=False),
        sa.Column("known_at", UtcTime(), nullable=False),
        sa.Column("value", Money(), nullable=False),
        sa.Column("currency", sa.String(length=8), nullable=True),
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("symbol", "item", "period_end", "known_at", name=op.f("pk_fundamentals")),
    )
    op.create_table(
        "instruments",
        sa.Column("symbol", sa.String(length=32), nullable=False),
        sa.Column("security_type", sa.String(length=8), nullable=False),
        sa.Column("exchange", sa.String(length=32), nullable=False),
        sa.Column("primary_exchange", sa.String(length=32), nullable=True),
        sa.Column("currency", sa.String(length=8), nullable=False),
        sa.Column("calendar", sa.String(length=16), nullable=False),
        sa.Column("con_id", sa.BigInteger(), nullable=True),
        sa.Column("name", sa.String(length=128), nullable=True),
        sa.Column("sector", sa.String(length=64), nullable=True),
        sa.Column("industry", sa.String(length=64), nullable=True),
        sa.Column("tick", Money(), nullable=False),
        sa.Column("lot", Money(), nullable=False),
        sa.Column("multiplier", Money(), nullable=False),
        sa.Column("underlying", sa.String(length=32), nullable=True),
        sa.Column("expiry", sa.Date(), nullable=True),
        sa.Column("strike", Money(), nullable=True),
        sa.Column("right", sa.String(length=1), nullable=True),
        sa.Column("listed_on", sa.Date(), nullable=True),
        sa.Column("delisted_on", sa.Date(), nullable=True),
        sa.Column("details", Document(), nullable=False),
        sa.PrimaryKeyConstraint("symbol", name=op.f("pk_instruments")),
    )
    op.create_index(op.f("ix_instruments_con_id"), "instruments", ["con_id"], unique=False)
    op.create_table(
        "option_bars_1m",
        sa.Column("symbol", sa.String(length=32), nullable=False),
        sa.Column("ts", UtcTime(), nullable=False),
        sa.Column("open", sa.Double(), nullable=True),
        sa.Column("high", sa.Double(), nullable=True),
        sa.Column("low", sa.Double(), nullable=True),
        sa.Column("close", sa.Double(), nullable=True),
        sa.Column("volume", sa.Double(), nullable=False),
        sa.Column("bid", sa.Double(), nullable=True),
        sa.Column("ask", sa.Double(), nullable=True),
        sa.Column("open_interest", sa.Double(), nullable=True),
        sa.Column("implied_volatility", sa.Double(), nullable=True),
        sa.Column("delta", sa.Double(), nullable=True),
        sa.Column("gamma", sa.Double(), nullable=True),
        sa.Column("vega", sa.Double(), nullable=True),
        sa.Column("theta", sa.Double(), nullable=True),
        sa.Column("underlying_price", sa.Double(), nullable=True),
        sa.Column("known_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("symbol", "ts", name=op.f("pk_option_bars_1m")),
    )
    op.create_table(
        "session_slots",
        sa.Column("calendar", sa.String(length=16), nullable=False),
        sa.Column("ts", UtcTime(), nullable=False),
        sa.Column("session_date", sa.Date(), nullable=False),
        sa.PrimaryKeyConstraint("calendar", "ts", name=op.f("pk_session_slots")),
    )
    op.create_table(
        "universe_members",
        sa.Column("universe", sa.String(length=64), nullable=False),
        sa.Column("symbol", sa.String(length=32), nullable=False),
        sa.Column("from_date", sa.Date(), nullable=False),
        sa.Column("until_date", sa.Date(), nullable=True),
        sa.Column("known_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("universe", "symbol", "from_date", name=op.f("pk_universe_members")),
    )
    op.create_table(
        "vendor_bar_revisions",
        sa.Column("symbol", sa.String(length=32), nullable=False),
        sa.Column("timeframe", sa.String(length=8), nullable=False),
        sa.Column("ts", UtcTime(), nullable=False),
        sa.Column("known_at", UtcTime(), nullable=False),
        sa.Column("superseded_at", UtcTime(), nullable=False),
        sa.Column("ends_at", UtcTime(), nullable=False),
        sa.Column("open", sa.Double(), nullable=False),
        sa.Column("high", sa.Double(), nullable=False),
        sa.Column("low", sa.Double(), nullable=False),
        sa.Column("close", sa.Double(), nullable=False),
        sa.Column("volume", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint(
            "symbol", "timeframe", "ts", "known_at", name=op.f("pk_vendor_bar_revisions")
        ),
    )
    op.create_table(
        "vendor_bars",
        sa.Column("symbol", sa.String(length=32), nullable=False),
        sa.Column("timeframe", sa.String(length=8), nullable=False),
        sa.Column("ts", UtcTime(), nullable=False),
        sa.Column("ends_at", UtcTime(), nullable=False),
        sa.Column("open", sa.Double(), nullable=False),
        sa.Column("high", sa.Double(), nullable=False),
        sa.Column("low", sa.Double(), nullable=False),
        sa.Column("close", sa.Double(), nullable=False),
        sa.Column("volume", sa.Double(), nullable=False),
        sa.Column("known_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("symbol", "timeframe", "ts", name=op.f("pk_vendor_bars")),
    )


def downgrade() -> None:
    op.drop_table("vendor_bars")
    op.drop_table("vendor_bar_revisions")
    op.drop_table("universe_members")
    op.drop_table("session_slots")
    op.drop_table("option_bars_1m")
    op.drop_index(op.f("ix_instruments_con_id"), table_name="instruments")
    op.drop_table("instruments")
    op.drop_table("fundamentals")
    op.drop_index(op.f("ix_exchange_sessions_calendar_opens_at"), table_name="exchange_sessions")
    op.drop_table("exchange_sessions")
    op.drop_index(op.f("ix_corporate_actions_symbol_known_at"), table_name="corporate_actions")
    op.drop_table("corporate_actions")
    op.drop_table("bars_1m")
    op.drop_table("bar_revisions")
    op.drop_table("bar_changes")
