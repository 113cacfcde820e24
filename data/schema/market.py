"""Tables of bars: one-minute rows as they were learnt, their revisions, options with Greeks, vendors' bars.

`ts` is the **start** of a bar (for a daily bar the open of its session): buckets of time begin where their
first bar begins. Prices and volume are float64, as in `execution.models.Bar`. `known_at` is the moment at
which this system learnt the row; a later version of the same bar moves the row that it replaces to
`bar_revisions`, so that the hot table keeps the lean key ``(symbol, ts)`` and history as of any day is still
there.
"""

from __future__ import annotations

import datetime as dt

import pandas as pd
from sqlalchemy import BigInteger, Date, Double, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from data.schema.base import Base, series
from data.schema.types import UtcTime

_SYMBOL = String(32)


class MinuteBarRow(Base):
    """A one-minute bar of a share or future: the newest that is known of it."""

    __tablename__ = "bars_1m"
    __table_args__ = {"info": series("ts", segment_by="symbol", compress_after="14 days")}  # noqa: RUF012

    symbol: Mapped[str] = mapped_column(_SYMBOL, primary_key=True)
    ts: Mapped[pd.Timestamp] = mapped_column(UtcTime, primary_key=True)
    open: Mapped[float] = mapped_column(Double)
    high: Mapped[float] = mapped_column(Double)
    low: Mapped[float] = mapped_column(Double)
    close: Mapped[float] = mapped_column(Double)
    volume: Mapped[float] = mapped_column(Double)
    known_at: Mapped[pd.Timestamp] = mapped_column(UtcTime)


class BarRevisionRow(Base):
    """A row of `bars_1m` that was replaced: true from `known_at` until `superseded_at`."""

    __tablename__ = "bar_revisions"
    __table_args__ = {  # noqa: RUF012
        "info": series("ts", segment_by="symbol", order_by="ts, known_at", compress_after="14 days")
    }

    symbol: Mapped[str] = mapped_column(_SYMBOL, primary_key=True)
    ts: Mapped[pd.Timestamp] = mapped_column(UtcTime, primary_key=True)
    known_at: Mapped[pd.Timestamp] = mapped_column(UtcTime, primary_key=True)
    superseded_at: Mapped[pd.Timestamp] = mapped_column(UtcTime)
    open: Mapped[float] = mapped_column(Double)
    high: Mapped[float] = mapped_column(Double)
    low: Mapped[float] = mapped_column(Double)
    close: Mapped[float] = mapped_column(Double)
    volume: Mapped[float] = mapped_column(Double)


class OptionBarRow(Base):
    """A one-minute bar of an option with its Greeks at the end of the minute."""

    __tablename__ = "option_bars_1m"
    __table_args__ = {  # noqa: RUF012
        "info": series("ts", chunk="7 days", segment_by="symbol", compress_after="14 days")
    }

    symbol: Mapped[str] = mapped_column(_SYMBOL, primary_key=True)
    ts: Mapped[pd.Timestamp] = mapped_column(UtcTime, primary_key=True)
    open: Mapped[float | None] = mapped_column(Double)
    high: Mapped[float | None] = mapped_column(Double)
    low: Mapped[float | None] = mapped_column(Double)
    close: Mapped[float | None] = mapped_column(Double)
    volume: Mapped[float] = mapped_column(Double)
    bid: Mapped[float | None] = mapped_column(Double)
    ask: Mapped[float | None] = mapped_column(Double)
    open_interest: Mapped[float | None] = mapped_column(Double)
    implied_volatility: Mapped[float | None] = mapped_column(Double)
    delta: Mapped[float | None] = mapped_column(Double)
    gamma: Mapped[float | None] = mapped_column(Double)
    vega: Mapped[float | None] = mapped_column(Double)
    theta: Mapped[float | None] = mapped_column(Double)
    underlying_price: Mapped[float | None] = mapped_column(Double)
    known_at: Mapped[pd.Timestamp] = mapped_column(UtcTime)


class VendorBarRow(Base):
    """An hourly or daily bar as a vendor delivered it; `ends_at` is the moment it was complete."""

    __tablename__ = "vendor_bars"
    __table_args__ = {  # noqa: RUF012
        "info": series("ts", chunk="1 year", segment_by="symbol, timeframe", compress_after="2 years")
    }

    symbol: Mapped[str] = mapped_column(_SYMBOL, primary_key=True)
    timeframe: Mapped[str] = mapped_column(String(8), primary_key=True)
    ts: Mapped[pd.Timestamp] = mapped_column(UtcTime, primary_key=True)
    ends_at: Mapped[pd.Timestamp] = mapped_column(UtcTime)
    open: Mapped[float] = mapped_column(Double)
    high: Mapped[float] = mapped_column(Double)
    low: Mapped[float] = mapped_column(Double)
    close: Mapped[float] = mapped_column(Double)
    volume: Mapped[float] = mapped_column(Double)
    known_at: Mapped[pd.Timestamp] = mapped_column(UtcTime)


class VendorBarRevisionRow(Base):
    """A row of `vendor_bars` that was replaced: true from `known_at` until `superseded_at`."""

    __tablename__ = "vendor_bar_revisions"
    __table_args__ = {  # noqa: RUF012
        "info": series(
            "ts",
            chunk="1 year",
            segment_by="symbol, timeframe",
            order_by="ts, known_at",
            compress_after="2 years",
        )
    }

    symbol: Mapped[str] = mapped_column(_SYMBOL, primary_key=True)
    timeframe: Mapped[str] = mapped_column(String(8), primary_key=True)
    ts: Mapped[pd.Timestamp] = mapped_column(UtcTime, primary_key=True)
    known_at: Mapped[pd.Timestamp] = mapped_column(UtcTime, primary_key=True)
    superseded_at: Mapped[pd.Timestamp] = mapped_column(UtcTime)
    ends_at: Mapped[pd.Timestamp] = mapped_column(UtcTime)
    open: Mapped[float] = mapped_column(Double)
    high: Mapped[float] = mapped_column(Double)
    low: Mapped[float] = mapped_column(Double)
    close: Mapped[float] = mapped_column(Double)
    volume: Mapped[float] = mapped_column(Double)


class ExchangeSessionRow(Base):
    """A session of an exchange, from `data.calendars`; daily bars are cut by these."""

    __tablename__ = "exchange_sessions"
    __table_args__ = (Index(None, "calendar", "opens_at"),)

    calendar: Mapped[str] = mapped_column(String(16), primary_key=True)
    session_date: Mapped[dt.date] = mapped_column(Date, primary_key=True)
    opens_at: Mapped[pd.Timestamp] = mapped_column(UtcTime)
    closes_at: Mapped[pd.Timestamp] = mapped_column(UtcTime)


class SessionSlotRow(Base):
    """The start of one five-minute slot inside a session: what joins bars to their session by equality."""

    __tablename__ = "session_slots"

    calendar: Mapped[str] = mapped_column(String(16), primary_key=True)
    ts: Mapped[pd.Timestamp] = mapped_column(UtcTime, primary_key=True)
    session_date: Mapped[dt.date] = mapped_column(Date)


class BarChangeRow(Base):
    """A span of minutes that was written and is not yet in the aggregates.

    Written in the transaction of the bars, taken away in the transaction of the aggregates.
    """

    __tablename__ = "bar_changes"

    change_id: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True
    )
    symbol: Mapped[str] = mapped_column(_SYMBOL)
    first_ts: Mapped[pd.Timestamp] = mapped_column(UtcTime)
    last_ts: Mapped[pd.Timestamp] = mapped_column(UtcTime)
