"""Column types that mean the same on every database.

`Money` keeps a `Decimal` exact: text on SQLite, which would make a float of it, and ``NUMERIC`` elsewhere.
`UtcTime` keeps a moment to the microsecond, the resolution of PostgreSQL: ``TIMESTAMPTZ`` there, nanoseconds
in a 64-bit integer on SQLite. Digits below the microsecond are cut off on both, so that a query answers the
same; where every nanosecond counts, a column of integers stands beside it. `Document` is JSON.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pandas as pd
from sqlalchemy import JSON, BigInteger, DateTime, Dialect, Numeric, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeDecorator, TypeEngine

from execution.clocks import timestamp, utc_ns

MICROSECOND = 1_000
"""Nanoseconds."""

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

Document = JSON().with_variant(JSONB(), "postgresql")
"""A JSON value."""


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
    """A moment in UTC; plain integers are taken as nanoseconds since the epoch."""

    impl = BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose an integer on SQLite and ``TIMESTAMPTZ`` elsewhere."""
        chosen: TypeEngine[Any] = BigInteger() if dialect.name == "sqlite" else DateTime(timezone=True)
        return dialect.type_descriptor(chosen)

    def process_bind_param(
        self, value: pd.Timestamp | int | None, dialect: Dialect
    ) -> int | dt.datetime | None:
        """Write a moment, cut to the microsecond; a Timestamp must carry its timezone."""
        if value is None:
            return None
        micros = (value if isinstance(value, int) else utc_ns(value)) // MICROSECOND
        if dialect.name == "sqlite":
            return micros * MICROSECOND
        return _EPOCH + dt.timedelta(microseconds=micros)

    def process_result_value(
        self,
        value: int | dt.datetime | None,
        dialect: Dialect,  # noqa: ARG002  SQLAlchemy's signature
    ) -> pd.Timestamp | None:
        """Read a Timestamp in UTC with nanosecond unit."""
        if value is None:
            return None
        if isinstance(value, int):
            return timestamp(value)
        return timestamp((value - _EPOCH) // dt.timedelta(microseconds=1) * MICROSECOND)
