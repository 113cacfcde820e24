from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

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
