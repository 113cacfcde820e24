"""Bars of one symbol as arrays, rounded to the tick once, and the steps of many symbols in time order.

Every path (engine, gateway, notebooks) starts from a `BarSeries`, so a price has one value everywhere: the
float nearest to its decimal spelling, ``123.45`` and never ``123.45000000000002``.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from decimal import Decimal

import numpy as np
import numpy.typing as npt

from data.calendars import ExchangeClock
from data.errors import BarFileError
from execution.clocks import NANOS, timestamp
from execution.models import Bar
from execution.numbers import round_to_tick
from execution.timeframes import Timeframe

FloatArray = npt.NDArray[np.float64]
Int64Array = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

DAY_NS = 86_400 * NANOS
HIGHEST_PRICE = 1e9
HIGHEST_VOLUME = 1e15
"""Beyond these a number is a mistake of its source; the dearest share has never cost a million."""
_EXACT_INTEGER = 2**53
_NEAR_HALF = 1e-4


@dataclass(frozen=True, slots=True, eq=False)
class BarSeries:
    """Bars of one symbol, oldest first; arrays of one length, read-only.

    `start_ns` and `end_ns` are UTC nanoseconds, prices are multiples of the tick, volume is in units of the
    instrument.

    Raises
    ------
    ValueError
        If the arrays differ in length, or the ends do not ascend.
    """

    symbol: str
    timeframe: Timeframe
    start_ns: Int64Array
    end_ns: Int64Array
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray

    def __post_init__(self) -> None:
        for field in fields(self)[2:]:
            kind = np.int64 if field.name.endswith("_ns") else np.float64
            array = np.ascontiguousarray(getattr(self, field.name), dtype=kind)
            if array.shape != self.end_ns.shape or array.ndim != 1:
                raise ValueError(
                    f"{self.symbol}: {field.name} has shape {array.shape}, ends {self.end_ns.shape}"
                )
            view = array.view()
            view.flags.writeable = False
            object.__setattr__(self, field.name, view)
        if (np.diff(self.end_ns) <= 0).any() or (self.start_ns >= self.end_ns).any():
            raise ValueError(f"{self.symbol}: bars must end after they start, and in ascending order")

    def __len__(self) -> int:
        return len(self.end_ns)

    def __repr__(self) -> str:
        return f"BarSeries({self.symbol!r}, {self.timeframe.value}, {len(self)} bars)"

    def __iter__(self) -> Iterator[Bar]:
        for row in zip(*self._columns(), strict=True):
            yield Bar(self.symbol, *row)

    def bar(self, i: int) -> Bar:
        """Return the bar at position `i`; negative positions count from the end."""
        return Bar(
            self.symbol,
            int(self.start_ns[i]),
            int(self.end_ns[i]),
            float(self.open[i]),
            float(self.high[i]),
            float(self.low[i]),
            float(self.close[i]),
            float(self.volume[i]),
        )

    def completed(self, now_ns: int) -> int:
        """Count the bars whose end is not after `now_ns`: their positions are ``0 .. count - 1``."""
        return int(np.searchsorted(self.end_ns, now_ns, side="right"))

    def slice(self, first: int, last: int) -> BarSeries:
        """Return the bars at positions ``first .. last - 1`` without copying them."""
        arrays = [getattr(self, field.name)[first:last] for field in fields(self)[2:]]
        return BarSeries(self.symbol, self.timeframe, *arrays)

    def _columns(self) -> list[list[int] | list[float]]:
        return [getattr(self, field.name).tolist() for field in fields(self)[2:]]


@dataclass(frozen=True, slots=True)
class RawBars:
    """Rows of one file: `times` are days since the epoch if `daily`, else bar ends in UTC nanoseconds."""

    daily: bool
    times: Int64Array
    ohlc: tuple[FloatArray, FloatArray, FloatArray, FloatArray]
    volume: FloatArray

    def select(self, keep: BoolArray) -> RawBars:
        """Return the rows that a mask keeps."""
        opens, highs, lows, closes = (column[keep] for column in self.ohlc)
        return RawBars(self.daily, self.times[keep], (opens, highs, lows, closes), self.volume[keep])

    def date(self, i: int) -> dt.date:
        """Return the date of row `i`: the exchange's for daily bars, else the UTC date of its end."""
        days = int(self.times[i]) if self.daily else int(self.times[i]) // DAY_NS
        return dt.date(1970, 1, 1) + dt.timedelta(days=days)


def steps(series: Mapping[str, BarSeries]) -> Iterator[tuple[int, list[Bar]]]:
    """Yield ``(end_ns, bars)`` for every distinct end in time order, the bars sorted by symbol."""
    symbols = sorted(series)
    if not symbols:
        return
    columns = [series[symbol]._columns() for symbol in symbols]
    ends = np.concatenate([series[symbol].end_ns for symbol in symbols])
    owner = np.repeat(np.arange(len(symbols)), [len(series[symbol]) for symbol in symbols])
    position = np.concatenate([np.arange(len(series[symbol])) for symbol in symbols])
    order = np.lexsort((owner, ends))
    current: int | None = None
    bars: list[Bar] = []
    for end, who, i in zip(
        ends[order].tolist(), owner[order].tolist(), position[order].tolist(), strict=True
    ):
        if end != current:
            if current is not None:
                yield current, bars
            current, bars = end, []
        bars.append(Bar(symbols[who], *[column[i] for column in columns[who]]))
    if current is not None:
        yield current, bars


def round_prices(prices: FloatArray, tick: Decimal) -> FloatArray:
    """Round prices to the tick, half to even on their decimal spelling, as exactly spelt floats.

    A tick is an integer over a power of ten, so ticks times that integer is a whole number that a float
    holds exactly, and one division by the power of ten rounds correctly: the result is the float that the
    decimal spelling of the price parses to.

    Raises
    ------
    ValueError
        If a price is not finite, or too large for the tick to be exact.
    """
    sign, digits, exponent = tick.as_tuple()
    if sign or not isinstance(exponent, int) or not any(digits):
        raise ValueError(f"tick {tick} must be positive")
    unit = int(tick.scaleb(-exponent)) * 10 ** max(exponent, 0)
    scale = float(10 ** max(-exponent, 0))
    exact = prices * scale / unit
    if not (np.abs(exact) * unit < _EXACT_INTEGER).all():
        raise ValueError(f"a price is not finite or too large for the tick {tick}")
    ticks = np.rint(exact)
    # Near a half the float product may fall on the wrong side: decide those few on the decimal spelling.
    for i in np.flatnonzero(np.abs(np.abs(exact - np.floor(exact)) - 0.5) < _NEAR_HALF):
        ticks[i] = float(round_to_tick(float(prices[i]), tick) / tick)
    rounded: FloatArray = ticks * unit / scale
    return rounded


def defects(
    opens: FloatArray,
    highs: FloatArray,
    lows: FloatArray,
    closes: FloatArray,
    volumes: FloatArray,
    *,
    signed: bool | BoolArray = False,
) -> Iterator[tuple[str, BoolArray]]:
    """Yield each rule of a sound bar with the mask of the bars that break it (all arrays of one length).

    `signed` says of which bars the price may be zero or negative (`data.signs`).
    """
    for name, prices in (("open", opens), ("high", highs), ("low", lows), ("close", closes)):
        yield f"{name} is not a finite number", ~np.isfinite(prices)
        yield f"{name} is not positive", ~((prices > 0) | signed) & np.isfinite(prices)
        yield f"{name} is beyond {HIGHEST_PRICE:,.0f}", np.isfinite(prices) & (np.abs(prices) > HIGHEST_PRICE)
    yield "high is below low", highs < lows
    yield "open is outside low and high", (opens > highs) | (opens < lows)
    yield "close is outside low and high", (closes > highs) | (closes < lows)
    yield "volume is negative or not a number", ~(np.isfinite(volumes) & (volumes >= 0))
    yield f"volume is above {HIGHEST_VOLUME:,.0f}", volumes > HIGHEST_VOLUME


def build_series(
    symbol: str,
    rows: RawBars,
    timeframe: Timeframe,
    clock: ExchangeClock,
    tick: Decimal,
    where: str,
    *,
    regular_hours: bool = True,
    signed: bool = False,
) -> tuple[BarSeries, int]:
    """Give each row its start and end, drop rows outside sessions, round to the tick.

    Prices of `signed` bars may be zero or negative.

    Returns
    -------
    tuple
        The series and the number of rows dropped.

    Raises
    ------
    BarFileError
        If no row is left, or a price rounds to zero.
    """
    starts, ends, inside = _spans(rows, timeframe, clock)
    keep = inside if regular_hours or rows.daily else np.ones(len(inside), dtype=np.bool_)
    if not keep.any():
        raise BarFileError(
            f"{where}: none of its {len(keep)} bars lies in a session of {clock.name}; "
            "check the calendar's name and that times are UTC"
        )
    kept = rows.select(keep)
    try:
        opens, highs, lows, closes = (round_prices(column, tick) for column in kept.ohlc)
    except ValueError as error:
        raise BarFileError(f"{where}: {error}; check the tick") from error
    if lows.min() <= 0 and not signed:
        raise BarFileError(f"{where}: a price below half the tick {tick} rounds to zero; set a smaller tick")
    series = BarSeries(symbol, timeframe, starts[keep], ends[keep], opens, highs, lows, closes, kept.volume)
    return series, int((~keep).sum())


def _spans(
    rows: RawBars, timeframe: Timeframe, clock: ExchangeClock
) -> tuple[Int64Array, Int64Array, BoolArray]:
    if not len(clock):
        nothing = np.zeros(len(rows.times), dtype=np.int64)
        return nothing, nothing, np.zeros(len(rows.times), dtype=np.bool_)
    if rows.daily:
        days = np.array(clock.dates, dtype="datetime64[D]").astype(np.int64)
        i = np.minimum(np.searchsorted(days, rows.times), len(days) - 1)
        return clock.opens_ns[i], clock.closes_ns[i], days[i] == rows.times
    ends = rows.times
    # The hour that the bar belongs to, cut at the session's open: a first bar spans 09:30 to 10:00.
    starts = (ends - 1) // timeframe.nanos * timeframe.nanos
    i = np.maximum(np.searchsorted(clock.opens_ns, ends, side="left") - 1, 0)
    opens, closes = clock.opens_ns[i], clock.closes_ns[i]
    inside = (opens < ends) & (ends <= closes)
    return np.where(inside, np.maximum(starts, opens), starts), ends, inside


def within_dates(
    bars: BarSeries, clock: ExchangeClock, start: dt.date | None, end: dt.date | None, where: str
) -> BarSeries:
    """Return the bars from `start` to `end`, both exchange dates; raise `BarFileError` if none is left."""
    if start is None and end is None:
        return bars
    low, high = 0, len(bars)
    if start is not None:
        low = int(np.searchsorted(bars.end_ns, clock.midnight_ns(start), side="right"))
    if end is not None:
        high = int(np.searchsorted(bars.end_ns, clock.midnight_ns(end + dt.timedelta(days=1)), side="right"))
    if low >= high:
        first, last = (timestamp(int(ns)).date() for ns in bars.end_ns[[0, -1]])
        raise BarFileError(
            f"{where}: no bars from {start or 'its start'} to {end or 'its end'}; it holds {first} to {last}"
        )
    return bars.slice(low, high)


def data_hash(series: BarSeries) -> str:
    """Return the SHA-256 of symbol, timeframe and every array; equal bars give equal text on any machine."""
    digest = hashlib.sha256(f"{series.symbol}|{series.timeframe.value}|{len(series)}|".encode())
    for field in fields(series)[2:]:
        array = getattr(series, field.name)
        digest.update(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
    return digest.hexdigest()
