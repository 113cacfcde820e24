"""Minutes of options in a database: what was traded, beside the quotes and Greeks that a recorder put there.

The table keeps the newest that is known of a minute. What is written here replaces prices and volume of
trades, which a vendor's history knows better than ticks, and leaves quotes and Greeks alone.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from sqlalchemy import Select, and_, func, select

from data.database import Database
from data.schema import InstrumentRow, OptionBarRow
from data.stores.base import WriteReport
from data.stores.checked import Bars, checked_rows
from data.stores.reader import Reader
from data.stores.rows import MINUTE_US, PRICES, arrow_table
from data.writing import upsert
from execution.timeframes import Timeframe

_TRADED = (*PRICES, "volume")
_MINUTE = pd.Timedelta(minutes=1)


class OptionMinutes:
    """Traded minutes of options in ``option_bars_1m`` of a migrated database.

    Parameters
    ----------
    database
        The database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def write(
        self,
        bars: Bars,
        *,
        known_at: pd.Timestamp | None,
        timeframe: Timeframe | None = None,
        signed: Collection[str] = (),
    ) -> WriteReport:
        """Add minutes, or replace what was traded in those that are there; all or nothing.

        Raises
        ------
        BarDataError, BarConflictError
            If a row is unsound, contradicts another one, or is no minute.
        DatabaseUnavailableError
            If the database cannot be reached; nothing was written.
        """
        _, rows = checked_rows(bars, known_at, timeframe or Timeframe.MINUTE, signed)
        fresh, changed, same = [], [], 0
        with self._database.session() as session:
            for symbol, first, last in rows.spans():
                span = _time(int(rows.start[first])), _time(int(rows.start[last - 1]) + 1)
                held = {when: values for when, *values in session.execute(_query(symbol, *span))}
                for i in range(first, last):
                    row = {name: float(rows.array(name)[i]) for name in _TRADED}
                    when = _time(int(rows.start[i]))
                    known = {"symbol": symbol, "ts": when, "known_at": _time(int(rows.known[i]))}
                    if when not in held:
                        fresh.append(known | row)
                    elif held[when] != list(row.values()):
                        changed.append(known | row)
                    else:
                        same += 1
            upsert(session, OptionBarRow, [*fresh, *changed])
        return WriteReport(len(fresh), len(changed), same)

    def read(self, symbol: str, timeframe: Timeframe, start: pd.Timestamp, end: pd.Timestamp) -> Reader:
        """Return a reader of the minutes that start in ``[start, end)`` and in which something was traded."""

        def load() -> pa.Table:
            query = _query(symbol, start, end).add_columns(OptionBarRow.known_at)
            with self._database.session() as session:
                found = [row for row in session.execute(query) if row.close is not None]
            times = np.array([row.ts.value // 1_000 for row in found], np.int64)
            known = np.array([row.known_at.value // 1_000 for row in found], np.int64)
            values = [np.array([getattr(row, name) for row in found], np.float64) for name in _TRADED]
            arrays = [times, times + MINUTE_US, *values, known]
            return arrow_table([symbol], np.zeros(len(found), np.int32), arrays)

        return Reader(load, timeframe)


@dataclass(frozen=True, slots=True)
class RecordedGreeks:
    """The newest Greeks on record of an option, for one unit of its underlying, at the end of a minute."""

    symbol: str
    end: pd.Timestamp
    delta: float
    gamma: float
    vega: float
    theta: float
    underlying_price: float
    multiplier: Decimal


def newest_greeks(database: Database, since: pd.Timestamp) -> list[RecordedGreeks]:
    """Return the newest whole set of Greeks of each option that was recorded since a moment, by symbol.

    Options without an instrument are left out: nobody knows how many units one contract is of.

    Raises
    ------
    DatabaseUnavailableError
        If the database cannot be read.
    """
    row = OptionBarRow
    figures = (row.delta, row.gamma, row.vega, row.theta, row.underlying_price)
    whole = [row.ts >= since, *(figure.is_not(None) for figure in figures)]
    newest = select(row.symbol, func.max(row.ts).label("ts")).where(*whole).group_by(row.symbol).subquery()
    query = (
        select(row.symbol, row.ts, *figures, InstrumentRow.multiplier)
        .join(newest, and_(newest.c.symbol == row.symbol, newest.c.ts == row.ts))
        .join(InstrumentRow, InstrumentRow.symbol == row.symbol)
        .order_by(row.symbol)
    )
    with database.session() as session:
        rows: list[Any] = list(session.execute(query))
    return [RecordedGreeks(symbol, when + _MINUTE, *values) for symbol, when, *values in rows]


def _query(symbol: str, start: pd.Timestamp, end: pd.Timestamp) -> Select[Any]:
    columns = [getattr(OptionBarRow, name) for name in _TRADED]
    wanted = (OptionBarRow.symbol == symbol, OptionBarRow.ts >= start, OptionBarRow.ts < end)
    return select(OptionBarRow.ts, *columns).where(*wanted).order_by(OptionBarRow.ts)


def _time(us: int) -> pd.Timestamp:
    return pd.Timestamp(us, unit="us", tz="UTC").as_unit("ns")
