"""Times that cannot be the ends of bars are told as what they are, and only those."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.bars import Int64Array
from data.calendars import ExchangeClock
from data.quality import Kind, Rows, Severity, check
from execution.timeframes import Timeframe

YEAR = ExchangeClock("XNYS", dt.date(2024, 1, 2), dt.date(2024, 12, 31))
MINUTE, HOUR = 60 * 10**9, 3_600 * 10**9
NEW_YORKS = -10
"""Half hours by which New York's own clock is off in winter: those times are told as what it shows."""


def rows_of(ends: Int64Array, timeframe: Timeframe = Timeframe.MINUTE) -> Rows:
    count = len(ends)
    close = np.round(100 * np.exp(np.cumsum(np.random.default_rng(1).normal(0, 0.0005, count))), 4)
    volume = np.arange(1000, 1000 + count, dtype=np.float64)
    return Rows("AAA", timeframe, ends, close, close + 0.01, close - 0.01, close, volume)


def ends_of(step: int, before: int = 0, after: int = 0) -> Int64Array:
    """Ends of the bars of a year, with so many before each open and after each close."""
    sessions = zip(YEAR.opens_ns.tolist(), YEAR.closes_ns.tolist(), strict=True)
    return np.concatenate(
        [np.arange((a // step + 1 - before) * step, b + after * step + 1, step) for a, b in sessions]
    )


def wall(ends: Int64Array) -> Int64Array:
    """Return what a clock in New York shows, as if it were UTC."""
    local = pd.DatetimeIndex(ends, tz="UTC").tz_convert(YEAR.tz).tz_localize(None)
    return np.asarray(local.as_unit("ns").asi8)


def mistimed(rows: Rows) -> str:
    found = check(rows, YEAR)
    assert [(one.kind, one.severity) for one in found] == [(Kind.MISTIMED, Severity.ERROR)]
    assert found[0].count == len(rows)
    return found[0].what


@pytest.mark.parametrize("step", [MINUTE, HOUR])
def test_times_of_the_exchange_written_as_utc_are_told(step: int) -> None:
    size = Timeframe.MINUTE if step == MINUTE else Timeframe.HOUR
    assert "the clock of America/New_York" in mistimed(rows_of(wall(ends_of(step)), size))


def test_so_they_are_with_extended_hours_in_which_little_trades() -> None:
    ends = ends_of(MINUTE, before=330, after=240)
    local = pd.DatetimeIndex(wall(ends))
    minute = local.hour * 60 + local.minute
    thin = (minute <= 570) | (minute > 960)
    rows = rows_of(ends)
    rows.volume[thin] /= 20
    assert {one.kind for one in check(rows, YEAR)} == {Kind.OUTSIDE}
    shown = Rows("AAA", Timeframe.MINUTE, wall(ends), rows.open, rows.high, rows.low, rows.close, rows.volume)
    assert "the clock of America/New_York" in mistimed(shown)


@settings(max_examples=20)
@given(st.integers(-28, 28).filter(lambda halves: halves not in (0, NEW_YORKS)), st.booleans())
def test_times_shifted_by_hours_are_told_with_the_hours(halves: int, traded: bool) -> None:
    rows = rows_of(ends_of(MINUTE)[: 390 * 40] + halves * HOUR // 2)
    if not traded:
        rows.volume[:] = 0
    direction = "earlier" if halves > 0 else "later"
    assert f"all {abs(halves) / 2:g} h {direction}, 0% would" in mistimed(rows)


def test_a_clock_without_daylight_saving_time_is_told() -> None:
    winter = wall(ends_of(MINUTE)) + 5 * HOUR
    assert "a clock without daylight saving time" in mistimed(rows_of(winter))


@pytest.mark.parametrize("step", [MINUTE, HOUR])
def test_starts_of_bars_are_told_from_their_ends(step: int) -> None:
    size = Timeframe.MINUTE if step == MINUTE else Timeframe.HOUR
    starts = np.concatenate(
        [np.arange(a // step * step, b, step) for a, b in zip(YEAR.opens_ns, YEAR.closes_ns, strict=True)]
    )
    assert "a row at their open, and 0 at their close" in mistimed(rows_of(starts, size))


@pytest.mark.parametrize(
    ("ends", "size", "said"),
    [
        (ends_of(5 * MINUTE), Timeframe.MINUTE, "bars of 5 minutes"),
        (ends_of(MINUTE // 2)[:5000], Timeframe.MINUTE, "bars of 30 seconds"),
        (YEAR.opens_ns, Timeframe.HOUR, "a time a day"),
        (YEAR.opens_ns // (24 * HOUR) * 24 * HOUR, Timeframe.HOUR, "a time a day"),
    ],
)
def test_bars_of_another_size_are_told(ends: Int64Array, size: Timeframe, said: str) -> None:
    assert said in mistimed(rows_of(ends, size))


def test_a_row_not_on_a_whole_minute_is_told_as_an_import_would_and_the_others_are_checked() -> None:
    ends = ends_of(MINUTE)[:4000].copy()
    ends[[100, 2000]] += 30 * 10**9
    odd, *others = check(rows_of(ends), YEAR)
    assert (odd.kind, odd.severity, odd.count) == (Kind.MISTIMED, Severity.ERROR, 2)
    assert [(one.kind, one.count) for one in others] == [(Kind.SPARSE, 2)]


@settings(max_examples=15)
@given(st.floats(0.02, 1.0), st.integers(0, 330), st.integers(0, 240))
def test_thin_trading_and_extended_hours_are_not_mistimed(share: float, before: int, after: int) -> None:
    ends = ends_of(MINUTE, before, after)[:30_000]
    kept = np.random.default_rng(7).random(len(ends)) < share
    assert Kind.MISTIMED not in {one.kind for one in check(rows_of(ends[kept]), YEAR)}
