from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution.models import Bar, Instrument, OrderRequest, OrderType, Side
from strategies.errors import SizingError
from strategies.sizing import OrderFactory
from strategies.spec import SizingSpec

Bars = Callable[..., list[Bar]]
LIMIT = OrderType.LIMIT


def factory(lot: str = "1", tick: str = "0.01", multiplier: str = "1", **sizing: object) -> OrderFactory:
    instrument = Instrument("AAA", lot=Decimal(lot), tick=Decimal(tick), multiplier=Decimal(multiplier))
    return OrderFactory(SizingSpec(**sizing), {"AAA": instrument})  # type: ignore[arg-type]


def at(close: float) -> Bar:
    return Bar("AAA", 0, 1, close, close, close, close)


@pytest.mark.parametrize(
    ("close", "lot", "multiplier", "quantity"),
    [
        (100.0, "1", "1", "250"),
        (99.99, "1", "1", "250"),
        (300.0, "1", "1", "83"),
        (100.0, "100", "1", "200"),
        (100.0, "0.1", "3", "83.3"),
        (25_000.01, "1", "1", "0"),
    ],
)
def test_a_position_is_as_many_whole_lots_as_its_notional_buys(
    close: float, lot: str, multiplier: str, quantity: str
) -> None:
    assert factory(lot, multiplier=multiplier).quantity_for(at(close)) == Decimal(quantity)


def test_orders_are_market_orders_by_default_and_carry_no_identity() -> None:
    assert factory().enter_long(at(100.0)) == OrderRequest("AAA", Decimal(250), OrderType.MARKET, Side.BUY)


def test_less_than_a_lot_is_no_order() -> None:
    orders = factory(lot="10")
    assert orders.enter_long(at(3_000.0)) is None
    assert orders.sell(at(100.0), Decimal(9)) is None
    assert orders.buy(at(100.0), Decimal(-10)) is None


def test_an_exit_sells_all_that_is_held_and_nothing_when_flat_or_short() -> None:
    orders = factory()
    exit_order = orders.exit_long(at(100.0), Decimal(77))
    assert exit_order == OrderRequest("AAA", Decimal(77), OrderType.MARKET, Side.SELL)
    assert orders.exit_long(at(100.0), Decimal(0)) is None
    assert orders.exit_long(at(100.0), Decimal(-5)) is None


@pytest.mark.parametrize(
    ("offset", "tick", "buy", "sell"),
    [("0", "0.01", "100", "100"), ("10", "0.01", "100.1", "99.9"), ("7", "0.05", "100.05", "99.95")],
)
def test_a_limit_lies_beyond_the_close_and_is_rounded_away_from_crossing(
    offset: str, tick: str, buy: str, sell: str
) -> None:
    orders = factory(tick=tick, order_type=LIMIT, limit_offset_bps=Decimal(offset))
    bought, sold = orders.buy(at(100.0), Decimal(1)), orders.sell(at(100.0), Decimal(1))
    assert bought is not None
    assert sold is not None
    assert (bought.limit_price, sold.limit_price) == (Decimal(buy), Decimal(sell))


def test_a_limit_that_rounds_to_nothing_is_no_order() -> None:
    orders = factory(order_type=LIMIT, limit_offset_bps=Decimal(-5_000))
    assert orders.buy(at(0.01), Decimal(1)) is None


def test_a_symbol_that_is_not_listed_is_refused_by_name() -> None:
    with pytest.raises(SizingError, match="ZZZ is not an instrument of this run; listed: AAA"):
        factory().enter_long(Bar("ZZZ", 0, 1, 1.0, 1.0, 1.0, 1.0))


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("position_notional", Decimal(0)),
        ("position_notional", Decimal("NaN")),
        ("order_type", OrderType.STOP),
        ("limit_offset_bps", Decimal(10_000)),
        ("limit_offset_bps", Decimal("Infinity")),
    ],
)
def test_sizing_that_makes_no_sense_is_refused_at_once(setting: str, value: object) -> None:
    with pytest.raises(SizingError, match=setting):
        factory(**{setting: value})  # type: ignore[arg-type]


@given(
    ticks=st.integers(1, 10_000_000),
    offset=st.decimals(0, 500, places=2),
    notional=st.decimals(1, 1_000_000, places=2),
    lot=st.sampled_from(["0.001", "1", "7", "100"]),
)
def test_an_entry_never_costs_more_than_its_notional_and_keeps_to_lot_and_tick(
    ticks: int, offset: Decimal, notional: Decimal, lot: str
) -> None:
    orders = factory(lot, position_notional=notional, order_type=LIMIT, limit_offset_bps=offset)
    close = Decimal(ticks) / 100
    order = orders.enter_long(at(float(close)))
    if order is None:
        assert notional < Decimal(lot) * close
        return
    assert order.quantity * close <= notional < (order.quantity + Decimal(lot)) * close
    assert order.quantity % Decimal(lot) == 0
    assert order.limit_price is not None
    assert order.limit_price % Decimal("0.01") == 0
    assert close <= order.limit_price <= close * (1 + offset / 10_000)
