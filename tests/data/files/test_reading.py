"""Bar files: the three formats give the same bars, and every fault is named with its place."""

from __future__ import annotations

import datetime as dt
import gzip
import hashlib
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.bars import steps
from data.errors import BarFileError
from data.files import load_bars
from execution.models import Bar
from execution.timeframes import Timeframe

Writer = Callable[[str, str], Path]
DAILY = "date,open,high,low,close,volume\n"
INTRADAY = "end,open,high,low,close,volume\n"
THREE_DAYS = (
    DAILY
    + "2012-11-21,10.00,11.00,9.50,10.504,1000\n2012-11-23,10.50,12.00,10.00,11.00,500\n"
    + "2012-11-26,11.00,11.00,11.00,11.00,0\n"
)


def row(end: str) -> str:
    return f"{end},10,11,9,10,5\n"


def test_a_daily_bar_spans_its_session_half_days_included(write: Writer) -> None:
    bars = load_bars(write("SPY.csv", THREE_DAYS))
    assert bars.timeframe is Timeframe.DAY
    assert bars.symbols == ("SPY",)
    assert bars["SPY"].bar(0) == Bar.of(
        "SPY",
        pd.Timestamp("2012-11-21 14:30", tz="UTC"),
        pd.Timestamp("2012-11-21 21:00", tz="UTC"),
        (10.0, 11.0, 9.5, 10.5),
        1000.0,
    )
    assert bars["SPY"].bar(1).end == pd.Timestamp("2012-11-23 18:00", tz="UTC")
    assert bars.dropped == {"SPY": 0}


def test_the_clock_knows_the_session_after_the_last_bar(write: Writer) -> None:
    bars = load_bars(write("SPY.csv", THREE_DAYS))
    following = bars.clock.session_closing_after(bars["SPY"].bar(-1).end_ns)
    assert following is not None
    assert following.date == dt.date(2012, 11, 27)


def test_a_date_without_a_session_is_dropped_and_counted(write: Writer) -> None:
    folder = write("SPY.csv", THREE_DAYS.replace("2012-11-23", "2012-11-22"))
    bars = load_bars(folder)
    assert bars.dropped == {"SPY": 1}
    assert len(bars["SPY"]) == 2


def test_gzip_parquet_and_plain_csv_give_the_same_bars(write: Writer) -> None:
    folder = write("AAA.csv", THREE_DAYS)
    (folder / "BBB.csv.gz").write_bytes(gzip.compress(THREE_DAYS.encode()))
    frame = pd.read_csv(folder / "AAA.csv")
    for symbol, column in (
        ("CCC", frame["date"].tolist()),
        ("DDD", [dt.date.fromisoformat(day) for day in frame["date"]]),
        ("EEE", pa.array(pd.to_datetime(frame["date"]))),
        ("FFF", pa.array(frame["date"].tolist()).dictionary_encode()),
    ):
        numbers = {name: frame[name].tolist() for name in ("open", "high", "low", "close", "volume")}
        pq.write_table(pa.table({"date": column, **numbers}), folder / f"{symbol}.parquet")
    bars = load_bars(folder)
    assert list(bars) == ["AAA", "BBB", "CCC", "DDD", "EEE", "FFF"]
    for other in bars.values():
        assert [bar.close for bar in other] == [10.5, 11.0, 11.0]
        assert other.end_ns.tolist() == bars["AAA"].end_ns.tolist()
    assert bars.file_hashes["AAA"] == hashlib.sha256(THREE_DAYS.encode()).hexdigest()
    assert len(set(bars.data_hashes().values())) == 6


def test_hour_and_minute_bars_start_at_the_open_or_the_full_unit(write: Writer) -> None:
    ends = ["2012-11-21T15:00:00Z", "2012-11-21T16:00:00Z", "2012-11-21T21:00:00Z", "2012-11-21T22:00:00Z"]
    bars = load_bars(write("SPY.csv", INTRADAY + "".join(map(row, ends))))
    assert bars.timeframe is Timeframe.HOUR
    starts = [bar.start.strftime("%H:%M") for bar in bars["SPY"]]
    assert starts == ["14:30", "15:00", "20:00"]
    assert bars.dropped == {"SPY": 1}


def test_bars_outside_regular_hours_are_kept_when_asked_for(write: Writer) -> None:
    ends = [f"2012-11-21T14:{minute}:00Z" for minute in (29, 30, 31, 32)]
    folder = write("SPY.csv", INTRADAY + "".join(map(row, ends)))
    assert [bar.start.minute for bar in load_bars(folder)["SPY"]] == [30, 31]
    every = load_bars(folder, regular_hours=False)
    assert [bar.start.minute for bar in every["SPY"]] == [28, 29, 30, 31]
    assert every.dropped == {"SPY": 0}


def test_an_offset_is_a_timezone_too(write: Writer) -> None:
    folder = write("SPY.csv", INTRADAY + row("2012-11-21T10:00:00-05:00") + row("2012-11-21T11:00:00-05:00"))
    assert load_bars(folder)["SPY"].bar(0).end == pd.Timestamp("2012-11-21 15:00", tz="UTC")


def test_a_thin_market_needs_its_timeframe_stated(write: Writer) -> None:
    folder = write("SPY.csv", INTRADAY + row("2012-11-21T15:05:00Z") + row("2012-11-21T15:10:00Z"))
    with pytest.raises(BarFileError, match=r"cannot tell the timeframe .*300 s.*state 1h or 1m"):
        load_bars(folder)
    bars = load_bars(folder, timeframe=Timeframe.MINUTE)
    assert bars["SPY"].bar(0).start == pd.Timestamp("2012-11-21 15:04", tz="UTC")
    with pytest.raises(BarFileError, match="cannot tell"):
        load_bars(folder, timeframe=Timeframe.DAY)


def test_start_and_end_are_dates_of_the_exchange_and_included(write: Writer) -> None:
    folder = write("SPY.csv", THREE_DAYS)
    bars = load_bars(folder, start=dt.date(2012, 11, 22), end=dt.date(2012, 11, 23))
    assert [bar.open for bar in bars["SPY"]] == [10.5]
    assert len(load_bars(folder, end=dt.date(2012, 11, 23))["SPY"]) == 2
    with pytest.raises(BarFileError, match="no bars from 2013-01-01 to its end; it holds 2012-11-21 to"):
        load_bars(folder, start=dt.date(2013, 1, 1))


def test_prices_are_rounded_to_the_tick(write: Writer) -> None:
    bars = load_bars(write("SPY.csv", THREE_DAYS), tick=Decimal("0.25"))
    assert bars["SPY"].bar(0).close == 10.5
    with pytest.raises(BarFileError, match="rounds to zero; set a smaller tick"):
        load_bars(write("SPY.csv", THREE_DAYS), tick=Decimal(50))


def test_symbols_choose_files_and_other_files_are_ignored(write: Writer) -> None:
    write("SPY.csv", THREE_DAYS)
    write("SPY_quotes.csv", "end,bid\n")
    folder = write("IWM.csv", "broken")
    assert load_bars(folder, symbols=["SPY", "SPY"]).symbols == ("SPY",)
    with pytest.raises(BarFileError, match="no file for symbol 'SPX'; did you mean SPY"):
        load_bars(folder, symbols=["SPX"])
    with pytest.raises(BarFileError, match="no file for symbol '123'; there are IWM, SPY"):
        load_bars(folder, symbols=["123"])
    with pytest.raises(BarFileError, match="no symbol was asked for"):
        load_bars(folder, symbols=[])


FAULTS = [
    ("2012-11-21,10,11,9,10,5\n2012-11-23,10,11,9,NaN,5\n", "line 3: close 'NaN' is not a plain decimal"),
    ("2012-11-21,10,11,9,,5\n", "line 2: close '' is not a plain decimal"),
    ("2012-11-21,10,11,9,1e1,5\n", "line 2: close '1e1' is not a plain decimal"),
    ("2012-11-21,-10,11,9,10,5\n", "line 2: open is not positive"),
    ("2012-11-21,0,11,9,10,5\n", "line 2: open is not positive"),
    ("2012-11-21,10,8,9,10,5\n", "line 2: high is below low"),
    ("2012-11-21,12,11,9,10,5\n", "line 2: open is outside low and high"),
    ("2012-11-21,10,11,9,8,5\n", "line 2: close is outside low and high"),
    ("2012-11-21,10,11,9,10,-5\n", "line 2: volume is negative"),
    ("2012-11-21,10,11,9,10,5\n\n2012-11-21,10,11,9,10,5\n", "line 4: the same time as the row before"),
    ("2012-11-23,10,11,9,10,5\n2012-11-21,10,11,9,10,5\n", "line 3: earlier than the row before"),
    ("2012-11-21,10,11,9,10,5\n2012-11-23,10,11\n", "line 3: 3 fields where the header has 6"),
    ("2012-11-21,10,11,9,10,5\n2012-11-23,10,11,9,10,5,6\n", "line 3: 7 fields"),
    ("2012-11-21,10,11,9,10,5\n   \n", "line 3: 1 fields"),
    ("21.11.2012,10,11,9,10,5\n", "line 2: date '21.11.2012' is not a date"),
    ("2012-11-21,10,11,9,10,5\n2012-02-30,10,11,9,10,5\n", "line 3: date '2012-02-30' is not a date"),
    ("2012-11-22,10,11,9,10,5\n", "none of its 1 bars lies in a session of XNYS"),
    ("2012-11-21,99999999999999,99999999999999,9,10,5\n", "open is beyond 1,000,000,000"),
    ("", "no rows below the header"),
]


@pytest.mark.parametrize(("rows", "fault"), FAULTS)
def test_a_faulty_row_is_named_with_its_line(write: Writer, rows: str, fault: str) -> None:
    folder = write("SPY.csv", DAILY + rows)
    with pytest.raises(BarFileError) as caught:
        load_bars(folder)
    assert str(caught.value).startswith(str(folder / "SPY.csv"))
    assert fault in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        ("2012-11-21T15:00:00,10,11,9,10,5\n", "line 2: end '2012-11-21T15:00:00' has no timezone"),
        ("today,10,11,9,10,5\n", "line 2: end 'today' is not a time"),
        ("2012-11-21T25:00:00Z,10,11,9,10,5\n", "line 2: end '2012-11-21T25:00:00Z' is not a time"),
        ("2012-11-21T15:00:07Z,10,11,9,10,5\n", "line 2: the bar does not end on a whole minute"),
        ("2012-11-21T15:00:00Z,10,11,9,10,5\n", "it has a single bar"),
    ],
)
def test_a_faulty_time_is_named_with_its_line(write: Writer, rows: str, fault: str) -> None:
    with pytest.raises(BarFileError, match=r"SPY\.csv") as caught:
        load_bars(write("SPY.csv", INTRADAY + rows))
    assert fault in str(caught.value)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "the file is empty"),
        ("\n  \n", "the file is empty"),
        ("date,open,high,low,volume\n2012-11-21,1,1,1,1\n", "column 'close' is missing"),
        ("date,open,high,low,close,close,volume\n2012-11-21,1,1,1,1,1,1\n", "column 'close' appears twice"),
        ("2012-11-21,10,11,9,10,5\n", "no column 'date'"),
    ],
)
def test_a_faulty_header_is_named(write: Writer, text: str, fault: str) -> None:
    with pytest.raises(BarFileError) as caught:
        load_bars(write("SPY.csv", text))
    assert fault in str(caught.value)


def test_a_byte_order_mark_windows_lines_and_more_columns_do_no_harm(write: Writer) -> None:
    text = "\ufeff" + THREE_DAYS.replace("volume\n", "volume,note\n").replace("0\n", "0,x\n")
    folder = write("SPY.csv", "")
    (folder / "SPY.csv").write_bytes(text.replace("\n", "\r\n").encode())
    assert len(load_bars(folder)["SPY"]) == 3


def test_bytes_that_are_not_text_are_refused(write: Writer) -> None:
    folder = write("SPY.csv", "")
    (folder / "SPY.csv").write_bytes(DAILY.encode() + b"2012-11-21,10,11,9,10,\xff\xfe\n")
    with pytest.raises(BarFileError, match="not a CSV file"):
        load_bars(folder)


def test_a_cut_gzip_file_and_a_false_one_are_refused(write: Writer) -> None:
    folder = write("README.txt", "")
    whole = gzip.compress(THREE_DAYS.encode())
    for content in (whole[:-10], b"not gzip", b""):
        (folder / "SPY.csv.gz").write_bytes(content)
        with pytest.raises(BarFileError, match=r"SPY.csv.gz: (not a sound gzip file|the file is empty)"):
            load_bars(folder)


def parquet(folder: Path, **columns: object) -> Path:
    sound = {name: [10.0, 10.0] for name in ("open", "high", "low", "close", "volume")}
    pq.write_table(pa.table({**sound, **columns}), folder / "SPY.parquet")
    return folder


DAYS = ["2012-11-21", "2012-11-23"]


@pytest.mark.parametrize(
    ("columns", "fault"),
    [
        ({"date": DAYS, "close": [10.0, None]}, "row 2: close is not a finite number"),
        ({"date": DAYS, "close": [10.0, float("inf")]}, "row 2: close is not a finite number"),
        ({"date": [DAYS[0], None]}, "row 2: date 'None' is not a date"),
        ({"date": pa.array([15_000, None], pa.date32())}, "row 2: date is empty"),
        ({"date": DAYS, "close": pa.array([dt.date(2012, 1, 1)] * 2)}, "column 'close' has type date32"),
        (
            {"date": pa.array(pd.to_datetime(["2012-11-21 10:00", "2012-11-23 00:00"]))},
            "column 'date' holds times",
        ),
        ({"end": pa.array(pd.to_datetime(DAYS))}, "column 'end' has no timezone"),
        ({"date": [True, False]}, "row 1: date 'True' is not a date"),
    ],
)
def test_a_faulty_parquet_row_is_named(write: Writer, columns: dict[str, object], fault: str) -> None:
    folder = parquet(write("README.txt", ""), **columns)
    with pytest.raises(BarFileError) as caught:
        load_bars(folder)
    assert fault in str(caught.value)


def test_a_parquet_file_of_bar_ends_is_read(write: Writer) -> None:
    ends = pd.to_datetime(["2012-11-21 15:00", "2012-11-21 16:00"], utc=True)
    assert load_bars(parquet(write("x.txt", ""), end=pa.array(ends)))["SPY"].bar(0).end == ends[0]


def test_a_false_parquet_file_is_refused(write: Writer) -> None:
    with pytest.raises(BarFileError, match="not a sound Parquet file"):
        load_bars(write("SPY.parquet", "PAR1"))


def test_a_missing_an_empty_and_a_false_folder_are_named(tmp_path: Path, write: Writer) -> None:
    with pytest.raises(BarFileError, match="does not exist; name a folder"):
        load_bars(tmp_path / "nowhere")
    folder = write("spy.csv", THREE_DAYS)
    with pytest.raises(BarFileError, match=r"no bar files \(found only spy.csv\)"):
        load_bars(folder)
    with pytest.raises(BarFileError, match="is not a folder"):
        load_bars(folder / "spy.csv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BarFileError, match=r"no bar files; put SYMBOL\.csv"):
        load_bars(tmp_path / "empty")


def test_a_file_that_cannot_be_read_is_named(write: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(BarFileError, match=r"SPY.csv: cannot be read: Permission denied"):
        load_bars(write("SPY.csv", THREE_DAYS))


def test_two_files_of_one_symbol_are_refused(write: Writer) -> None:
    write("SPY.csv", THREE_DAYS)
    with pytest.raises(BarFileError, match=r"both SPY.csv and SPY.csv.gz hold SPY"):
        load_bars(write("SPY.csv.gz", ""))


def test_timeframes_that_differ_are_refused(write: Writer) -> None:
    write("SPY.csv", THREE_DAYS)
    folder = write("IWM.csv", INTRADAY + row("2012-11-21T15:00:00Z") + row("2012-11-21T16:00:00Z"))
    with pytest.raises(BarFileError, match=r"SPY.csv: bars of 1D, but IWM.csv has 1h"):
        load_bars(folder)
    with pytest.raises(BarFileError, match=r"SPY.csv: holds bars of 1D, but timeframe 1m was asked for"):
        load_bars(folder, symbols=["SPY"], timeframe=Timeframe.MINUTE)


def test_real_files_load_and_every_bar_lies_in_a_session(lean: Path) -> None:
    for name, timeframe in (("daily", Timeframe.DAY), ("hour", Timeframe.HOUR), ("minute", Timeframe.MINUTE)):
        bars = load_bars(lean / name, symbols=["SPY", "AAPL"])
        assert bars.timeframe is timeframe
        for series in bars.values():
            assert all(bars.clock.is_bar_in_session(bar.start_ns, bar.end_ns) for bar in series)
            assert all(bar.defect() is None for bar in series)
    assert [bar.symbol for bar in next(steps(load_bars(lean / "daily")))[1]] == ["AAPL", "IBM", "SPY"]


def test_a_future_may_be_worth_less_than_nothing_and_a_stock_may_not(write: Writer) -> None:
    folder = write("CL.csv", DAILY + "2020-04-20,17.73,17.85,-40.32,-37.63,1000\n")
    with pytest.raises(BarFileError, match=r"CL.csv, line 2: low is not positive"):
        load_bars(folder)
    write("AAA.csv", DAILY + "2020-04-20,0.001,0.002,0.001,0.002,1000\n")
    with pytest.raises(BarFileError, match=r"AAA\.csv: a price below half the tick"):
        load_bars(folder, signed=["CL"])
    bars = load_bars(folder, symbols=["CL"], signed=["CL"])["CL"]
    assert (bars.low.tolist(), bars.close.tolist()) == ([-40.32], [-37.63])
