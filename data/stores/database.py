"""Bars in a database: TimescaleDB or PostgreSQL by binary COPY and ADBC, SQLite by its own driver.

1. A write takes the store's lock for its transaction, so that two writers follow each other.
2. It reads the stored rows of the same symbols and times, and computes what changes (`data.stores.versions`).
3. New rows go to the table, revised ones replace theirs, superseded ones go to the table of versions, and the
   spans of changed minutes are noted for the aggregates: all in that transaction, or nothing.
"""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd
import pyarrow as pa
from sqlalchemy import SelectBase

from data.database import Database
from data.stores.base import BarStore, Holding, Span, WriteReport
from data.stores.checked import Bars, checked_rows
from data.stores.postgres import PostgresBars
from data.stores.rows import Rows, rows_of
from data.stores.sqlite import SqliteBars
from data.stores.tables import (
    BarTable,
    as_of_query,
    bars_query,
    edge_query,
    holdings_query,
    symbols_query,
    table_of,
    versions_query,
)
from data.stores.versions import compare
from execution.timeframes import Timeframe


class DatabaseBarStore(BarStore):
    """Bars in the tables of a migrated database.

    Parameters
    ----------
    database
        The database; nothing is opened until it is used.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        sqlite = database.engine.dialect.name == "sqlite"
        self._bars: PostgresBars | SqliteBars = SqliteBars(database) if sqlite else PostgresBars(database)

    @property
    def database(self) -> Database:
        """The database."""
        return self._database

    def __repr__(self) -> str:
        return f"DatabaseBarStore({str(self._database)!r})"

    def __str__(self) -> str:
        return str(self._database)

    def write(
        self,
        bars: Bars,
        *,
        known_at: pd.Timestamp | None,
        timeframe: Timeframe | None = None,
        signed: Collection[str] = (),
    ) -> WriteReport:
        """Add new bars and revise those that changed; see `BarStore.write`."""
        size, rows = checked_rows(bars, known_at, timeframe, signed)
        table = table_of(size)
        if not len(rows):
            return WriteReport(0, 0, 0)
        with self._bars.writing() as transaction:
            # From a bar's length before on: one that reaches into the first new one is seen, too.
            first, last = int(rows.start.min()), int(rows.end.max())
            names, span = list(rows.symbols), Span(first - size.seconds * 1_000_000, last)
            current = rows_of(self._now(names, size, span))

            def versions(_: Rows) -> Rows:
                return self._bars.fetch_versions(table, versions_query(table, names, span))

            change = compare(rows, current, versions)
            transaction.apply(table, change)
        return WriteReport(change.inserted, change.revised, change.unchanged)

    def symbols(self, timeframe: Timeframe | None = None) -> list[str]:
        """Return the symbols that have bars, sorted."""
        sizes = list(Timeframe) if timeframe is None else [timeframe]
        return sorted({row[0] for size in sizes for row in self._bars.fetch(symbols_query(table_of(size)))})

    def holdings(self) -> list[Holding]:
        """Return what is held, sorted by symbol and timeframe; counts every row."""
        found = []
        for symbol, name, first, last, count in self._bars.fetch(holdings_query()):
            size = Timeframe(name)
            end = last + pd.Timedelta(minutes=1) if size is Timeframe.MINUTE else last
            found.append(Holding(symbol, size, first, end, count))
        return sorted(found, key=lambda held: (held.symbol, list(Timeframe).index(held.timeframe)))

    def close(self) -> None:
        """Close the store's connections; those of the database stay with it."""
        self._bars.close()

    def _edge(self, symbol: str, timeframe: Timeframe, count: int, *, newest: bool) -> pa.Table:
        table = table_of(timeframe)
        return self._load(table, [symbol], edge_query(table, symbol, count, newest=newest))

    def _load(self, table: BarTable, symbols: list[str] | None, query: SelectBase) -> pa.Table:
        one = symbols[0] if symbols is not None and len(symbols) == 1 else None
        return self._bars.fetch_bars(table, query, one)

    def _now(
        self, symbols: list[str] | None, timeframe: Timeframe, span: Span, learnt_after: int | None = None
    ) -> pa.Table:
        table = table_of(timeframe)
        return self._load(table, symbols, bars_query(table, symbols, span, learnt_after=learnt_after))

    def _then(self, symbols: list[str] | None, timeframe: Timeframe, span: Span, when: int) -> Rows:
        table = table_of(timeframe)
        return rows_of(self._load(table, symbols, as_of_query(table, symbols, span, when)))
