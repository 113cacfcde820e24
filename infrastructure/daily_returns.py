"""Daily returns for the risk of the book: from the bars of a run, or from the house's store of bars."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping

import structlog

from data.bars import BarSeries
from data.errors import DataError
from execution.timeframes import Timeframe
from infrastructure.data_sources import action_source
from infrastructure.settings import Settings
from infrastructure.stores import store_of
from risk.metrics import DailyReturns
from strategies.daily_returns import daily_returns

_log = structlog.get_logger("risk")
_SIZES = (Timeframe.DAY, Timeframe.HOUR, Timeframe.MINUTE)


def returns_of(settings: Settings, bars: Mapping[str, BarSeries]) -> dict[str, DailyReturns]:
    """Return the daily returns of each series.

    A symbol that `data.corporate_actions` does not cover is left out: its splits would count as losses. With
    no such setting prices are taken as they are.
    """
    source = action_source(settings)
    found = {}
    for symbol, series in bars.items():
        try:
            actions = () if source is None else source.actions(symbol, dt.date.min, dt.date.max)
            found[symbol] = daily_returns(series, settings.data.calendar, actions)
        except DataError as error:
            _log.warning("no daily returns for the risk of the book", symbol=symbol, why=str(error))
    return found


def stored_returns(settings: Settings, symbols: Iterable[str]) -> dict[str, DailyReturns]:
    """Return the daily returns of the symbols that the store of bars knows, from the largest bars it has.

    A store that cannot be read gives none, and a line in the log: trading does not wait for it, and the
    risk on record says what it lacks.
    """
    series: dict[str, BarSeries] = {}
    try:
        with store_of(settings) as store:
            for symbol in symbols:
                for size in _SIZES:
                    stored = store.read(symbol, size).to_series()
                    if symbol in stored:
                        series[symbol] = stored[symbol]
                        break
        return returns_of(settings, series)
    except DataError as error:
        _log.warning("no daily returns for the risk of the book", why=str(error))
        return {}
