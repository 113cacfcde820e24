"""Whether the times of intraday rows can be the ends of bars of this exchange and size.

1. Rows mostly apart by another distance than the size of a bar are bars of another size, or days.
2. Rows of which none ends with its session, though one ends with each open, are named by their starts.
3. Rows that trade outside of the sessions, and would within them if their times were those of the exchange's
   clock, or all a number of hours later or earlier, are of another zone. What trades is measured by volume,
   so that bars of extended hours do not decide.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Final

import numpy as np
import pandas as pd

from data.bars import DAY_NS, BoolArray, Int64Array
from data.calendars import ExchangeClock
from data.quality.finding import Finding, Kind, Severity
from data.quality.rows import Rows
from execution.clocks import NANOS, timestamp
from execution.timeframes import Timeframe

_FEW: Final = 20
"""Fewer rows say nothing of their times."""
_MOSTLY: Final = 0.6
"""Share of the distances between rows that makes their size."""
_ASIDE: Final = 0.02
"""Share of the volume outside sessions from which another zone is looked for."""
_BETTER: Final = 5
"""A zone explains the times if it leaves so many times less volume outside."""
_SAMPLE: Final = 20_000
"""Rows that are tried in other zones."""
_HALF_HOUR: Final = 1_800 * NANOS
_SHIFTS: Final = tuple(of * _HALF_HOUR for of in range(-28, 29) if of)


def mistimed(rows: Rows, clock: ExchangeClock) -> Finding | None:
    """Say what is wrong with the times of sound rows in ascending order, if anything is."""
    if rows.timeframe is Timeframe.DAY or len(rows) < _FEW or not len(clock):
        return None
    for wrong in (_size(rows), _starts(rows, clock), _zone(rows, clock)):
        if wrong is not None:
            first, last = timestamp(int(rows.end_ns[0])), timestamp(int(rows.end_ns[-1]))
            return Finding(Severity.ERROR, Kind.MISTIMED, rows.symbol, first, last, len(rows), *wrong)
    return None


def _size(rows: Rows) -> tuple[str, str] | None:
    distances, counts = np.unique(np.diff(rows.end_ns), return_counts=True)
    apart, step = int(distances[np.argmax(counts)]), rows.timeframe.nanos
    if apart == step or counts.max() < _MOSTLY * counts.sum():
        return None
    if distances.min() > DAY_NS * 2 // 3:
        remedy = "write daily bars under their dates alone, such as 2018-01-02, in a column 'date'"
        return "a time a day, but no bars of an hour or a minute", remedy
    length = f"{apart // (60 * NANOS)} minutes" if apart % (60 * NANOS) == 0 else f"{apart / NANOS:g} seconds"
    return f"bars of {length}, by the distance between them", "take bars of 1m, 1h or 1D"


def _starts(rows: Rows, clock: ExchangeClock) -> tuple[str, str] | None:
    session = np.unique(np.searchsorted(clock.closes_ns, rows.end_ns, side="left"))
    session = session[session < len(clock)]
    if not len(session):
        return None
    step = rows.timeframe.nanos
    begins = clock.opens_ns[session] // step * step
    first, last = (np.isin(of, rows.end_ns) for of in (begins, clock.closes_ns[session]))
    if first.mean() < 1 - _ASIDE or last.mean() > _ASIDE or _aside(rows.end_ns, clock).sum() > first.sum():
        return None
    what = f"{int(first.sum()):,} sessions have a row at their open, and {int(last.sum()):,} at their close"
    return what, "these seem to be the starts of bars: write their ends"


def _aside(ends: Int64Array, clock: ExchangeClock) -> BoolArray:
    i = np.maximum(np.searchsorted(clock.opens_ns, ends, side="left") - 1, 0)
    outside: BoolArray = (ends <= clock.opens_ns[i]) | (clock.closes_ns[i] < ends)
    return outside


def _zone(rows: Rows, clock: ExchangeClock) -> tuple[str, str] | None:
    every = slice(None, None, len(rows) // _SAMPLE + 1)
    ends, volume = rows.end_ns[every], rows.volume[every]
    weight = volume if volume.sum() > 0 else np.ones(len(ends))

    def aside(tried: Int64Array) -> float:
        return float(weight[_aside(tried, clock)].sum() / weight.sum())

    now = aside(ends)
    if now < _ASIDE:
        return None
    zones = {f"of {name}": aside(tried) for name, tried in _clocks(ends, clock.tz)}
    for shift in _SHIFTS:
        hours = f"{abs(shift) / (2 * _HALF_HOUR):g} h {'later' if shift > 0 else 'earlier'}"
        zones[f"all {hours}"] = aside(ends + shift)
    zone = min(zones, key=lambda name: zones[name])
    if zones[zone] * _BETTER > now:
        return None
    what = (
        f"{now:.0%} of the volume lies outside the sessions of {clock.name}; if the times were {zone}, "
        f"{zones[zone]:.0%} would"
    )
    return what, "write the times in UTC, or name the exchange by --calendar"


def _clocks(ends: Int64Array, zone: dt.tzinfo) -> Iterator[tuple[str, Int64Array]]:
    """Yield clocks of which the times may be, and what they would be in UTC."""
    wall = pd.DatetimeIndex(ends).tz_localize(
        zone, ambiguous=np.zeros(len(ends), np.bool_), nonexistent="NaT"
    )
    yield f"the clock of {zone}", np.where(wall.isna(), ends, wall.tz_convert("UTC").asi8)
    local = pd.DatetimeIndex(ends, tz="UTC").tz_convert(zone).tz_localize(None).asi8
    summer = local - ends - (local - ends).min()
    yield "a clock without daylight saving time", ends - summer
    yield "a clock with daylight saving time where UTC has none", ends + summer
