"""Splits and dividends on positions, marks and open orders."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from execution.models import TimeInForce

GTC = TimeInForce.GTC


def holding(desk: Any, side: str = "BUY", quantity: int = 15) -> None:
    desk.place(side, quantity)
    desk.bar(100)


def test_a_split_multiplies_the_position_and_divides_the_price(desk: Any) -> None:
    holding(desk)
    assert desk.broker.apply_split("SPY", Decimal(2), desk.now) == []
    held = desk.broker.ledger.holdings["SPY"]
    assert (held.quantity, held.cost, held.average_cost) == (30, 1500, 50)
    assert (desk.broker.mark("SPY"), desk.broker.ledger.cash) == (50, 98_500)


@pytest.mark.parametrize(("side", "sign"), [("BUY", 1), ("SELL", -1)])
def test_a_fraction_left_by_a_reverse_split_is_paid_out(desk: Any, side: str, sign: int) -> None:
    holding(desk, side)
    cash = desk.broker.ledger.cash
    desk.broker.apply_split("SPY", Decimal("0.1"), desk.now)
    held = desk.broker.ledger.holdings["SPY"]
    assert (held.quantity, held.cost, held.realized_pnl) == (sign, sign * 1000, 0)
    assert desk.broker.ledger.cash == cash + sign * 500  # half a share at 1,000


def test_open_orders_are_cancelled_on_a_split_as_at_interactive_brokers(desk: Any) -> None:
    desk.place("BUY", 10, "LIMIT", limit_price=90, time_in_force=GTC)
    desk.place("BUY", 10, "LIMIT", "IWM", limit_price=90, time_in_force=GTC)
    assert desk.told(desk.broker.apply_split("SPY", Decimal(2), desk.now)) == [(1, "the contract was split")]
    assert [order.perm_id for order in desk.broker.open_orders()] == [2]


def test_open_orders_can_follow_a_split_instead(desk: Any) -> None:
    buy = desk.place("BUY", 10, "LIMIT", limit_price=90.01, time_in_force=GTC)
    sell = desk.place("SELL", 10, "LIMIT", limit_price=110.01, time_in_force=GTC)
    loss = desk.place("SELL", 10, "STOP", stop_price=90.01, time_in_force=GTC)
    follows = desk.place(
        "SELL", 10, "TRAIL_LIMIT", trail_amount=3, trail_stop=97, limit_offset=1, time_in_force=GTC
    )
    events = desk.broker.apply_split("SPY", Decimal(2), desk.now, adjust_orders=True)
    assert desk.told(events) == [(number, "adjusted") for number in (1, 2, 3, 4)]
    assert (buy.remaining, buy.limit) == (20, 45)
    assert (sell.limit, loss.stop) == (Decimal("55.01"), 45)
    assert (follows.stop, follows.trail_ticks, follows.offset_ticks) == (Decimal("48.5"), 150, 50)
    assert desk.told(desk.broker.apply_split("SPY", Decimal("0.5"), desk.now, adjust_orders=True)) == [
        (number, "the contract was split") for number in (1, 2, 3, 4)
    ]


@pytest.mark.parametrize(("side", "cash"), [("BUY", 15), ("SELL", -15)])
def test_a_dividend_is_received_by_holders_and_owed_by_those_who_are_short(
    desk: Any, side: str, cash: int
) -> None:
    holding(desk, side)
    before = desk.broker.ledger.cash
    assert desk.broker.apply_dividend("SPY", Decimal(1), desk.now) == []
    assert desk.broker.ledger.cash == before + cash
    assert desk.broker.ledger.dividends == cash
    assert desk.broker.ledger.realized_pnl == 0


def test_buy_limits_and_sell_stops_can_be_reduced_by_a_dividend(desk: Any) -> None:
    made = [
        desk.place(side, 10, kind, time_in_force=GTC, **prices)
        for side, kind, prices in (
            ("BUY", "LIMIT", {"limit_price": 90}),
            ("SELL", "STOP", {"stop_price": 95}),
            ("SELL", "STOP_LIMIT", {"stop_price": 95, "limit_price": 94}),
            ("SELL", "LIMIT", {"limit_price": 110}),
            ("BUY", "STOP", {"stop_price": 110}),
            ("BUY", "LIMIT", {"limit_price": 0.3}),
        )
    ]
    events = desk.broker.apply_dividend("SPY", Decimal("0.305"), desk.now, adjust_orders=True)
    assert desk.told(events) == [(number, "adjusted") for number in (1, 2, 3)]
    assert [order.limit for order in made] == [Decimal(x) if x else None for x in LIMITS]
    assert [order.stop for order in made] == [Decimal(x) if x else None for x in STOPS]


LIMITS = ("89.69", None, "93.69", "110", None, "0.3")
STOPS = (None, "94.69", "94.69", None, "110", None)


def test_an_action_without_a_positive_figure_is_refused(desk: Any) -> None:
    with pytest.raises(ValueError, match="ratio"):
        desk.broker.apply_split("SPY", Decimal(0), desk.now)
    with pytest.raises(ValueError, match="dividend"):
        desk.broker.apply_dividend("SPY", Decimal(-1), desk.now)


def test_a_ratio_that_is_no_decimal_number_is_exact(desk: Any) -> None:
    desk.place("BUY", 301)
    desk.bar(90.0)
    desk.broker.apply_split("SPY", Fraction(1, 3), desk.now)
    ledger = desk.broker.ledger
    assert desk.broker.mark("SPY") == 270
    assert ledger.position("SPY") == 100
    assert ledger.cash == 100_000 - 301 * 90 + 90  # a third of a new share is paid out


def test_what_is_paid_for_a_fraction_is_rounded_as_money_is(desk: Any) -> None:
    desk.place("BUY", 10)
    desk.bar(100.01)
    desk.broker.apply_split("SPY", Fraction(1, 7), desk.now)
    assert desk.broker.ledger.cash == round(desk.broker.ledger.cash, 6)
