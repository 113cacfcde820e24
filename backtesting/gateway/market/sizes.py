"""Bars of any size from those that are loaded.

Intraday sizes are cut at the clock of New York: a bar of 30 minutes starts at a half hour, the first bar of
an hour at the open. Days, weeks (Monday to Sunday) and months hold the bars that start in them; a week or
month is dated by the last day that it holds. Seconds cannot be had: no bar is made finer than it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
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
    """Bars of one symbol and size, oldest first, future ones included.

    Bar `i` is made of the source's bars `source_first[i]` up to but not including `source_last[i]`, and is
    complete when those are; a table that has no such source is complete by the clock.
    """

    seconds: int
    start_ns: Int64Array
    end_ns: Int64Array
    ohlcv: tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]
    days: Int64Array
    """New York date of each bar (of its last day), as days since 1970."""
    source_first: Int64Array | None
    source_last: Int64Array | None

    def completed(self, source_count: int, now_ns: int) -> int:
        """Count the complete bars when `source_count` of the source's are, or at a time."""
        if self.source_last is None:
            return int(self.end_ns.searchsorted(now_ns, side="right"))
        return int(self.source_last.searchsorted(source_count, side="right"))


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
    return seconds >= DAY or seconds % source.timeframe.seconds == 0


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


def make_table(source: BarSeries, seconds: int, keep: npt.NDArray[np.bool_] | None) -> BarTable:
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
    count = len(source)
    if keep is None and seconds == source.timeframe.seconds:
        plain, places = plain_table(source), np.arange(count)
        return replace(plain, source_first=places, source_last=places + 1)
    kept = np.arange(count) if keep is None else np.flatnonzero(keep)
    columns = (source.open, source.high, source.low, source.close, source.volume)
    o, h, l, c, v = (column[kept] for column in columns)  # noqa: E741  the usual letters of a bar
    starts, ends = source.start_ns[kept], source.end_ns[kept]
    local = local_ns(starts)
    keys = bucket(seconds, local)
    first = np.flatnonzero(np.diff(keys, prepend=keys[:1] - 1)) if len(keys) else np.zeros(0, dtype=np.int64)
    last = np.append(first[1:], len(kept)) - 1 if len(first) else first
    if len(first):
        h, l, v = np.maximum.reduceat(h, first), np.minimum.reduceat(l, first), np.add.reduceat(v, first)  # noqa: E741
    return BarTable(
        seconds,
        starts[first],
        ends[last],
        (o[first], h, l, c[last], v),
        local[last] // _DAY_NS,
        kept[first],
        kept[last] + 1,
    )


def plain_table(series: BarSeries) -> BarTable:
    """Return bars that only serve history as they are; they are complete by the clock."""
    columns = (series.open, series.high, series.low, series.close, series.volume)
    days = local_ns(series.start_ns) // _DAY_NS
    return BarTable(series.timeframe.seconds, series.start_ns, series.end_ns, columns, days, None, None)
