"""Bars as a client asked for them: one symbol, size, kind of price and choice of hours.

A history may hold many thousands of bars. Each completed row is encoded once; rows lie end to end in one
buffer, so that an answer is a slice of it. The bar that is forming is made anew from the source's bars.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from backtesting.gateway.errors import RequestRefusedError
from backtesting.gateway.market.bars import Tape
from backtesting.gateway.market.paths import merge
from backtesting.gateway.market.sizes import (
    DAY,
    SIZES,
    BarTable,
    Int64Array,
    bucket,
    can_make,
    in_sessions,
    local_ns,
    make_table,
    stitch,
)
from backtesting.gateway.market.spread import DERIVED, SERVED, quoted_bar
from backtesting.gateway.wire.codec import ZONE_NAME, moment
from data.bars import BarSeries
from data.calendars import MarketClock
from execution.clocks import NANOS
from execution.models import Bar

FAILED: Final = "Historical Market Data Service error message:"


class ViewKey(NamedTuple):
    """What bars a client wants."""

    symbol: str
    seconds: int
    what: str
    rth: bool


class Rows:
    """The rows of completed bars in one date format, encoded once.

    Each row is ``date open high low close volume average count``; average and count are -1, which is how TWS
    says that it does not have them.
    """

    def __init__(self, dates: list[str], bars: list[Bar]) -> None:
        offsets = [0]
        rows = []
        for date, bar in zip(dates, bars, strict=True):
            row = encode_row(date, bar)
            rows.append(row)
            offsets.append(offsets[-1] + len(row))
        self._offsets = offsets
        self._buffer = b"".join(rows)

    def slice(self, first: int, last: int) -> bytes:
        """Return the rows of bars `first` up to but not including `last`."""
        return self._buffer[self._offsets[first] : self._offsets[last]]


class BarView:
    """Bars of one kind, as far as the market has been played.

    Parameters
    ----------
    tape
        Where the bars come from.
    key
        Which bars.
    table
        All of them, future ones included; this class shows none before its time.
    history
        What the table was made of: the bars that are played, or these and coarser ones.
    counts
        Whether a bar of the source counts: not outside regular hours, if only those are wanted.
    centi_bps
        Slippage that quotes are derived with, in hundredths of a basis point.
    """

    def __init__(
        self,
        tape: Tape,
        key: ViewKey,
        table: BarTable,
        history: BarSeries,
        counts: np.ndarray[tuple[int], np.dtype[np.bool_]] | None,
        centi_bps: int,
    ) -> None:
        self.key = key
        self.table = table
        self._tape = tape
        self._source = tape.series[key.symbol]
        self._history = history
        self._counts = counts
        self._centi_bps = centi_bps
        self._rows: dict[bool, Rows] = {}
        self._day_starts = np.flatnonzero(np.diff(table.days, prepend=table.days[:1] - 1))
        self._one_to_one = history is self._source and len(table.start_ns) == len(history)
        self.is_plain = self._one_to_one and key.what not in DERIVED
        """Whether each bar is one bar of the source, unchanged."""
        self.is_daily = key.seconds >= DAY
        """Whether bars are dated by their day."""

    def completed(self) -> int:
        """Count the bars that are complete."""
        tape = self._tape
        return tape.completed(self.key.symbol) if self._one_to_one else self.table.completed(tape.now_ns)

    def date(self, start_ns: int, day: int, epoch: bool) -> str:
        """Write the date of a bar: of days and longer the day, else its start."""
        if self.is_daily:
            return str(np.datetime64(day, "D")).replace("-", "")
        if epoch:
            return str(start_ns // NANOS)
        return moment(start_ns).strftime("%Y%m%d %H:%M:%S ") + ZONE_NAME

    def bar(self, place: int) -> Bar:
        """Return a completed bar."""
        table = self.table
        values = [float(column[place]) for column in table.ohlcv]
        bar = Bar(self.key.symbol, int(table.start_ns[place]), int(table.end_ns[place]), *values)
        return self._shown(bar)

    def rows(self, first: int, last: int, epoch: bool) -> bytes:
        """Return completed bars `first` up to but not including `last` as rows of a history."""
        epoch = epoch and not self.is_daily
        rows = self._rows.get(epoch)
        if rows is None:
            table = self.table
            starts, days = table.start_ns.tolist(), table.days.tolist()
            dates = [self.date(start, day, epoch) for start, day in zip(starts, days, strict=True)]
            columns = [column.tolist() for column in (table.start_ns, table.end_ns, *table.ohlcv)]
            bars = [Bar(self.key.symbol, *row) for row in zip(*columns, strict=True)]
            if self.key.what in DERIVED:
                bars = [self._shown(bar) for bar in bars]
            rows = self._rows[epoch] = Rows(dates, bars)
        return rows.slice(first, last)

    def forming(self) -> Bar | None:
        """Return what there is so far of the bar that is not complete yet."""
        count, tape, symbol = self.completed(), self._tape, self.key.symbol
        since_ns = int(self.table.end_ns[count - 1]) if count else 0
        bars: list[Bar] = []
        mixed = self._history is not self._source
        if mixed:
            places = np.arange(self._history.completed(since_ns), self._history.completed(tape.now_ns))
            bars += self._joined(self._history, places)
            since_ns = bars[-1].end_ns if bars else since_ns
        played = tape.completed(symbol)
        places = np.arange(self._source.completed(since_ns), played)
        bars += self._joined(self._source, places if self._counts is None else places[self._counts[places]])
        part = tape.forming(symbol)
        if part is not None and (self._counts is None or self._counts[played]):
            bars.append(part)
        if mixed and len(bars) > 1:  # where coarser bars are missing, what follows them may be of a later bar
            keys = self._bucket([bar.start_ns for bar in bars])
            bars = [bar for bar, key in zip(bars, keys, strict=True) if key == keys[-1]]
        return self._shown(merge(bars)) if bars else None

    def _joined(self, series: BarSeries, places: Int64Array) -> list[Bar]:
        """Return bars at some places as one, or none; only the last of a mixture's that belong together."""
        if len(places) > 1 and self._history is not self._source:
            keys = self._bucket(series.start_ns[places])
            places = places[keys == keys[-1]]
        if not len(places):
            return []
        first, last = places[0], places[-1]
        high, low = float(series.high[places].max()), float(series.low[places].min())
        open_, close = float(series.open[first]), float(series.close[last])
        start_ns, end_ns = int(series.start_ns[first]), int(series.end_ns[last])
        volume = float(series.volume[places].sum())
        return [Bar(self.key.symbol, start_ns, end_ns, open_, high, low, close, volume)]

    def _bucket(self, starts_ns: Int64Array | list[int]) -> Int64Array:
        return bucket(self.key.seconds, local_ns(np.asarray(starts_ns, dtype=np.int64)))

    def day_of(self, bar: Bar) -> int:
        """Return the New York date of the last moment of a forming bar, as days since 1970."""
        last_ns = max(bar.start_ns, bar.end_ns - 1)
        return int(local_ns(np.array([last_ns]))[0] // (DAY * NANOS))

    def days_back(self, last: int, days: int) -> int:
        """Return the first of the last `days` trading days' bars before bar `last`."""
        begun = int(self._day_starts.searchsorted(last, side="left"))
        return int(self._day_starts[max(0, begun - days)]) if begun and days > 0 else last

    def _shown(self, bar: Bar) -> Bar:
        return quoted_bar(bar, self.key.what, self._tape.ticks[self.key.symbol], self._centi_bps)


class Views:
    """The views of a market, each made when it is first asked for.

    Parameters
    ----------
    tape
        The bars.
    calendar
        Regular hours; None where all hours are regular.
    centi_bps
        Slippage that quotes are derived with, in hundredths of a basis point.
    """

    def __init__(self, tape: Tape, calendar: MarketClock | None = None, centi_bps: int = 0) -> None:
        self._tape = tape
        self._calendar = calendar
        self._centi_bps = centi_bps
        self._views: dict[ViewKey, BarView] = {}
        self._regular: dict[str, np.ndarray[tuple[int], np.dtype[np.bool_]] | None] = {}

    def find(self, symbol: str, bar_size: str, what: str, *, rth: bool) -> BarView:
        """Return the bars a client wants.

        Raises
        ------
        RequestRefusedError
            321 for a size or kind that TWS does not know, 162 for what cannot be had here.
        """
        seconds = SIZES.get(bar_size)
        if seconds is None:
            raise invalid("Historical data bar size setting is invalid")
        if what not in SERVED:
            raise RequestRefusedError(162, f"{FAILED}No historical data of type {what[:32]}")
        if symbol not in self._tape.series:
            raise RequestRefusedError(162, f"{FAILED}No historical data for {symbol}")
        key = ViewKey(symbol, seconds, what, rth and self._regular_only(symbol) is not None)
        view = self._views.get(key)
        if view is None:
            view = self._views[key] = self._make(key, bar_size)
        return view

    def _make(self, key: ViewKey, bar_size: str) -> BarView:
        tape = self._tape
        source = tape.series[key.symbol]
        counts = self._regular_only(key.symbol) if key.rth else None
        held = [source, *(each for (symbol, _), each in tape.coarser.items() if symbol == key.symbol)]
        fitting = [series for series in held if can_make(series, key.seconds)]
        if not fitting:
            sizes = ", ".join(series.timeframe.ib_bar_size for series in held)
            raise RequestRefusedError(
                162, f"{FAILED}No historical data of bar size {bar_size}; this gateway holds {sizes}"
            )
        if fitting[-1] is source:
            return BarView(
                tape, key, make_table(source, key.seconds, counts), source, counts, self._centi_bps
            )
        history = stitch(fitting[-1], source, counts)
        return BarView(tape, key, make_table(history, key.seconds), history, counts, self._centi_bps)

    def _regular_only(self, symbol: str) -> np.ndarray[tuple[int], np.dtype[np.bool_]] | None:
        """Return which bars are of regular hours, or None if all are."""
        if self._calendar is None:
            return None
        if symbol not in self._regular:
            inside = in_sessions(self._tape.series[symbol], self._calendar)
            self._regular[symbol] = None if inside.all() else inside
        return self._regular[symbol]


def encode_row(date: str, bar: Bar) -> bytes:
    """Encode a bar of a history."""
    prices = f"{bar.open}\0{bar.high}\0{bar.low}\0{bar.close}"
    return f"{date}\0{prices}\0{volume_text(bar.volume)}\0-1\0-1\0".encode()


def encode_update(date: str, bar: Bar) -> bytes:
    """Encode what follows the request id in an update: prices are open, close, high, low."""
    prices = f"{bar.open}\0{bar.close}\0{bar.high}\0{bar.low}"
    return f"-1\0{date}\0{prices}\0-1\0{volume_text(bar.volume)}\0".encode()


def volume_text(volume: float) -> str:
    """Write a volume, whole where it is."""
    return str(int(volume)) if volume.is_integer() else repr(volume)


def invalid(cause: str) -> RequestRefusedError:
    """Return the refusal of a request that makes no sense."""
    return RequestRefusedError(321, f"Error validating request.-'bC' : cause - {cause}")
