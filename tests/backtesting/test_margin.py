"""What accounts may owe: Regulation T, cash accounts, reservations, balances and what-if."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from backtesting.broker import AccountTerms
from backtesting.errors import BrokerRejection
from execution.models import TimeInForce
from strategies.spec import CostSpec

FREE = CostSpec(slippage_bps=Decimal(0), commission_per_share=Decimal(0), commission_minimum=Decimal(0))
DOLLAR = CostSpec(slippage_bps=Decimal(0))


@pytest.fixture
def account(make_desk: Callable[..., Any]) -> Callable[..., Any]:
    def build(kind: str, cash: int = 10_000, costs: CostSpec = FREE) -> Any:
        desk = make_desk(costs, {"DU1": AccountTerms(Decimal(cash), kind)})
        desk.bar(100)
        return desk

    return build


def refused(desk: Any, text: str, *args: Any, **fields: Any) -> None:
    before = len(desk.broker.orders)
    with pytest.raises(BrokerRejection, match=text):
        desk.place(*args, **fields)
    assert len(desk.broker.orders) == before


# -- Regulation T --------------------------------------------------------------------------------------


def test_stocks_are_bought_for_twice_the_equity_and_no_more(account: Any) -> None:
    desk = account("margin")
    refused(
        desk,
        r"201: Order rejected - reason:YOUR ORDER IS NOT ACCEPTED\. IN ORDER TO OBTAIN THE DESIRED POSITION "
        r"YOUR EQUITY WITH LOAN VALUE \[10000\.00 USD\] MUST EXCEED THE INITIAL MARGIN \[10050\.00 USD\]",
        "BUY",
        201,
    )
    desk.place("BUY", 200)
    desk.bar(100)
    balance = desk.broker.balance("DU1")
    assert (balance.cash, balance.gross, balance.equity_with_loan) == (-10_000, 20_000, 10_000)
    assert (balance.initial, balance.maintenance) == (10_000, 5_000)
    assert (balance.available, balance.excess, balance.buying_power) == (0, 5_000, 0)


def test_shorts_need_half_at_first_and_thirty_percent_later(account: Any) -> None:
    desk = account("margin")
    refused(desk, "INITIAL MARGIN", "SELL", 201)
    desk.place("SELL", 200)
    desk.bar(100)
    balance = desk.broker.balance("DU1")
    assert (balance.cash, balance.net_liquidation, balance.initial) == (30_000, 10_000, 10_000)
    assert balance.maintenance == 6_000


def test_open_orders_reserve_margin_and_give_it_back(account: Any) -> None:
    desk = account("margin")
    desk.place("BUY", 150, "LIMIT", limit_price=100)
    assert desk.broker.balance("DU1").reserved == 7_500
    refused(desk, "INITIAL MARGIN", "BUY", 100, "LIMIT", "IWM", limit_price=100)
    desk.broker.cancel(1, desk.now)
    assert desk.place("BUY", 100, "LIMIT", "IWM", limit_price=100)


def test_an_order_that_closes_always_passes(account: Any) -> None:
    desk = account("margin")
    desk.place("BUY", 200)
    desk.bar(100)
    desk.bar(60)  # equity 2,000, far below the margin
    assert desk.place("SELL", 200)
    refused(desk, "INITIAL MARGIN", "BUY", 1)


def test_the_exits_of_a_bracket_and_the_mates_of_a_group_reserve_once(account: Any) -> None:
    desk = account("margin")
    desk.place("BUY", 200, "LIMIT", limit_price=100, transmit=False)
    desk.place("SELL", 200, "LIMIT", limit_price=110, parent=1, transmit=False)
    desk.place("SELL", 200, "STOP", stop_price=90, parent=1)
    desk.bar(100)
    assert desk.broker.balance("DU1").reserved == 0
    other = account("margin")
    for symbol in ("SPY", "IWM"):
        other.place("BUY", 150, "LIMIT", symbol, limit_price=100, oca_group="g")
    assert other.broker.balance("DU1").reserved == 7_500


def test_a_refused_bracket_stays_untransmitted(account: Any) -> None:
    desk = account("margin")
    parent = desk.place("BUY", 300, "LIMIT", limit_price=100, transmit=False)
    refused(desk, "INITIAL MARGIN", "SELL", 300, "STOP", stop_price=90, parent=1)
    assert (parent.held, parent.children) == (True, ())


def test_a_change_is_checked_without_the_order_it_changes(account: Any) -> None:
    desk = account("margin")
    order = desk.place("BUY", 150, "LIMIT", limit_price=100)
    desk.broker.modify(1, desk.request("BUY", 200, "LIMIT", limit_price=100), desk.now)
    with pytest.raises(BrokerRejection, match="INITIAL MARGIN"):
        desk.broker.modify(1, desk.request("BUY", 201, "LIMIT", limit_price=100), desk.now)
    assert order.quantity == 200


def test_below_two_thousand_nothing_is_lent(account: Any) -> None:
    desk = account("margin", 1_500)
    refused(desk, "MINIMUM OF 2000 USD", "SELL", 1)
    refused(desk, "MINIMUM OF 2000 USD", "BUY", 16)
    assert desk.place("BUY", 15)


def test_futures_settle_into_cash_and_options_are_paid_in_full(account: Any) -> None:
    desk = account("margin", 50_000)
    desk.bar(5_000, symbol="ESM4")
    desk.place("BUY", 1, "LIMIT", "ESM4", limit_price=5_000)
    desk.bar(5_000, symbol="ESM4")
    desk.bar(5_010, symbol="ESM4")
    balance = desk.broker.balance("DU1")
    assert (balance.cash, balance.initial, balance.maintenance) == (50_500, 25_050, 20_040)
    desk.bar(3, symbol="SPY C100")
    refused(desk, "INITIAL MARGIN", "BUY", 100, symbol="SPY C100")
    desk.place("BUY", 10, symbol="SPY C100")
    desk.bar(3, symbol="SPY C100")
    balance = desk.broker.balance("DU1")
    assert (balance.cash, balance.equity_with_loan, balance.net_liquidation) == (47_500, 47_500, 50_500)
    assert desk.broker.what_if(desk.request("SELL", 20, symbol="SPY C100"), desk.now).initial_change == 20_000


# -- cash ----------------------------------------------------------------------------------------------


def test_a_cash_account_buys_what_it_can_pay_with_the_commission(account: Any) -> None:
    desk = account("cash", costs=DOLLAR)
    refused(desk, r"\[10000\.00 USD\].*\[10001\.00 USD\]", "BUY", 100)
    desk.place("BUY", 60, "LIMIT", limit_price=100)
    refused(desk, "INITIAL MARGIN", "BUY", 40)
    assert desk.place("BUY", 39)


def test_a_cash_account_sells_only_what_it_holds(account: Any) -> None:
    desk = account("cash")
    refused(desk, "SHORT STOCK", "SELL", 1)
    desk.place("BUY", 50)
    desk.bar(100)
    desk.place("SELL", 30, "LIMIT", limit_price=110)
    refused(desk, "SHORT STOCK", "SELL", 21)
    assert desk.place("SELL", 20, "LIMIT", limit_price=110)


def test_proceeds_settle_after_two_sessions_before_the_end_of_may_2024(account: Any) -> None:
    desk = account("cash")
    desk.place("BUY", 100)
    desk.bar(100)
    desk.place("SELL", 100)
    desk.bar(100)
    day = desk.sessions[1].open_ns
    balance = desk.broker.balance("DU1", day)
    assert (balance.cash, balance.settled_cash, balance.buying_power) == (10_000, 0, 0)
    desk.now = day
    refused(desk, "INITIAL MARGIN", "BUY", 1)
    desk.now = desk.sessions[2].open_ns
    assert desk.place("BUY", 100)


# -- accounts ------------------------------------------------------------------------------------------


def test_each_account_has_its_own_ledger_and_orders_name_theirs(make_desk: Any) -> None:
    terms = {"DU1": AccountTerms(Decimal(1_000)), "DU2": AccountTerms(Decimal(2_000))}
    desk = make_desk(FREE, terms)
    refused(desk, "201: .*Invalid or missing IBCustAcctNo")
    refused(desk, "321: .*Invalid account code", account="DU3")
    with pytest.raises(BrokerRejection, match="Invalid account code"):
        desk.broker.balance("DU3")
    order = desk.place("BUY", 10, account="DU2")
    desk.bar(100)
    assert desk.broker.account_of(order) == "DU2"
    ledgers = desk.broker.ledgers
    assert (ledgers["DU1"].cash, ledgers["DU2"].cash) == (1_000, 1_000)
    assert desk.broker.ledger is ledgers["DU1"]


def test_an_account_kind_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="unchecked, cash, margin"):
        AccountTerms(Decimal(1), "rich")


# -- what if -------------------------------------------------------------------------------------------


def test_what_if_tells_margins_before_and_after_and_places_nothing(account: Any) -> None:
    desk = account("margin", costs=DOLLAR)
    desk.place("BUY", 50)
    desk.bar(100)
    impact = desk.broker.what_if(desk.request("BUY", 500), desk.now)
    assert (impact.initial_before, impact.initial_change, impact.initial_after) == (2_500, 25_000, 27_500)
    assert (impact.maintenance_before, impact.maintenance_change) == (1_250, 12_500)
    assert (impact.commission, impact.equity_change) == (Decimal("2.5"), Decimal("-2.5"))
    assert list(desk.broker.orders) == [1]
    with pytest.raises(BrokerRejection, match="110"):
        desk.broker.what_if(desk.request("BUY", 1, "LIMIT", limit_price=1.001), desk.now)


def test_without_a_price_a_checked_account_is_refused_until_there_is_one(make_desk: Any) -> None:
    desk = make_desk(FREE, {"DU1": AccountTerms(Decimal(10_000), "margin")})
    refused(desk, "no market price yet")
    desk.broker.set_mark("SPY", Decimal(100))
    assert desk.place()
    assert desk.broker.balance("DU1").reserved == 5_000
    stop = desk.place("BUY", 10, "STOP", stop_price=110, time_in_force=TimeInForce.GTC)
    assert desk.broker.balance("DU1").reserved == 5_550
    assert stop.stop == 110
