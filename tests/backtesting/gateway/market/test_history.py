"""Requests for bars, of any size that can be made of those at hand."""

from __future__ import annotations

import numpy as np
import pytest

from backtesting.gateway.errors import RequestRefusedError
from backtesting.gateway.market.history import Pacing
from backtesting.gateway.market.market import Market
from backtesting.gateway.wire.codec import split
from backtesting.gateway.wire.requests import ContractQuery, HeadTimestamp, History
from data.bars import BarSeries
from data.calendars import ExchangeClock
from execution.models import Instrument
from execution.timeframes import Timeframe

QUERY = ContractQuery(0, "AAA", "STK", "", "0.0", "", "", "SMART", "", "USD", "", "")
AAA = Instrument("AAA")
SECOND = 1_000_000_000
MINUTE = 60 * SECOND
Bars = dict[str, BarSeries]


def wish(
    duration: str = "1 Y",
    *,
    bar_size: str = "1 day",
    end: str = "",
    what: str = "TRADES",
    date_format: int = 1,
    keep: bool = False,
    rth: bool = True,
) -> History:
    return History(4, QUERY, end, bar_size, duration, what, date_format, keep, rth=rth)


def answer(market: Market, request: History, now_ns: int | None = None) -> list[str]:
    data = market.history.answer(request, AAA, market.now_ns if now_ns is None else now_ns)
    return split(data[4:])


def rows(market: Market, request: History) -> list[list[str]]:
    fields = answer(market, request)
    assert len(fields) == 5 + 8 * int(fields[4])
    return [fields[i : i + 8] for i in range(5, len(fields), 8)]


def advanced(bars: Bars, count: int, calendar: ExchangeClock | None = None) -> Market:
    market = Market(bars, calendar=calendar)
    for _ in range(count):
        assert market.next_step() is not None
    return market


@pytest.fixture(scope="module")
def two_weeks(sessions: ExchangeClock) -> Bars:
    """Minute bars of ten sessions, the price counting the minutes of the session."""
    parts = [
        np.arange(open_, close, MINUTE, dtype=np.int64)
        for open_, close in zip(sessions.opens_ns[:10], sessions.closes_ns[:10], strict=True)
    ]
    starts = np.concatenate(parts)
    opens = 100.0 + np.concatenate([np.arange(len(part), dtype=np.float64) for part in parts])
    columns = (opens, opens + 1, opens - 1, opens + 0.5, np.full(len(starts), 10.0))
    return {"AAA": BarSeries("AAA", Timeframe.MINUTE, starts, starts + MINUTE, *columns)}


def test_history_holds_the_completed_bars_only(bars: Bars) -> None:
    fields = answer(advanced(bars, 3), wish())
    assert fields[:2] == ["17", "4"]
    assert fields[2:5] == ["20170104 16:00:00 US/Eastern", "20180104 16:00:00 US/Eastern", "3"]
    table = rows(advanced(bars, 3), wish())
    assert table[0] == ["20180102", "100.0", "102.0", "98.0", "100.5", "1000", "-1", "-1"]
    assert [row[0] for row in table] == ["20180102", "20180103", "20180104"]


@pytest.mark.parametrize(
    ("duration", "count"),
    [("2 D", 2), ("1 W", 5), ("1 M", 8), ("3 Y", 8), ("900 Y", 8), ("86400 S", 1), ("200000 S", 3)],
)
def test_a_duration_reaches_back_from_now(bars: Bars, duration: str, count: int) -> None:
    assert int(answer(advanced(bars, 8), wish(duration, keep=True))[4]) == count


def test_an_end_in_the_past_cuts_the_history_and_one_in_the_future_is_now(bars: Bars) -> None:
    market = advanced(bars, 8)
    past = answer(market, wish(end="20180104 16:00:00 US/Eastern"))
    future = answer(market, wish(end="20300101 16:00:00 US/Eastern"))
    assert (past[4], future[4]) == ("3", "8")


def test_an_empty_history_is_an_answer_only_for_a_subscription(bars: Bars) -> None:
    market = advanced(bars, 0)
    assert answer(market, wish("5 D", keep=True))[4:] == ["0"]
    with pytest.raises(RequestRefusedError, match="HMDS query returned no data: AAA@SMART Trades") as refused:
        answer(market, wish())
    assert refused.value.number == 162


@pytest.mark.parametrize(
    ("request_", "number"),
    [
        (wish(bar_size="1 min"), 162),
        (wish(bar_size="7 secs"), 321),
        (wish(what="HISTORICAL_VOLATILITY"), 162),
        (wish(what="ADJUSTED_LAST", end="20180104 16:00:00"), 321),
        (wish(date_format=3), 321),
        (wish("1 X"), 321),
        (wish("0 D"), 321),
        (wish(end="20180104 16:00:00", keep=True), 321),
        (wish(end="tomorrow"), 10314),
    ],
)
def test_a_request_that_cannot_be_served_says_why(bars: Bars, request_: History, number: int) -> None:
    with pytest.raises(RequestRefusedError) as refused:
        answer(advanced(bars, 3), request_)
    assert refused.value.number == number


def test_a_contract_without_bars_has_no_history(bars: Bars) -> None:
    with pytest.raises(RequestRefusedError, match="No historical data for ZZZ"):
        advanced(bars, 3).history.answer(wish(), Instrument("ZZZ"), 0)


def test_intraday_dates_are_spelt_as_asked_and_days_counted_as_trading_days(minute_bars: Bars) -> None:
    market = advanced(minute_bars, 7)
    text = answer(market, wish("1 D", bar_size="1 min"))
    epoch = answer(market, wish("2 D", bar_size="1 min", date_format=2))
    assert (text[4], text[5], text[10]) == ("2", "20180103 09:30:00 US/Eastern", "10.5")
    assert (epoch[4], epoch[5]) == ("7", "1514903400")


@pytest.mark.parametrize(
    ("bar_size", "steps", "count", "first", "last"),
    [
        ("5 mins", 10, 2, "20180102 09:30:00", "20180102 09:35:00"),
        ("5 mins", 12, 3, "20180102 09:30:00", "20180102 09:40:00"),
        ("30 mins", 390, 13, "20180102 09:30:00", "20180102 15:30:00"),
        ("1 hour", 390, 7, "20180102 09:30:00", "20180102 15:00:00"),
        ("2 hours", 390, 4, "20180102 09:30:00", "20180102 14:00:00"),
        ("1 day", 391, 2, "20180102", "20180103"),
        ("1 week", 4 * 390, 1, "20180105", "20180105"),
        ("1W", 5 * 390, 2, "20180105", "20180108"),
        ("1 month", 390, 1, "20180102", "20180102"),
    ],
)
def test_coarser_bars_are_made_of_finer_ones_the_forming_one_included(
    two_weeks: Bars, bar_size: str, steps: int, count: int, first: str, last: str
) -> None:
    table = rows(advanced(two_weeks, steps), wish("1 M", bar_size=bar_size))
    assert len(table) == count
    assert table[0][0].removesuffix(" US/Eastern") == first
    assert table[-1][0].removesuffix(" US/Eastern") == last
    assert sum(float(row[5]) for row in table) == 10 * steps


def test_a_coarser_bar_has_the_prices_of_what_it_holds(two_weeks: Bars) -> None:
    whole, forming = rows(advanced(two_weeks, 7), wish("1 D", bar_size="5 mins"))
    assert whole[1:6] == ["100.0", "105.0", "99.0", "104.5", "50"]
    assert forming[1:6] == ["105.0", "107.0", "104.0", "106.5", "20"]


def test_the_bar_in_progress_is_told_where_the_market_runs(two_weeks: Bars) -> None:
    market = advanced(two_weeks, 0)
    list(market.advance_to(market.now_ns + 80 * SECOND))
    minute = rows(market, wish("1 D", bar_size="1 min"))
    assert minute[-1][1:6] == ["101.0", "101.0", "100.0", "100.0", "3"]
    five = rows(market, wish("1 D", bar_size="5 mins"))
    assert [row[1:6] for row in five] == [["100.0", "101.0", "99.0", "100.0", "13"]]


def test_daily_bars_make_weeks_and_months(bars: Bars) -> None:
    market = advanced(bars, 8)
    assert [row[0] for row in rows(market, wish(bar_size="1 week"))] == ["20180105", "20180111"]
    (month,) = rows(market, wish(bar_size="1 month"))
    assert month[:6] == ["20180111", "100.0", "109.0", "98.0", "107.5", "8000"]


def test_coarser_bars_at_hand_serve_the_history_from_before_the_finer_ones(
    bars: Bars, two_weeks: Bars, sessions: ExchangeClock
) -> None:
    late = two_weeks["AAA"].slice(5 * 390, 10 * 390)
    market = Market({"AAA": [bars["AAA"], late]})
    market.skip_to(int(sessions.opens_ns[5]))
    for _ in range(400):
        market.next_step()
    table = rows(market, wish("1 M"))
    assert [row[0] for row in table][-3:] == ["20180108", "20180109", "20180110"]
    assert len(table) == 7
    assert table[0][1] == "100.0"
    assert table[-1][1:6] == ["100.0", "110.0", "99.0", "109.5", "100"]


def test_weeks_are_made_of_the_days_at_hand_and_the_day_in_progress(
    bars: Bars, two_weeks: Bars, sessions: ExchangeClock
) -> None:
    late = two_weeks["AAA"].slice(5 * 390, 10 * 390)
    market = Market({"AAA": [bars["AAA"], late]})
    market.skip_to(int(sessions.opens_ns[5]))
    assert [row[0] for row in rows(market, wish("1 M", bar_size="1 week"))] == ["20180105", "20180108"]
    for _ in range(2 * 390 + 7):
        market.next_step()
    done, forming = rows(market, wish("1 M", bar_size="1 week"))
    assert done[:6] == ["20180105", "100.0", "105.0", "98.0", "103.5", "4000"]
    assert forming[0] == "20180111"
    days = [bars["AAA"].bar(i) for i in (4, 5, 6)]
    assert float(forming[1]) == days[0].open
    assert float(forming[4]) == 106.5, "the close of the newest minute"
    assert float(forming[5]) == sum(day.volume for day in days) + 7 * 10


def test_where_coarser_bars_end_the_finer_ones_go_on(
    bars: Bars, two_weeks: Bars, sessions: ExchangeClock
) -> None:
    days = bars["AAA"].slice(0, 3)
    market = Market({"AAA": [days, two_weeks["AAA"]]})
    market.skip_to(int(sessions.closes_ns[5]))
    table = rows(market, wish("1 M"))
    assert [row[0] for row in table] == [f"201801{day:02}" for day in (2, 3, 4, 5, 8, 9)]
    assert [row[5] for row in table] == ["1000"] * 3 + ["3900"] * 3


def test_time_starts_with_the_finest_bars(bars: Bars, two_weeks: Bars, sessions: ExchangeClock) -> None:
    late = two_weeks["AAA"].slice(5 * 390, 10 * 390)
    market = Market({"AAA": [bars["AAA"], late], "BBB": bars["BBB"]})
    assert market.first_start_ns == sessions.opens_ns[5]


def test_bids_and_asks_are_derived_from_trades(bars: Bars) -> None:
    market = Market(bars, [AAA], slippage=100)
    market.next_step()
    table = {what: rows(market, wish(what=what))[0][1:6] for what in ("BID", "ASK", "MIDPOINT", "BID_ASK")}
    assert table["BID"] == ["99.99", "101.98", "97.99", "100.48", "-1"]
    assert table["ASK"] == ["100.01", "102.02", "98.01", "100.52", "-1"]
    assert table["MIDPOINT"] == ["100.0", "102.0", "98.0", "100.5", "-1"]
    assert table["BID_ASK"] == ["99.99", "102.02", "97.99", "100.52", "-1"]


def test_hours_outside_the_session_are_left_out_if_asked(sessions: ExchangeClock) -> None:
    first = int(sessions.opens_ns[0]) - 30 * MINUTE
    starts = np.arange(60, dtype=np.int64) * MINUTE + first
    ones = np.ones(60)
    series = BarSeries("AAA", Timeframe.MINUTE, starts, starts + MINUTE, ones, ones, ones, ones, ones)
    market = advanced({"AAA": series}, 60, sessions)
    assert len(rows(market, wish("1 D", bar_size="1 min", rth=False))) == 60
    assert len(rows(market, wish("1 D", bar_size="1 min"))) == 30
    (hour,) = rows(market, wish("1 D", bar_size="1 hour", rth=False))
    assert (hour[0], hour[5]) == ("20180102 09:00:00 US/Eastern", "60")
    (hour,) = rows(market, wish("1 D", bar_size="1 hour"))
    assert (hour[0], hour[5]) == ("20180102 09:30:00 US/Eastern", "30")


def test_where_the_data_begins_is_told_in_utc_or_seconds(bars: Bars, minute_bars: Bars) -> None:
    market = Market({"AAA": [bars["AAA"], minute_bars["AAA"]]})
    assert market.history.head_timestamp(HeadTimestamp(4, QUERY, "TRADES", True, 1), AAA) == (
        "20180102-14:30:00"
    )
    assert market.history.head_timestamp(HeadTimestamp(4, QUERY, "BID", True, 2), AAA) == "1514903400"
    for what, date_format, instrument, number in (
        ("TRADES", 3, AAA, 321),
        ("FEE_RATE", 1, AAA, 162),
        ("TRADES", 1, Instrument("ZZZ"), 162),
    ):
        with pytest.raises(RequestRefusedError) as refused:
            market.history.head_timestamp(HeadTimestamp(4, QUERY, what, True, date_format), instrument)
        assert refused.value.number == number


def test_a_long_history_is_one_slice_of_rows_encoded_once() -> None:
    count = 50_000
    starts = np.arange(count, dtype=np.int64) * MINUTE
    ones = np.ones(count)
    series = BarSeries("AAA", Timeframe.MINUTE, starts, starts + MINUTE, ones, ones, ones, ones, ones)
    market = Market({"AAA": series})
    market.skip_to(int(series.end_ns[-1]))
    request = wish("1 Y", bar_size="1 min", date_format=2)
    data = market.history.answer(request, AAA, market.now_ns)
    assert data[4:].count(b"\0") == 5 + 8 * count
    assert market.history.answer(request, AAA, market.now_ns) == data
    assert market.next_step() is None


def test_pacing_refuses_the_same_request_within_15_seconds_and_the_61st_in_ten_minutes() -> None:
    pacing = Pacing()
    pacing.check(wish(), 0.0)
    with pytest.raises(RequestRefusedError, match="pacing violation") as refused:
        pacing.check(wish(), 14.0)
    assert refused.value.number == 162
    pacing.check(wish(), 15.0)
    for place in range(58):
        pacing.check(wish(f"{place + 2} D"), 16.0)
    with pytest.raises(RequestRefusedError, match="pacing violation"):
        pacing.check(wish("100 D"), 17.0)
    pacing.check(wish("100 D"), 600.0)
