"""Every type of order and time in force through the executor, on the simulated gateway: taken, and ended.

This is the order-type table: each row is an order as a user makes it, the state it rests in, and its end.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from execution.models import Instrument, OrderRequest, OrderStatus, OrderType, Side, TimeInForce

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


def future(symbol: str, expiry: str) -> Instrument:
    return Instrument(
        symbol, "FUT", "CME", "USD", Decimal("0.25"), multiplier=Decimal(50), underlying="ES", expiry=expiry
    )


def option(symbol: str, strike: str, right: str) -> Instrument:
    terms: dict[str, Any] = {"strike": Decimal(strike), "right": right, "expiry": "20180119"}
    return Instrument(symbol, "OPT", multiplier=Decimal(100), underlying="SPY", **terms)


CONTRACTS = {
    "stock": Instrument("ES"),
    "ETF": Instrument("SPY", primary_exchange="ARCA"),
    "future": future("ESH8", "20180316"),
    "future of a later expiry": future("ESM8", "20180615"),
    "option": option("SPY 180119C100", "100", "C"),
    "option of another right": option("SPY 180119P100", "100", "P"),
    "option of another strike": option("SPY 180119C102.5", "102.5", "C"),
    "currency pair": Instrument("EURUSD", "CASH", tick=Decimal("0.00005")),
}
"""Contracts that share symbols on the wire: one stock and two futures are ES there, four contracts SPY."""


async def test_contracts_that_share_a_symbol_on_the_wire_are_told_apart_and_survive_a_restart(
    floor: MakeFloor,
) -> None:
    sizes = {one.symbol: Decimal(place) for place, one in enumerate(CONTRACTS.values(), start=1)}
    async with floor(contracts=tuple(CONTRACTS.values())) as f:
        await f.step()
        for symbol, size in sizes.items():
            wish = OrderRequest(symbol, size, T.MARKET, Side.BUY, client_order_id=f"o-{size}")
            assert (await f.executor.submit_order(wish)).status is OrderStatus.SUBMITTED
        await f.step(2)
        for again in (False, True):
            if again:
                await f.shut()
                f.another(instruments=tuple(CONTRACTS.values()))
                await f.executor.ensure_ready()
            executor = f.executor
            assert {o.symbol: o.filled_quantity for o in executor.orders()} == sizes
            assert {p.symbol: p.quantity for p in await executor.get_positions()} == sizes
            assert (await executor.reconcile()).agrees


@pytest.mark.parametrize("one", CONTRACTS.values(), ids=list(CONTRACTS))
@pytest.mark.parametrize(
    ("kind", "prices"),
    [
        (T.MARKET, {}),
        (T.LIMIT, {"limit_price": 200}),
        (T.STOP, {"stop_price": "100.5"}),
        (T.TRAIL, {"trail_amount": 1, "trail_stop": "100.5"}),
    ],
    ids=lambda value: str(value) if isinstance(value, OrderType) else "",
)
async def test_an_order_on_each_kind_of_contract_is_filled_and_agrees(
    floor: MakeFloor, one: Instrument, kind: OrderType, prices: dict[str, Any]
) -> None:
    side = Side.SELL if kind.trails else Side.BUY
    async with floor(contracts=(one,)) as f:
        await f.step()
        given: dict[str, Any] = {name: Decimal(price) for name, price in prices.items()}
        wish = OrderRequest(one.symbol, Decimal(2), kind, side, client_order_id="o-1", **given)
        assert (await f.executor.submit_order(wish)).status is OrderStatus.SUBMITTED
        await f.step(3)
        done = await f.executor.get_order_status("o-1")
        assert (done.status, done.symbol) == (FILLED, one.symbol)
        assert done.filled_quantity == 2
        [held] = await f.executor.get_positions()
        assert (held.symbol, held.quantity) == (one.symbol, Decimal(2 * side.sign))
        assert held.average_cost == done.average_fill_price
        assert held.gain == held.value - held.quantity * held.average_cost * one.multiplier
        assert (await f.executor.reconcile()).agrees


@pytest.mark.parametrize("one", CONTRACTS.values(), ids=list(CONTRACTS))
async def test_an_open_order_on_each_kind_of_contract_is_found_changed_and_cancelled_after_a_restart(
    floor: MakeFloor, one: Instrument
) -> None:
    async with floor(contracts=(one,)) as f:
        await f.step()
        wish = OrderRequest(
            one.symbol, Decimal(2), T.LIMIT, Side.BUY, Decimal(50), time_in_force=L.GTC, client_order_id="o-1"
        )
        await f.executor.submit_order(wish)
        await f.shut()
        executor = f.another(instruments=(one,))
        await executor.ensure_ready()
        assert [(o.symbol, o.status) for o in await executor.get_open_orders()] == [
            (one.symbol, OrderStatus.SUBMITTED)
        ]
        changed = await executor.modify_order("o-1", limit_price=Decimal(51))
        assert changed.limit_price == 51
        assert await executor.cancel_all() == {}
        assert (await executor.reconcile()).agrees
