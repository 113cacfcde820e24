"""Daily returns for the risk of the book: from the bars of a run, or from the house's store of bars."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import structlog

from data.bars import BarSeries
from data.calendars import ExchangeClock
from data.corporate_actions import CorporateActionSource
from data.errors import DataError
from data.stores import BarStore
from execution.clocks import TradingClock, timestamp
from execution.timeframes import Timeframe
from infrastructure.data_sources import action_source
from infrastructure.settings import Settings
from infrastructure.stores import store_of
from risk.metrics import DailyReturns
from strategies.daily_returns import daily_returns

_log = structlog.get_logger("risk")
_SIZES = (Timeframe.DAY, Timeframe.HOUR, Timeframe.MINUTE)
_OVERLAP = dt.timedelta(days=15)
"""How far smaller bars are read back, so that their first return has a session to begin from."""
_Seen = tuple[tuple[Timeframe, int], ...]


def returns_of(settings: Settings, bars: Mapping[str, BarSeries]) -> dict[str, DailyReturns]:
    """Return the daily returns of each series of a run.

    A symbol that `data.corporate_actions` does not cover is left out: its splits would count as losses. With
    no such setting prices are taken as they are; what a database holds plays no part, so that a run with its
    own bars is the same everywhere.
    """
    source = None if settings.data.corporate_actions is None else action_source(settings)
    found = {symbol: _returns(settings, series, source) for symbol, series in bars.items()}
    return {symbol: returns for symbol, returns in found.items() if returns is not None}


class StoredReturns(Mapping[str, DailyReturns]):
    """Daily returns of the symbols that the store of bars knows, as far as it goes at each `refresh`.

    They come from the largest bars that the store has of a symbol, and for later days from smaller ones. A
    session that has not closed gives no return: its bars say nothing of its close yet. A symbol that the
    corporate actions do not cover is left out: its splits would count as losses.

    Parameters
    ----------
    settings
        Name the store, the calendar, and who knows of corporate actions.
    symbols
        What is followed.
    clock
        Says which sessions have closed.
    """

    def __init__(self, settings: Settings, symbols: Iterable[str], clock: TradingClock) -> None:
        self._settings = settings
        self._symbols = tuple(symbols)
        self._clock = clock
        self._returns: dict[str, DailyReturns] = {}
        self._seen: dict[str, _Seen] = {}

    def __getitem__(self, symbol: str) -> DailyReturns:
        return self._returns[symbol]

    def __iter__(self) -> Iterator[str]:
        return iter(self._returns)

    def __len__(self) -> int:
        return len(self._returns)

    def refresh(self) -> list[str]:
        """Read the returns of symbols whose bars go further than before; return which these are.

        A store that cannot be read leaves them as they are, with a line in the log: trading does not wait
        for it, and the risk on record says what it lacks.
        """
        changed: dict[str, DailyReturns | None] = {}
        try:
            closed_ns = self._last_close_ns()
            with store_of(self._settings) as store:
                news = {
                    s: seen
                    for s in self._symbols
                    if (seen := _seen(store, s, closed_ns)) != self._seen.get(s)
                }
                source = action_source(self._settings) if any(news.values()) else None
                for symbol, seen in news.items():
                    if seen:
                        changed[symbol] = self._read(store, symbol, seen, source)
                    self._seen[symbol] = seen
        except DataError as error:
            _log.warning("no new daily returns for the risk of the book", why=str(error))
        whole = {**self._returns, **changed}
        self._returns = {symbol: returns for symbol, returns in whole.items() if returns is not None}
        return sorted(changed)

    def _last_close_ns(self) -> int:
        now_ns = self._clock.now_ns()
        today, fortnight = timestamp(now_ns).date(), dt.timedelta(days=15)
        closes = ExchangeClock(self._settings.data.calendar, today - fortnight, today + fortnight).closes_ns
        return int(closes[np.searchsorted(closes, now_ns, side="right") - 1])

    def _read(
        self, store: BarStore, symbol: str, seen: _Seen, source: CorporateActionSource | None
    ) -> DailyReturns | None:
        ends, values = np.empty(0, np.int64), np.empty(0)
        for size, until_ns in seen:
            start = timestamp(int(ends[-1])) - _OVERLAP if len(ends) else None
            series = store.read(symbol, size, start).to_series().get(symbol)
            if series is None:
                continue
            told = _returns(self._settings, series.slice(0, series.completed(until_ns)), source)
            if told is None:
                return None
            later = told.end_ns > (ends[-1] if len(ends) else 0)
            ends, values = np.append(ends, told.end_ns[later]), np.append(values, told.values[later])
        return DailyReturns(ends, values)


def _seen(store: BarStore, symbol: str, closed_ns: int) -> _Seen:
    """Return how far a symbol's bars go that are over, by size; smaller ones only where they go further."""
    found: list[tuple[Timeframe, int]] = []
    for size in _SIZES:
        last = store.last(symbol, size)
        if last.num_rows:
            until_ns = min(last["end"].cast("int64")[0].as_py() * 1_000, closed_ns)
            if not found or until_ns > found[-1][1]:
                found.append((size, until_ns))
    return tuple(found)


def _returns(
    settings: Settings, series: BarSeries, source: CorporateActionSource | None
) -> DailyReturns | None:
    try:
        actions = () if source is None else source.actions(series.symbol, dt.date.min, dt.date.max)
        return daily_returns(series, settings.data.calendar, actions)
    except DataError as error:
        _log.warning("no daily returns for the risk of the book", symbol=series.symbol, why=str(error))
        return None
