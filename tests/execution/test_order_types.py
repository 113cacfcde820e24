"""Every type of order and time in force through the executor, on the simulated gateway: taken, and ended.

This is the order-type table: each row is an order as a user makes it, the state it rests in, and its end.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from execution.models import OrderRequest, OrderStatus, OrderType, Side, TimeInForce

if TYPE_CHECKING:
    from .conftest import MakeFloor

FILLED, CANCELLED = OrderStatus.FILLED, OrderStatus.CANCELLED
SOON = pd.Timestamp("2018-01-02 14:31:30", tz="UTC")


def order(kind: OrderType, side: Side = Side.BUY, **more: Any) -> OrderRequest:
    prices: dict[str, Any] = {
        name: Decimal(str(more.pop(name)))
        for name in tuple(more)
        if name.endswith(("price", "amount", "percent", "stop", "offset"))
    }
    return OrderRequest("AAA", Decimal(10), kind, side, client_order_id="o-1", **prices, **more)


T, L = OrderType, TimeInForce

TABLE = [
    (order(T.MARKET), FILLED),
    (order(T.LIMIT, limit_price=200), FILLED),
    (order(T.LIMIT, limit_price=200, time_in_force=L.GTC), FILLED),
    (order(T.LIMIT, limit_price=200, all_or_none=True), FILLED),
    (order(T.LIMIT, limit_price=50, time_in_force=L.GTD, good_till=SOON), CANCELLED),
    (order(T.LIMIT, limit_price=200, time_in_force=L.GTD, good_till=SOON), FILLED),
    (order(T.MARKET, time_in_force=L.IOC), FILLED),
    (order(T.LIMIT, limit_price=50, time_in_force=L.IOC), CANCELLED),
    (order(T.LIMIT, limit_price=200, time_in_force=L.FOK), FILLED),
    (order(T.LIMIT, limit_price=50, time_in_force=L.FOK), CANCELLED),
    (order(T.STOP, stop_price=100.5), FILLED),
    (order(T.STOP_LIMIT, stop_price=100.5, limit_price=103), FILLED),
    (order(T.MARKET_IF_TOUCHED, Side.SELL, stop_price=100.5), FILLED),
    (order(T.LIMIT_IF_TOUCHED, Side.SELL, stop_price=100.5, limit_price=100), FILLED),
    (order(T.TRAIL, Side.SELL, trail_amount=1, trail_stop=100.5), FILLED),
    (order(T.TRAIL, Side.SELL, trail_percent=1, trail_stop=100.5), FILLED),
    (order(T.TRAIL_LIMIT, Side.SELL, trail_amount=1, trail_stop=100.5, limit_offset=2), FILLED),
]

DAILY = [
    (order(T.MARKET_ON_CLOSE), FILLED),
    (order(T.LIMIT_ON_CLOSE, limit_price=200), FILLED),
    (order(T.LIMIT_ON_CLOSE, limit_price=50), CANCELLED),
    (order(T.MARKET, time_in_force=L.OPG), FILLED),
    (order(T.LIMIT, limit_price=200, time_in_force=L.OPG), FILLED),
    (order(T.LIMIT, limit_price=50, time_in_force=L.OPG), CANCELLED),
    (order(T.STOP, Side.SELL, stop_price=50), CANCELLED),
]


def title(row: object) -> str | None:
    if isinstance(row, OrderRequest):
        return f"{row.order_type}-{row.time_in_force}"
    return None


@pytest.mark.parametrize(("request_", "end"), TABLE, ids=title)
async def test_an_order_of_each_type_is_taken_and_ends(
    floor: MakeFloor, request_: OrderRequest, end: OrderStatus
) -> None:
    async with floor() as f:
        await f.step()
        order = await f.executor.submit_order(request_)
        assert order.status is OrderStatus.SUBMITTED
        await f.step(3)
        done = await f.executor.get_order_status("o-1")
        assert done.status is end
        assert done.filled_quantity == (10 if end is FILLED else 0)
        assert (await f.executor.reconcile()).agrees


@pytest.mark.parametrize(("request_", "end"), DAILY, ids=title)
async def test_an_order_for_a_moment_of_the_day_waits_for_it_and_ends(
    floor: MakeFloor, request_: OrderRequest, end: OrderStatus
) -> None:
    async with floor(daily=True) as f:
        await f.step(2)  # the close of the first day
        order = await f.executor.submit_order(request_)
        assert order.status is OrderStatus.SUBMITTED
        await f.step()
        assert (await f.executor.get_order_status("o-1")).status is end


def test_the_table_has_every_type_and_every_time_in_force() -> None:
    rows = [request for request, _ in (*TABLE, *DAILY)]
    assert {row.order_type for row in rows} == set(OrderType)
    assert {row.time_in_force for row in rows} == set(TimeInForce)
