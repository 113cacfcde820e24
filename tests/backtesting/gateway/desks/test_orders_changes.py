"""Changing an order, asking what it would do, and the numbers of orders."""

from __future__ import annotations

from typing import Any

import ib_insync as ibi
import pytest

STOCK = ibi.Stock("AAA", "SMART", "USD")
OTHER = ibi.Stock("BBB", "SMART", "USD")


async def test_a_change_keeps_the_permanent_id_and_counts(
    floor: Any, placed: Any, step: Any, told: Any, kinds: Any
) -> None:
    async with floor() as open_floor:
        client = await open_floor.client()
        await step(client)
        client.send(*placed(STOCK, ibi.LimitOrder("BUY", 10, 90), order_id=5))
        first = await told(client)
        client.send(*placed(STOCK, ibi.LimitOrder("BUY", 20, 91), order_id=5))
        second = await told(client)
        client.send(*placed(STOCK, ibi.MarketOrder("BUY", 20), order_id=5))
        third = await told(client)
        for count, heard in enumerate((first, second, third)):
            assert kinds(heard) == ["5 5 Submitted", "3 5 Submitted"]
            perm_id = heard[1][6]
            size = "10" if count == 0 else "20"
            assert f"{perm_id}.{count}/DU0000001/{size}" in heard[0]
        assert len({heard[1][6] for heard in (first, second, third)}) == 1
        assert kinds(await step(client))[0] == "11"


@pytest.mark.parametrize(
    ("contract", "order", "code"),
    [
        (STOCK, ibi.LimitOrder("BUY", 10, 90.123), "110"),
        (STOCK, ibi.LimitOrder("SELL", 10, 91), "105"),
        (OTHER, ibi.LimitOrder("BUY", 10, 91), "105"),
        (STOCK, ibi.LimitOrder("BUY", 0, 91), "434"),
        (STOCK, ibi.LimitOrder("BUY", 10, 91, account="DU9"), "105"),
        (STOCK, ibi.Order(action="BUY", totalQuantity=10, orderType="FEELINGS"), "321"),
    ],
)
async def test_a_bad_change_leaves_the_order_as_it_was(
    floor: Any, placed: Any, bars: Any, told: Any, kinds: Any, contract: Any, order: ibi.Order, code: str
) -> None:
    async with floor(bars=bars) as open_floor:
        client = await open_floor.client()
        client.send(*placed(STOCK, ibi.LimitOrder("BUY", 10, 90), order_id=5))
        before = await told(client)
        client.send(*placed(contract, order, order_id=5))
        assert kinds(await told(client)) == [f"4 5 {code}"]
        client.send(5, 1)
        assert (await client.until("53"))[:2] == before


async def test_a_change_that_is_not_transmitted_waits(floor: Any, placed: Any, told: Any) -> None:
    async with floor() as open_floor:
        client = await open_floor.client()
        client.send(*placed(STOCK, ibi.LimitOrder("BUY", 10, 90), order_id=5))
        before = await told(client)
        client.send(*placed(STOCK, ibi.LimitOrder("BUY", 10, 95, transmit=False), order_id=5))
        assert await told(client) == []
        client.send(5, 1)
        assert (await client.until("53"))[:2] == before


async def test_an_order_held_back_is_told_of_when_it_is_transmitted(
    floor: Any, placed: Any, told: Any, kinds: Any
) -> None:
    async with floor() as open_floor:
        client = await open_floor.client()
        for transmit in (False, True):
            order = ibi.LimitOrder("BUY", 10, 90, transmit=transmit)
            client.send(*placed(STOCK, order, order_id=5))
        assert kinds(await told(client)) == ["5 5 Submitted", "3 5 Submitted"]


async def test_an_order_held_back_can_be_cancelled(floor: Any, placed: Any, told: Any, kinds: Any) -> None:
    async with floor() as open_floor:
        client = await open_floor.client()
        client.send(*placed(STOCK, ibi.LimitOrder("BUY", 10, 90, transmit=False), order_id=5))
        client.send(4, 1, 5, "")
        assert kinds(await told(client)) == ["3 5 Cancelled", "4 5 202"]


async def test_numbers_are_used_once(floor: Any, placed: Any, step: Any, told: Any, kinds: Any) -> None:
    async with floor() as open_floor:
        client = await open_floor.client()
        await step(client)
        client.send(*placed(STOCK, ibi.MarketOrder("BUY", 1), order_id=5))
        await told(client)
        for order_id, code in ((4, "103"), (0, "321"), (-3, "321")):
            client.send(*placed(STOCK, ibi.MarketOrder("BUY", 1), order_id=order_id))
            assert kinds(await told(client)) == [f"4 {order_id} {code}"]
        await step(client)
        client.send(*placed(STOCK, ibi.MarketOrder("BUY", 1), order_id=5))
        refused = await told(client)
        assert refused[0][3:5] == ["104", "Can't modify a filled order."]
        client.send(*placed(STOCK, ibi.LimitOrder("BUY", 1, 50), order_id=6))
        client.send(4, 1, 6, "")
        await told(client)
        client.send(*placed(STOCK, ibi.LimitOrder("BUY", 1, 50), order_id=6))
        assert kinds(await told(client)) == ["4 6 103"]


async def test_a_what_if_is_answered_by_one_open_order_and_rests_nowhere(
    floor: Any, placed: Any, step: Any, told: Any, kinds: Any
) -> None:
    async with floor() as open_floor:
        client = await open_floor.client()
        await step(client)
        await step(client)
        client.send(*placed(STOCK, ibi.MarketOrder("BUY", 100, whatIf=True), order_id=5))
        heard = await told(client)
        assert kinds(heard) == ["5 5 PreSubmitted"]
        assert heard[0][24] != "0"  # a permanent id
        state = heard[0].index("PreSubmitted")
        before, change, after = heard[0][state + 1], heard[0][state + 4], heard[0][state + 7]
        assert (before, change, after) == ("0.0", "5012.5", "5012.5")  # half of 100 shares at 100.25
        client.send(16, 1)
        assert kinds(await client.until("53")) == ["53"]
        client.send(*placed(STOCK, ibi.MarketOrder("BUY", 100), order_id=5))
        assert kinds(await told(client)) == ["5 5 Submitted", "3 5 Submitted"]


async def test_ib_insync_gets_margins_and_can_change_an_order(floor: Any) -> None:
    async with floor() as open_floor:
        ib = ibi.IB()
        ib.client.MaxRequests = 0
        await ib.connectAsync("127.0.0.1", open_floor.server.port, clientId=7, timeout=10)
        await ib.reqCurrentTimeAsync()
        await ib.reqCurrentTimeAsync()
        state = await ib.whatIfOrderAsync(STOCK, ibi.MarketOrder("BUY", 100))
        assert (float(state.initMarginChange), float(state.maintMarginChange)) == (5012.5, 2506.25)
        assert (state.commission, float(state.equityWithLoanChange)) == (1.0, -1.0)
        trade = ib.placeOrder(STOCK, ibi.LimitOrder("BUY", 10, 90))
        await ib.reqOpenOrdersAsync()
        trade.order.lmtPrice = 200
        ib.placeOrder(STOCK, trade.order)
        await ib.reqCurrentTimeAsync()
        assert trade.isDone()
        assert trade.filled() == 10
        assert len(ib.trades()) == 1
        ib.disconnect()
