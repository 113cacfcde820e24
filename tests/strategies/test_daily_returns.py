"""Daily returns run from session to session, never over a hole, and know of splits and dividends."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from data.bars import BarSeries
from data.calendars import ExchangeClock
from data.corporate_actions import ActionKind, CorporateAction
from execution.clocks import NANOS
from execution.timeframes import Timeframe
from strategies.daily_returns import daily_returns

CLOCK = ExchangeClock("XNYS", dt.date(2020, 6, 1), dt.date(2020, 6, 30))
HOUR = 3_600 * NANOS


def daily(*closes: float, left_out: tuple[int, ...] = ()) -> BarSeries:
    kept = [i for i in range(len(closes)) if i not in left_out]
    prices = np.array(closes, dtype=np.float64)[kept]
    opens, ends = CLOCK.opens_ns[kept], CLOCK.closes_ns[kept]
    return BarSeries("SPY", Timeframe.DAY, opens, ends, prices, prices, prices, prices, np.ones(len(kept)))


def test_returns_run_from_close_to_close_and_are_known_at_the_close() -> None:
    told = daily_returns(daily(100, 110, 99), "XNYS")
    assert told.values.tolist() == pytest.approx([0.1, -0.1])
    assert told.end_ns.tolist() == CLOCK.closes_ns[1:3].tolist()


def test_a_hole_and_a_price_that_is_not_positive_give_no_return() -> None:
    told = daily_returns(daily(100, 110, 120, 0, 130, 143, left_out=(1,)), "XNYS")
    assert told.values.tolist() == pytest.approx([0.1])  # only the last: 130 to 143
    assert told.end_ns.tolist() == CLOCK.closes_ns[5:6].tolist()


def test_of_smaller_bars_the_last_of_each_session_counts_and_those_outside_do_not() -> None:
    starts, ends, closes = [], [], []
    for day in range(2):
        for hour, close in ((0, 90.0), (1, 100.0 + 10 * day), (9, 500.0)):
            starts.append(CLOCK.opens_ns[day] + hour * HOUR)
            ends.append(CLOCK.opens_ns[day] + (hour + 1) * HOUR)
            closes.append(close)
    prices = np.array(closes)
    bars = BarSeries(
        "SPY", Timeframe.HOUR, np.array(starts), np.array(ends), prices, prices, prices, prices, np.ones(6)
    )
    told = daily_returns(bars, "XNYS")
    assert told.values.tolist() == pytest.approx([0.1])
    assert told.end_ns.tolist() == [CLOCK.opens_ns[1] + 2 * HOUR]


def test_a_split_is_no_loss_and_a_dividend_is_a_gain() -> None:
    split = CorporateAction("SPY", CLOCK.dates[1], ActionKind.SPLIT, Fraction(4))
    paid = CorporateAction("SPY", CLOCK.dates[2], ActionKind.DIVIDEND, Decimal("0.55"))
    bars = daily(440, 110, 110)
    assert daily_returns(bars, "XNYS").values.tolist() == pytest.approx([-0.75, 0.0])
    assert daily_returns(bars, "XNYS", [split, paid]).values.tolist() == pytest.approx([0.0, 0.005])


@pytest.mark.parametrize("count", [0, 1])
def test_without_two_closes_there_is_no_return(count: int) -> None:
    told = daily_returns(daily(*[100.0] * count), "XNYS")
    assert (len(told.values), len(told.end_ns)) == (0, 0)


def test_bars_of_a_weekend_alone_give_none() -> None:
    saturday = np.array([CLOCK.closes_ns[4] + 20 * HOUR])
    assert CLOCK.dates[4] == dt.date(2020, 6, 5)
    one = np.ones(1)
    bars = BarSeries("SPY", Timeframe.HOUR, saturday - HOUR, saturday, one, one, one, one, one)
    assert len(daily_returns(bars, "XNYS").values) == 0
