from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from execution.clocks import NANOS
from execution.models import OrderType

if TYPE_CHECKING:
    from .conftest import Desk, MakeDesk

HOUR = 3600 * NANOS


def trip(desk: Desk) -> None:
    desk.mark(100.0)
    desk.kill_switch.on_snapshot(desk.portfolio.snapshot(desk.clock.now_ns()))
    desk.mark(50.0)
    assert desk.kill_switch.on_snapshot(desk.portfolio.snapshot(desk.clock.now_ns())) is not None


def test_a_tripped_kill_switch_refuses_new_risk_and_lets_positions_be_reduced(desk: MakeDesk) -> None:
    d = desk(max_daily_loss=1_000, long_only=False)
    d.hold(100)
    trip(d)
    assert d.submit(d.order(1)) == "KILL_SWITCH"
    assert d.submit(d.order(1, "BBB", limit_price=Decimal(1))) == "KILL_SWITCH"
    assert d.submit(d.order(-101)) == "KILL_SWITCH"
    assert d.submit(d.order(-60)) == ""
    assert d.submit(d.order(-41)) == "KILL_SWITCH"
    assert d.submit(d.order(-40)) == ""


def test_a_reset_kill_switch_lets_new_risk_pass(desk: MakeDesk) -> None:
    d = desk(max_daily_loss=1_000)
    d.hold(100)
    trip(d)
    decision = d.engine.evaluate(d.order(1))
    assert "daily loss limit of 1000" in decision.reason
    assert "loss of 5000" in decision.reason
    d.kill_switch.reset("the print was wrong")
    assert d.submit(d.order(1)) == ""


def test_an_order_that_may_trade_outside_regular_hours_is_refused(desk: MakeDesk) -> None:
    d = desk()
    assert d.submit(d.order(1, outside_rth=True)) == "SESSION"


def test_an_order_decided_after_the_close_passes_for_the_next_session(desk: MakeDesk) -> None:
    d = desk()
    d.clock.advance_to(16 * HOUR)
    decision = d.engine.evaluate(d.order(1))
    assert decision.approved
    assert ("SESSION", "inside a session", "session from 1970-01-02T10:00:00Z") in decision.checks


def test_without_a_further_session_nothing_is_sent(desk: MakeDesk) -> None:
    d = desk(days=1)
    assert d.submit(d.order(1)) == ""
    d.clock.advance_to(16 * HOUR)
    assert d.submit(d.order(1)) == "SESSION"


def test_long_only_counts_open_sells_and_ignores_open_buys(desk: MakeDesk) -> None:
    d = desk()
    d.hold(100)
    d.submit(d.order(500))
    assert d.submit(d.order(-70)) == ""
    decision = d.engine.evaluate(d.order(-31))
    assert decision.rule == "LONG_ONLY"
    assert "30 can be sold" in decision.reason
    assert d.submit(d.order(-30)) == ""


def test_short_sales_pass_where_they_are_allowed_and_within_the_cap(desk: MakeDesk) -> None:
    d = desk(long_only=False, per_symbol_notional_cap=10_000)
    assert d.submit(d.order(-60)) == ""
    assert d.submit(d.order(-41)) == "SYMBOL_NOTIONAL_CAP"
    assert d.submit(d.order(-40)) == ""


def test_a_buy_under_long_only_may_cover_a_short_that_is_there(desk: MakeDesk) -> None:
    d = desk(per_symbol_notional_cap=1_000)
    d.hold(-100)
    assert d.submit(d.order(100)) == ""


def test_an_order_of_exactly_the_largest_quantity_passes(desk: MakeDesk) -> None:
    d = desk(max_order_quantity=10)
    assert d.submit(d.order(10)) == ""
    assert d.submit(d.order("10.01")) == "MAX_ORDER_QUANTITY"


def test_what_cannot_be_valued_is_refused_unless_it_has_a_price_of_its_own(desk: MakeDesk) -> None:
    d = desk()
    assert d.submit(d.order(1, "BBB")) == "NO_REFERENCE_PRICE"
    assert d.submit(d.order(1, "BBB", limit_price=Decimal(5))) == ""
    assert d.submit(d.order(1, "BBB", order_type=OrderType.STOP, stop_price=Decimal(5))) == ""


@pytest.mark.parametrize("mark", [float("nan"), float("inf"), 0.0, -1.0])
def test_a_mark_that_is_no_price_counts_as_none(desk: MakeDesk, mark: float) -> None:
    d = desk()
    d.mark(mark)
    assert d.submit(d.order(1)) == "NO_REFERENCE_PRICE"


def test_a_position_without_a_price_can_be_closed(desk: MakeDesk) -> None:
    d = desk(per_symbol_notional_cap=1, max_gross_exposure=1, max_order_notional=1)
    d.hold(100, "BBB")
    assert d.submit(d.order(-100, "BBB")) == ""
    assert d.engine.reservations.open_sells("BBB") == 100


def test_a_sell_without_a_mark_is_valued_at_its_limit_or_stop(desk: MakeDesk) -> None:
    d = desk(long_only=False, max_order_notional=99)
    assert d.submit(d.order(-10, "BBB", limit_price=Decimal(10))) == "MAX_ORDER_NOTIONAL"
    stop = d.order(-10, "BBB", order_type=OrderType.STOP, stop_price=Decimal(10))
    assert d.submit(stop) == "MAX_ORDER_NOTIONAL"


def test_caps_never_stop_an_order_that_reduces_what_the_market_carried_beyond_them(desk: MakeDesk) -> None:
    d = desk(per_symbol_notional_cap=10_000, max_gross_exposure=10_000, max_order_notional=10_000)
    d.hold(100)
    d.mark(300.0)
    assert d.submit(d.order(1)) == "SYMBOL_NOTIONAL_CAP"
    assert d.submit(d.order(-30)) == ""
    assert d.submit(d.order(-70)) == ""


def test_a_reversal_through_a_position_beyond_the_cap_is_held_to_the_cap(desk: MakeDesk) -> None:
    d = desk(long_only=False, per_symbol_notional_cap=10_000)
    d.hold(150)
    assert d.submit(d.order(-251)) == "SYMBOL_NOTIONAL_CAP"
    assert d.submit(d.order(-250)) == ""


def test_gross_exposure_adds_the_worse_side_of_every_symbol(desk: MakeDesk) -> None:
    d = desk(long_only=False, max_gross_exposure=30_000)
    d.mark(10.0, "BBB")
    d.mark(1.0, "CCC")
    d.hold(100)  # 10,000 held
    assert d.submit(d.order(-1_000, "BBB")) == ""  # 10,000 reserved short
    assert d.submit(d.order(500, "BBB")) == ""  # the long side of BBB stays the better one
    assert d.submit(d.order(10_001, "CCC")) == "MAX_GROSS_EXPOSURE"
    assert d.submit(d.order(10_000, "CCC")) == ""
    assert d.submit(d.order(1)) == "MAX_GROSS_EXPOSURE"


def test_gross_exposure_counts_a_position_without_a_mark_at_cost(desk: MakeDesk) -> None:
    d = desk(max_gross_exposure=15_000)
    d.hold(100, "BBB", "100")
    assert d.submit(d.order(51)) == "MAX_GROSS_EXPOSURE"
    assert d.submit(d.order(50)) == ""


def test_the_book_may_come_to_so_many_times_the_equity_and_no_more(desk: MakeDesk) -> None:
    d = desk(max_leverage="1.5", long_only=False)
    assert d.submit(d.order(9_000)) == ""
    decision = d.engine.evaluate(d.order(6_001))
    assert (decision.rule, decision.checks[-1]) == ("MAX_LEVERAGE", ("MAX_LEVERAGE", "1.5", "1.5001"))
    assert "could come to 1500100 on an equity of 1000000" in decision.reason
    assert d.submit(d.order(-6_000, "BBB", limit_price=Decimal(100))) == ""


def test_leverage_follows_what_the_account_is_worth(desk: MakeDesk) -> None:
    d = desk(max_leverage=2, long_only=False)
    d.hold(15_000)
    d.mark(80.0)  # a loss of 300,000: 1,200,000 held on 700,000
    assert d.submit(d.order(2_501)) == "MAX_LEVERAGE"
    assert d.submit(d.order(2_500)) == ""
    d.mark(30.0)  # more was lost than there was
    decision = d.engine.evaluate(d.order("0.01"))
    assert (decision.rule, decision.checks[-1][2]) == ("MAX_LEVERAGE", "no equity")
    assert d.submit(d.order(-15_000)) == ""


def test_an_order_is_bounded_by_what_its_own_instrument_takes(desk: MakeDesk) -> None:
    d = desk(max_order_quantity=100, max_order_quantity_by_symbol={"AAA": Decimal(10), "BBB": Decimal(1_000)})
    for symbol, most in (("AAA", 10), ("BBB", 1_000), ("CCC", 100)):
        d.mark(1.0, symbol)
        decision = d.engine.evaluate(d.order(most + 1, symbol))
        assert (decision.rule, decision.checks[-1][1]) == ("MAX_ORDER_QUANTITY", str(most))
        assert d.submit(d.order(most, symbol)) == ""


def test_an_instrument_without_a_limit_of_its_own_has_none_where_none_holds_for_all(desk: MakeDesk) -> None:
    d = desk(
        max_order_quantity_by_symbol={"AAA": Decimal(10)},
        max_position_quantity_by_symbol={"AAA": Decimal(15)},
    )
    d.mark(1.0, "BBB")
    decision = d.engine.evaluate(d.order(5_000, "BBB"))
    assert decision.approved
    assert ("MAX_ORDER_QUANTITY", "none", "5000") in decision.checks
    assert ("MAX_POSITION", "none", "5000") in decision.checks
    assert d.submit(d.order(11)) == "MAX_ORDER_QUANTITY"
    assert d.submit(d.order(10)) == ""
    assert d.submit(d.order(6)) == "MAX_POSITION"
    assert d.submit(d.order(5)) == ""


def test_a_position_is_bounded_in_units_with_all_open_orders_of_a_side(desk: MakeDesk) -> None:
    d = desk(max_position_quantity=100, long_only=False)
    d.hold(60)
    assert d.submit(d.order(40)) == ""
    decision = d.engine.evaluate(d.order(1))
    assert (decision.rule, decision.checks[-1]) == ("MAX_POSITION", ("MAX_POSITION", "100", "101"))
    assert d.submit(d.order(-160)) == ""
    assert d.submit(d.order(-1)) == "MAX_POSITION"


def test_a_position_beyond_its_limit_may_be_reduced(desk: MakeDesk) -> None:
    d = desk(max_position_quantity=100)
    d.hold(500)
    assert d.submit(d.order(-10)) == ""


def test_what_is_restricted_is_not_traded_in_either_way(desk: MakeDesk) -> None:
    d = desk(restricted_symbols=("AAA",))
    d.hold(10)
    assert d.submit(d.order(1)) == "RESTRICTED_SYMBOL"
    assert d.submit(d.order(-1)) == "RESTRICTED_SYMBOL"
    d.mark(1.0, "BBB")
    assert d.submit(d.order(1, "BBB")) == ""


def test_positions_are_opened_in_allowed_symbols_only(desk: MakeDesk) -> None:
    d = desk(allowed_symbols=("BBB",))
    d.hold(10)
    d.mark(1.0, "BBB")
    assert d.submit(d.order(1)) == "SYMBOL_NOT_ALLOWED"
    assert d.submit(d.order(-10)) == ""
    assert d.submit(d.order(1, "BBB")) == ""


def test_orders_beyond_so_many_a_minute_are_refused_until_the_minute_is_over(desk: MakeDesk) -> None:
    d = desk(max_orders_per_minute=2)
    start = d.clock.now_ns()
    first = d.order(1)
    assert d.submit(first) == ""
    d.clock.advance_to(start + 30 * NANOS)
    assert d.submit(d.order(1)) == ""
    decision = d.engine.evaluate(d.order(1))
    assert (decision.rule, decision.checks[-1]) == (
        "MAX_ORDERS_PER_MINUTE",
        ("MAX_ORDERS_PER_MINUTE", "2", "3"),
    )
    d.engine.release(first.client_order_id or "")
    assert d.submit(d.order(1)) == "MAX_ORDERS_PER_MINUTE"
    d.clock.advance_to(start + 60 * NANOS)
    assert d.submit(d.order(1)) == ""
    assert d.submit(d.order(1)) == "MAX_ORDERS_PER_MINUTE"


def test_the_way_out_stays_open_and_a_change_is_no_new_order(desk: MakeDesk) -> None:
    d = desk(max_orders_per_minute=1)
    d.hold(10)
    order = d.order(1)
    assert d.submit(order) == ""
    for _ in range(3):
        d.engine.release(order.client_order_id or "")
        d.engine.reserve(order)
    assert d.submit(d.order(1)) == "MAX_ORDERS_PER_MINUTE"
    assert d.submit(d.order(-10)) == ""


def test_orders_of_others_count_for_no_rate(desk: MakeDesk) -> None:
    d = desk(max_orders_per_minute=1)
    d.engine.reserve(d.order(1, client_order_id="external-17"))
    assert d.submit(d.order(1)) == ""


def test_a_change_of_an_order_of_the_last_minute_is_judged_beside_the_others(desk: MakeDesk) -> None:
    d = desk(max_orders_per_minute=1)
    order = d.order(1)
    assert d.submit(order) == ""
    d.engine.release(order.client_order_id or "")
    assert d.submit(order) == ""


@pytest.mark.parametrize(
    ("terms", "worth"),
    [
        ({"trail_amount": Decimal(20)}, "1200"),
        ({"trail_percent": Decimal(50)}, "1500"),
        ({"trail_amount": Decimal(20), "trail_stop": Decimal(300)}, "3000"),
        ({"trail_amount": Decimal(20), "limit_offset": Decimal(5)}, "1250"),
        ({"trail_amount": Decimal(20), "limit_price": Decimal(400)}, "4000"),
    ],
)
def test_a_trailing_buy_is_worth_what_it_may_pay(desk: MakeDesk, terms: dict[str, Any], worth: str) -> None:
    d = desk(max_order_notional=10_000)
    limited = {"limit_offset", "limit_price"} & set(terms)
    kind = OrderType.TRAIL_LIMIT if limited else OrderType.TRAIL
    decision = d.engine.evaluate(d.order(10, order_type=kind, **terms))
    assert ("MAX_ORDER_NOTIONAL", "10000", worth) in decision.checks


def test_a_trailing_sale_is_worth_the_mark(desk: MakeDesk) -> None:
    d = desk(max_order_notional=10_000, long_only=False)
    decision = d.engine.evaluate(d.order(-10, order_type=OrderType.TRAIL, trail_amount=Decimal(20)))
    assert ("MAX_ORDER_NOTIONAL", "10000", "1000") in decision.checks
