"""Bars as Yahoo sends them: brought back to the shares of their day, gaps left as gaps, faults refused."""

from __future__ import annotations

import asyncio
import datetime as dt
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from data.calendars import ExchangeClock
from data.corporate_actions import ActionKind, CorporateAction, CorporateActionSource
from data.errors import HistoryRefusedError
from data.sources.history import Window
from data.sources.pull import pull
from data.sources.record import PullRecord
from data.sources.yahoo import YahooHistory
from data.stores import ParquetBarStore
from execution.clocks import SteppedClock, utc_ns
from execution.models import Instrument
from execution.timeframes import Timeframe

AAPL = Instrument("AAPL")
NOW = utc_ns(pd.Timestamp("2020-09-04 12:00", tz="UTC"))


class Splits(CorporateActionSource):
    def actions(self, symbol: str, start: dt.date, end: dt.date) -> tuple[CorporateAction, ...]:
        day = dt.date(2020, 8, 31)
        split = CorporateAction(symbol, day, ActionKind.SPLIT, Fraction(4))
        return (split,) if start <= day <= end else ()


def recorded(**arguments: Any) -> pd.DataFrame:
    """Apple around its split: prices of before are in shares of after; a halted day has no prices."""
    days = ["2020-08-27", "2020-08-28", "2020-08-31", "2020-09-01", "2020-09-02"]
    index = pd.DatetimeIndex(days, name="Date").tz_localize("America/New_York")
    return pd.DataFrame(
        {
            "Open": [127.1425018310547, 126.01249694824219, 127.58000183105469, 132.75999450683594, np.nan],
            "High": [127.48500061035156, 126.44249725341797, 131.0, 134.8000030517578, np.nan],
            "Low": [123.8324966430664, 124.57749938964844, 126.0, 130.52999877929688, np.nan],
            "Close": [125.01000213623047, 124.80750274658203, 129.0399932861328, 134.17999267578125, np.nan],
            "Adj Close": [121.48, 121.28, 125.4, 130.4, np.nan],
            "Volume": [155552400, 187630000, 225702700, 151948100, 0],
            "Dividends": 0.0,
            "Stock Splits": [0.0, 0.0, 4.0, 0.0, 0.0],
        },
        index=index,
    )


@pytest.fixture
def calendar() -> ExchangeClock:
    return ExchangeClock("XNYS", dt.date(2020, 1, 1), dt.date(2020, 12, 1))


def source(calendar: ExchangeClock, frame: pd.DataFrame | None = None) -> YahooHistory:
    answer = recorded() if frame is None else frame
    return YahooHistory(calendar, SteppedClock(NOW), Splits(), fetch=lambda _symbol, **_: answer)


async def test_a_pull_stores_what_was_traded(calendar: ExchangeClock, tmp_path: Path) -> None:
    store, record = ParquetBarStore(tmp_path / "bars"), PullRecord(tmp_path / "record")
    report = await pull(
        source(calendar), store, record, [AAPL, Instrument("ESU0", security_type="FUT")], Timeframe.DAY,
        SteppedClock(NOW), start_ns=0, end_ns=NOW,
    )  # fmt: skip
    assert report.inserted == 4
    assert report.refused == {"ESU0": "Yahoo is asked for stocks only"}
    bars = store.read("AAPL", Timeframe.DAY).to_series()["AAPL"]
    assert bars.close.tolist() == [500.04, 499.23, 129.04, 134.18]
    assert bars.volume.tolist() == [38888100.0, 46907500.0, 225702700.0, 151948100.0]


def test_minutes_begin_when_yahoo_says_and_are_cut_to_the_window(calendar: ExchangeClock) -> None:
    index = pd.date_range("2020-09-03 09:30", periods=4, freq="min", tz="America/New_York", name="Datetime")
    columns = {name: [100.0, 100.5, 101.0, 101.5] for name in ("Open", "High", "Low", "Close")}
    frame = pd.DataFrame({**columns, "Volume": [10, 20, 30, 40]}, index=index)
    start = utc_ns(pd.Timestamp("2020-09-03 13:31", tz="UTC"))
    window = Window(start, start + 120_000_000_000)
    bars = asyncio.run(source(calendar, frame).bars(AAPL, Timeframe.MINUTE, window))
    assert bars is not None
    assert (bars.close.tolist(), int(bars.start_ns[0])) == ([100.5, 101.0], start)


@pytest.mark.parametrize("frame", [recorded().iloc[:0], recorded().iloc[4:]])
def test_no_rows_are_no_bars(calendar: ExchangeClock, frame: pd.DataFrame) -> None:
    assert asyncio.run(source(calendar, frame).bars(AAPL, Timeframe.DAY, Window(0, NOW))) is None


@pytest.mark.parametrize(
    ("frame", "complaint"),
    [
        (recorded().drop(columns="Close"), "no Close"),
        (recorded().tz_localize(None), "no times with a timezone"),
        (recorded().shift(freq="1000D"), "lies in a session"),
    ],
)
def test_what_cannot_be_read_is_refused(calendar: ExchangeClock, frame: pd.DataFrame, complaint: str) -> None:
    with pytest.raises(HistoryRefusedError, match=complaint):
        asyncio.run(source(calendar, frame).bars(AAPL, Timeframe.DAY, Window(0, NOW)))


def test_hours_are_not_offered_and_minutes_only_of_a_month(calendar: ExchangeClock) -> None:
    yahoo = source(calendar)
    with pytest.raises(HistoryRefusedError, match="begin at half past"):
        asyncio.run(yahoo.head_ns(AAPL, Timeframe.HOUR))
    assert NOW - asyncio.run(yahoo.head_ns(AAPL, Timeframe.MINUTE)) == 29 * 86_400 * 10**9
    assert asyncio.run(yahoo.head_ns(AAPL, Timeframe.DAY)) == calendar.midnight_ns(calendar.start)
