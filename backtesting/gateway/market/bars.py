"""Market data: steps of bars, history requests, and subscriptions to completed bars.

A history may hold many thousands of bars. Each bar's row is encoded once; rows lie end to end in one buffer,
so that an answer is a slice of it.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import pandas as pd

from backtesting.gateway.errors import GatewayError, RequestRefusedError
from backtesting.gateway.wire.codec import EASTERN, ZONE_NAME, moment, parse_time, time_text
from backtesting.gateway.wire.frames import frame
from backtesting.gateway.wire.requests import History
from data.bars import BarSeries, steps
from execution.clocks import NANOS
from execution.models import Bar, Instrument
from execution.timeframes import Timeframe

_DURATION: Final = re.compile(r"([1-9][0-9]{0,5}) ([SDWMY])", re.ASCII)
_FAILED: Final = "Historical Market Data Service error message:"
EPOCH_DATES: Final = 2
"""formatDate of a request that wants seconds since the epoch for intraday bars."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """A client's wish for every further bar of a symbol."""

    request_id: int
    symbol: str
    epoch: bool


class EncodedBars:
    """The rows of one symbol in one date format.

    Each row is ``date open high low close volume average count``; average and count are -1, which is how TWS
    says that it does not have them.
    """

    def __init__(self, series: BarSeries, epoch: bool) -> None:
        self._dates = _dates(series, epoch)
        rows = [
            f"{date}\0{open_}\0{high}\0{low}\0{close}\0{_volume(volume)}\0-1\0-1\0".encode()
            for date, open_, high, low, close, volume in zip(
                self._dates,
                series.open.tolist(),
                series.high.tolist(),
                series.low.tolist(),
                series.close.tolist(),
                series.volume.tolist(),
                strict=True,
            )
        ]
        offsets = [0]
        for row in rows:
            offsets.append(offsets[-1] + len(row))
        self._offsets = offsets
        self._buffer = b"".join(rows)

    def rows(self, first: int, last: int) -> bytes:
        """Return the rows of bars `first` up to but not including `last`."""
        return self._buffer[self._offsets[first] : self._offsets[last]]

    def update(self, index: int, bar: Bar) -> bytes:
        """Encode what follows the request id in an update: prices are open, close, high, low."""
        prices = f"{bar.open}\0{bar.close}\0{bar.high}\0{bar.low}"
        return f"-1\0{self._dates[index]}\0{prices}\0-1\0{_volume(bar.volume)}\0".encode()


def _volume(volume: float) -> str:
    return str(int(volume)) if volume.is_integer() else repr(volume)


def _dates(series: BarSeries, epoch: bool) -> list[str]:
    starts = series.start_ns.tolist()
    if series.timeframe is Timeframe.DAY:
        return [moment(ns).strftime("%Y%m%d") for ns in starts]
    if epoch:
        return [str(ns // NANOS) for ns in starts]
    return [moment(ns).strftime("%Y%m%d %H:%M:%S ") + ZONE_NAME for ns in starts]


class Market:
    """Bars that have been completed so far, and those still to come.

    Parameters
    ----------
    bars
        Bars by symbol, all of one timeframe.

    Raises
    ------
    GatewayError
        If there are no bars at all, or of different timeframes.
    """

    def __init__(self, bars: Mapping[str, BarSeries]) -> None:
        timeframes = {series.timeframe for series in bars.values()}
        if len(timeframes) != 1 or not any(len(series) for series in bars.values()):
            raise GatewayError(
                "the gateway needs bars, all of one timeframe: check the folder given to --bars"
            )
        self.series = dict(bars)
        (self.timeframe,) = timeframes
        self.first_start_ns = min(int(series.start_ns[0]) for series in bars.values() if len(series))
        self._completed = dict.fromkeys(bars, 0)
        self._steps: Iterator[tuple[int, list[Bar]]] = iter(steps(bars))
        self._encoded: dict[tuple[str, bool], EncodedBars] = {}

    def next_step(self) -> tuple[int, list[Bar]] | None:
        """Take the next step: the bars that end together; None at the end of the data."""
        step = next(self._steps, None)
        if step is not None:
            for bar in step[1]:
                self._completed[bar.symbol] += 1
        return step

    def completed(self, symbol: str) -> int:
        """Return how many bars of a symbol have been completed."""
        return self._completed[symbol]

    def _rows(self, symbol: str, epoch: bool) -> EncodedBars:
        epoch = epoch and self.timeframe is not Timeframe.DAY
        encoded = self._encoded.get((symbol, epoch))
        if encoded is None:
            encoded = self._encoded[symbol, epoch] = EncodedBars(self.series[symbol], epoch)
        return encoded

    def update(self, symbol: str, epoch: bool, bar: Bar) -> bytes:
        """Encode the newest completed bar of a symbol, all but the head of its message."""
        return self._rows(symbol, epoch).update(self._completed[symbol] - 1, bar)

    def history(self, wish: History, instrument: Instrument, now_ns: int) -> bytes:
        """Answer a history request with one message 17.

        Raises
        ------
        RequestRefusedError
            321 for a request that makes no sense, 162 for data that is not there.
        """
        self._check(wish, instrument)
        symbol = instrument.symbol
        end_ns = min(now_ns, parse_time(wish.end)) if wish.end else now_ns
        series = self.series[symbol]
        last = min(self._completed[symbol], int(series.end_ns.searchsorted(end_ns, side="right")))
        first, start_ns = self._first(wish.duration, series, last, end_ns)
        if first == last and not wish.keep_up_to_date:
            venue = instrument.exchange
            raise RequestRefusedError(162, f"{_FAILED}HMDS query returned no data: {symbol}@{venue} Trades")
        head = f"17\0{wish.request_id}\0{time_text(start_ns)}\0{time_text(end_ns)}\0{last - first}\0"
        epoch = wish.date_format == EPOCH_DATES
        return frame(head.encode() + self._rows(symbol, epoch).rows(first, last))

    def _check(self, wish: History, instrument: Instrument) -> None:
        if wish.date_format not in (1, EPOCH_DATES):
            raise _invalid("Invalid date format: 1 and 2 are served")
        if wish.keep_up_to_date and wish.end:
            raise _invalid("End date not supported with keepUpToDate")
        try:
            timeframe = Timeframe.from_ib(wish.bar_size)
        except ValueError as error:
            raise _invalid("Historical data bar size setting is invalid") from error
        if timeframe is not self.timeframe:
            raise RequestRefusedError(
                162,
                f"{_FAILED}No historical data of bar size {wish.bar_size}; "
                f"this gateway holds {self.timeframe.ib_bar_size}",
            )
        if wish.what != "TRADES":
            raise RequestRefusedError(
                162, f"{_FAILED}No historical data of type {wish.what[:20]}; this gateway holds TRADES"
            )
        if instrument.symbol not in self.series:
            raise RequestRefusedError(162, f"{_FAILED}No historical data for {instrument.symbol}")

    def _first(self, duration: str, series: BarSeries, last: int, end_ns: int) -> tuple[int, int]:
        """Return the first bar of a duration, and the moment the duration starts."""
        found = _DURATION.fullmatch(duration)
        if not found:
            raise _invalid(
                "Historical data query duration format is wrong: use an integer and S, D, W, M or Y"
            )
        count, unit = int(found[1]), found[2]
        if unit == "D":
            first = self._days_back(series, last, count)
            return first, int(series.start_ns[first]) if first < last else end_ns
        if unit == "S":
            start_ns = end_ns - count * NANOS
        else:
            offset = pd.DateOffset(
                weeks=count * (unit == "W"), months=count * (unit == "M"), years=count * (unit == "Y")
            )
            start = pd.Timestamp(end_ns, unit="ns", tz="UTC").tz_convert(EASTERN) - offset
            start_ns = int(start.tz_convert("UTC").as_unit("ns").value)
        return min(last, int(series.start_ns.searchsorted(start_ns, side="left"))), start_ns

    def _days_back(self, series: BarSeries, last: int, count: int) -> int:
        """Return the first bar of the last `count` trading days."""
        if self.timeframe is Timeframe.DAY:
            return max(0, last - count)
        first = last
        day: dt.date | None = None
        while first:
            date = moment(int(series.start_ns[first - 1])).date()
            if date != day:
                if not count:
                    break
                count -= 1
                day = date
            first -= 1
        return first


def updates(
    market: Market, bars: Sequence[Bar], subscriptions: Sequence[Subscription], cache: dict[object, bytes]
) -> list[bytes]:
    """Encode a step's bars for one client's subscriptions, symbol by symbol; `cache` is shared by a step."""
    messages = []
    for bar in bars:
        for wish in subscriptions:
            if wish.symbol != bar.symbol:
                continue
            key = (wish.symbol, wish.epoch)
            tail = cache.get(key)
            if tail is None:
                tail = cache[key] = market.update(wish.symbol, wish.epoch, bar)
            messages.append(frame(b"90\0%d\0" % wish.request_id + tail))
    return messages


def _invalid(cause: str) -> RequestRefusedError:
    return RequestRefusedError(321, f"Error validating request.-'bC' : cause - {cause}")
