"""A source of the past that keeps the contract passes it, and each usual mistake fails it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from data.bars import BarSeries
from data.corporate_actions import NoActions
from data.errors import HistoryRefusedError
from data.sources.history import HistorySource, Window
from data.sources.testing import SESSIONS, HistoryContract
from data.sources.yahoo import YahooHistory
from execution.clocks import SteppedClock, timestamp
from execution.models import Instrument
from execution.timeframes import Timeframe


class Held(HistorySource):
    """Bars in memory, as a vendor's."""

    name = "held"

    def __init__(self, bars: Mapping[str, BarSeries], clock: SteppedClock) -> None:
        self.held = bars
        self.clock = clock

    def window_days(self, timeframe: Timeframe) -> int:
        return 28

    async def head_ns(self, instrument: Instrument, timeframe: Timeframe) -> int | None:
        return int(self.of(instrument).start_ns[0])

    async def bars(self, instrument: Instrument, timeframe: Timeframe, window: Window) -> BarSeries | None:
        series = self.of(instrument)
        end_ns = min(window.end_ns, self.clock.now_ns())
        low, high = np.searchsorted(series.start_ns, [window.start_ns, end_ns]).tolist()
        return series.slice(low, high) if high > low else None

    def of(self, instrument: Instrument) -> BarSeries:
        if instrument.symbol not in self.held:
            raise HistoryRefusedError(f"{instrument.symbol}: not held")
        return self.held[instrument.symbol]


class TestHeld(HistoryContract):
    def make(self, bars: Mapping[str, BarSeries], clock: SteppedClock) -> HistorySource:
        return Held(bars, clock)


class TestHeldMinutes(TestHeld):
    timeframe = Timeframe.MINUTE


class TestYahoo(HistoryContract):
    def make(self, bars: Mapping[str, BarSeries], clock: SteppedClock) -> HistorySource:
        def fetch(symbol: str, *, start: object, end: object, **_: object) -> pd.DataFrame:
            if symbol not in bars:
                raise HistoryRefusedError(f"{symbol}: no such ticker")
            held = bars[symbol]
            days = pd.DatetimeIndex(held.start_ns, tz="UTC").tz_convert("America/New_York").normalize()
            names = ("Open", "High", "Low", "Close", "Volume")
            frame = pd.DataFrame({name: getattr(held, name.lower()) for name in names}, index=days)
            known = held.start_ns < clock.now_ns()
            return frame[(days.date >= start) & (days.date < end) & known]

        return YahooHistory(SESSIONS, clock, NoActions(), fetch=fetch)


class LocalTimes(Held):
    """Takes New York's clock for UTC."""

    def of(self, instrument: Instrument) -> BarSeries:
        series = super().of(instrument)
        hours = 5 * 3600 * 10**9
        return replace(series, start_ns=series.start_ns - hours, end_ns=series.end_ns - hours)


class Unsorted(Held):
    async def bars(self, instrument: Instrument, timeframe: Timeframe, window: Window) -> BarSeries | None:
        found = await super().bars(instrument, timeframe, window)
        return found and replace(found, start_ns=found.start_ns[::-1], end_ns=found.end_ns[::-1])


class Overlapping(Held):
    """Gives the bar at the window's end, too."""

    async def bars(self, instrument: Instrument, timeframe: Timeframe, window: Window) -> BarSeries | None:
        return await super().bars(instrument, timeframe, Window(window.start_ns, window.end_ns + 1))


class Prophet(Held):
    async def bars(self, instrument: Instrument, timeframe: Timeframe, window: Window) -> BarSeries | None:
        self.clock = SteppedClock(window.end_ns)
        return await super().bars(instrument, timeframe, window)


class Inventive(Held):
    """Carries the last price over a hole."""

    async def bars(self, instrument: Instrument, timeframe: Timeframe, window: Window) -> BarSeries | None:
        found = await super().bars(instrument, timeframe, window)
        if found is not None:
            return found
        one = np.array([100.0])
        times = np.array([window.start_ns]), np.array([window.end_ns])
        return BarSeries(instrument.symbol, timeframe, *times, one, one, one, one, one)


class Shrugs(Held):
    def of(self, instrument: Instrument) -> BarSeries:
        return self.held.get(instrument.symbol, next(iter(self.held.values())).slice(0, 1))


class Adjusted(Held):
    """Prices in the shares of after a split."""

    def of(self, instrument: Instrument) -> BarSeries:
        series = super().of(instrument)
        return replace(
            series, open=series.open / 4, high=series.high / 4, low=series.low / 4, close=series.close / 4
        )


class Restless(Held):
    calls = 0

    async def bars(self, instrument: Instrument, timeframe: Timeframe, window: Window) -> BarSeries | None:
        self.calls += 1
        found = await super().bars(instrument, timeframe, window)
        return found and replace(found, volume=found.volume + self.calls // 5)


class Late(Held):
    async def head_ns(self, instrument: Instrument, timeframe: Timeframe) -> int | None:
        return int(self.of(instrument).end_ns[30])


class Odd(Held):
    name = "My Vendor"

    def window_days(self, timeframe: Timeframe) -> int:
        return 30


BRINGS = "test_a_pull_brings_every_bar_with_its_values_and_again_changes_nothing"


@pytest.mark.parametrize(
    ("kind", "check"),
    [
        (LocalTimes, BRINGS),
        (Unsorted, BRINGS),
        (Adjusted, BRINGS),
        (Restless, BRINGS),
        (Late, BRINGS),
        (Overlapping, "test_windows_that_meet_share_no_bar_and_lose_none"),
        (Prophet, "test_nothing_comes_from_the_future"),
        (Inventive, "test_where_there_are_no_bars_the_answer_is_none"),
        (Shrugs, "test_a_symbol_that_it_does_not_know_is_refused"),
        (Late, "test_its_head_is_not_after_its_first_bar"),
        (Odd, "test_its_name_and_its_questions_are_stable"),
    ],
)
def test_a_source_with_a_usual_mistake_fails(kind: Callable[..., HistorySource], check: str) -> None:
    class Broken(HistoryContract):
        def make(self, bars: Mapping[str, BarSeries], clock: SteppedClock) -> HistorySource:
            return kind(bars, clock)

    with pytest.raises((AssertionError, ValueError)):
        getattr(Broken(), check)()


def test_the_bars_that_it_feeds_have_a_hole_and_lie_in_sessions() -> None:
    source, bars, clock = TestHeldMinutes()._set_up()
    found = asyncio.run(source.bars(Instrument("AAA"), Timeframe.MINUTE, Window(0, clock.now_ns())))
    assert found is not None
    days = {timestamp(int(ns)).date().isoformat() for ns in bars["AAA"].start_ns}
    assert "2018-02-05" not in days
    assert {"2018-02-02", "2018-02-06"} <= days
