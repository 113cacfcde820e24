"""The conversation on the bare wire: which messages come, and in which order."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import ib_insync as ibi
import pytest

from backtesting.gateway.server import GatewayServer
from backtesting.gateway.testing import WireClient, simulated_gateway
from data.bars import BarSeries
from data.calendars import ExchangeClock

Placed = Callable[..., list[str]]
STOCK = ibi.Stock("AAA", "SMART", "USD")
CONTRACT = (0, "AAA", "STK", "", "0.0", "", "", "SMART", "", "USD", "", "")


async def step(client: WireClient) -> list[list[str]]:
    """Say that the step is done; return what comes up to the new time."""
    client.send(49, 1)
    return await client.until("49")


def kinds(messages: list[list[str]]) -> list[str]:
    """Return message numbers, with the status of orders and the code of errors."""
    shown = []
    for fields in messages:
        extra = {"3": fields[2:3], "4": fields[3:4]}.get(fields[0], [])
        if fields[0] == "5":
            extra = [text for text in fields if text in ("PreSubmitted", "Submitted", "Filled")]
        shown.append(" ".join([fields[0], *extra]))
    return shown


async def test_a_client_is_welcomed_as_by_a_real_gateway(gateway: GatewayServer) -> None:
    client = await WireClient.connect(gateway.port)
    assert client.greeting == ["176", "20180102 09:30:00 US/Eastern"]
    welcome = await client.until("4", "2", "-1", "2158")
    assert welcome[:2] == [["15", "1", "DU0000001"], ["9", "1", "1"]]
    assert kinds(welcome[2:]) == ["4 2104", "4 2106", "4 2158"]
    await client.close()


async def test_the_first_request_for_the_time_tells_it_and_each_later_one_plays_a_step(
    wire: WireClient,
) -> None:
    opening = 1514903400
    assert await step(wire) == [["49", "1", str(opening)]]
    assert await step(wire) == [["49", "1", str(opening + 23_400)]]
    for _ in range(9):
        await step(wire)
    last = await step(wire)
    assert await step(wire) == last  # the data has ended: the time no longer moves


async def test_a_fill_comes_as_execution_status_and_commission(wire: WireClient, placed: Placed) -> None:
    await step(wire)
    wire.send(*placed(STOCK, ibi.MarketOrder("BUY", 10, orderRef="r"), order_id=5))
    assert kinds(await wire.until("3")) == ["5 Submitted", "3 Submitted"]
    told = await step(wire)
    assert kinds(told) == ["11", "5 Filled", "3 Filled", "5 Filled", "3 Filled", "59", "49"]
    assert told[0][14] == told[5][2] == "0000e0d5.59682f01.01.01"
    assert "USD" not in told[1][60:]
    assert "USD" in told[3][60:]
    assert told[2] == told[4]


async def test_an_order_placed_after_the_close_waits_as_presubmitted(
    wire: WireClient, placed: Placed
) -> None:
    await step(wire)
    await step(wire)
    wire.send(*placed(STOCK, ibi.LimitOrder("BUY", 10, 90), order_id=5))
    warned = await wire.until("4")
    assert kinds(warned) == ["5 PreSubmitted", "3 PreSubmitted", "4 399"]
    assert warned[-1][4] == (
        "Order Message:\nBUY 10 AAA NASDAQ.NMS\n"
        "Warning: Your order will not be placed at the exchange until 2018-01-03 09:30:00 US/Eastern."
    )
    expired = await step(wire)
    assert kinds(expired) == ["3 Cancelled", "4 202", "49"]
    assert expired[1][4] == "Order Canceled - reason:DAY order expired"


async def test_a_cancel_in_a_session_is_pending_first(wire: WireClient, placed: Placed) -> None:
    wire.send(*placed(STOCK, ibi.LimitOrder("BUY", 10, 90, tif="GTC"), order_id=5))
    wire.send(4, 1, 5, "")
    told = await wire.until("4")
    assert kinds(told)[2:] == ["3 PendingCancel", "3 Cancelled", "4 202"]
    assert told[-1][4] == "Order Canceled - reason:"
    for order_id, code, text in (
        (5, "10148", "OrderId 5 that needs to be cancelled cannot be cancelled, state: Cancelled."),
        (6, "10147", "OrderId 6 that needs to be cancelled is not found."),
    ):
        wire.send(4, 1, order_id, "")
        assert (await wire.receive())[2:5] == [str(order_id), code, text]


async def test_a_cancel_outside_a_session_is_final_at_once(wire: WireClient, placed: Placed) -> None:
    await step(wire)
    await step(wire)
    wire.send(*placed(STOCK, ibi.LimitOrder("BUY", 10, 90), order_id=5))
    await wire.until("4")
    wire.send(4, 1, 5, "")
    assert kinds(await wire.until("4")) == ["3 Cancelled", "4 202"]


async def test_only_the_owner_can_cancel(gateway: GatewayServer, wire: WireClient, placed: Placed) -> None:
    wire.send(*placed(STOCK, ibi.LimitOrder("BUY", 10, 90), order_id=5))
    await wire.until("3")
    other = await WireClient.connect(gateway.port, 2)
    await other.until("4", "2", "-1", "2158")
    other.send(4, 1, 5, "")
    assert (await other.receive())[3] == "10147"
    other.send(16, 1)
    assert kinds(await other.until("53")) == ["5 Submitted", "3 Submitted", "53"]
    other.send(5, 1)
    assert kinds(await other.until("53")) == ["53"]
    await other.close()


@pytest.mark.parametrize(
    ("contract", "order", "code"),
    [
        (ibi.Stock("ZZZ", "SMART", "USD"), ibi.MarketOrder("BUY", 1), "200"),
        (ibi.Stock("AAA", "SMART", "EUR"), ibi.MarketOrder("BUY", 1), "200"),
        (ibi.Stock("AAA", "IBIS", "USD"), ibi.MarketOrder("BUY", 1), "200"),
        (ibi.Contract(conId=12, exchange="SMART"), ibi.MarketOrder("BUY", 1), "200"),
        (ibi.Contract(exchange="SMART"), ibi.MarketOrder("BUY", 1), "200"),
        (STOCK, ibi.LimitOrder("BUY", 1, 99.123), "110"),
        (STOCK, ibi.MarketOrder("BUY", 0.5), "10243"),
        (STOCK, ibi.Order(action="BUY", totalQuantity=1, orderType="FEELINGS"), "321"),
        (STOCK, ibi.Order(action="HOLD", totalQuantity=1, orderType="MKT"), "321"),
        (STOCK, ibi.Order(action="BUY", totalQuantity=1, orderType="LMT"), "321"),
        (STOCK, ibi.MarketOrder("BUY", 0), "434"),
        (STOCK, ibi.MarketOrder("BUY", 1, tif="GTD"), "337"),
        (STOCK, ibi.MarketOrder("BUY", 1, account="DU9"), "321"),
        (STOCK, ibi.MarketOrder("BUY", 1.5, whatIf=True), "10243"),
        (STOCK, ibi.MarketOrder("BUY", 1, parentId=3), "10006"),
    ],
)
async def test_a_bad_order_gets_an_error_and_nothing_else(
    wire: WireClient, placed: Placed, contract: ibi.Contract, order: ibi.Order, code: str
) -> None:
    wire.send(*placed(contract, order, order_id=5))
    wire.send(16, 1)
    refused, end = await wire.receive(), await wire.receive()
    assert (refused[2], refused[3]) == ("5", code)
    assert end == ["53", "1"]


async def test_an_order_id_is_used_once(wire: WireClient, placed: Placed) -> None:
    await step(wire)
    for order_id in (5, 4, 0):
        wire.send(*placed(STOCK, ibi.MarketOrder("BUY", 1), order_id=order_id))
    await wire.until("3")
    assert [(await wire.receive())[3] for _ in range(2)] == ["103", "321"]
    await step(wire)
    wire.send(*placed(STOCK, ibi.MarketOrder("BUY", 1), order_id=5))
    assert (await wire.receive())[3:5] == ["104", "Can't modify a filled order."]


async def test_unreadable_and_unserved_requests_are_answered_and_harm_nothing(wire: WireClient) -> None:
    for fields, request_id, code in (
        ((1, 11, 77, "x"), "77", "320"),
        ((3, 8, "x"), "8", "320"),
        (("x",), "-1", "320"),
        ((71, 2, 1, ""), "-1", "321"),
        ((9, 8, "eleven"), "-1", "320"),
        ((25, 1, 5), "5", "366"),
        ((7, 3, 6, 0, "", "", "", "", "", "SIDEWAYS"), "6", "321"),
        ((6, 2, 1, "DU9"), "-1", "321"),
    ):
        wire.send(*fields)
        refused = await wire.receive()
        assert (refused[0], refused[2], refused[3]) == ("4", request_id, code)
    wire.write((3).to_bytes(4, "big") + b"\xff\xfe\0")
    assert (await wire.receive())[3] == "320"
    wire.send(17, 1)
    assert await wire.receive() == ["15", "1", "DU0000001"]


async def test_executions_are_those_of_today_reported_before_their_commissions(
    wire: WireClient, placed: Placed
) -> None:
    await step(wire)
    for order_id, side in ((1, "BUY"), (2, "SELL")):
        wire.send(*placed(STOCK, ibi.MarketOrder(side, 10), order_id=order_id))
    await step(wire)
    query = (7, 3, 50, 0, "", "", "", "", "")
    wire.send(*query, "")
    assert kinds(await wire.until("55")) == ["11", "11", "59", "59", "55"]
    wire.send(*query, "SELL")
    sold = await wire.until("55")
    assert kinds(sold) == ["11", "59", "55"]
    assert sold[0][1] == "50"
    assert sold[1][5] == "-0.2"  # ten bought at 101.01 and sold at 100.99
    wire.send(7, 3, 51, 0, "", "20180102 15:00:00 US/Eastern", "", "", "", "")
    assert kinds(await wire.until("55")) == ["55"]
    await step(wire)
    wire.send(*query, "")
    assert kinds(await wire.until("55")) == ["55"]


async def test_completed_orders_are_those_of_today(wire: WireClient, placed: Placed) -> None:
    await step(wire)
    wire.send(*placed(STOCK, ibi.MarketOrder("BUY", 10), order_id=1))
    wire.send(*placed(STOCK, ibi.LimitOrder("BUY", 10, 50), order_id=2))
    wire.send(*placed(STOCK, ibi.LimitOrder("BUY", 10, 50, tif="GTC"), order_id=3))
    await step(wire)
    wire.send(99, 1)
    told = await wire.until("102")
    assert [fields[-6] for fields in told[:-1]] == [
        "Filled Size: 10",
        "Cancelled by System:DAY order expired",
    ]
    wire.send(4, 1, 3, "")
    await wire.until("4")
    wire.send(99, 1)
    assert (await wire.until("102"))[2][-6] == "Cancelled by Trader"
    await step(wire)
    wire.send(99, 1)
    assert kinds(await wire.until("102")) == ["102"]


async def test_subscribers_hear_of_positions_values_and_bars_before_the_time(
    wire: WireClient, placed: Placed
) -> None:
    wire.send(61, 1)
    assert kinds(await wire.until("62")) == ["62"]
    wire.send(6, 2, 1, "")
    assert kinds(await wire.until("54"))[-2:] == ["8", "54"]
    wire.send(62, 1, 9, "All", "NetLiquidation,AccountType,$LEDGER:ALL")
    summary = await wire.until("64")
    assert [f[4] for f in summary[:-1]] == sorted(f[4] for f in summary[:-1])
    wire.send(20, 8, *CONTRACT, 0, "", "1 day", "1 Y", 1, "TRADES", 2, 1, "")
    assert (await wire.until("17"))[0][4] == "0"
    await step(wire)
    wire.send(*placed(STOCK, ibi.MarketOrder("BUY", 10), order_id=1))
    await wire.until("3")
    order = [fields[0] for fields in await step(wire)]
    assert order[:6] == ["11", "5", "3", "5", "3", "59"]
    assert order[6] == "61"
    assert order[-2:] == ["90", "49"]
    assert {"6", "7", "8", "63"} < set(order)
    wire.send(64, 1)
    wire.send(63, 1, 9)
    wire.send(6, 2, 0, "")
    await wire.until("4", "2", "-1", "2100")
    wire.send(25, 1, 8)
    assert (await wire.until("4"))[-1][4].endswith("API historical data query cancelled: 8")
    wire.send(*placed(STOCK, ibi.MarketOrder("SELL", 10), order_id=2))
    await wire.until("3")
    assert {fields[0] for fields in await step(wire)} == {"11", "5", "3", "59", "49"}
    wire.send(61, 1)
    flat = await wire.until("62")
    assert flat[0][14:] == ["0", "0"]  # a flat row for what was traded today


async def test_the_account_is_valued_at_the_last_close(wire: WireClient, placed: Placed) -> None:
    await step(wire)
    wire.send(*placed(STOCK, ibi.MarketOrder("BUY", 10), order_id=1))
    await wire.until("3")
    await step(wire)
    wire.send(76, 1, 5, "DU0000001", "", 0)
    values = {fields[5]: fields[6] for fields in (await wire.until("74"))[:-1]}
    # 10 bought at 100.01 (one basis point of slippage), commission 1, close 100.5
    assert values["TotalCashValue"] == "998998.90"
    assert values["NetLiquidation"] == "1000003.90"
    assert values["GrossPositionValue"] == "1005.00"
    assert values["UnrealizedPnL"] == "4.90"
    wire.send(77, 1, 5)
    wire.send(59, 1, 3)
    wire.send(14, 1, 5)
    wire.send(8, 1, 1)
    assert await wire.receive() == ["9", "1", "2"]


async def test_a_second_history_under_a_live_id_is_refused(wire: WireClient) -> None:
    for _ in range(2):
        wire.send(20, 8, *CONTRACT, 0, "", "1 day", "1 Y", 1, "TRADES", 2, 1, "")
    assert (await wire.until("4"))[-1][3] == "322"


async def test_a_client_id_in_use_is_refused_until_its_session_is_gone(
    gateway: GatewayServer, wire: WireClient, placed: Placed
) -> None:
    second = await WireClient.connect(gateway.port, 1)
    assert (await second.receive())[3] == "326"
    with pytest.raises(EOFError):
        await second.receive()
    await second.close()
    wire.send(*placed(STOCK, ibi.LimitOrder("BUY", 1, 90, tif="GTC"), order_id=12))
    await wire.until("3")
    await wire.close()
    while 1 in gateway.service.sessions:
        probe = await WireClient.open(gateway.port)
        await probe.close()
    third = await WireClient.connect(gateway.port, 1)
    assert (await third.until("9"))[-1] == ["9", "1", "13"]  # ids go on where they were
    await third.until("4", "2", "-1", "2158")
    third.send(5, 1)
    assert kinds(await third.until("53")) == ["5 Submitted", "3 Submitted", "53"]
    await third.close()


async def test_time_waits_for_every_lockstep_client_and_not_for_those_that_left(
    gateway: GatewayServer, wire: WireClient
) -> None:
    other = await WireClient.connect(gateway.port, 2)
    await other.until("4", "2", "-1", "2158")
    start = (await step(wire))[-1]
    assert (await step(other))[-1] == start
    wire.send(49, 1)
    wire.send(17, 1)
    assert await wire.receive() == ["15", "1", "DU0000001"]  # no time yet: the other has not finished
    assert (await step(other))[-1] == (await wire.receive()) != start
    wire.send(49, 1)
    await other.close()
    assert (await wire.receive())[0] == "49"


async def test_a_global_cancel_ends_all_orders_and_names_those_that_cannot_be(
    gateway: GatewayServer, wire: WireClient, placed: Placed
) -> None:
    other = await WireClient.connect(gateway.port, 2)
    await other.until("4", "2", "-1", "2158")
    other.send(*placed(STOCK, ibi.LimitOrder("BUY", 1, 90), order_id=3))
    await other.until("3")
    wire.send(*placed(STOCK, ibi.LimitOrder("BUY", 1, 90), order_id=1))
    wire.send(4, 1, 1, "")
    await wire.until("4")
    wire.send(58, 1)
    refused = await wire.receive()
    assert refused[2:4] == ["1", "161"]
    assert refused[4].endswith("state.  Order permId =1500000002")
    assert kinds(await other.until("4")) == ["3 PendingCancel", "3 Cancelled", "4 202"]
    assert gateway.service.book.open_tickets() == []
    await other.close()


async def test_fills_reach_the_owner_only(gateway: GatewayServer, wire: WireClient, placed: Placed) -> None:
    owner = await WireClient.connect(gateway.port, 2)
    await owner.until("4", "2", "-1", "2158")
    owner.send(*placed(STOCK, ibi.MarketOrder("BUY", 1), order_id=3))
    await owner.until("3")
    await step(wire)
    assert kinds(await step(wire)) == ["49"]
    assert kinds(await owner.until("59"))[0] == "11"
    await owner.close()


@pytest.fixture
async def partial(bars: dict[str, BarSeries], sessions: ExchangeClock) -> AsyncIterator[WireClient]:
    """A client of a gateway that fills a tenth of a bar's volume, which is 100."""
    from decimal import Decimal

    from backtesting.gateway.config import GatewayConfig
    from strategies.spec import CostSpec

    config = GatewayConfig(costs=CostSpec(participation=Decimal("0.1")))
    async with simulated_gateway(bars, sessions=sessions, config=config) as server:
        client = await WireClient.connect(server.port)
        await client.until("4", "2", "-1", "2158")
        yield client
        await client.close()


async def test_a_partial_fill_stays_submitted_and_adds_up(partial: WireClient, placed: Placed) -> None:
    await step(partial)
    partial.send(*placed(STOCK, ibi.MarketOrder("BUY", 150, tif="GTC"), order_id=1))
    await partial.until("3")
    first, second = await step(partial), await step(partial)
    assert kinds(first)[:3] == ["11", "5 Submitted", "3 Submitted"]
    assert first[2][3:6] == ["100", "50", "100.01"]
    assert second[2][2:6] == ["Filled", "150", "0", "100.346667"]
    assert [told[0][14][-5:] for told in (first, second)] == ["01.01", "02.01"]
    assert second[0][23:25] != first[0][23:25]  # cumulative size and average price
