"""Bars become the daily returns from which the risk of a book is estimated."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import fields

import numpy as np

from data.bars import BarSeries
from data.calendars import ExchangeClock
from data.corporate_actions import CorporateAction
from data.corporate_actions.adjusting import total_return
from execution.clocks import timestamp
from risk.metrics import DailyReturns

_ONE_DAY = dt.timedelta(days=1)


def daily_returns(bars: BarSeries, calendar: str, actions: Sequence[CorporateAction] = ()) -> DailyReturns:
    """Return the simple return from each session's last bar to that of the next, dividends included.

    A return over a session without bars is left out, and so is one from or to a price that is not positive.

    Parameters
    ----------
    bars
        Raw bars of any size; those outside of sessions do not count.
    calendar
        Their exchange.
    actions
        Splits and dividends of the symbol; without them a split is a loss or gain like any other.
    """
    if not len(bars):
        return DailyReturns(np.empty(0, np.int64), np.empty(0))
    first, last = (timestamp(int(ns)).date() for ns in (bars.start_ns[0], bars.end_ns[-1]))
    clock = ExchangeClock(calendar, first - _ONE_DAY, last + _ONE_DAY)
    session = np.searchsorted(clock.opens_ns, bars.start_ns, side="right") - 1
    inside = np.flatnonzero((session >= 0) & (bars.end_ns <= np.append(clock.closes_ns, 0)[session]))
    last_of = np.append(np.diff(session[inside]) != 0, True)[: len(inside)]
    at = inside[last_of]
    at = at[bars.close[at] > 0]
    arrays = [getattr(bars, field.name)[at] for field in fields(bars)[2:]]
    closings = BarSeries(bars.symbol, bars.timeframe, *arrays)
    value = total_return(closings, actions, clock)
    next_to = np.diff(session[at]) == 1
    return DailyReturns(closings.end_ns[1:][next_to], (value[1:] / value[:-1] - 1.0)[next_to])
