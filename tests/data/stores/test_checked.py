"""What a store refuses, with the row and the remedy, before anything is written."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from data.bars import BarSeries
from data.errors import BarConflictError, BarDataError
from data.stores.checked import checked_rows
from data.stores.rows import rows_of
from execution.timeframes import Timeframe

KNOWN = pd.Timestamp("2024-03-11", tz="UTC")
Change = Callable[[pd.DataFrame], Any]


def frame(count: int = 3) -> pd.DataFrame:
    starts = pd.date_range("2024-03-04 14:30", periods=count, freq="min", tz="UTC")
    prices = {name: [10.0] * count for name in ("open", "high", "low", "close", "volume")}
    return pd.DataFrame({"symbol": "AAA", "start": starts, "end": starts + pd.Timedelta(minutes=1), **prices})


def put(column: str, row: int, value: Any) -> Change:
    def change(bars: pd.DataFrame) -> pd.DataFrame:
        bars[column] = [value if i == row else old for i, old in enumerate(bars[column])]
        return bars

    return change


def as_type(column: str, kind: Any) -> Change:
    def change(bars: pd.DataFrame) -> pa.Table:
        table = pa.Table.from_pandas(bars, preserve_index=False)
        i = table.column_names.index(column)
        return table.set_column(i, column, pa.array([kind] * table.num_rows))

    return change


def naive(bars: pd.DataFrame) -> pd.DataFrame:
    return bars.assign(start=bars["start"].dt.tz_localize(None))


def mixed_zones(bars: pd.DataFrame) -> pd.DataFrame:
    times = bars["start"].tolist()
    return bars.assign(start=pd.Series([times[0].tz_convert("America/New_York"), *times[1:]], dtype=object))


PROBLEMS: dict[str, tuple[Change, str]] = {
    "text for prices": (as_type("open", "10.0"), r"column 'open' has type string; store 64-bit floats"),
    "numbers for times": (as_type("start", 17), r"column 'start' has type int64; store times with their tim"),
    "numbers for symbols": (as_type("symbol", 17), r"column 'symbol' has type int64; store text"),
    "naive times": (naive, r"column 'start' has no timezone.*use UTC"),
    "mixed zones": (mixed_zones, r"row 2: start has the timezone UTC, the rows before it America/New_York"),
    "mixed types": (put("open", 1, "ten"), r"holds values of several types: .*open"),
    "no close": (lambda bars: bars.drop(columns="close"), r"column 'close' is missing; the bars have symbol"),
    "a price of zero": (put("low", 1, 0.0), r"row 2, AAA 2024-03-04 14:31:00\+00:00: low is not positive"),
    "a negative price": (put("low", 2, -37.0), r"row 3, .*low is not positive \(open 10, high 10, low -37"),
    "an infinite price": (put("high", 0, np.inf), r"row 1, .*high is not a finite number"),
    "an enormous price": (put("high", 0, 1e10), r"row 1, .*high is beyond 1,000,000,000"),
    "high below low": (put("high", 1, 9.0), r"row 2, .*high is below low"),
    "close above high": (put("close", 1, 11.0), r"row 2, .*close is outside low and high"),
    "a negative volume": (put("volume", 1, -1.0), r"row 2, .*volume is negative"),
    "an enormous volume": (put("volume", 1, 1e16), r"row 2, .*volume is above"),
    "an empty price": (put("open", 1, None), r"row 2.*: open is (empty|not a finite number)"),
    "an empty symbol": (put("symbol", 1, None), r"row 2: symbol is empty; name it"),
    "an odd symbol": (put("symbol", 1, "../x"), r"row 2: symbol '\.\./x' is not a name of at most 32"),
    "an empty time": (put("start", 1, pd.NaT), r"row 2: start is empty; correct or remove the row"),
    "a time in seconds": (
        put("start", 0, pd.Timestamp(1, unit="s", tz="UTC") - pd.Timedelta(days=40_000)),
        r"row 1, .*start is outside 1900 to 2099",
    ),
    "an end before the start": (
        put("end", 1, pd.Timestamp("2024-03-04", tz="UTC")), r"row 2, .*does not end after it starts",
    ),
    "a minute of two minutes": (
        lambda bars: put("end", 2, bars["end"][2] + pd.Timedelta(minutes=1))(bars),
        r"row 3, .*the bar lasts 120 s, one of 1m 60 s",
    ),
    "half a microsecond": (
        lambda bars: put("start", 0, bars["start"][0].as_unit("ns") + pd.Timedelta(1, "ns"))(
            bars.astype({"start": "datetime64[ns, UTC]"})
        ),
        r"row 1: start is finer than a microsecond; round it",
    ),
}  # fmt: skip


@pytest.mark.parametrize("problem", PROBLEMS)
def test_an_unsound_table_is_refused_with_its_place(problem: str) -> None:
    change, message = PROBLEMS[problem]
    with pytest.raises(BarDataError, match=message):
        checked_rows(change(frame()), KNOWN, Timeframe.MINUTE)


def test_times_in_another_zone_are_the_same_moments() -> None:
    bars = frame()
    there = bars.assign(start=bars["start"].dt.tz_convert("America/New_York"))
    assert (checked_rows(there, KNOWN)[1].start == checked_rows(bars, KNOWN)[1].start).all()


def test_the_same_key_with_other_values_is_a_conflict_that_names_both_rows() -> None:
    bars = pd.concat([frame(), frame().iloc[[1]].assign(close=9.5, low=9.0)])
    with pytest.raises(BarConflictError, match=r"rows 2 and 4: AAA 2024-03-04 14:31.* different values"):
        checked_rows(bars, KNOWN)


def test_a_row_that_is_there_twice_counts_once() -> None:
    bars = pd.concat([frame(), frame().iloc[[1]]])
    assert len(checked_rows(bars, KNOWN)[1]) == 3


def test_bars_that_overlap_are_refused() -> None:
    starts = pd.to_datetime(["2024-03-04 14:30", "2024-03-04 15:00"], utc=True)
    bars = frame(2).assign(start=starts, end=starts + pd.Timedelta(hours=1))
    with pytest.raises(BarDataError, match=r"AAA 2024-03-04 15:00.*starts before the bar before it ends"):
        checked_rows(bars, KNOWN)


@pytest.mark.parametrize(("minutes", "size"), [(1, "1m"), (30, "1h"), (60, "1h"), (390, "1D")])
def test_the_timeframe_is_found_from_the_longest_bar(minutes: int, size: str) -> None:
    bars = frame(1)
    bars["end"] = bars["start"] + pd.Timedelta(minutes=minutes)
    assert checked_rows(bars, KNOWN)[0].value == size


def test_a_bar_longer_than_a_day_is_refused() -> None:
    bars = frame(1)
    bars["end"] = bars["start"] + pd.Timedelta(days=2)
    with pytest.raises(BarDataError, match=r"lasts 172800 s, one of 1D at most 86400 s"):
        checked_rows(bars, KNOWN)


def test_minutes_need_no_start() -> None:
    bars = frame().drop(columns="start")
    assert (
        checked_rows(bars, KNOWN, Timeframe.MINUTE)[1].start == checked_rows(frame(), KNOWN)[1].start
    ).all()
    with pytest.raises(BarDataError, match="column 'start' is missing"):
        checked_rows(bars, KNOWN)


def test_pandas_polars_and_arrow_give_the_same_rows() -> None:
    bars = frame()
    table = pa.Table.from_pandas(bars, preserve_index=False)
    by = [checked_rows(each, KNOWN)[1].to_arrow() for each in (bars, table, pl.from_pandas(bars))]
    assert by[0].equals(by[1])
    assert by[0].equals(by[2])
    assert rows_of(by[0]).to_arrow().equals(by[0])


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_every_resolution_of_time_is_taken(unit: str) -> None:
    bars = frame()
    expected = checked_rows(bars, KNOWN)[1].start
    assert (checked_rows(bars.assign(start=bars["start"].dt.as_unit(unit)), KNOWN)[1].start == expected).all()


def test_whole_numbers_are_taken_as_prices() -> None:
    bars = frame().astype({"volume": "int64", "open": "int32"})
    assert checked_rows(bars, KNOWN)[1].volume.tolist() == [10.0] * 3


def test_series_of_two_timeframes_are_not_mixed() -> None:
    one = np.array([10.0])
    day = BarSeries("A", Timeframe.DAY, np.array([0]), np.array([10**12]), one, one, one, one, one)
    minute = BarSeries("B", Timeframe.MINUTE, np.array([0]), np.array([60 * 10**9]), one, one, one, one, one)
    with pytest.raises(BarDataError, match="bars of 1D, 1m in one write"):
        checked_rows({"A": day, "B": minute}, KNOWN)
    odd = BarSeries("B", Timeframe.DAY, np.array([1]), np.array([10**9]), one, one, one, one, one)
    with pytest.raises(BarDataError, match="B: a start is finer than a microsecond"):
        checked_rows(odd, KNOWN)


def test_bars_that_were_learnt_at_no_moment_are_refused() -> None:
    with pytest.raises(BarDataError, match="column 'known_at' is missing"):
        checked_rows(frame(), None)


def test_symbols_of_rows_that_were_filtered_out_do_no_harm() -> None:
    bars = frame().assign(symbol=pd.Categorical(["AAA"] * 3, categories=["ZZZ", "no name!", "AAA", "B"]))
    rows = checked_rows(bars, KNOWN)[1]
    assert rows.symbols == ("AAA",)
    assert rows.to_arrow().equals(checked_rows(frame(), KNOWN)[1].to_arrow())


def test_a_frame_without_rows_is_none_however_its_columns_are_typed() -> None:
    names = ["symbol", "start", "end", "open", "high", "low", "close", "volume"]
    for empty in (frame().iloc[:0], pd.DataFrame(columns=names), pl.DataFrame({n: [] for n in names})):
        assert len(checked_rows(empty, KNOWN)[1]) == 0
    with pytest.raises(BarDataError, match="column 'volume' is missing"):
        checked_rows(pd.DataFrame(columns=names[:-1]), KNOWN)


def test_a_minute_starts_on_a_whole_one() -> None:
    """Else one could lie across the turn of a year, and over a bar of the next."""
    later = frame()
    later[["start", "end"]] += pd.Timedelta(seconds=30)
    with pytest.raises(BarDataError, match=r"row 1, AAA .*14:30:30.* does not start on a whole minute"):
        checked_rows(later, KNOWN)


def test_zero_has_one_sign() -> None:
    bars = frame().assign(volume=[-0.0, 0.0, 1.0], symbol="CLK0", low=[-0.0, 1.0, -0.0])
    rows = checked_rows(bars, KNOWN, signed=["CLK0"])[1]
    assert not np.signbit(rows.volume).any()
    assert not np.signbit(rows.low).any()


def test_a_moment_beyond_what_nanoseconds_can_tell_is_refused_by_its_place() -> None:
    for year in (1677, 2262, 3000):
        moment = pd.Timestamp(dt.datetime(year, 1, 1, tzinfo=dt.UTC)).as_unit("us")
        with pytest.raises(BarDataError, match=r"row 1, AAA .*known_at is outside 1900 to 2099"):
            checked_rows(frame(), moment)
        table = pa.Table.from_pandas(frame(), preserve_index=False)
        wrong = pa.array([moment.to_pydatetime()] * 3, pa.timestamp("us", "UTC"))
        with pytest.raises(BarDataError, match=r"row 1, AAA .*start is outside 1900 to 2099"):
            checked_rows(table.set_column(1, "start", wrong), KNOWN)
