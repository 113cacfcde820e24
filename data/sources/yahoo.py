"""Bars from Yahoo Finance, by the package ``yfinance`` (extra ``yahoo``): days, and the minutes of 30 days.

Yahoo's prices and volumes are in today's shares; they are brought back to those of their day by its own
splits, so that the store holds what was traded. Its terms allow personal use. Its hours begin at half past,
unlike everybody else's, so they are not offered.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

from data.bars import BarSeries, RawBars, build_series
from data.calendars import ExchangeClock
from data.corporate_actions import ActionKind, CorporateAction, CorporateActionSource
from data.corporate_actions.yahoo_source import yahoo_history
from data.errors import BarFileError, CorporateActionDataError, HistoryRefusedError
from data.sources.history import HistorySource, Window
from execution.clocks import NANOS, TradingClock, timestamp
from execution.models import Instrument
from execution.timeframes import Timeframe

Fetch = Callable[..., pd.DataFrame]
_COLUMNS = ("Open", "High", "Low", "Close")
_TICK = Decimal("0.0001")
_MINUTES_KEPT = 29
"""Days for which Yahoo keeps minutes, one less."""
_DAY_NS = 86_400 * NANOS
_FIRST_NS = pd.Timestamp("1962-01-02", tz="UTC").value


class YahooHistory(HistorySource):
    """Bars as they were traded, from Yahoo's.

    Parameters
    ----------
    calendar
        Sessions of the instruments.
    clock
        Says what "today" and "the last 30 days" are.
    actions
        Yahoo's splits.
    regular_hours
        Leave out what was traded outside regular hours.
    fetch
        Asks Yahoo; by default through ``yfinance``.
    """

    def __init__(
        self,
        calendar: ExchangeClock,
        clock: TradingClock,
        actions: CorporateActionSource,
        *,
        regular_hours: bool = True,
        fetch: Fetch = yahoo_history,
    ) -> None:
        self.name = "yahoo" if regular_hours else "yahoo-all-hours"
        self._calendar = calendar
        self._clock = clock
        self._actions = actions
        self._regular_hours = regular_hours
        self._fetch = fetch

    def window_days(self, timeframe: Timeframe) -> int:
        """Return how many days one question covers."""
        return 7 if timeframe is Timeframe.MINUTE else 20 * 364

    async def head_ns(self, instrument: Instrument, timeframe: Timeframe) -> int:
        """Return the earliest moment that Yahoo may have bars of; see `HistorySource`."""
        if timeframe is Timeframe.HOUR:
            raise HistoryRefusedError("Yahoo's hours begin at half past; pull days or minutes")
        if instrument.security_type != "STK":
            raise HistoryRefusedError(f"{instrument.symbol}: Yahoo is asked for stocks only")
        if timeframe is Timeframe.DAY:
            return max(_FIRST_NS, self._calendar.midnight_ns(self._calendar.start))
        return self._clock.now_ns() - _MINUTES_KEPT * _DAY_NS

    async def bars(self, instrument: Instrument, timeframe: Timeframe, window: Window) -> BarSeries | None:
        """Return the bars of a window; see `HistorySource`."""
        return await asyncio.to_thread(self._bars, instrument, timeframe, window)

    def _bars(self, instrument: Instrument, timeframe: Timeframe, window: Window) -> BarSeries | None:
        symbol = instrument.symbol
        today = timestamp(self._clock.now_ns()).date()
        first = timestamp(window.start_ns).tz_convert(self._calendar.tz).date()
        last = timestamp(window.end_ns).tz_convert(self._calendar.tz).date() + dt.timedelta(days=1)
        try:
            splits = self._actions.actions(symbol, first, today)
            frame = self._fetch(
                symbol,
                start=first,
                end=last,
                interval="1d" if timeframe is Timeframe.DAY else "1m",
                prepost=not self._regular_hours,
            )
            rows = read_frame(symbol, frame, timeframe, splits)
            if rows is None:
                return None
            series, _ = build_series(
                symbol, rows, timeframe, self._calendar, _TICK, f"Yahoo, {symbol}",
                regular_hours=self._regular_hours,
            )  # fmt: skip
        except (CorporateActionDataError, BarFileError) as error:
            raise HistoryRefusedError(str(error)) from error
        low, high = np.searchsorted(series.start_ns, [window.start_ns, window.end_ns])
        return series.slice(int(low), int(high)) if high > low else None


def read_frame(
    symbol: str, frame: pd.DataFrame, timeframe: Timeframe, actions: Sequence[CorporateAction]
) -> RawBars | None:
    """Read a frame of Yahoo's, bringing prices and volumes back to the shares of their day.

    Rows without prices, by which Yahoo marks a halt, are left out.

    Raises
    ------
    BarFileError
        If a column is missing, or the times have no timezone.
    """
    missing = [name for name in (*_COLUMNS, "Volume") if name not in frame.columns]
    index = frame.index
    if not len(frame):
        return None
    if missing or not isinstance(index, pd.DatetimeIndex) or index.tz is None:
        raise BarFileError(
            f"Yahoo's bars of {symbol}: no {', '.join(missing) or 'times with a timezone'}; another version "
            "of yfinance may read them"
        )
    kept = frame[~frame[list(_COLUMNS)].isna().any(axis=1)].sort_index()
    if not len(kept):
        return None
    local: Any = kept.index
    dates = np.asarray(local.tz_localize(None).normalize().values.astype("datetime64[D]").astype(np.int64))
    later = np.ones(len(kept))
    for action in actions:
        if action.kind is ActionKind.SPLIT:
            later[dates < (action.ex_date - dt.date(1970, 1, 1)).days] *= action.amount
    opens, highs, lows, closes = (kept[name].to_numpy(np.float64) * later for name in _COLUMNS)
    volume = np.rint(kept["Volume"].to_numpy(np.float64) / later)
    if timeframe is Timeframe.DAY:
        return RawBars(True, dates, (opens, highs, lows, closes), volume)
    ends = local.as_unit("ns").asi8 + timeframe.nanos
    return RawBars(False, np.asarray(ends, np.int64), (opens, highs, lows, closes), volume)
