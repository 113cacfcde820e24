"""Tables of orders, fills, positions, equity and runs: projections of the journal, never its source.

`Money` keeps a `Decimal` exact on every database: text on SQLite, which would make a float of it, and
``NUMERIC`` elsewhere. `UtcTime` keeps nanoseconds as a 64-bit integer and gives a UTC `pandas.Timestamp`.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pandas as pd
from sqlalchemy import BigInteger, Dialect, Index, MetaData, Numeric, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator, TypeEngine

from execution.clocks import timestamp, utc_ns


class Money(TypeDecorator[Decimal]):
    """An exact decimal number: prices, sizes, cash."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose text on SQLite and unconstrained ``NUMERIC`` elsewhere."""
        chosen: TypeEngine[Any] = Text() if dialect.name == "sqlite" else Numeric()
        return dialect.type_descriptor(chosen)

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Decimal | str | None:
        """Write a Decimal; anything but a finite Decimal is a mistake of the caller."""
        if value is None:
            return None
        if not isinstance(value, Decimal) or not value.is_finite():
            raise TypeError(f"{value!r} is not a finite Decimal")
        return format(value, "f") if dialect.name == "sqlite" else value

    def process_result_value(
        self,
        value: Decimal | str | None,
        dialect: Dialect,  # noqa: ARG002  SQLAlchemy's signature
    ) -> Decimal | None:
        """Read a Decimal."""
        return None if value is None else Decimal(value)


class UtcTime(TypeDecorator[pd.Timestamp]):
    """A moment in UTC, stored as nanoseconds since the epoch; plain integers are taken as such."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(
        self,
        value: pd.Timestamp | int | None,
        dialect: Dialect,  # noqa: ARG002  SQLAlchemy's signature
    ) -> int | None:
        """Write nanoseconds; a Timestamp must carry its timezone."""
        return value if value is None or isinstance(value, int) else utc_ns(value)

    def process_result_value(
        self,
        value: int | None,
        dialect: Dialect,  # noqa: ARG002  SQLAlchemy's signature
    ) -> pd.Timestamp | None:
        """Read a Timestamp in UTC."""
        return None if value is None else timestamp(value)


class Base(DeclarativeBase):
    """Base of the tables; constraints are named so that migrations can refer to them."""

    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        }
    )


class RunRow(Base):
    """A run of a strategy."""

    __tablename__ = "runs"

    run_id: Mapped[str] = mapped_column(String(64), primary_key=True)
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


class OrderRow(Base):
    """The last known state of an order; `submitted_at` is trading time."""

    __tablename__ = "orders"

    run_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    client_order_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    order_id: Mapped[str | None] = mapped_column(String(32))
    attempt: Mapped[int] = mapped_column()
    symbol: Mapped[str] = mapped_column(String(32), index=True)
    side: Mapped[str] = mapped_column(String(8))
    quantity: Mapped[Decimal] = mapped_column(Money)
    order_type: Mapped[str] = mapped_column(String(16))
    limit_price: Mapped[Decimal | None] = mapped_column(Money)
    stop_price: Mapped[Decimal | None] = mapped_column(Money)
    time_in_force: Mapped[str] = mapped_column(String(8))
    outside_rth: Mapped[bool] = mapped_column()
    account: Mapped[str | None] = mapped_column(String(64))
    strategy: Mapped[str | None] = mapped_column(String(64))
    status: Mapped[str] = mapped_column(String(24), index=True)
    filled_quantity: Mapped[Decimal] = mapped_column(Money)
    average_fill_price: Mapped[Decimal | None] = mapped_column(Money)
    reason: Mapped[str | None] = mapped_column(Text)
    rule: Mapped[str | None] = mapped_column(String(64))
    dry_run: Mapped[bool] = mapped_column()
    submitted_at: Mapped[pd.Timestamp] = mapped_column(UtcTime)
    updated_at: Mapped[pd.Timestamp] = mapped_column(UtcTime)


class FillRow(Base):
    """One execution."""

    __tablename__ = "fills"
    __table_args__ = (Index(None, "run_id", "timestamp"),)

    run_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    fill_id: Mapped[str] = mapped_column(String(96), primary_key=True)
    client_order_id: Mapped[str] = mapped_column(String(64), index=True)
    exec_id: Mapped[str | None] = mapped_column(String(64))
    symbol: Mapped[str] = mapped_column(String(32))
    side: Mapped[str] = mapped_column(String(8))
    quantity: Mapped[Decimal] = mapped_column(Money)
    price: Mapped[Decimal] = mapped_column(Money)
    commission: Mapped[Decimal | None] = mapped_column(Money)
    account: Mapped[str | None] = mapped_column(String(64))
    timestamp: Mapped[pd.Timestamp] = mapped_column(UtcTime)


class PositionRow(Base):
    """A holding at one moment; a symbol without a row at a moment was not held."""

    __tablename__ = "positions"

    run_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    timestamp: Mapped[pd.Timestamp] = mapped_column(UtcTime, primary_key=True)
    symbol: Mapped[str] = mapped_column(String(32), primary_key=True)
    quantity: Mapped[Decimal] = mapped_column(Money)
    average_cost: Mapped[Decimal] = mapped_column(Money)
    market_value: Mapped[Decimal] = mapped_column(Money)
    unrealized_pnl: Mapped[Decimal] = mapped_column(Money)


class EquityRow(Base):
    """Value of the book at one moment, in account currency."""

    __tablename__ = "equity"

    run_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    timestamp: Mapped[pd.Timestamp] = mapped_column(UtcTime, primary_key=True)
    cash: Mapped[Decimal] = mapped_column(Money)
    equity: Mapped[Decimal] = mapped_column(Money)
    unrealized_pnl: Mapped[Decimal] = mapped_column(Money)
    realized_pnl: Mapped[Decimal] = mapped_column(Money)
    fees: Mapped[Decimal] = mapped_column(Money)
    gross_exposure: Mapped[Decimal] = mapped_column(Money)


class CursorRow(Base):
    """How far a journal has been projected for a run; written in the transaction of the rows it speaks of.

    `active` says whether the events that follow belong to the run, or to another one of the same journal.
    """

    __tablename__ = "projection_cursor"

    journal_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    run_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    last_seq: Mapped[int] = mapped_column(BigInteger)
    active: Mapped[bool] = mapped_column()
