"""Bars that are there already, from files, a store or a pull, as a strategy sees them: the completed ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from data.adapter import DataAdapter
from data.bars import BarSeries
from data.errors import BarDataError
from data.stores.base import BarStore
from execution.clocks import TradingClock, timestamp
from execution.models import Bar
from execution.timeframes import Timeframe


class SeriesBars(DataAdapter):
    """Bars by symbol, of one timeframe, up to what the trading clock has passed.

    Parameters
    ----------
    series
        Bars by symbol: a `data.files.BarFolder`, or any mapping.
    clock
        Trading time.
    """

    def __init__(self, series: Mapping[str, BarSeries], clock: TradingClock) -> None:
        self._series = series
        self._clock = clock

    @classmethod
    def from_store(
        cls,
        store: BarStore,
        symbols: Sequence[str],
        timeframe: Timeframe,
        clock: TradingClock,
        *,
        as_of_ns: int | None = None,
    ) -> SeriesBars:
        """Return the bars of a store, once read; with `as_of_ns` as they were known then.

        Raises
        ------
        BarDataError
            If the store has no bars of a symbol.
        """
        when = None if as_of_ns is None else timestamp(as_of_ns)
        series = store.read(symbols, timeframe, as_of=when).to_series()
        absent = sorted(set(symbols) - set(series))
        if absent:
            raise BarDataError(f"{store} holds no {timeframe.value} bars of {', '.join(absent)}; pull them")
        return cls(series, clock)

    def latest_completed_bar(self, symbol: str, timeframe: str) -> Bar | None:
        """Return the newest completed bar."""
        series = self._held(symbol, timeframe)
        count = series.completed(self._clock.now_ns())
        return series.bar(count - 1) if count else None

    def completed_bars(self, symbol: str, timeframe: str, after_ns: int) -> Sequence[Bar]:
        """Return the completed bars that end after `after_ns`, oldest first."""
        series = self._held(symbol, timeframe)
        first, last = series.completed(after_ns), series.completed(self._clock.now_ns())
        return list(series.slice(first, max(first, last)))

    def _held(self, symbol: str, timeframe: str) -> BarSeries:
        series = self._series.get(symbol)
        if series is None:
            raise KeyError(f"{symbol}: this source has {', '.join(sorted(self._series)) or 'no symbols'}")
        if timeframe != series.timeframe.value:
            raise ValueError(f"this source holds {series.timeframe.value} bars, not {timeframe}")
        return series
