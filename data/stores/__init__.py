"""Stores of bars behind one interface: Parquet files, or a database by URL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from data.stores.base import BarStore, Holding, WriteReport
from data.stores.parquet import ParquetBarStore
from data.stores.reader import Reader

if TYPE_CHECKING:
    from data.stores.database import DatabaseBarStore

__all__ = ["BarStore", "DatabaseBarStore", "Holding", "ParquetBarStore", "Reader", "WriteReport"]


def __getattr__(name: str) -> type[DatabaseBarStore]:
    """Import the database's store when it is asked for: files need none of its drivers."""
    if name != "DatabaseBarStore":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from data.stores.database import DatabaseBarStore  # noqa: PLC0415  the drivers take a second to import

    return DatabaseBarStore
