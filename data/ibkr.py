"""Bars from TWS or the gateway, kept in memory: history and live updates as completed bars.

A bar is complete when a later one of its symbol has begun, or when the trading clock has passed its end by
the grace within which TWS still sends its last update.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from data.adapter import DataAdapter
from execution.clocks import TradingClock
from execution.models import Bar, Instrument
from execution.numbers import round_to_tick
from execution.timeframes import Timeframe


class LiveBars(DataAdapter):
    """Bars of one timeframe as they arrive, and which of them are complete.

    Parameters
    ----------
    clock
        Trading time.
    timeframe
        The only timeframe it holds.
    instruments
        Ticks, to which prices are rounded here, once.
    grace_ns
        How long after its end a bar may still change, nanoseconds; 0 where time stands between the bars.
    """

    def __init__(
        self,
        clock: TradingClock,
        timeframe: Timeframe,
        instruments: Mapping[str, Instrument],
        grace_ns: int = 0,
    ) -> None:
        self._clock = clock
        self._grace_ns = grace_ns
        self._timeframe = timeframe
        self._instruments = instruments
        self._bars: dict[str, list[Bar]] = {symbol: [] for symbol in instruments}
        self._ends: dict[str, list[int]] = {symbol: [] for symbol in instruments}

    def extend(self, bars: Iterable[Bar]) -> None:
        """Take history, oldest first; it may overlap what is already held."""
        for bar in bars:
            self.on_bar(bar)

    def on_bar(self, bar: Bar) -> None:
        """Take a new bar or a new state of the newest one; a change of an older bar is ignored."""
        bars, ends = self._bars[bar.symbol], self._ends[bar.symbol]
        if ends and bar.end_ns < ends[-1]:
            return
        rounded = self._rounded(bar)
        if ends and bar.end_ns == ends[-1]:
            bars[-1] = rounded
        else:
            bars.append(rounded)
            ends.append(bar.end_ns)

    def latest_completed_bar(self, symbol: str, timeframe: str) -> Bar | None:
        """Return the newest completed bar."""
        bars = self._held(symbol, timeframe)
        count = self._completed(symbol)
        return bars[count - 1] if count else None

    def completed_bars(self, symbol: str, timeframe: str, after_ns: int) -> Sequence[Bar]:
        """Return the completed bars that end after `after_ns`, oldest first."""
        bars = self._held(symbol, timeframe)
        return bars[bisect_right(self._ends[symbol], after_ns) : self._completed(symbol)]

    def _held(self, symbol: str, timeframe: str) -> list[Bar]:
        if timeframe != self._timeframe.value:
            raise ValueError(f"this source holds {self._timeframe.value} bars, not {timeframe}")
        return self._bars[symbol]

    def _completed(self, symbol: str) -> int:
        ends = self._ends[symbol]
        begun_later = len(ends) - 1
        return max(begun_later, bisect_right(ends, self._clock.now_ns() - self._grace_ns))

    def _rounded(self, bar: Bar) -> Bar:
        instrument = self._instruments[bar.symbol]
        if bar.defect(signed=instrument.is_signed):
            return bar  # the step reports and leaves it out
        tick = instrument.tick
        prices = [float(round_to_tick(price, tick)) for price in (bar.open, bar.high, bar.low, bar.close)]
        if prices == [bar.open, bar.high, bar.low, bar.close]:
            return bar
        return replace(bar, open=prices[0], high=prices[1], low=prices[2], close=prices[3])
