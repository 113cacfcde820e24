"""Parents, children and OCA groups: what is held back, what is told, and what ends with what."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import ib_insync as ibi

from backtesting.gateway.config import GatewayConfig
from backtesting.gateway.testing import WireClient
from strategies.spec import CostSpec

STOCK = ibi.Stock("AAA", "SMART", "USD")


def send(client: WireClient, placed: Callable[..., list[str]], order_id: int, order: ibi.Order) -> None:
    client.send(*placed(STOCK, order, order_id=order_id))


def bracket(client: WireClient, placed: Callable[..., list[str]], parent: ibi.Order) -> None:
    """Send 47, a target 48 at 104 and a stop 49 at 97; only the last is transmitted."""
    parent.transmit = False
    send(client, placed, 47, parent)
    send(client, placed, 48, ibi.LimitOrder("SELL", 10, 104, parentId=47, transmit=False, tif="GTC"))
    send(client, placed, 49, ibi.StopOrder("SELL", 10, 97, parentId=47, tif="GTC"))


async def test_nothing_is_told_of_a_bracket_until_its_last_order_is_transmitted(
    floor: Any, placed: Any, told: Any, kinds: Any
) -> None:
    async with floor() as open_floor:
        client = await open_floor.client()
        send(client, placed, 47, ibi.MarketOrder("BUY", 10, transmit=False))
        send(client, placed, 48, ibi.LimitOrder("SELL", 10, 104, parentId=47, transmit=False))
        assert await told(client) == []
        client.send(5, 1)
        assert await client.until("53") == [["53", "1"]]
        send(client, placed, 49, ibi.StopOrder("SELL", 10, 97, parentId=47))
        heard = await told(client)
        assert kinds(heard) == [
            "5 47 Submitted",
            "3 47 Submitted",
            "5 48 PreSubmitted",
            "3 48 PreSubmitted child",
            "5 49 PreSubmitted",
            "3 49 PreSubmitted child,trigger",
        ]
        parent_perm_id = heard[1][6]
        for opened, status in ((heard[2], heard[3]), (heard[4], heard[5])):
            assert opened[19] == parent_perm_id  # the children's OCA group
            assert status[7] == "47"


async def test_a_filled_parent_sets_its_children_to_work_and_the_first_that_fills_ends_the_other(
    floor: Any, placed: Any, step: Any, told: Any, kinds: Any
) -> None:
    async with floor() as open_floor:
        client = await open_floor.client()
        await step(client)
        bracket(client, placed, ibi.MarketOrder("BUY", 10))
        await told(client)
        filled = kinds(await step(client))
        assert filled[:6] == ["11", "5 47 Filled", "3 47 Filled", "5 47 Filled", "3 47 Filled", "59"]
        assert filled[6:] == [
            "5 48 Submitted",
            "3 48 Submitted",
            "5 49 PreSubmitted",
            "3 49 PreSubmitted trigger",
        ]
        ended: list[str] = []
        while not ended:
            messages = await step(client)
            ended = kinds(messages)
        assert messages[-1][4] == "Order Canceled - reason:"
        assert ended == [
            "11",
            "5 48 Filled",
            "3 48 Filled",
            "5 48 Filled",
            "3 48 Filled",
            "59",
            "3 49 Cancelled",
            "4 49 202",
        ]
        assert open_floor.book.open_tickets() == []


async def test_children_end_with_a_cancelled_parent(floor: Any, placed: Any, told: Any, kinds: Any) -> None:
    async with floor() as open_floor:
        client = await open_floor.client()
        bracket(client, placed, ibi.LimitOrder("BUY", 10, 90))
        await told(client)
        client.send(4, 1, 47, "")
        assert kinds(await told(client)) == [
            "3 47 PendingCancel",
            "3 47 Cancelled",
            "4 47 202",
            "3 48 Cancelled",
            "4 48 202",
            "3 49 Cancelled",
            "4 49 202",
        ]


async def test_a_child_can_be_changed_and_stays_a_child(
    floor: Any, placed: Any, told: Any, kinds: Any
) -> None:
    async with floor() as open_floor:
        client = await open_floor.client()
        bracket(client, placed, ibi.LimitOrder("BUY", 10, 90))
        await told(client)
        send(client, placed, 48, ibi.LimitOrder("SELL", 10, 105, parentId=47, tif="GTC"))
        heard = await told(client)
        assert kinds(heard) == ["5 48 PreSubmitted", "3 48 PreSubmitted child"]
        assert heard[0][16] == "105.0"


async def test_an_order_without_a_parent_of_that_id_is_refused(
    floor: Any, placed: Any, told: Any, kinds: Any
) -> None:
    async with floor() as open_floor:
        client = await open_floor.client()
        send(client, placed, 5, ibi.MarketOrder("BUY", 1, parentId=3))
        assert kinds(await told(client)) == ["4 5 10006"]


async def test_outside_a_session_each_of_a_bracket_is_warned_of(
    floor: Any, placed: Any, step: Any, told: Any, kinds: Any, bars: Any
) -> None:
    async with floor(bars=bars) as open_floor:
        client = await open_floor.client()
        await step(client)
        await step(client)  # the close of the first day
        bracket(client, placed, ibi.MarketOrder("BUY", 10))
        assert kinds(await told(client)) == [
            "4 47 399",
            "5 47 PreSubmitted",
            "3 47 PreSubmitted",
            "5 48 PreSubmitted",
            "3 48 PreSubmitted child",
            "4 48 399",
            "5 49 PreSubmitted",
            "3 49 PreSubmitted child,trigger",
            "4 49 399",
        ]


async def test_the_mates_of_an_oca_group_end_with_the_first_that_fills(
    floor: Any, placed: Any, step: Any, told: Any, kinds: Any
) -> None:
    async with floor() as open_floor:
        client = await open_floor.client()
        await step(client)
        for order_id, limit in ((1, 50), (2, 200)):
            order = ibi.LimitOrder("BUY", 5, limit, ocaGroup="one", ocaType=1)
            send(client, placed, order_id, order)
        assert (await told(client))[0][19] == "one"
        heard = kinds(await step(client))
        assert heard[0] == "11"
        assert heard[-2:] == ["3 1 Cancelled", "4 1 202"]


async def test_a_mate_is_reduced_by_a_partial_fill(
    floor: Any, placed: Any, step: Any, told: Any, kinds: Any
) -> None:
    from decimal import Decimal

    from backtesting.gateway.config import GatewayConfig
    from strategies.spec import CostSpec

    config = GatewayConfig(costs=CostSpec(participation=Decimal("0.5")))  # five shares a minute
    async with floor(config) as open_floor:
        client = await open_floor.client()
        await step(client)
        for order_id, limit in ((1, 50), (2, 200)):
            send(client, placed, order_id, ibi.LimitOrder("BUY", 10, limit, ocaGroup="one", ocaType=2))
        await told(client)
        heard = await step(client)
        assert kinds(heard)[-2:] == ["5 1 Submitted", "3 1 Submitted"]
        assert heard[-1][3:5] == ["0", "5"]  # half is filled, half of the mate is left
        assert heard[-2][14] == "5"


async def test_ib_insync_sees_a_bracket_through_to_its_end(floor: Any) -> None:
    async with floor() as open_floor:
        ib = ibi.IB()
        ib.client.MaxRequests = 0
        await ib.connectAsync("127.0.0.1", open_floor.server.port, clientId=7, timeout=10)
        (stock,) = await ib.qualifyContractsAsync(STOCK)
        await ib.reqCurrentTimeAsync()
        orders = ib.bracketOrder("BUY", 10, limitPrice=110, takeProfitPrice=103, stopLossPrice=90)
        trades = [ib.placeOrder(stock, order) for order in orders]
        for _ in range(6):
            await ib.reqCurrentTimeAsync()
        assert [trade.orderStatus.status for trade in trades] == ["Filled", "Filled", "Cancelled"]
        assert [trade.filled() for trade in trades] == [10, 10, 0]
        assert {trade.order.parentId for trade in trades[1:]} == {orders[0].orderId}
        ib.disconnect()


async def test_children_of_a_parent_cancelled_in_part_are_told_at_once_and_stay_cancelled(
    floor: Any, placed: Any, step: Any, told: Any, kinds: Any
) -> None:
    config = GatewayConfig(costs=CostSpec(participation=Decimal("0.4")))
    async with floor(config) as open_floor:
        client = await open_floor.client()
        await step(client)
        client.send(*placed(STOCK, ibi.MarketOrder("BUY", 10, transmit=False), order_id=1))
        client.send(*placed(STOCK, ibi.LimitOrder("SELL", 10, 500, parentId=1), order_id=2))
        await told(client)
        await step(client)  # four of ten
        client.send(4, 1, 1, "")
        heard = await told(client)
        assert kinds(heard)[2:4] == ["4 1 202", "5 2 PreSubmitted"]  # reduced to four
        assert kinds(heard)[-2:] == ["5 2 Submitted", "3 2 Submitted"]
        assert heard[-1][4] == "4"
        client.send(4, 1, 2, "")
        assert kinds(await told(client))[-2:] == ["3 2 Cancelled", "4 2 202"]
        assert await step(client) == []
