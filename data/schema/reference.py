"""Tables of what is traded: instruments, universes, fundamentals, corporate actions.

Facts that change carry the moment at which they were learnt. They are looked up by symbol and
small beside the time series, so they are ordinary tables on every server.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pandas as pd
from sqlalchemy import BigInteger, Date, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from data.schema.base import Base
from data.schema.types import Document, Money, UtcTime

_SYMBOL = String(32)


class InstrumentRow(Base):
    """A contract by this house's name of it; sessions of the exchange `calendar` cut its daily bars."""

    __tablename__ = "instruments"

    symbol: Mapped[str] = mapped_column(_SYMBOL, primary_key=True)
    security_type: Mapped[str] = mapped_column(String(8))
    exchange: Mapped[str] = mapped_column(String(32))
    primary_exchange: Mapped[str | None] = mapped_column(String(32))
    currency: Mapped[str] = mapped_column(String(8))
    calendar: Mapped[str] = mapped_column(String(16))
    con_id: Mapped[int | None] = mapped_column(BigInteger, index=True)
    name: Mapped[str | None] = mapped_column(String(128))
    sector: Mapped[str | None] = mapped_column(String(64))
    industry: Mapped[str | None] = mapped_column(String(64))
    tick: Mapped[Decimal] = mapped_column(Money)
    lot: Mapped[Decimal] = mapped_column(Money)
    multiplier: Mapped[Decimal] = mapped_column(Money)
    underlying: Mapped[str | None] = mapped_column(_SYMBOL)
    expiry: Mapped[dt.date | None] = mapped_column(Date)
    strike: Mapped[Decimal | None] = mapped_column(Money)
    right: Mapped[str | None] = mapped_column(String(1))
    listed_on: Mapped[dt.date | None] = mapped_column(Date)
    delisted_on: Mapped[dt.date | None] = mapped_column(Date)
    details: Mapped[dict[str, Any]] = mapped_column(Document)


class UniverseMemberRow(Base):
    """A symbol belongs to a universe from one day until before another; an open end is null."""

    __tablename__ = "universe_members"

    universe: Mapped[str] = mapped_column(String(64), primary_key=True)
    symbol: Mapped[str] = mapped_column(_SYMBOL, primary_key=True)
    from_date: Mapped[dt.date] = mapped_column(Date, primary_key=True)
    until_date: Mapped[dt.date | None] = mapped_column(Date)
    known_at: Mapped[pd.Timestamp] = mapped_column(UtcTime)


class FundamentalRow(Base):
    """One figure of one fiscal quarter as it was known from `known_at` on; a restatement is another row."""

    __tablename__ = "fundamentals"

    symbol: Mapped[str] = mapped_column(_SYMBOL, primary_key=True)
    item: Mapped[str] = mapped_column(String(64), primary_key=True)
    period_end: Mapped[dt.date] = mapped_column(Date, primary_key=True)
    known_at: Mapped[pd.Timestamp] = mapped_column(UtcTime, primary_key=True)
    value: Mapped[Decimal] = mapped_column(Money)
    currency: Mapped[str | None] = mapped_column(String(8))
    source: Mapped[str] = mapped_column(String(64))


class CorporateActionRow(Base):
    """A split, dividend or change of name as it was known from `known_at` on."""

    __tablename__ = "corporate_actions"
    __table_args__ = (Index(None, "symbol", "known_at"),)

    symbol: Mapped[str] = mapped_column(_SYMBOL, primary_key=True)
    ex_date: Mapped[dt.date] = mapped_column(Date, primary_key=True)
    kind: Mapped[str] = mapped_column(String(16), primary_key=True)
    source: Mapped[str] = mapped_column(String(64), primary_key=True)
    known_at: Mapped[pd.Timestamp] = mapped_column(UtcTime, primary_key=True)
    ratio: Mapped[Decimal | None] = mapped_column(Money)
    amount: Mapped[Decimal | None] = mapped_column(Money)
    currency: Mapped[str | None] = mapped_column(String(8))
    new_symbol: Mapped[str | None] = mapped_column(_SYMBOL)
