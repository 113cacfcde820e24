from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from execution.events import RiskDecision
from execution.models import OrderType
from execution.validators import PreTradeValidator
from risk.controls import CONTROLS
from risk.engine import RiskEngine
from risk.errors import LimitsError, ReservationError
from risk.limits import RiskLimits

if TYPE_CHECKING:
    from .conftest import MakeDesk


def test_the_engine_is_a_pre_trade_validator(desk: MakeDesk) -> None:
    validator: PreTradeValidator = desk().engine
    assert validator.evaluate(desk().order(1)).approved


def test_an_approved_order_records_every_rule_with_its_limit_and_actual_figure(desk: MakeDesk) -> None:
    d = desk(
        per_symbol_notional_cap=25_000,
        max_gross_exposure=100_000,
        max_order_quantity=500,
        max_order_notional=20_000,
    )
    assert d.engine.evaluate(d.order(100)) == RiskDecision(
        approved=True,
        checks=(
            ("KILL_SWITCH", "not tripped", "not tripped"),
            ("SESSION", "inside a session", "session from 1970-01-01T10:00:00Z"),
            ("LONG_ONLY", "0", "100"),
            ("MAX_ORDER_QUANTITY", "500", "100"),
            ("NO_REFERENCE_PRICE", "a price", "100"),
            ("MAX_ORDER_NOTIONAL", "20000", "10000"),
            ("SYMBOL_NOTIONAL_CAP", "25000", "10000"),
            ("MAX_GROSS_EXPOSURE", "100000", "10000"),
        ),
    )


def test_the_stated_order_of_rules_is_the_one_evaluated(desk: MakeDesk) -> None:
    one = Decimal(1)
    limits = RiskLimits(one, one, one, one, max_leverage=one, max_position_quantity=one)
    limits = replace(limits, max_orders_per_minute=1, allowed_symbols=("AAA",), restricted_symbols=("BBB",))
    d = desk()
    engine = RiskEngine(limits, d.portfolio, d.sessions, d.clock)
    codes = [code for code, _, _ in engine.evaluate(d.order("0.001")).checks]
    assert codes == [control.code for control in CONTROLS]


def test_the_first_refusal_ends_the_evaluation_and_is_recorded(desk: MakeDesk) -> None:
    d = desk(max_order_quantity=10, max_order_notional=1)
    decision = d.engine.evaluate(d.order(11))
    assert (decision.approved, decision.rule) == (False, "MAX_ORDER_QUANTITY")
    assert decision.checks[-1] == ("MAX_ORDER_QUANTITY", "10", "11")
    assert "send it in parts" in decision.reason


def test_a_limit_that_is_left_out_leaves_its_rule_out(desk: MakeDesk) -> None:
    d = desk(long_only=False)
    codes = [code for code, _, _ in d.engine.evaluate(d.order(-1)).checks]
    assert codes == ["KILL_SWITCH", "SESSION", "NO_REFERENCE_PRICE"]


def test_evaluating_changes_nothing(desk: MakeDesk) -> None:
    d = desk(per_symbol_notional_cap=10_000)
    order = d.order(100)
    assert [d.engine.evaluate(order).approved for _ in range(3)] == [True] * 3
    assert len(d.engine.reservations) == 0


def test_two_orders_do_not_pass_on_the_same_room(desk: MakeDesk) -> None:
    d = desk(per_symbol_notional_cap=10_000)
    assert d.submit(d.order(60)) == ""
    assert d.submit(d.order(60)) == "SYMBOL_NOTIONAL_CAP"
    assert d.submit(d.order(40)) == ""


def test_a_released_order_gives_its_room_back(desk: MakeDesk) -> None:
    d = desk(per_symbol_notional_cap=10_000)
    first = d.order(100)
    assert d.submit(first) == ""
    d.engine.release(str(first.client_order_id))
    d.engine.release(str(first.client_order_id))
    assert d.submit(d.order(100)) == ""


def test_a_fill_moves_room_from_the_reservation_to_the_position(desk: MakeDesk) -> None:
    d = desk(per_symbol_notional_cap=10_000)
    first = d.order(60)
    d.submit(first)
    d.fill(first, Decimal(25))
    assert d.engine.reservations.open_buys("AAA") == 35
    assert d.submit(d.order(41)) == "SYMBOL_NOTIONAL_CAP"
    d.fill(first, Decimal(35))
    assert not d.engine.is_reserved(first.client_order_id)
    assert d.submit(d.order(40)) == ""


def test_a_fill_of_somebody_else_leaves_reservations_alone(desk: MakeDesk) -> None:
    d = desk()
    mine = d.order(10)
    d.submit(mine)
    d.fill(d.order(10, client_order_id=None), Decimal(10))
    d.fill(d.order(10), Decimal(10))
    assert d.engine.reservations.open_buys("AAA") == 10


def test_a_buy_limit_above_the_mark_is_valued_at_its_limit(desk: MakeDesk) -> None:
    d = desk(per_symbol_notional_cap=10_000)
    assert d.submit(d.order(90, limit_price=Decimal(120))) == "SYMBOL_NOTIONAL_CAP"
    assert d.submit(d.order(90, limit_price=Decimal(80))) == ""


def test_a_buy_stop_is_valued_at_its_stop(desk: MakeDesk) -> None:
    d = desk(per_symbol_notional_cap=10_000)
    assert d.submit(d.order(90, order_type=OrderType.STOP, stop_price=Decimal(120))) == "SYMBOL_NOTIONAL_CAP"


def test_open_buys_count_at_the_mark_once_it_has_risen(desk: MakeDesk) -> None:
    d = desk(per_symbol_notional_cap=10_000)
    d.submit(d.order(50))
    d.mark(150.0)
    assert d.submit(d.order(20)) == "SYMBOL_NOTIONAL_CAP"
    assert d.submit(d.order(16)) == ""


def test_open_buys_keep_the_value_they_were_reserved_at_when_the_mark_falls(desk: MakeDesk) -> None:
    d = desk(per_symbol_notional_cap=10_000)
    d.submit(d.order(80, limit_price=Decimal(120)))
    d.mark(50.0)
    assert d.submit(d.order(10)) == "SYMBOL_NOTIONAL_CAP"
    assert d.submit(d.order(8)) == ""


def test_a_contract_multiplier_counts_in_what_open_orders_are_worth(desk: MakeDesk) -> None:
    d = desk(multiplier="50", per_symbol_notional_cap=10_000)
    assert d.submit(d.order(1)) == ""
    assert d.submit(d.order(1)) == ""
    assert d.submit(d.order(1)) == "SYMBOL_NOTIONAL_CAP"


def test_a_contract_multiplier_counts_in_every_notional(desk: MakeDesk) -> None:
    d = desk(multiplier="50", max_order_notional=9_999)
    assert d.submit(d.order(2)) == "MAX_ORDER_NOTIONAL"
    assert d.submit(d.order(1)) == ""


def test_reserving_without_an_id_or_twice_is_refused(desk: MakeDesk) -> None:
    d = desk()
    with pytest.raises(ReservationError, match="no client order id"):
        d.engine.reserve(d.order(1, client_order_id=None))
    order = d.order(1)
    d.engine.reserve(order)
    with pytest.raises(ReservationError, match="reserved already"):
        d.engine.reserve(order)


@pytest.mark.parametrize("figure", [Decimal(-1), Decimal("NaN"), Decimal("Infinity")])
def test_a_limit_that_is_no_sound_number_is_refused(desk: MakeDesk, figure: Decimal) -> None:
    d = desk()
    with pytest.raises(LimitsError, match=r"risk\.max_gross_exposure"):
        RiskEngine(RiskLimits(max_gross_exposure=figure), d.portfolio, d.sessions, d.clock)


@pytest.mark.parametrize(
    ("limits", "named"),
    [
        (RiskLimits(max_order_quantity_by_symbol={"AAA": Decimal(-1)}), r"max_order_quantity_by_symbol\.AAA"),
        (RiskLimits(max_orders_per_minute=-1), "max_orders_per_minute"),
        (RiskLimits(max_leverage=Decimal("NaN")), "max_leverage"),
        (RiskLimits(allowed_symbols=("AAA",), restricted_symbols=("AAA",)), "AAA is allowed too"),
    ],
)
def test_limits_that_make_no_sense_are_refused(desk: MakeDesk, limits: RiskLimits, named: str) -> None:
    d = desk()
    with pytest.raises(LimitsError, match=named):
        RiskEngine(limits, d.portfolio, d.sessions, d.clock)


def test_without_a_kill_switch_and_multipliers_the_engine_still_judges(desk: MakeDesk) -> None:
    d = desk()
    engine = RiskEngine(RiskLimits(max_order_notional=Decimal(100)), d.portfolio, d.sessions, d.clock)
    assert engine.evaluate(d.order(1)).approved
    assert engine.evaluate(d.order(2)).rule == "MAX_ORDER_NOTIONAL"


def test_a_restored_reservation_is_valued_as_it_was_first_however_the_mark_moved(desk: MakeDesk) -> None:
    d = desk(per_symbol_notional_cap="1900")
    order = d.order(10, limit_price=Decimal(80))
    price = d.engine.reserve(order)
    assert price == Decimal(100)
    d.mark(92.0)
    undisturbed = d.engine.evaluate(d.order(10))
    restarted = desk(per_symbol_notional_cap="1900")
    restarted.mark(92.0)
    assert restarted.engine.reserve(order, price) == price
    found = restarted.engine.evaluate(restarted.order(10))
    assert (found.approved, found.checks) == (undisturbed.approved, undisturbed.checks)
