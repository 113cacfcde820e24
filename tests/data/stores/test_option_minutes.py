"""Traded minutes of options: beside recorded Greeks, on every kind of database."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pyarrow as pa
import pytest
from sqlalchemy import select

from data.database import Database
from data.errors import BarDataError
from data.schema import OptionBarRow
from data.stores import WriteReport
from data.stores.option_minutes import OptionMinutes
from data.writing import upsert
from execution.timeframes import Timeframe

CALL = "AAA 240315C100"
KNOWN = pd.Timestamp("2024-04-01", tz="UTC")
MONDAY = pd.Timestamp("2024-03-04 14:30", tz="UTC")


def test_a_pulled_minute_keeps_the_greeks_that_were_recorded(
    database: Database, minutes: Callable[..., pa.Table]
) -> None:
    with database.session() as session:
        recorded = {"symbol": CALL, "ts": MONDAY, "close": 2.0, "volume": 1.0, "delta": 0.5, "bid": 1.9}
        upsert(session, OptionBarRow, [{**recorded, "known_at": MONDAY}])
        quoted = {"symbol": CALL, "ts": MONDAY + pd.Timedelta(minutes=5), "volume": 0.0, "delta": 0.6}
        upsert(session, OptionBarRow, [{**quoted, "known_at": MONDAY}])
    store, bars = OptionMinutes(database), minutes({CALL: {0: 2.5, 1: 2.75}})
    assert store.write(bars, known_at=KNOWN) == WriteReport(1, 1, 0)
    assert store.write(bars, known_at=KNOWN + pd.Timedelta(days=1)) == WriteReport(0, 0, 2)
    with database.session() as session:
        rows = session.scalars(select(OptionBarRow).order_by(OptionBarRow.ts)).all()
        found = [(row.open, row.close, row.volume, row.delta, row.bid, row.known_at) for row in rows]
    assert found == [
        (2.5, 2.5, 10.0, 0.5, 1.9, KNOWN),
        (2.75, 2.75, 10.0, None, None, KNOWN),
        (None, None, 0.0, 0.6, None, MONDAY),
    ]
    read = store.read(CALL, Timeframe.MINUTE, MONDAY, MONDAY + pd.Timedelta(minutes=60)).to_series()[CALL]
    assert read.close.tolist() == [2.5, 2.75]
    later = store.read(
        CALL, Timeframe.MINUTE, MONDAY + pd.Timedelta(minutes=1), MONDAY + pd.Timedelta(days=1)
    )
    assert later.to_pandas()["start"].tolist() == [MONDAY + pd.Timedelta(minutes=1)]


def test_what_is_no_minute_of_an_option_is_refused(
    file_database: Database, minutes: Callable[..., pa.Table]
) -> None:
    store = OptionMinutes(file_database)
    with pytest.raises(BarDataError, match="not positive"):
        store.write(minutes({CALL: {0: -2.5}}), known_at=KNOWN)
    assert store.read(CALL, Timeframe.MINUTE, MONDAY, KNOWN).to_series() == {}
