"""Views of a series of bars: adjusted as of a date, as total returns, and under one name over all tickers.

The figures are measurements (float64) and no longer multiples of the tick; orders are priced from raw bars.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

import numpy as np

from data.bars import BarSeries, FloatArray
from data.calendars import ExchangeClock
from data.corporate_actions.action import ActionKind, CorporateAction
from data.errors import CorporateActionDataError
from execution.clocks import timestamp


def adjusted(
    bars: BarSeries,
    actions: Sequence[CorporateAction],
    clock: ExchangeClock,
    *,
    as_of: dt.date,
    dividends: bool = False,
) -> BarSeries:
    """Return the bars as they look to somebody on a date: in that date's shares.

    Prices before a split are divided by its ratio and volumes multiplied by it. With `dividends`, prices
    before an ex date are multiplied by ``1 - dividend / close``, the close being that of the last bar before
    it (the method of CRSP, "Data Definitions & Coding Schemes", cumulative factor to adjust prices).

    Parameters
    ----------
    bars
        Raw bars.
    actions
        Actions of this symbol; those not known at `as_of`, and changes of ticker, do nothing.
    clock
        The exchange, which says when an ex date begins.
    as_of
        The date; later bars are left out.

    Raises
    ------
    CorporateActionDataError
        If an action is of another symbol, or a dividend is not below the close before it.
    """
    kept = bars.slice(0, bars.completed(clock.midnight_ns(as_of + dt.timedelta(days=1))))
    price, volume, shares = np.ones(len(kept)), np.ones(len(kept)), np.ones(len(kept) + 1)
    for action, first in _happened(kept, actions, clock, as_of):
        if action.kind is ActionKind.SPLIT:
            price[:first] /= action.amount
            volume[:first] *= action.amount
            shares[first] *= action.amount
        elif dividends and action.kind is ActionKind.DIVIDEND and first:
            close = float(kept.close[first - 1])
            price[:first] *= 1.0 - _paid(action, shares[first], close) / close
    return _scaled(kept, price, volume)


def total_return(
    bars: BarSeries, actions: Sequence[CorporateAction], clock: ExchangeClock, *, as_of: dt.date | None = None
) -> FloatArray:
    """Return the growth of one unit of money held since the first close, dividends reinvested; shape (bars,).

    At a bar the value is multiplied by ``(close * ratio + dividend) / close before``, with the ratio and the
    dividend of the ex dates between the two closes, both a share of the earlier one; a dividend is paid on a
    share of before a split of its date. Actions that were not known at `as_of` do nothing.
    """
    if not len(bars):
        return np.ones(0)
    until = as_of or timestamp(int(bars.end_ns[-1])).date() + dt.timedelta(days=1)
    shares, cash = np.ones(len(bars)), np.zeros(len(bars))
    for action, first in _happened(bars, actions, clock, until):
        if not 0 < first < len(bars):
            continue  # before the first close, or after the last
        if action.kind is ActionKind.SPLIT:
            shares[first] *= action.amount
        elif action.kind is ActionKind.DIVIDEND:
            cash[first] += _paid(action, shares[first], float(bars.close[first - 1]))
    growth = np.ones(len(bars))
    growth[1:] = (bars.close[1:] * shares[1:] + cash[1:]) / bars.close[:-1]
    return np.asarray(np.cumprod(growth), dtype=np.float64)


def continuous(
    symbol: str, series: Mapping[str, BarSeries], actions: Sequence[CorporateAction], clock: ExchangeClock
) -> BarSeries:
    """Return one series of a stock over all its tickers, under the newest, whose series must be there.

    Going back from `symbol`, each change of ticker names the one before; its bars count up to the ex date.
    A ticker that another company had before counts from the day on which that company left it. A ticker
    whose bars are missing leaves a gap, which stays a gap.
    """
    renames = [action for action in actions if action.kind is ActionKind.RENAME]
    name, until, parts = symbol, dt.date.max, []
    while True:
        earlier = [one for one in renames if one.ex_date < until and name in (one.symbol, one.new_symbol)]
        # Who leaves a ticker and who takes it may do so on one day: the taking is the later.
        turn = max(earlier, key=lambda one: (one.ex_date, one.new_symbol == name), default=None)
        own = series.get(name)
        if own is not None:
            first = 0 if turn is None else own.completed(clock.midnight_ns(turn.ex_date))
            last = len(own) if until == dt.date.max else own.completed(clock.midnight_ns(until))
            parts.append(own.slice(first, max(first, last)))
        if turn is None or turn.new_symbol != name:
            break
        name, until = turn.symbol, turn.ex_date
    if not parts:
        raise CorporateActionDataError(f"{symbol}: there are no bars under this name or an earlier one")
    parts.reverse()
    columns = ("start_ns", "end_ns", "open", "high", "low", "close", "volume")
    arrays = [np.concatenate([getattr(part, column) for part in parts]) for column in columns]
    return BarSeries(symbol, parts[0].timeframe, *arrays)


def split_ratios(
    bars: BarSeries, actions: Sequence[CorporateAction], clock: ExchangeClock, as_of: dt.date = dt.date.max
) -> FloatArray:
    """Return how many shares of `as_of` a share of each bar's day has become; shape (bars,).

    Raises
    ------
    CorporateActionDataError
        If an action is of another symbol.
    """
    ratio = np.ones(len(bars))
    for action, first in _happened(bars, actions, clock, as_of):
        if action.kind is ActionKind.SPLIT:
            ratio[:first] *= action.amount
    return ratio


def _happened(
    bars: BarSeries, actions: Sequence[CorporateAction], clock: ExchangeClock, as_of: dt.date
) -> list[tuple[CorporateAction, int]]:
    """Return each action that counts with the position of the first bar after it: dividends before splits."""
    known = []
    for action in sorted(actions, key=lambda one: (one.ex_date, one.kind is ActionKind.SPLIT)):
        if action.symbol != bars.symbol:
            raise CorporateActionDataError(f"{action.where or action}: is not an action of {bars.symbol}")
        if action.is_known(as_of):
            known.append((action, bars.completed(clock.midnight_ns(action.ex_date))))
    return known


def _paid(action: CorporateAction, shares: float, close: float) -> float:
    """Return a dividend on a share of the last close, which has become `shares` where bars are missing."""
    if not action.amount * shares < close:
        raise CorporateActionDataError(
            f"{action.where or action.symbol}: a dividend of {action.value} on {action.ex_date} at a "
            f"close of {close:g} before it; check it, and that the bars are not adjusted"
        )
    return action.amount * float(shares)


def _scaled(bars: BarSeries, price: FloatArray, volume: FloatArray) -> BarSeries:
    return BarSeries(
        bars.symbol,
        bars.timeframe,
        bars.start_ns,
        bars.end_ns,
        bars.open * price,
        bars.high * price,
        bars.low * price,
        bars.close * price,
        bars.volume * volume,
    )
