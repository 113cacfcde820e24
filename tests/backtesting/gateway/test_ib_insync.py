"""The real ib_insync against the gateway over real TCP."""

from __future__ import annotations

import asyncio
import json
import os
from decimal import Decimal
from pathlib import Path

import ib_insync as ibi
import pytest

from backtesting.gateway.config import GatewayConfig
from backtesting.gateway.server import GatewayServer
from backtesting.gateway.testing import simulated_gateway
from data.bars import BarSeries
from data.calendars import ExchangeClock

AAA = ibi.Stock("AAA", "SMART", "USD")


async def test_it_connects_in_sync_and_finds_contracts(ib: ibi.IB) -> None:
    assert ib.client.serverVersion() == 176
    assert ib.managedAccounts() == ["DU0000001"]
    (details,) = await ib.reqContractDetailsAsync(AAA)
    assert details.contract is not None
    assert (details.contract.conId, details.minTick) == (700_000_001, 0.01)
    assert details.liquidHours.startswith("20180102:0930-20180102:1600;20180103:0930")
    assert details.liquidHours.endswith("20180106:CLOSED;20180107:CLOSED")
    assert await ib.reqContractDetailsAsync(ibi.Stock("ZZZ", "SMART", "USD")) == []


async def test_a_day_of_trading_is_seen_whole(ib: ibi.IB) -> None:
    start = await ib.reqCurrentTimeAsync()
    trades = [
        ib.placeOrder(AAA, order)
        for order in (
            ibi.MarketOrder("BUY", 10, orderRef="m"),
            ibi.LimitOrder("BUY", 10, 99, orderRef="l"),
            ibi.StopOrder("BUY", 10, 101, orderRef="s"),
            ibi.StopLimitOrder("BUY", 10, 101.5, 101, orderRef="sl"),
            ibi.LimitOrder("BUY", 10, 1, orderRef="rests", tif="GTC"),
        )
    ]
    now = await ib.reqCurrentTimeAsync()
    assert (now - start).total_seconds() == 23_400
    assert [trade.orderStatus.status for trade in trades] == ["Filled"] * 4 + ["Submitted"]
    assert [fill.execution.price for fill in ib.fills()] == [100.01, 99.0, 101.02, 101.02]
    assert all(fill.commissionReport.commission == 1.0 for fill in ib.fills())
    (position,) = ib.positions()
    assert position.position == 40
    assert [o.orderRef for o in (t.order for t in await ib.reqOpenOrdersAsync())] == ["rests"]
    done = await ib.reqCompletedOrdersAsync(False)
    assert [trade.orderStatus.status for trade in done] == ["Filled"] * 4
    assert len(await ib.reqExecutionsAsync()) == 4
    ib.cancelOrder(trades[-1].order)
    await ib.reqCurrentTimeAsync()
    assert trades[-1].orderStatus.status == "Cancelled"


async def test_history_and_further_bars_fit_together(ib: ibi.IB) -> None:
    for _ in range(3):
        await ib.reqCurrentTimeAsync()
    bars = await ib.reqHistoricalDataAsync(
        AAA, "", "1 Y", "1 day", "TRADES", True, formatDate=2, keepUpToDate=True
    )
    assert [bar.date.isoformat() for bar in bars] == ["2018-01-02", "2018-01-03"]
    await ib.reqCurrentTimeAsync()
    assert (bars[-1].date.isoformat(), bars[-1].close, bars[-1].volume) == ("2018-01-04", 102.5, 1000.0)
    again = await ib.reqHistoricalDataAsync(AAA, "", "1 Y", "1 day", "TRADES", True, formatDate=2)
    assert list(again) == list(bars)


async def test_orders_and_positions_outlive_a_connection(gateway: GatewayServer, ib: ibi.IB) -> None:
    await ib.reqCurrentTimeAsync()
    ib.placeOrder(AAA, ibi.MarketOrder("BUY", 10, orderRef="filled"))
    resting = ib.placeOrder(AAA, ibi.LimitOrder("BUY", 10, 1, tif="GTC", orderRef="rests"))
    await ib.reqCurrentTimeAsync()
    ib.disconnect()
    while 7 in gateway.service.sessions:  # noqa: ASYNC110  the gateway offers no event for it
        await asyncio.sleep(0)
    again = ibi.IB()
    await again.connectAsync("127.0.0.1", gateway.port, clientId=7, timeout=10)
    assert [trade.order.orderRef for trade in again.openTrades()] == ["rests"]
    assert again.openTrades()[0].order.permId == resting.order.permId
    assert {t.order.orderRef: t.orderStatus.status for t in again.trades()}["filled"] == "Filled"
    assert [fill.execution.orderRef for fill in again.fills()] == ["filled"]
    assert [p.position for p in again.positions()] == [10]
    assert again.client.getReqId() > resting.order.orderId
    assert (await again.reqCurrentTimeAsync()).isoformat() == "2018-01-02T21:00:00+00:00"
    again.disconnect()


async def test_a_client_id_in_use_is_reported_before_the_connection_closes(
    gateway: GatewayServer, ib: ibi.IB
) -> None:
    second = ibi.IB()
    codes: list[int] = []
    second.errorEvent += lambda _id, code, *_: codes.append(code)
    with pytest.raises((TimeoutError, ConnectionError)):
        await second.connectAsync("127.0.0.1", gateway.port, clientId=7, timeout=0.3)
    assert codes == [326]
    assert ib.isConnected()


async def test_the_statement_says_what_the_client_saw(
    bars: dict[str, BarSeries], sessions: ExchangeClock, tmp_path: Path
) -> None:
    config = GatewayConfig(state_dir=tmp_path, initial_cash=Decimal(50_000))
    async with simulated_gateway(bars, sessions=sessions, config=config) as server:
        ib = ibi.IB()
        await ib.connectAsync("127.0.0.1", server.port, clientId=3, timeout=10)
        await ib.reqCurrentTimeAsync()
        trade = ib.placeOrder(AAA, ibi.MarketOrder("BUY", 10, orderRef="a-1"))
        await ib.reqCurrentTimeAsync()
        ib.disconnect()
    told = json.loads((tmp_path / "statement.json").read_text())
    (fill,) = trade.fills
    assert told["executions"] == [
        {
            "exec_id": fill.execution.execId,
            "order_ref": "a-1",
            "symbol": "AAA",
            "side": "BUY",
            "quantity": "10",
            "price": "100.01",
            "time": int(sessions.opens_ns[0]),
            "commission": "1",
        }
    ]
    (order,) = told["orders"]
    assert (order["status"], order["average_price"], order["perm_id"]) == (
        "Filled",
        "100.01",
        trade.order.permId,
    )
    assert (told["cash"], told["positions"]) == ("48998.9", {"AAA": "10"})
    assert told["time"] == "2018-01-02T21:00:00+00:00"
    assert os.listdir(tmp_path) == ["statement.json"]  # noqa: PTH208  the draft is gone
