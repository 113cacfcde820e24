"""Quotes: what each symbol is bid, asked and was last traded at, now.

Without a quotes file they are derived from the bars, by these rules:

- last is where the price is on its path, else the last close, and before that the open of the first bar once
  it has begun; its size is a hundredth of the volume of its bar (else of the last bar), at least one lot;
- bid and ask are what a market sell would be paid and a market buy would pay (`spread`); each has the size of
  the last trade;
- open, high, low and volume are those of the New York day of the newest bar, close is the last close of the
  day before, adjusted for splits and dividends since, as TWS tells it.

With a quotes file its newest row up to now gives bid and ask, and last where it has one.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from math import floor
from typing import Final

import numpy as np

from backtesting.gateway.market.bars import Tape
from backtesting.gateway.market.corporate_action_file import CorporateAction
from backtesting.gateway.market.quote_file import QuoteRow, QuoteTable
from backtesting.gateway.market.sizes import local_ns
from backtesting.gateway.market.spread import bid_ask
from data.bars import DAY_NS
from execution.models import Instrument

_EPOCH: Final = dt.date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Quote:
    """A symbol's quote; prices and sizes that are not known are None."""

    symbol: str
    time_ns: int
    """Of the last trade."""
    bid: float | None = None
    ask: float | None = None
    last: float | None = None
    bid_size: float | None = None
    ask_size: float | None = None
    last_size: float | None = None
    open: float | None = None
    high: float | None = None
    low: float | None = None
    close: float | None = None
    """Last close of the day before."""
    volume: float = 0.0
    vwap: float | None = None
    """Average price of the day, each bar at its close."""


class Quotes:
    """Quotes of a market.

    Parameters
    ----------
    tape
        The bars.
    instruments
        Where lots come from; a symbol that is not named has one of 1.
    centi_bps
        Slippage in hundredths of a basis point.
    table
        A quotes file, if there is one.
    """

    def __init__(
        self,
        tape: Tape,
        instruments: Sequence[Instrument] = (),
        centi_bps: int = 0,
        table: QuoteTable | None = None,
    ) -> None:
        self._tape = tape
        self._lots = {instrument.symbol: float(instrument.lot) for instrument in instruments}
        self._centi_bps = centi_bps
        self._table = table
        self._actions: dict[str, list[CorporateAction]] = {}
        self._days = {symbol: local_ns(s.start_ns) // DAY_NS for symbol, s in tape.series.items()}

    def adjust(self, action: CorporateAction) -> None:
        """Let the close of the day before its ex date be told as after a split or dividend."""
        self._actions.setdefault(action.symbol, []).append(action)

    def has_rows(self, symbol: str) -> bool:
        """Say whether a symbol's quotes come from a file."""
        return self._table is not None and symbol in self._table.symbols

    def find(self, symbol: str) -> Quote:
        """Return a symbol's quote; one without prices if nothing is known of it yet."""
        row = None if self._table is None else self._table.at(symbol, self._tape.now_ns)
        if symbol not in self._tape.series:
            return _merged(Quote(symbol, self._tape.now_ns), row)
        return _merged(self._derived(symbol), row)

    def _derived(self, symbol: str) -> Quote:
        tape, series, days = self._tape, self._tape.series[symbol], self._days[symbol]
        count, forming = tape.completed(symbol), tape.forming(symbol)
        if not count and forming is None:
            return self._opening(symbol)
        newest = count if forming is not None else count - 1
        first = int(days.searchsorted(days[newest], side="left"))
        highs, lows = series.high[first:count], series.low[first:count]
        closes, volumes = series.close[first:count], series.volume[first:count]
        high = float(highs.max()) if len(highs) else 0.0
        low = float(lows.min()) if len(lows) else np.inf
        volume, value = float(volumes.sum()), float((closes * volumes).sum())
        if forming is not None:
            high, low = max(high, forming.high), min(low, forming.low)
            volume, value = volume + forming.volume, value + forming.volume * forming.close
            last, time_ns, traded = forming.close, forming.end_ns, float(series.volume[count])
        else:
            last, time_ns = float(series.close[count - 1]), int(series.end_ns[count - 1])
            traded = float(series.volume[count - 1])
        size = self._size(symbol, traded)
        bid, ask = bid_ask(last, tape.ticks[symbol], self._centi_bps)
        return Quote(
            symbol,
            time_ns,
            bid,
            ask,
            last,
            size,
            size,
            size,
            float(series.open[first]),
            high,
            low,
            self._close_before(symbol, first) if first else None,
            volume,
            value / volume if volume else None,
        )

    def _close_before(self, symbol: str, first: int) -> float:
        """Return the close before the day that begins with a bar, adjusted."""
        close, days = float(self._tape.series[symbol].close[first - 1]), self._days[symbol]
        for action in self._actions.get(symbol, ()):
            if days[first - 1] < (action.date - _EPOCH).days <= days[first]:
                close = action.of_close(close)
        return close

    def _opening(self, symbol: str) -> Quote:
        """Return the quote before anything was played: the open of the first bar, if that has begun."""
        tape, price = self._tape, self._tape.last_price(symbol)
        if price is None:
            return Quote(symbol, tape.now_ns)
        size = self._size(symbol, float(tape.series[symbol].volume[0]))
        bid, ask = bid_ask(price, tape.ticks[symbol], self._centi_bps)
        return Quote(symbol, tape.now_ns, bid, ask, price, size, size, size, price, price, price)

    def _size(self, symbol: str, volume: float) -> float:
        lot = self._lots.get(symbol, 1.0)
        return max(1.0, floor(volume / 100 / lot)) * lot


def _merged(quote: Quote, row: QuoteRow | None) -> Quote:
    """Put a row of a quotes file in place of what was derived."""
    if row is None:
        return quote
    traded = row.last is not None
    return Quote(
        quote.symbol,
        row.time_ns if traded else quote.time_ns,
        row.bid,
        row.ask,
        row.last if traded else quote.last,
        row.bid_size,
        row.ask_size,
        row.last_size if traded else quote.last_size,
        quote.open,
        quote.high,
        quote.low,
        quote.close,
        quote.volume,
        quote.vwap,
    )
