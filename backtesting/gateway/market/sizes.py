"""Bars of any size from those that are loaded.

Intraday sizes are cut at the clock of New York: a bar of 30 minutes starts at a half hour, the first bar of
an hour at the open. Days, weeks (Monday to Sunday) and months hold the bars that start in them; a week or
month is dated by the last day that it holds. Seconds cannot be had: no bar is made finer than it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from backtesting.gateway.wire.codec import EASTERN
from data.bars import BarSeries
from data.calendars import MarketClock
from execution.clocks import NANOS

Int64Array = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

DAY: Final = 86_400
WEEK: Final = 7 * DAY
MONTH: Final = 30 * DAY
_DAY_NS: Final = DAY * NANOS

SIZES: Final = {
    **dict.fromkeys(("1 sec", "1 secs"), 1),
    **{f"{n} secs": n for n in (5, 10, 15, 30)},
    "1 min": 60,
    **{f"{n} mins": n * 60 for n in (2, 3, 5, 10, 15, 20, 30)},
    "1 hour": 3600,
    **{f"{n} hours": n * 3600 for n in (2, 3, 4, 8)},
    "1 day": DAY,
    **dict.fromkeys(("1 week", "1W"), WEEK),
    **dict.fromkeys(("1 month", "1M"), MONTH),
}
"""Seconds of a bar by its name on the wire; a month's are nominal."""


@dataclass(frozen=True, slots=True, eq=False)
class BarTable:
    """Bars of one symbol and size, oldest first, future ones included."""

    seconds: int
    start_ns: Int64Array
    end_ns: Int64Array
    ohlcv: tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]
    days: Int64Array
    """New York date of each bar (of its last day), as days since 1970."""

    def completed(self, now_ns: int) -> int:
        """Count the bars that are complete at a time."""
        return int(self.end_ns.searchsorted(now_ns, side="right"))


def local_ns(ns: Int64Array) -> Int64Array:
    """Return moments as New York wall time, in nanoseconds since 1970-01-01 there."""
    local = pd.DatetimeIndex(ns, tz="UTC").tz_convert(EASTERN).tz_localize(None)
    return np.asarray(local.as_unit("ns").asi8, dtype=np.int64)


def bucket(seconds: int, local: Int64Array) -> Int64Array:
    """Return which bar of a size each moment of New York wall time belongs to."""
    days = local // _DAY_NS
    if seconds == WEEK:
        return (days + 3) // 7  # 1970-01-01 was a Thursday
    if seconds == MONTH:
        months = days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
        return np.asarray(months, dtype=np.int64)
    if seconds >= DAY:
        return days
    return local // (seconds * NANOS)


def can_make(source: BarSeries, seconds: int) -> bool:
    """Say whether bars of a size can be made of a source's."""
    own = source.timeframe.seconds
    return own <= seconds and (seconds >= DAY or seconds % own == 0)


def stitch(coarser: BarSeries, finer: BarSeries, keep: npt.NDArray[np.bool_] | None) -> BarSeries:
    """Return the coarser bars of a symbol, with the finer ones before and behind them that a mask keeps.

    What results is in order and does not overlap; only bars no finer than the coarser may be made of it.
    """
    outside = (finer.end_ns <= coarser.start_ns[0]) | (finer.start_ns >= coarser.end_ns[-1])
    if keep is not None:
        outside &= keep
    names = ("start_ns", "end_ns", "open", "high", "low", "close", "volume")
    columns = [np.concatenate([getattr(coarser, name), getattr(finer, name)[outside]]) for name in names]
    order = np.argsort(columns[1])
    return BarSeries(finer.symbol, finer.timeframe, *(column[order] for column in columns))


def in_sessions(series: BarSeries, calendar: MarketClock) -> npt.NDArray[np.bool_]:
    """Return which bars lie wholly in a regular session."""
    opens, closes = [], []
    now = int(series.start_ns[0]) if len(series) else 0
    last = int(series.end_ns[-1]) if len(series) else 0
    while (session := calendar.session_closing_after(now)) is not None and session.open_ns < last:
        opens.append(session.open_ns)
        closes.append(session.close_ns)
        now = session.close_ns
    if not opens:
        return np.zeros(len(series), dtype=np.bool_)
    place = np.searchsorted(opens, series.start_ns, side="right") - 1
    inside: npt.NDArray[np.bool_] = (place >= 0) & (series.end_ns <= np.asarray(closes)[place])
    return inside


def make_table(source: BarSeries, seconds: int, keep: npt.NDArray[np.bool_] | None = None) -> BarTable:
    """Make bars of a size of a source's bars, those that a mask keeps.

    Parameters
    ----------
    source
        Bars no coarser than the size; see `can_make`.
    seconds
        One of `SIZES`.
    keep
        Which bars count; None for all.
    """
    columns = [source.open, source.high, source.low, source.close, source.volume]
    starts, ends = source.start_ns, source.end_ns
    if keep is not None:
        columns, starts, ends = [column[keep] for column in columns], starts[keep], ends[keep]
    o, h, l, c, v = columns  # noqa: E741  the usual letters of a bar
    local = local_ns(starts)
    days = local // _DAY_NS
    if seconds == source.timeframe.seconds or not len(starts):
        return BarTable(seconds, starts, ends, (o, h, l, c, v), days)
    keys = bucket(seconds, local)
    first = np.flatnonzero(np.diff(keys, prepend=keys[:1] - 1))
    last = np.append(first[1:], len(starts)) - 1
    h, l, v = np.maximum.reduceat(h, first), np.minimum.reduceat(l, first), np.add.reduceat(v, first)  # noqa: E741
    return BarTable(seconds, starts[first], ends[last], (o[first], h, l, c[last], v), days[last])
