"""Tables of orders, fills, positions, profit and audit events: projections of the journal, never its source.

A row of a time series is identified by the journal's number of the event that made it, together with its
time, because a hypertable's key must hold the time it is partitioned by. The time of a row never changes.
Fills, commissions, order events and audit events are only ever added.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pandas as pd
from sqlalchemy import BigInteger, Date, Double, Index, String, Text, false
from sqlalchemy.orm import Mapped, mapped_column

from data.schema.base import Base, append_only, series
from data.schema.types import Document, Money, UtcTime

_RUN = String(64)
_ORDER = String(64)
_SYMBOL = String(32)


class RunRow(Base):
    """A run of a strategy."""

    __tablename__ = "runs"

    run_id: Mapped[str] = mapped_column(_RUN, primary_key=True)
    journal_id: Mapped[str] = mapped_column(String(64))
    started_at: Mapped[pd.Timestamp | None] = mapped_column(UtcTime)
    status: Mapped[str] = mapped_column(String(32))
    profile: Mapped[str | None] = mapped_column(String(32))
    account: Mapped[str | None] = mapped_column(String(64))
    strategy: Mapped[str | None] = mapped_column(String(64))
    timeframe: Mapped[str | None] = mapped_column(String(8))
    symbols: Mapped[str | None] = mapped_column(Text)
    config_hash: Mapped[str | None] = mapped_column(String(64))
    git_sha: Mapped[str | None] = mapped_column(String(64))
    initial_cash: Mapped[Decimal | None] = mapped_column(Money)


class TradingSessionRow(Base):
    """One start of a trader within a run, until it ended or was started again; `status` says how it ended."""

    __tablename__ = "trading_sessions"

    run_id: Mapped[str] = mapped_column(_RUN, primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    started_at: Mapped[pd.Timestamp] = mapped_column(UtcTime)
    ended_at: Mapped[pd.Timestamp | None] = mapped_column(UtcTime)
    status: Mapped[str] = mapped_column(String(32))
    profile: Mapped[str | None] = mapped_column(String(32))
    account: Mapped[str | None] = mapped_column(String(64))
    git_sha: Mapped[str | None] = mapped_column(String(64))


class OrderRow(Base):
    """The last known state of an order; times are trading time, `created_at` that of its first event."""

    __tablename__ = "orders"
    __table_args__ = (
        Index(None, "run_id", "client_order_id"),
        {"info": series("created_at")},
    )

    run_id: Mapped[str] = mapped_column(_RUN, primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    created_at: Mapped[pd.Timestamp] = mapped_column(UtcTime, primary_key=True)
    client_order_id: Mapped[str] = mapped_column(_ORDER)
    order_id: Mapped[str | None] = mapped_column(String(32))
    attempt: Mapped[int] = mapped_column()
    symbol: Mapped[str] = mapped_column(_SYMBOL)
    side: Mapped[str] = mapped_column(String(8))
    quantity: Mapped[Decimal] = mapped_column(Money)
    order_type: Mapped[str] = mapped_column(String(32))
    limit_price: Mapped[Decimal | None] = mapped_column(Money)
    stop_price: Mapped[Decimal | None] = mapped_column(Money)
    time_in_force: Mapped[str] = mapped_column(String(8))
    outside_rth: Mapped[bool] = mapped_column()
    account: Mapped[str | None] = mapped_column(String(64))
    strategy: Mapped[str | None] = mapped_column(String(64))
    signal_id: Mapped[str | None] = mapped_column(String(64), index=True)
    status: Mapped[str] = mapped_column(String(24))
    filled_quantity: Mapped[Decimal] = mapped_column(Money)
    average_fill_price: Mapped[Decimal | None] = mapped_column(Money)
    reason: Mapped[str | None] = mapped_column(Text)
    rule: Mapped[str | None] = mapped_column(String(64))
    dry_run: Mapped[bool] = mapped_column()
    submitted_at: Mapped[pd.Timestamp] = mapped_column(UtcTime)
    updated_at: Mapped[pd.Timestamp] = mapped_column(UtcTime)


class OrderEventRow(Base):
    """One event of an order's life, as the journal tells it."""

    __tablename__ = "order_events"
    __table_args__ = (
        Index(None, "run_id", "client_order_id"),
        {"info": append_only(series("timestamp"))},
    )

    run_id: Mapped[str] = mapped_column(_RUN, primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    timestamp: Mapped[pd.Timestamp] = mapped_column(UtcTime, primary_key=True)
    client_order_id: Mapped[str] = mapped_column(_ORDER)
    kind: Mapped[str] = mapped_column(String(32))
    old_status: Mapped[str | None] = mapped_column(String(24))
    new_status: Mapped[str | None] = mapped_column(String(24))
    body: Mapped[dict[str, Any]] = mapped_column(Document)


class FillRow(Base):
    """One execution; of several rows of one fill the last counts: it was corrected, to zero if it fell.

    What it cost is in `commissions`, which may be told later. Without an order it is somebody else's.
    """

    __tablename__ = "fills"
    __table_args__ = (
        Index(None, "run_id", "fill_id"),
        {"info": append_only(series("timestamp"))},
    )

    run_id: Mapped[str] = mapped_column(_RUN, primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    timestamp: Mapped[pd.Timestamp] = mapped_column(UtcTime, primary_key=True)
    fill_id: Mapped[str] = mapped_column(String(96))
    client_order_id: Mapped[str | None] = mapped_column(_ORDER, index=True)
    exec_id: Mapped[str | None] = mapped_column(String(64))
    symbol: Mapped[str] = mapped_column(_SYMBOL)
    side: Mapped[str] = mapped_column(String(8))
    quantity: Mapped[Decimal] = mapped_column(Money)
    price: Mapped[Decimal] = mapped_column(Money)
    account: Mapped[str | None] = mapped_column(String(64))


class CommissionRow(Base):
    """What a fill cost; of several rows of one fill the last counts."""

    __tablename__ = "commissions"
    __table_args__ = {"info": append_only(series("timestamp"))}  # noqa: RUF012

    run_id: Mapped[str] = mapped_column(_RUN, primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    timestamp: Mapped[pd.Timestamp] = mapped_column(UtcTime, primary_key=True)
    fill_id: Mapped[str] = mapped_column(String(96))
    commission: Mapped[Decimal] = mapped_column(Money)


class AdjustmentRow(Base):
    """A change of the book that is no trade: a corporate action, or a difference that a person accepted."""

    __tablename__ = "adjustments"
    __table_args__ = {"info": append_only(series("timestamp"))}  # noqa: RUF012

    run_id: Mapped[str] = mapped_column(_RUN, primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    timestamp: Mapped[pd.Timestamp] = mapped_column(UtcTime, primary_key=True)
    kind: Mapped[str] = mapped_column(String(32))
    symbol: Mapped[str] = mapped_column(_SYMBOL)
    quantity: Mapped[Decimal] = mapped_column(Money)
    fraction: Mapped[Decimal] = mapped_column(Money)
    price: Mapped[Decimal | None] = mapped_column(Money)
    cash: Mapped[Decimal] = mapped_column(Money)
    new_symbol: Mapped[str | None] = mapped_column(_SYMBOL)
    ordered_by: Mapped[str | None] = mapped_column(Text)
    reason: Mapped[str | None] = mapped_column(Text)
    action: Mapped[str | None] = mapped_column(Text)


class PositionRow(Base):
    """A holding at the run's last snapshot; a symbol without a row is not held."""

    __tablename__ = "positions"

    run_id: Mapped[str] = mapped_column(_RUN, primary_key=True)
    symbol: Mapped[str] = mapped_column(_SYMBOL, primary_key=True)
    timestamp: Mapped[pd.Timestamp] = mapped_column(UtcTime)
    quantity: Mapped[Decimal] = mapped_column(Money)
    average_cost: Mapped[Decimal] = mapped_column(Money)
    market_value: Mapped[Decimal] = mapped_column(Money)
    unrealized_pnl: Mapped[Decimal] = mapped_column(Money)


class PositionHistoryRow(Base):
    """A holding at one moment; a symbol without a row at a moment was not held."""

    __tablename__ = "position_history"
    __table_args__ = {"info": series("timestamp", segment_by="run_id, symbol")}  # noqa: RUF012

    run_id: Mapped[str] = mapped_column(_RUN, primary_key=True)
    timestamp: Mapped[pd.Timestamp] = mapped_column(UtcTime, primary_key=True)
    symbol: Mapped[str] = mapped_column(_SYMBOL, primary_key=True)
    quantity: Mapped[Decimal] = mapped_column(Money)
    average_cost: Mapped[Decimal] = mapped_column(Money)
    market_value: Mapped[Decimal] = mapped_column(Money)
    unrealized_pnl: Mapped[Decimal] = mapped_column(Money)


class AccountSnapshotRow(Base):
    """Value of the book at one moment, in account currency."""

    __tablename__ = "account_snapshots"
    __table_args__ = {"info": series("timestamp")}  # noqa: RUF012

    run_id: Mapped[str] = mapped_column(_RUN, primary_key=True)
    timestamp: Mapped[pd.Timestamp] = mapped_column(UtcTime, primary_key=True)
    cash: Mapped[Decimal] = mapped_column(Money)
    equity: Mapped[Decimal] = mapped_column(Money)
    unrealized_pnl: Mapped[Decimal] = mapped_column(Money)
    realized_pnl: Mapped[Decimal] = mapped_column(Money)
    fees: Mapped[Decimal] = mapped_column(Money)
    gross_exposure: Mapped[Decimal] = mapped_column(Money)


class DailyPnlRow(Base):
    """Profit of one trading day, from the last snapshot of the day before to the last of this one."""

    __tablename__ = "daily_pnl"
    __table_args__ = {"info": series("timestamp", chunk="1 year", compress_after="2 years")}  # noqa: RUF012

    run_id: Mapped[str] = mapped_column(_RUN, primary_key=True)
    timestamp: Mapped[pd.Timestamp] = mapped_column(UtcTime, primary_key=True)
    trading_day: Mapped[dt.date] = mapped_column(Date)
    opening_equity: Mapped[Decimal] = mapped_column(Money)
    closing_equity: Mapped[Decimal] = mapped_column(Money)
    pnl: Mapped[Decimal] = mapped_column(Money)
    realized_pnl: Mapped[Decimal] = mapped_column(Money)
    unrealized_pnl: Mapped[Decimal] = mapped_column(Money)
    fees: Mapped[Decimal] = mapped_column(Money)
    gross_exposure: Mapped[Decimal] = mapped_column(Money)


class SignalRow(Base):
    """What a strategy saw and wanted; an order carries the `signal_id` that led to it.

    `name` tells the signals of one strategy apart. `replayed` marks one of a step that lay in the past when
    it was run: nothing was sent for it.
    """

    __tablename__ = "signals"
    __table_args__ = (
        Index(None, "signal_id"),
        Index(None, "strategy", "symbol", "timestamp"),
        {"info": append_only(series("timestamp"))},
    )

    run_id: Mapped[str] = mapped_column(_RUN, primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    timestamp: Mapped[pd.Timestamp] = mapped_column(UtcTime, primary_key=True)
    signal_id: Mapped[str] = mapped_column(String(64))
    strategy: Mapped[str] = mapped_column(String(64))
    symbol: Mapped[str] = mapped_column(_SYMBOL)
    direction: Mapped[str] = mapped_column(String(8))
    strength: Mapped[float | None] = mapped_column(Double)
    target: Mapped[Decimal | None] = mapped_column(Money)
    features: Mapped[dict[str, Any]] = mapped_column(Document)
    name: Mapped[str] = mapped_column(String(64), server_default="")
    replayed: Mapped[bool] = mapped_column(server_default=false())


class RiskMetricRow(Base):
    """Risk of the book, or of one part of it, at one moment; `scope` is ``book`` or names the part.

    Value at risk and expected shortfall are losses over one day in account currency, at 95 and 99 per cent,
    from `tail_returns` daily returns; `volatility` is the standard deviation of the profit over one day, from
    the same. Where they are not known, `tail_unknown` says why. Greeks are in account currency
    (`risk.greeks`); where they are not known, ``greeks_unknown`` in `details` says why.
    """

    __tablename__ = "risk_metrics"
    __table_args__ = {"info": series("timestamp")}  # noqa: RUF012

    run_id: Mapped[str] = mapped_column(_RUN, primary_key=True)
    timestamp: Mapped[pd.Timestamp] = mapped_column(UtcTime, primary_key=True)
    scope: Mapped[str] = mapped_column(String(96), primary_key=True)
    gross_exposure: Mapped[Decimal | None] = mapped_column(Money)
    net_exposure: Mapped[Decimal | None] = mapped_column(Money)
    value_at_risk_95: Mapped[float | None] = mapped_column(Double)
    expected_shortfall_95: Mapped[float | None] = mapped_column(Double)
    volatility: Mapped[float | None] = mapped_column(Double)
    drawdown: Mapped[float | None] = mapped_column(Double)
    delta: Mapped[float | None] = mapped_column(Double)
    gamma: Mapped[float | None] = mapped_column(Double)
    vega: Mapped[float | None] = mapped_column(Double)
    theta: Mapped[float | None] = mapped_column(Double)
    details: Mapped[dict[str, Any]] = mapped_column(Document)
    value_at_risk_99: Mapped[float | None] = mapped_column(Double)
    expected_shortfall_99: Mapped[float | None] = mapped_column(Double)
    tail_returns: Mapped[int | None] = mapped_column()
    tail_unknown: Mapped[str | None] = mapped_column(Text)


class AuditEventRow(Base):
    """One event of a journal with its place in the hash chain; `time_ns` is its exact wall time."""

    __tablename__ = "audit_events"
    __table_args__ = (
        Index(None, "kind", "recorded_at"),
        {
            "info": append_only(
                series("recorded_at", segment_by="journal_id", order_by="seq", compress_after="1 month")
            )
        },
    )

    journal_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    recorded_at: Mapped[pd.Timestamp] = mapped_column(UtcTime, primary_key=True)
    time_ns: Mapped[int] = mapped_column(BigInteger)
    kind: Mapped[str] = mapped_column(String(32))
    client_order_id: Mapped[str | None] = mapped_column(_ORDER, index=True)
    body: Mapped[str] = mapped_column(Text)
    prev_hash: Mapped[str] = mapped_column(String(64))
    hash: Mapped[str] = mapped_column(String(64))


class CursorRow(Base):
    """How far a journal has been projected for a run; written in the transaction of the rows it speaks of.

    `active` says whether the events that follow belong to the run, or to another one of the same journal.
    """

    __tablename__ = "projection_cursor"

    journal_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    run_id: Mapped[str] = mapped_column(_RUN, primary_key=True)
    last_seq: Mapped[int] = mapped_column(BigInteger)
    active: Mapped[bool] = mapped_column()
