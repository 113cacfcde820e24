"""Bars of a vendor that adjusts them for splits, brought back to the prices at which they were traded.

A vendor's prices are in the shares of the day on which it is asked: each split since divides them once more.
Kept as they come, bars of two pulls with a split between them would contradict each other. So they are
multiplied by every known split between their day and the day of the question; whatever happens later, the
same bar comes out. What the vendor rounded stays rounded: half a cent of today's shares is two cents of the
shares of before a 4-for-1 split.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal
from typing import Final

import numpy as np

from data.bars import BarSeries, FloatArray, round_prices
from data.calendars import ExchangeClock
from data.corporate_actions.action import ActionKind, CorporateAction
from data.corporate_actions.adjusting import split_ratios
from data.corporate_actions.source import CorporateActionSource
from execution.clocks import TradingClock, timestamp

TICK: Final = Decimal("0.0001")
"""To which a price that was multiplied is rounded."""


class NoActions(CorporateActionSource):
    """States that there were no corporate actions, where a person knows it."""

    def actions(self, symbol: str, start: dt.date, end: dt.date) -> tuple[CorporateAction, ...]:
        """Return none."""
        del symbol, start, end
        return ()


class AsTraded:
    """Undoes a vendor's adjustment for splits.

    Parameters
    ----------
    source
        Knows the splits.
    exchange
        Says when an ex date begins.
    clock
        Says what day it is.
    """

    def __init__(self, source: CorporateActionSource, exchange: ExchangeClock, clock: TradingClock) -> None:
        self._source = source
        self._exchange = exchange
        self._clock = clock

    def bars(self, bars: BarSeries, asked_ns: int | None = None) -> BarSeries:
        """Return bars that the vendor gave today, or at another moment, in the shares of their own days.

        Raises
        ------
        CorporateActionDataError, SourceNotInstalledError
            If the source does not cover the symbol: then nobody knows in which shares the prices are.
        """
        if not len(bars):
            return bars
        now_ns = self._clock.now_ns() if asked_ns is None else asked_ns
        return unadjusted(bars, self._splits(bars.symbol, int(bars.start_ns[0]), now_ns), self._exchange)

    def basis(self, symbol: str, start_ns: int, asked_ns: int) -> str:
        """Return the splits by which bars from a moment on, asked for at another, were multiplied.

        Raises as `bars` does.
        """
        return " ".join(f"{one.ex_date}*{one.value}" for one in self._splits(symbol, start_ns, asked_ns))

    def _splits(self, symbol: str, start_ns: int, asked_ns: int) -> list[CorporateAction]:
        first, last = (timestamp(ns).tz_convert(self._exchange.tz).date() for ns in (start_ns, asked_ns))
        found = self._source.actions(symbol, first, last)
        return [action for action in found if action.kind is ActionKind.SPLIT]


def unadjusted(bars: BarSeries, splits: Sequence[CorporateAction], clock: ExchangeClock) -> BarSeries:
    """Return bars in the shares of their own days, from bars in the shares of after all these splits.

    Raises
    ------
    CorporateActionDataError
        If a split is of another symbol.
    """
    ratio = split_ratios(bars, splits, clock)
    touched = ratio != 1.0
    if not touched.any():
        return bars

    def raw(prices: FloatArray) -> FloatArray:
        return np.where(touched, round_prices(prices * ratio, TICK), prices)

    volume = np.where(touched, np.rint(bars.volume / ratio), bars.volume)
    return BarSeries(
        bars.symbol, bars.timeframe, bars.start_ns, bars.end_ns,
        raw(bars.open), raw(bars.high), raw(bars.low), raw(bars.close), volume,
    )  # fmt: skip
