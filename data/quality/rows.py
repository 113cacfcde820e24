"""Rows of bars as they came: nothing is dropped, sorted or rounded, so that a check sees what is wrong."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data.bars import BarSeries, BoolArray, FloatArray, Int64Array, RawBars
from data.calendars import ExchangeClock
from execution.timeframes import Timeframe


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Bars of one symbol in the order of their source; arrays of one length.

    `end_ns` are UTC nanoseconds. Daily rows end with the session of their date; one whose date has no session
    counts as ending with that date, which is outside every session. Prices of `signed` rows may be zero or
    negative (`data.signs`).
    """

    symbol: str
    timeframe: Timeframe
    end_ns: Int64Array
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray
    signed: bool = False

    def __len__(self) -> int:
        return len(self.end_ns)

    def select(self, keep: BoolArray | Int64Array) -> Rows:
        """Return the rows that a mask keeps, or those at positions, in their order."""
        return Rows(
            self.symbol,
            self.timeframe,
            self.end_ns[keep],
            self.open[keep],
            self.high[keep],
            self.low[keep],
            self.close[keep],
            self.volume[keep],
            self.signed,
        )

    @classmethod
    def of_series(cls, bars: BarSeries, *, signed: bool = False) -> Rows:
        """Take a series, which is in order by its nature."""
        prices = bars.open, bars.high, bars.low, bars.close
        return cls(bars.symbol, bars.timeframe, bars.end_ns, *prices, bars.volume, signed)

    @classmethod
    def of_raw(
        cls, symbol: str, raw: RawBars, timeframe: Timeframe, clock: ExchangeClock, *, signed: bool = False
    ) -> Rows:
        """Take the rows of a file."""
        ends = raw.times
        if raw.daily:
            days = np.array(clock.dates, dtype="datetime64[D]").astype(np.int64)
            i = np.minimum(np.searchsorted(days, raw.times), max(len(days) - 1, 0))
            midnight = (raw.times + 1) * 86_400_000_000_000
            ends = np.where(days[i] == raw.times, clock.closes_ns[i], midnight) if len(days) else midnight
        return cls(symbol, timeframe, ends, *raw.ohlc, raw.volume, signed)
