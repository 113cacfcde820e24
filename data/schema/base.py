"""Base of every table, and what the tables say about themselves.

A table that is a time series says in ``info`` how it is kept (`series`); so does one whose rows may only be
added (`append_only`), and the application role is then granted no more than that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import MetaData, Table
from sqlalchemy.orm import DeclarativeBase


class Base(DeclarativeBase):
    """Base of the tables; constraints are named so that migrations can refer to them."""

    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        }
    )


@dataclass(frozen=True, slots=True)
class Series:
    """How a time series is kept on TimescaleDB.

    Attributes
    ----------
    time
        Column that the hypertable is partitioned by; it is part of the primary key.
    chunk
        Interval of one chunk.
    segment_by, order_by
        How chunks are compressed, where the edition can.
    compress_after
        Age at which a chunk is compressed.
    """

    time: str
    chunk: str
    segment_by: str
    order_by: str
    compress_after: str


def series(
    time: str,
    *,
    chunk: str = "1 month",
    segment_by: str = "run_id",
    order_by: str | None = None,
    compress_after: str = "3 months",
) -> dict[str, Any]:
    """Return the ``info`` of a table that is a time series."""
    return {"series": Series(time, chunk, segment_by, order_by or time, compress_after)}


def append_only(info: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the ``info`` of a table whose rows are never changed nor removed by the application."""
    return {**(info or {}), "append_only": True}


def series_of(table: Table) -> Series | None:
    """Return how a table is kept as a time series, or None if it is none."""
    found = table.info.get("series")
    return found if isinstance(found, Series) else None
