"""Fitting orders to their contract: refused by default, rounded where asked for, never worse than asked."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution.desk.rounding import rounded
from execution.errors import InvalidOrderError
from execution.models import Instrument, OrderRequest, OrderType, Side

from .test_modification import limit

if TYPE_CHECKING:
    from ..conftest import MakeFloor

NICKEL = Instrument("AAA", tick=Decimal("0.05"), lot=Decimal(10))
AMOUNT = st.decimals("0.05", "1000", places=4)


def order(kind: OrderType, side: Side, **amounts: str) -> OrderRequest:
    values: dict[str, Any] = {name: Decimal(text) for name, text in amounts.items()}
    return OrderRequest("AAA", values.pop("quantity", Decimal(10)), kind, side, **values)


@pytest.mark.parametrize(
    ("kind", "side", "given_", "wanted"),
    [
        (OrderType.LIMIT, Side.BUY, {"limit_price": "1.07"}, {"limit_price": "1.05"}),
        (OrderType.LIMIT, Side.SELL, {"limit_price": "1.07"}, {"limit_price": "1.10"}),
        (OrderType.STOP, Side.BUY, {"stop_price": "1.07"}, {"stop_price": "1.10"}),
        (OrderType.STOP, Side.SELL, {"stop_price": "1.07"}, {"stop_price": "1.05"}),
        (OrderType.MARKET_IF_TOUCHED, Side.BUY, {"stop_price": "1.07"}, {"stop_price": "1.05"}),
        (OrderType.MARKET_IF_TOUCHED, Side.SELL, {"stop_price": "1.07"}, {"stop_price": "1.10"}),
        (OrderType.TRAIL, Side.SELL, {"trail_amount": "0.12"}, {"trail_amount": "0.15"}),
        (
            OrderType.TRAIL_LIMIT,
            Side.SELL,
            {"trail_percent": "2.5", "trail_stop": "1.07", "limit_offset": "0.12"},
            {"trail_percent": "2.5", "trail_stop": "1.05", "limit_offset": "0.10"},
        ),
        (OrderType.MARKET, Side.BUY, {"quantity": "29"}, {"quantity": "20"}),
    ],
)
def test_prices_never_become_worse_and_stops_never_earlier(
    kind: OrderType, side: Side, given_: dict[str, str], wanted: dict[str, str]
) -> None:
    assert rounded(order(kind, side, **given_), NICKEL) == order(kind, side, **wanted)


@given(price=AMOUNT, side=st.sampled_from(Side))
def test_a_limit_is_within_a_tick_and_on_the_safe_side(price: Decimal, side: Side) -> None:
    fitted = rounded(order(OrderType.LIMIT, side, limit_price=str(price)), NICKEL)
    assert fitted.limit_price is not None
    assert fitted.limit_price % NICKEL.tick == 0
    assert 0 <= (price - fitted.limit_price) * side.sign < NICKEL.tick
    assert rounded(fitted, NICKEL) == fitted


@pytest.mark.parametrize("amounts", [{"quantity": "9", "limit_price": "1"}, {"limit_price": "0.04"}])
def test_what_nothing_is_left_of_is_refused(amounts: dict[str, str]) -> None:
    with pytest.raises(InvalidOrderError, match="less than a"):
        rounded(order(OrderType.LIMIT, Side.BUY, **amounts), NICKEL)


async def test_an_order_that_does_not_fit_is_refused_unless_rounding_is_asked_for(floor: MakeFloor) -> None:
    async with floor() as f:
        with pytest.raises(InvalidOrderError, match="tick"):
            await f.executor.submit_order(limit("90.123"))
        assert f.executor.orders() == []
    async with floor(round_orders=True) as f:
        order = await f.executor.submit_order(limit("90.123"))
        assert order.limit_price == Decimal("90.12")
        assert await f.executor.submit_order(limit("90.123")) == order
