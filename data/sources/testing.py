"""The contract of a `DataAdapter`, as tests that an author runs over his own.

    class TestMyAdapter(AdapterContract):
        def make(self, bars, clock):
            return MyAdapter(..., clock)

pytest collects the tests of the class. They feed the adapter bars of two symbols with a hole between two of
them and move a clock over their ends.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from itertools import pairwise

import numpy as np

from data.adapter import DataAdapter
from data.bars import BarSeries
from execution.clocks import SteppedClock
from execution.timeframes import Timeframe

_START_NS = 1_514_989_800_000_000_000  # 2018-01-03 14:30 UTC
_HOLE_AFTER = 4
_BARS = 8


def sample(symbol: str, timeframe: Timeframe = Timeframe.HOUR, first_price: float = 100.0) -> BarSeries:
    """Return eight bars in one session-like row, with a hole of one bar after the fourth."""
    place = np.arange(_BARS) + (np.arange(_BARS) >= _HOLE_AFTER)
    starts = _START_NS + place * timeframe.nanos
    close = np.asarray(first_price + place * 0.25, np.float64)
    volume = np.asarray(1000.0 + place, np.float64)
    ends = starts + timeframe.nanos
    return BarSeries(symbol, timeframe, starts, ends, close, close + 0.5, close - 0.5, close, volume)


class AdapterContract(ABC):
    """What every adapter keeps; subclass it and give `make`."""

    timeframe = Timeframe.HOUR
    """Size of the bars that the adapter is fed."""

    @abstractmethod
    def make(self, bars: Mapping[str, BarSeries], clock: SteppedClock) -> DataAdapter:
        """Return the adapter, with these bars behind it and this clock as its trading clock.

        A source that only learns of bars as time passes may hold all of them at once: what is not complete
        by the clock must not be shown.
        """

    def _set_up(self) -> tuple[DataAdapter, dict[str, BarSeries], SteppedClock]:
        bars = {name: sample(name, self.timeframe, 100.0 + i) for i, name in enumerate(("AAA", "BBB"))}
        clock = SteppedClock(_START_NS)
        return self.make(bars, clock), bars, clock

    def test_before_the_first_end_there_is_no_bar(self) -> None:
        """Nothing is shown while the first bar forms."""
        adapter, bars, clock = self._set_up()
        clock.advance_to(int(bars["AAA"].end_ns[0]) - 1)
        _require(adapter.latest_completed_bar("AAA", self.timeframe.value) is None, "a forming bar was shown")
        _require(not adapter.completed_bars("AAA", self.timeframe.value, 0), "a forming bar was listed")

    def test_a_bar_is_shown_from_its_end_on_with_its_values(self) -> None:
        """At each end exactly the bars that ended by then are shown, value for value."""
        adapter, bars, clock = self._set_up()
        for i, end in enumerate(bars["AAA"].end_ns.tolist()):
            clock.advance_to(end)
            for symbol, series in bars.items():
                newest = adapter.latest_completed_bar(symbol, self.timeframe.value)
                _require(newest == series.bar(i), f"{symbol}: {newest} is shown, {series.bar(i)} was due")
                _require(
                    list(adapter.completed_bars(symbol, self.timeframe.value, 0)) == list(series)[: i + 1],
                    f"{symbol}: not all bars up to the newest were listed",
                )

    def test_a_list_begins_after_the_moment_asked_for(self) -> None:
        """A bar that ends exactly at `after_ns` was seen before; ends ascend and none comes twice."""
        adapter, bars, clock = self._set_up()
        ends = bars["AAA"].end_ns.tolist()
        clock.advance_to(ends[-1])
        for i, end in enumerate(ends):
            listed = adapter.completed_bars("AAA", self.timeframe.value, end)
            _require(
                [bar.end_ns for bar in listed] == ends[i + 1 :], f"after {end}: not the bars that follow"
            )
        listed = adapter.completed_bars("AAA", self.timeframe.value, 0)
        _require(all(a.end_ns < b.end_ns for a, b in pairwise(listed)), "ends do not ascend")
        _require(not adapter.completed_bars("AAA", self.timeframe.value, ends[-1] + 1), "bars of the future")

    def test_a_hole_stays_a_hole(self) -> None:
        """Where the market gave no bar, none is made up."""
        adapter, bars, clock = self._set_up()
        clock.advance_to(int(bars["AAA"].end_ns[_HOLE_AFTER]) - 1)
        newest = adapter.latest_completed_bar("AAA", self.timeframe.value)
        _require(newest == bars["AAA"].bar(_HOLE_AFTER - 1), "a bar was made up for the hole")

    def test_what_it_does_not_hold_is_refused(self) -> None:
        """Another timeframe or symbol is an error, never an empty answer."""
        adapter, _, _ = self._set_up()
        other = next(size for size in Timeframe if size is not self.timeframe)
        for symbol, size in (("AAA", other.value), ("ZZZ", self.timeframe.value)):
            try:
                adapter.latest_completed_bar(symbol, size)
            except (LookupError, ValueError):
                continue
            raise AssertionError(
                f"{symbol} {size}: is not held, and was answered as if there were no bar yet"
            )


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise AssertionError(otherwise)
