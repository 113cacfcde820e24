"""Order types and lives, one rule at a time, on one-minute bars."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from backtesting.broker import BrokerCancel
from backtesting.errors import BrokerRejection
from execution.clocks import NANOS, timestamp
from execution.models import TimeInForce
from strategies.spec import CostSpec

TENTH = CostSpec(slippage_bps=Decimal(0), participation=Decimal("0.01"))
IOC, FOK, OPG, GTC = TimeInForce.IOC, TimeInForce.FOK, TimeInForce.OPG, TimeInForce.GTC


# -- if touched, trailing ------------------------------------------------------------------------------


def test_an_order_if_touched_waits_for_its_trigger(desk: Any) -> None:
    order = desk.place("BUY", 10, "MARKET_IF_TOUCHED", stop_price=99)
    assert (order.why_held, order.stop) == ("trigger", Decimal(99))
    assert desk.play(100) == []
    assert desk.play(100, 100, 98.5, 99) == [(1, "triggered"), (1, 10, 99.0)]
    assert order.why_held == ""


def test_a_limit_if_touched_goes_on_as_a_limit_order(desk: Any) -> None:
    desk.place("SELL", 10, "LIMIT_IF_TOUCHED", stop_price=101, limit_price=102)
    assert desk.play(100, 101.5, 100, 101) == [(1, "triggered")]
    assert desk.play(101, 102.5, 101, 102) == [(1, 10, 102.0)]


def test_a_trailing_stop_follows_the_market_and_tells_of_it(desk: Any) -> None:
    desk.bar(100)
    order = desk.place("SELL", 10, "TRAIL", trail_amount=2)
    assert order.stop == 98
    assert desk.play(100, 104, 100, 103) == [(1, "trailed")]
    assert order.stop == 102
    assert desk.play(103, 103, 101, 101) == [(1, "triggered"), (1, 10, 102.0)]


def test_a_trail_without_a_price_starts_with_the_first_open(desk: Any) -> None:
    order = desk.place("BUY", 10, "TRAIL", trail_percent=1)
    assert order.stop is None
    assert desk.play(100) == [(1, "trailed")]
    assert order.stop == 101


def test_a_trailing_stop_limit_keeps_its_limit_at_an_offset(desk: Any) -> None:
    order = desk.place("SELL", 10, "TRAIL_LIMIT", trail_amount=2, trail_stop=98, limit_price=97.5)
    assert (order.stop, order.limit) == (Decimal(98), Decimal("97.5"))
    desk.bar(100, 104, 100, 103)
    assert (order.stop, order.limit) == (Decimal(102), Decimal("101.5"))
    assert desk.play(101, 101, 100, 100) == [(1, "triggered")]  # gaps through stop and limit
    assert desk.play(100, 102, 100, 102) == [(1, 10, 101.5)]


def test_a_trailing_stop_limit_without_a_price_takes_its_offset_from_the_first_open(desk: Any) -> None:
    order = desk.place("SELL", 10, "TRAIL_LIMIT", trail_amount=2, limit_price=97)
    desk.bar(100)
    assert (order.stop, order.limit) == (Decimal(98), Decimal(97))
    assert desk.play(99, 99, 97.5, 98.5) == [(1, "triggered"), (1, 10, 98.0)]


def test_what_is_left_of_a_triggered_trail_is_a_market_order(make_desk: Callable[..., Any]) -> None:
    desk = make_desk(TENTH)
    desk.place("SELL", 150, "TRAIL", trail_amount=2, trail_stop=98)
    assert desk.play(97) == [(1, "triggered"), (1, 100, 97.0)]
    assert desk.play(110) == [(1, 50, 110.0)]


# -- open and close ------------------------------------------------------------------------------------


def test_an_order_on_the_close_fills_with_the_bar_that_ends_the_session(desk: Any) -> None:
    market = desk.place("BUY", 10, "MARKET_ON_CLOSE")
    desk.place("BUY", 10, "LIMIT_ON_CLOSE", limit_price=99)
    desk.now = market.expires_ns - 120 * NANOS
    assert desk.play(100) == []
    desk.now += 30 * NANOS  # placed within the last bar: its close is still to come
    desk.place("SELL", 10, "LIMIT_ON_CLOSE", limit_price=100.5)
    desk.now -= 30 * NANOS
    assert desk.play(100, 102, 99, 101) == [(1, 10, 101.0), (3, 10, 101.0), (2, "not filled at the close")]


def test_an_order_on_the_close_ends_where_no_bar_ends_the_session(desk: Any) -> None:
    desk.place("BUY", 10, "MARKET_ON_CLOSE")
    desk.now = desk.sessions[1].open_ns
    assert desk.play(100) == [(1, "not filled at the close")]


def test_an_order_on_the_open_waits_for_the_next_session_and_fills_at_its_first_price(desk: Any) -> None:
    desk.place("BUY", 10, time_in_force=OPG)
    desk.now += 60 * NANOS
    desk.place("BUY", 10, time_in_force=OPG)
    desk.place("SELL", 10, "LIMIT", limit_price=101, time_in_force=OPG)
    desk.now = desk.sessions[0].open_ns
    assert desk.play(100, 105, 95, 100) == [(1, 10, 100.0)]
    assert desk.play(100, 105, 95, 100) == []
    desk.now = desk.sessions[1].open_ns
    assert desk.play(99, 105, 95, 100) == [(2, 10, 99.0), (3, "not filled at once")]


def test_an_order_on_the_open_ends_when_the_first_bar_is_a_later_one(desk: Any) -> None:
    desk.place("BUY", 10, time_in_force=OPG)
    desk.now += 60 * NANOS
    assert desk.play(100) == [(1, "not filled at the open")]


# -- at once, all or none ------------------------------------------------------------------------------


def test_an_immediate_order_takes_the_open_and_ends(make_desk: Callable[..., Any]) -> None:
    desk = make_desk(TENTH)
    desk.place("BUY", 150, time_in_force=IOC)
    desk.place("BUY", 10, "LIMIT", limit_price=99, time_in_force=IOC)  # touched later in the bar only
    assert desk.play(100, 101, 98, 100) == [
        (1, 100, 100.0),
        (1, "not filled at once"),
        (2, "not filled at once"),
    ]


def test_an_immediate_stop_waits_for_its_trigger_and_then_ends(make_desk: Callable[..., Any]) -> None:
    desk = make_desk(TENTH)
    desk.place("BUY", 150, "STOP", stop_price=101, time_in_force=IOC)
    assert desk.play(100) == []
    assert desk.play(100, 102, 100, 101) == [(1, "triggered"), (1, 100, 101.0), (1, "not filled at once")]
    desk.place("BUY", 10, "STOP_LIMIT", stop_price=101, limit_price=100.5, time_in_force=IOC)
    assert desk.play(100, 102, 100, 101) == [(2, "triggered"), (2, "not filled at once")]


def test_fill_or_kill_fills_in_full_or_ends(make_desk: Callable[..., Any]) -> None:
    desk = make_desk(TENTH)
    desk.place("BUY", 101, time_in_force=FOK)
    desk.place("BUY", 100, time_in_force=FOK)
    assert desk.play(100) == [(1, "not filled at once"), (2, 100, 100.0)]


def test_all_or_none_waits_for_a_bar_with_room_and_holds_nobody_up(make_desk: Callable[..., Any]) -> None:
    desk = make_desk(TENTH)
    desk.place("BUY", 150, all_or_none=True)
    desk.place("BUY", 100)
    assert desk.play(100) == [(2, 100, 100.0)]
    assert desk.play(101, volume=15_000.0) == [(1, 150, 101.0)]


@pytest.mark.parametrize("life", [IOC, FOK])
def test_what_cannot_wait_is_refused_while_the_exchange_is_closed(desk: Any, life: TimeInForce) -> None:
    desk.now = desk.sessions[0].close_ns
    with pytest.raises(BrokerRejection, match=r"201: .*Exchange is closed\."):
        desk.place(time_in_force=life)
    assert desk.place().status == "SUBMITTED"


# -- days ----------------------------------------------------------------------------------------------


def test_a_gtc_order_lives_over_days(desk: Any) -> None:
    desk.place("BUY", 10, "LIMIT", limit_price=99, time_in_force=GTC)
    for session in desk.sessions[:3]:
        desk.now = session.open_ns
        assert desk.play(100) == []
    assert desk.play(98) == [(1, 10, 98.0)]


def test_a_good_till_order_ends_at_its_moment_and_fills_only_before_it(desk: Any) -> None:
    till = timestamp(desk.now + 90 * NANOS)
    near: dict[str, Any] = {"time_in_force": TimeInForce.GTD, "good_till": till}
    desk.place("BUY", 10, "LIMIT", limit_price=99, **near)
    desk.place("BUY", 20, "LIMIT", limit_price=99, **near)
    assert desk.play(100) == []
    (event,) = desk.bar(100, 100, 98, 100)[:1]  # touched in the bar, perhaps after their end
    assert isinstance(event, BrokerCancel)
    assert event.time_ns == desk.sessions[0].open_ns + 90 * NANOS
    with pytest.raises(BrokerRejection, match="good till date has passed"):
        desk.place(**near)


def test_outside_regular_hours_only_orders_that_allow_it_fill(desk: Any) -> None:
    desk.now = desk.sessions[0].close_ns
    plain = desk.place("BUY", 10)
    longer = desk.place("BUY", 20, outside_rth=True)
    assert plain.expires_ns == desk.sessions[1].close_ns
    assert longer.expires_ns == desk.sessions[0].close_ns + 4 * 3600 * NANOS  # 20:00 New York
    assert desk.play(100) == [(2, 20, 100.0)]
    desk.now = desk.sessions[1].open_ns - 60 * NANOS
    assert desk.play(101) == []
    assert desk.play(102) == [(1, 10, 102.0)]


def test_a_bar_that_reaches_into_a_session_is_not_outside_it(desk: Any) -> None:
    desk.now -= 30 * 60 * NANOS
    desk.place("BUY", 10)
    assert desk.play(100, minutes=60) == [(1, 10, 100.0)]


def test_a_day_order_for_extended_hours_expires_with_them(desk: Any) -> None:
    desk.place("BUY", 10, "LIMIT", limit_price=90, outside_rth=True)
    desk.now = desk.sessions[0].close_ns + 4 * 3600 * NANOS - 60 * NANOS
    assert desk.play(100) == [(1, "DAY order expired")]
