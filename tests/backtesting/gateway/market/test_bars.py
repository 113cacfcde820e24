from __future__ import annotations

import numpy as np
import pytest

from backtesting.gateway.errors import GatewayError, RequestRefusedError
from backtesting.gateway.market.bars import Market, Subscription, updates
from backtesting.gateway.wire.codec import split
from backtesting.gateway.wire.requests import ContractQuery, History
from data.bars import BarSeries
from execution.models import Instrument
from execution.timeframes import Timeframe

QUERY = ContractQuery(0, "AAA", "STK", "", "0.0", "", "", "SMART", "", "USD", "", "")
AAA = Instrument("AAA")


def wish(
    duration: str = "1 Y",
    *,
    bar_size: str = "1 day",
    end: str = "",
    what: str = "TRADES",
    date_format: int = 1,
    keep: bool = False,
) -> History:
    return History(4, QUERY, end, bar_size, duration, what, date_format, keep)


def answer(market: Market, request: History, now_ns: int) -> list[str]:
    return split(market.history(request, AAA, now_ns)[4:])


def advanced(bars: dict[str, BarSeries], count: int) -> tuple[Market, int]:
    market = Market(bars)
    now_ns = market.first_start_ns
    for _ in range(count):
        step = market.next_step()
        assert step is not None
        now_ns = step[0]
    return market, now_ns


def test_history_holds_the_completed_bars_only(bars: dict[str, BarSeries]) -> None:
    market, now_ns = advanced(bars, 3)
    fields = answer(market, wish(), now_ns)
    assert fields[:2] == ["17", "4"]
    assert fields[2:5] == ["20170104 16:00:00 US/Eastern", "20180104 16:00:00 US/Eastern", "3"]
    rows = [fields[5 + 8 * i : 13 + 8 * i] for i in range(3)]
    assert rows[0] == ["20180102", "100.0", "102.0", "98.0", "100.5", "1000", "-1", "-1"]
    assert [row[0] for row in rows] == ["20180102", "20180103", "20180104"]
    assert len(fields) == 5 + 3 * 8


@pytest.mark.parametrize(
    ("duration", "count"), [("2 D", 2), ("1 W", 5), ("1 M", 8), ("3 Y", 8), ("86400 S", 1), ("200000 S", 3)]
)
def test_a_duration_reaches_back_from_now(bars: dict[str, BarSeries], duration: str, count: int) -> None:
    market, now_ns = advanced(bars, 8)
    assert int(answer(market, wish(duration, keep=True), now_ns)[4]) == count


def test_an_end_in_the_past_cuts_the_history_and_one_in_the_future_is_now(
    bars: dict[str, BarSeries],
) -> None:
    market, now_ns = advanced(bars, 8)
    past = answer(market, wish(end="20180104 16:00:00 US/Eastern"), now_ns)
    future = answer(market, wish(end="20300101 16:00:00 US/Eastern"), now_ns)
    assert (past[4], future[4]) == ("3", "8")


def test_an_empty_history_is_an_answer_only_for_a_subscription(bars: dict[str, BarSeries]) -> None:
    market, now_ns = advanced(bars, 0)
    assert answer(market, wish("5 D", keep=True), now_ns)[4:] == ["0"]
    with pytest.raises(RequestRefusedError, match="HMDS query returned no data: AAA@SMART Trades") as refused:
        answer(market, wish(), now_ns)
    assert refused.value.number == 162


@pytest.mark.parametrize(
    ("request_", "number"),
    [
        (wish(bar_size="1 min"), 162),
        (wish(bar_size="7 secs"), 321),
        (wish(what="MIDPOINT"), 162),
        (wish(date_format=3), 321),
        (wish("1 X"), 321),
        (wish("0 D"), 321),
        (wish(end="20180104 16:00:00", keep=True), 321),
        (wish(end="tomorrow"), 320),
    ],
)
def test_a_request_that_cannot_be_served_says_why(
    bars: dict[str, BarSeries], request_: History, number: int
) -> None:
    market, now_ns = advanced(bars, 3)
    with pytest.raises(RequestRefusedError) as refused:
        answer(market, request_, now_ns)
    assert refused.value.number == number


def test_a_contract_without_bars_has_no_history(bars: dict[str, BarSeries]) -> None:
    market, now_ns = advanced(bars, 3)
    with pytest.raises(RequestRefusedError, match="No historical data for ZZZ"):
        market.history(wish(), Instrument("ZZZ"), now_ns)


def test_intraday_dates_are_spelt_as_asked_and_days_counted_as_trading_days(
    minute_bars: dict[str, BarSeries],
) -> None:
    market, now_ns = advanced(minute_bars, 7)
    text = answer(market, wish("1 D", bar_size="1 min"), now_ns)
    epoch = answer(market, wish("2 D", bar_size="1 min", date_format=2), now_ns)
    assert (text[4], text[5], text[10]) == ("2", "20180103 09:30:00 US/Eastern", "10.5")
    assert (epoch[4], epoch[5]) == ("7", "1514903400")


def test_a_subscription_gets_the_bar_that_history_would_show(minute_bars: dict[str, BarSeries]) -> None:
    market, _ = advanced(minute_bars, 1)
    bar = minute_bars["AAA"].bar(0)
    wishes = [Subscription(4, "AAA", True), Subscription(5, "AAA", False), Subscription(6, "BBB", True)]
    first, second = (split(data[4:]) for data in updates(market, [bar], wishes, {}))
    assert first == ["90", "4", "-1", "1514903400", "100.0", "100.25", "101.0", "99.0", "-1", "10.5"]
    assert second[:4] == ["90", "5", "-1", "20180102 09:30:00 US/Eastern"]


def test_bars_of_mixed_timeframes_or_none_at_all_are_refused(
    bars: dict[str, BarSeries], minute_bars: dict[str, BarSeries]
) -> None:
    with pytest.raises(GatewayError):
        Market({"AAA": bars["AAA"], "CCC": minute_bars["AAA"]})
    with pytest.raises(GatewayError):
        Market({})


def test_a_long_history_is_one_slice_of_rows_encoded_once() -> None:
    count = 50_000
    starts = np.arange(count, dtype=np.int64) * 60_000_000_000
    ones = np.ones(count)
    series = BarSeries("AAA", Timeframe.MINUTE, starts, starts + 60_000_000_000, ones, ones, ones, ones, ones)
    market, now_ns = advanced({"AAA": series}, count)
    request = wish("1 Y", bar_size="1 min", date_format=2)
    data = market.history(request, AAA, now_ns)
    assert data[4:].count(b"\0") == 5 + 8 * count
    assert market.history(request, AAA, now_ns) == data
    assert market.next_step() is None
