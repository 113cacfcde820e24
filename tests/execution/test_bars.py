"""Bars in TWS messages."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import pytest

from execution.clocks import NANOS
from execution.errors import NumberFormatError
from execution.ibkr.bars import bar_span, read_history, read_update
from execution.testing import START
from execution.timeframes import Timeframe

OPEN = int(START.value)
CLOSE = OPEN + 6 * 3600 * NANOS + 1800 * NANOS


@dataclass(frozen=True)
class Session:
    open_ns: int = OPEN
    close_ns: int = CLOSE


class Calendar:
    def session_on(self, day: dt.date) -> Session | None:
        return Session() if day == dt.date(2018, 1, 2) else None

    def session_at(self, ns: int) -> Session | None:
        return Session() if OPEN <= ns < CLOSE else None


def test_a_daily_bar_spans_its_session_and_an_hourly_one_ends_with_the_hour_or_the_session() -> None:
    assert bar_span("20180102", Timeframe.DAY, Calendar()) == (OPEN, CLOSE)
    assert bar_span("20180103", Timeframe.DAY, Calendar()) is None
    start = OPEN // NANOS
    assert bar_span(str(start), Timeframe.HOUR, Calendar()) == (OPEN, OPEN + 1800 * NANOS)
    assert bar_span(str(start + 60), Timeframe.MINUTE, Calendar()) == (
        OPEN + 60 * NANOS,
        OPEN + 120 * NANOS,
    )
    assert bar_span(str(start - 60), Timeframe.MINUTE, Calendar()) is None


def test_history_and_updates_have_their_columns_in_their_own_order() -> None:
    row = ["20180102", "1", "4", "0.5", "2", "100", "1.5", "7"]
    away = ["20180103", *row[1:]]
    end, bars = read_history(["17", "5", "from", "to", "2", *row, *away], "AAA", Timeframe.DAY, Calendar())
    (bar,) = bars
    assert (end, bar.open, bar.high, bar.low, bar.close, bar.volume) == ("to", 1, 4, 0.5, 2, 100)
    update = ["90", "5", "7", "20180102", "1", "2", "4", "0.5", "1.5", "-1"]
    forming = read_update(update, "AAA", Timeframe.DAY, Calendar())
    assert forming is not None
    assert (forming.high, forming.close, forming.volume) == (4, 2, 0)
    assert read_update(["90", "5", "7", "20180103", *update[4:]], "AAA", Timeframe.DAY, Calendar()) is None


@pytest.mark.parametrize("broken", [{0: "2018"}, {1: ""}, {2: "nan"}, {0: "2018010x"}])
def test_a_bar_that_cannot_be_read_is_an_error(broken: dict[int, str]) -> None:
    row = ["20180102", "1", "4", "0.5", "2", "100", "1.5", "7"]
    for place, text in broken.items():
        row[place] = text
    with pytest.raises(NumberFormatError):
        read_history(["17", "5", "from", "to", "1", *row], "AAA", Timeframe.DAY, Calendar())
