from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from execution.events import RiskDecision
from execution.models import Instrument, OrderRequest, OrderType
from risk.manager import ShapingRiskManager

if TYPE_CHECKING:
    from .conftest import MakeDesk


def shaped(manager: ShapingRiskManager, order: OrderRequest) -> OrderRequest:
    approved = manager.validate(order)
    assert approved is not None
    return approved


def test_a_fitting_order_passes_as_it_is_and_nothing_is_reserved(desk: MakeDesk) -> None:
    d = desk()
    order = d.order(10)
    assert ShapingRiskManager(d.engine, d.instruments).validate(order) is order
    assert len(d.engine.reservations) == 0


def test_a_quantity_goes_down_to_whole_lots(desk: MakeDesk) -> None:
    d = desk()
    manager = ShapingRiskManager(d.engine, {"AAA": Instrument("AAA", lot=Decimal(10))})
    assert shaped(manager, d.order(19)).quantity == 10


def test_too_large_an_order_is_denied_or_with_shrink_cut_to_size(desk: MakeDesk) -> None:
    d = desk(max_order_quantity=25)
    instruments = {"AAA": Instrument("AAA", lot=Decimal(10))}
    assert ShapingRiskManager(d.engine, instruments).validate(d.order(40)) is None
    manager = ShapingRiskManager(d.engine, instruments, shrink=True)
    assert shaped(manager, d.order(40)).quantity == 20


@pytest.mark.parametrize(("signed", "limit", "stop"), [(1, "10.00", "10.05"), (-1, "10.05", "10.00")])
def test_prices_are_rounded_to_the_tick_on_the_safe_side(
    desk: MakeDesk, signed: int, limit: str, stop: str
) -> None:
    d = desk(long_only=False)
    manager = ShapingRiskManager(d.engine, {"AAA": Instrument("AAA", tick=Decimal("0.05"))})
    price = Decimal("10.03")
    order = d.order(signed, order_type=OrderType.STOP_LIMIT, limit_price=price, stop_price=price)
    fitted = shaped(manager, order)
    assert (fitted.limit_price, fitted.stop_price) == (Decimal(limit), Decimal(stop))
    assert fitted.client_order_id == order.client_order_id


def test_every_denial_is_told_with_its_rule_and_reason(desk: MakeDesk) -> None:
    d = desk()
    told: list[tuple[OrderRequest, RiskDecision]] = []
    manager = ShapingRiskManager(
        d.engine,
        {"AAA": Instrument("AAA", lot=Decimal(10), tick=Decimal("0.05"))},
        on_refused=lambda request, decision: told.append((request, decision)),
    )
    orders = [
        d.order(10, "ZZZ"),
        d.order(9),
        d.order(10, limit_price=Decimal("0.04")),
        d.order(-10),
    ]
    assert [manager.validate(order) for order in orders] == [None] * 4
    assert [request for request, _ in told] == orders
    assert [decision.rule for _, decision in told] == [
        "UNKNOWN_INSTRUMENT",
        "LESS_THAN_A_LOT",
        "LESS_THAN_A_TICK",
        "LONG_ONLY",
    ]
    assert all(not decision.approved and decision.reason for _, decision in told)


def test_an_order_that_is_reserved_already_reaches_the_executor_again(desk: MakeDesk) -> None:
    d = desk(per_symbol_notional_cap=10_000)
    manager = ShapingRiskManager(d.engine, d.instruments)
    order = d.order(100)
    d.engine.reserve(order)
    assert manager.validate(order) == order
    assert manager.validate(d.order(100)) is None


def test_with_shrink_an_order_is_cut_to_what_its_own_instrument_takes(desk: MakeDesk) -> None:
    d = desk(max_order_quantity=100, max_order_quantity_by_symbol={"AAA": Decimal(7)})
    manager = ShapingRiskManager(d.engine, d.instruments, shrink=True)
    for symbol, most in (("AAA", 7), ("BBB", 100)):
        d.mark(1.0, symbol)
        shaped = manager.validate(d.order(1_000, symbol))
        assert shaped is not None
        assert shaped.quantity == most
