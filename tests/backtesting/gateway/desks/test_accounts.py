"""What clients hear of their accounts: holdings, values, summaries, profit, and the errors."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import ib_insync as ibi
import pytest

from backtesting.gateway.config import AccountConfig, GatewayConfig
from backtesting.gateway.server import GatewayServer
from backtesting.gateway.testing import WireClient, simulated_gateway
from data.bars import BarSeries
from data.calendars import ExchangeClock

STOCK = ibi.Stock("AAA", "SMART", "USD")
STOCK_LATER = ibi.Stock("BBB", "SMART", "USD")
TWO = (AccountConfig("DU1", Decimal(100_000), "margin"), AccountConfig("DU2", Decimal(5_000), "cash"))
Placed = Callable[..., list[str]]
Messages = list[list[str]]
Step = Callable[[WireClient], Awaitable[Messages]]


def rows(messages: Messages, number: str) -> Messages:
    return [fields for fields in messages if fields[0] == number]


@pytest.fixture
async def trade(placed: Placed, step: Step) -> Callable[..., Awaitable[Messages]]:
    """Send a market order, play a step, and return what came in it."""
    ids = iter(range(1, 100))

    async def traded(
        client: WireClient, side: str, size: int = 10, account: str = "", symbol: str = "AAA"
    ) -> Messages:
        contract = ibi.Stock(symbol, "SMART", "USD")
        client.send(*placed(contract, ibi.MarketOrder(side, size, account=account), order_id=next(ids)))
        await client.until("3")
        return await step(client)

    return traded


@pytest.fixture
async def two(bars: dict[str, BarSeries], sessions: ExchangeClock) -> Any:
    """A gateway whose login has two accounts."""
    async with simulated_gateway(bars, sessions=sessions, config=GatewayConfig(accounts=TWO)) as server:
        yield server


@pytest.fixture
async def holder(two: GatewayServer) -> Any:
    """A welcomed client of it, after the first of its daily bars."""
    client = await WireClient.connect(two.port)
    await client.until("4", "2", "-1", "2158")
    for _ in range(2):
        client.send(49, 1)
        await client.until("49")
    yield client
    await client.close()


async def test_every_account_of_the_login_is_named(holder: WireClient) -> None:
    holder.send(17, 1)
    assert await holder.receive() == ["15", "1", "DU1,DU2"]


async def test_positions_are_those_of_all_accounts_with_a_zero_for_what_was_sold_out(
    holder: WireClient, step: Step, trade: Callable[..., Awaitable[Messages]]
) -> None:
    holder.send(61, 1)
    assert await holder.receive() == ["62", "1"]
    bought = rows(await trade(holder, "BUY", 10, "DU1"), "61")
    assert [fields[2:5] + fields[-2:] for fields in bought] == [["DU1", "700000001", "AAA", "10", "101.02"]]
    assert [f[2] for f in rows(await trade(holder, "BUY", 5, "DU2"), "61")] == ["DU2"]
    sold = rows(await trade(holder, "SELL", 10, "DU1"), "61")
    assert [(fields[2], *fields[-2:]) for fields in sold] == [("DU1", "0", "0")]
    holder.send(61, 1)
    held = await holder.until("62")
    assert [(fields[2], fields[-2]) for fields in rows(held, "61")] == [("DU1", "0"), ("DU2", "5")]
    holder.send(64, 1)
    assert rows(await trade(holder, "SELL", 5, "DU2"), "61") == []


async def test_positions_under_a_request_id_are_those_of_one_account(
    holder: WireClient, step: Step, trade: Callable[..., Awaitable[Messages]]
) -> None:
    await trade(holder, "BUY", 10, "DU1")
    holder.send(74, 1, 8, "DU1", "")
    assert [f[2:5] for f in await holder.until("72")] == [["8", "DU1", "700000001"], ["8"]]
    holder.send(74, 1, 9, "DU2", "")
    assert await holder.receive() == ["72", "1", "9"]
    news = rows(await trade(holder, "BUY", 5, "DU2"), "71")
    assert [(f[2], f[3], f[-3], f[-1]) for f in news] == [("9", "DU2", "5", "")]
    for wrong, code in (((74, 1, 9, "DU2", ""), "322"), ((74, 1, 5, "DU9", ""), "321"), ((75, 1, 7), "300")):
        holder.send(*wrong)
        assert (await holder.receive())[2:4] == [str(wrong[2]), code]
    holder.send(75, 1, 9)
    assert rows(await trade(holder, "SELL", 5, "DU2"), "71") == []


async def test_account_updates_follow_one_account_at_a_time(
    holder: WireClient, step: Step, trade: Callable[..., Awaitable[Messages]]
) -> None:
    holder.send(6, 2, 1, "")
    assert (await holder.receive())[3:] == [
        "321",
        "Error validating request.-'cq' : cause - You must specify an account.",
        "",
    ]
    holder.send(6, 2, 1, "DU1")
    told = await holder.until("54")
    assert [f[0] for f in told[-2:]] == ["8", "54"]
    values = {(f[2], f[4]): f[3] for f in rows(told, "6")}
    assert {f[5] for f in rows(told, "6")} == {"DU1"}
    assert values["NetLiquidation", "USD"] == "100000.00"
    assert values["AccountCode", ""] == "DU1"
    assert values["CashBalance", "BASE"] == "100000.00"
    news = await trade(holder, "BUY", 10, "DU1")
    assert {f[2] for f in rows(news, "6")} >= {"TotalCashValue", "NetLiquidation", "StockMarketValue"}
    assert "AccountCode" not in {f[2] for f in rows(news, "6")}  # what has not changed is not repeated
    (holding,) = rows(news, "7")
    assert holding[6:8] == ["0", "0"]
    assert holding[-1] == "DU1"
    holder.send(6, 2, 1, "DU2")
    switched = await holder.until("54")
    assert switched[0][2:4] == ["-1", "2100"]
    assert rows(await trade(holder, "BUY", 10, "DU1"), "7") == []
    holder.send(6, 2, 0, "DU2")
    assert (await holder.receive())[3:5] == ["2100", "API client has been unsubscribed from account data."]
    holder.send(6, 2, 0, "DU2")
    assert rows(await trade(holder, "SELL", 10, "DU1"), "6") == []


async def test_values_under_a_request_id_go_on_until_they_are_cancelled(
    holder: WireClient, step: Step, trade: Callable[..., Awaitable[Messages]]
) -> None:
    holder.send(76, 1, 5, "DU1", "", 0)
    assert {f[3] for f in rows(await holder.until("74"), "73")} == {"DU1"}
    holder.send(76, 1, 6, "", "", 1)
    ledger = rows(await holder.until("74"), "73")
    assert {f[3] for f in ledger} == {"DU1", "DU2"}
    assert {f[5] for f in ledger} >= {"NetLiquidation", "CashBalance"}
    assert "BuyingPower" not in {f[5] for f in ledger}
    news = rows(await trade(holder, "BUY", 10, "DU1"), "73")
    assert {f[2] for f in news} == {"5", "6"}
    for request_id in (5, 6):
        holder.send(77, 1, request_id)
    assert rows(await trade(holder, "SELL", 10, "DU1"), "73") == []
    for wrong, code in (((77, 1, 5), "300"), ((76, 1, 7, "DU1", "model", 0), "321")):
        holder.send(*wrong)
        assert (await holder.receive())[3] == code


async def test_a_summary_has_the_tags_asked_for_in_alphabetical_order_account_by_account(
    holder: WireClient, step: Step, trade: Callable[..., Awaitable[Messages]]
) -> None:
    holder.send(62, 1, 9, "All", "TotalCashValue, NetLiquidation,AccountType,Nonsense")
    told = await holder.until("64")
    assert [f[3:] for f in told[:-1]] == [
        ["DU1", "AccountType", "INDIVIDUAL", ""],
        ["DU1", "NetLiquidation", "100000.00", "USD"],
        ["DU1", "TotalCashValue", "100000.00", "USD"],
        ["DU2", "AccountType", "INDIVIDUAL", ""],
        ["DU2", "NetLiquidation", "5000.00", "USD"],
        ["DU2", "TotalCashValue", "5000.00", "USD"],
    ]
    news = rows(await trade(holder, "BUY", 10, "DU1"), "63")
    assert [(f[3], f[4]) for f in news] == [("DU1", "NetLiquidation"), ("DU1", "TotalCashValue")]


@pytest.mark.parametrize(
    ("tags", "currencies"),
    [("$LEDGER", {"BASE"}), ("$LEDGER:ALL", {"BASE", "USD"}), ("$LEDGER:USD", {"USD"})],
)
async def test_the_ledger_is_told_in_the_currencies_asked_for(
    holder: WireClient, tags: str, currencies: set[str]
) -> None:
    holder.send(62, 1, 9, "All", tags)
    told = rows(await holder.until("64"), "63")
    assert {f[6] for f in told} == currencies
    assert {f[4] for f in told} >= {"CashBalance", "ExchangeRate", "RealizedPnL", "UnrealizedPnL"}


async def test_a_client_has_two_summaries_at_most(holder: WireClient) -> None:
    for request_id in (1, 2, 3):
        holder.send(62, 1, request_id, "All", "NetLiquidation")
    refused = (await holder.until("4"))[-1]
    assert refused[2:4] == ["3", "322"]
    assert refused[4].endswith("Maximum number of account summary requests exceeded")
    holder.send(63, 1, 1)
    holder.send(62, 1, 3, "All", "NetLiquidation")
    assert (await holder.until("64"))[-1][2] == "3"
    for wrong, code in (
        ((62, 1, 2, "DU9", "NetLiquidation"), "321"),
        ((62, 1, 2, "All", ""), "321"),
        ((63, 1, 7), "300"),
    ):
        holder.send(*wrong)
        assert (await holder.receive())[3] == code


async def test_profit_counts_from_the_close_of_the_session_before(
    wire: WireClient, step: Step, trade: Callable[..., Awaitable[Messages]]
) -> None:
    await step(wire)
    wire.send(92, 5, "DU0000001", "")
    wire.send(94, 6, "DU0000001", "", 700_000_001)
    assert await wire.receive() == ["94", "5", "0", "0", "0"]
    assert (await wire.receive())[:3] == ["95", "6", "0"]
    first = await trade(wire, "BUY")  # ten at 100.01, commission 1, close 100.5
    assert rows(first, "94") == [["94", "5", "3.9", "4.9", "0"]]
    assert rows(first, "95") == [["95", "6", "10", "4.9", "4.9", "0", "1005"]]
    second = await step(wire)  # close 101.5
    assert rows(second, "94") == [["94", "5", "10", "14.9", "0"]]
    assert rows(second, "95") == [["95", "6", "10", "10", "14.9", "0", "1015"]]
    third = await trade(wire, "SELL")  # ten at 101.98, commission 1
    assert rows(third, "94") == [["94", "5", "3.8", "0", "19.7"]]
    assert rows(third, "95") == [["95", "6", "0", "4.8", "0", "19.7", "0"]]
    fourth = await step(wire)
    assert rows(fourth, "94") == [["94", "5", "0", "0", "0"]]
    wire.send(93, 5)
    wire.send(95, 6)
    assert {f[0] for f in await trade(wire, "BUY")} & {"94", "95"} == set()


async def test_profit_that_cannot_be_subscribed_to_is_refused(wire: WireClient) -> None:
    wire.send(92, 5, "DU0000001", "")
    await wire.until("94")
    for wrong, code in (
        ((92, 5, "DU0000001", ""), "322"),
        ((92, 6, "DU9", ""), "321"),
        ((92, 6, "", ""), "321"),
        ((92, 6, "DU0000001", "model"), "321"),
        ((94, 6, "DU0000001", "", 12), "321"),
        ((93, 6), "300"),
        ((95, 6), "300"),
    ):
        wire.send(*wrong)
        assert (await wire.receive())[2:4] == [str(wrong[1]), code]


async def test_the_login_has_no_family_tiers_or_branding(wire: WireClient) -> None:
    wire.send(80)
    assert await wire.receive() == ["78", "1", "*", ""]
    wire.send(79, 3)
    assert await wire.receive() == ["77", "3", "0"]
    wire.send(104, 4)
    assert await wire.receive() == ["107", "4", ""]


async def test_subscriptions_end_with_their_client(gateway: GatewayServer, wire: WireClient) -> None:
    other = await WireClient.connect(gateway.port, 2)
    await other.until("4", "2", "-1", "2158")
    other.send(61, 1)
    await other.until("62")
    wire.send(61, 1)
    await wire.until("62")
    desk = gateway.service.accounts
    assert desk.watched == 2
    wire.send(64, 1)
    wire.send(17, 1)
    await wire.receive()
    assert desk.watched == 1  # one that wants nothing any more costs nothing
    await other.close()
    while 2 in gateway.service.sessions:  # noqa: ASYNC110  the gateway offers no event for it
        await asyncio.sleep(0)
    assert desk.watched == 0


async def test_ib_insync_sees_positions_values_and_profit(ib: ibi.IB) -> None:
    account = ib.managedAccounts()[0]
    await ib.reqCurrentTimeAsync()
    profit = ib.reqPnL(account)
    single = ib.reqPnLSingle(account, "", 700_000_001)
    ib.placeOrder(STOCK, ibi.MarketOrder("BUY", 10))
    await ib.reqCurrentTimeAsync()
    assert (profit.dailyPnL, profit.unrealizedPnL, profit.realizedPnL) == (3.9, 4.9, 0.0)
    assert (single.position, single.unrealizedPnL, single.value) == (10, 4.9, 1005.0)
    (position,) = ib.positions()
    assert (position.contract.conId, position.position, position.avgCost) == (700_000_001, 10, 100.01)
    (item,) = ib.portfolio()
    assert (item.marketPrice, item.unrealizedPNL) == (100.5, 4.9)
    await ib.reqAccountSummaryAsync()
    summary = {(v.tag, v.currency): v.value for v in ib.wrapper.acctSummary.values()}
    assert summary["NetLiquidation", "USD"] == "1000003.90"
    assert summary["CashBalance", "BASE"] == summary["CashBalance", "USD"] == "998998.90"
    asked_for = {
        *("AccountType", "AccruedCash", "AvailableFunds", "BuyingPower", "Cushion", "DayTradesRemaining"),
        *("EquityWithLoanValue", "ExcessLiquidity", "FullAvailableFunds", "FullExcessLiquidity"),
        *("FullInitMarginReq", "FullMaintMarginReq", "GrossPositionValue", "HighestSeverity"),
        *("InitMarginReq", "Leverage", "LookAheadAvailableFunds", "LookAheadExcessLiquidity"),
        *("LookAheadInitMarginReq", "LookAheadMaintMarginReq", "LookAheadNextChange", "MaintMarginReq"),
        *("PreviousDayEquityWithLoanValue", "RegTEquity", "RegTMargin", "SettledCash", "TotalCashValue"),
        *(f"DayTradesRemainingT+{day}" for day in (1, 2, 3, 4)),
    }
    assert asked_for <= {tag for tag, _ in summary}
    values = {(v.tag, v.currency): v.value for v in ib.accountValues()}
    assert values["UnrealizedPnL", "USD"] == "4.90"
    ib.cancelPnL(account)
    ib.cancelPnLSingle(account, "", 700_000_001)
    ib.placeOrder(STOCK, ibi.MarketOrder("SELL", 10))
    await ib.reqCurrentTimeAsync()
    assert ib.positions() == []
    assert ib.portfolio() == []
    assert profit.realizedPnL == 0.0


async def test_a_margin_account_shows_what_is_required_and_a_cash_account_what_has_settled(
    holder: WireClient, step: Step, trade: Callable[..., Awaitable[Messages]]
) -> None:
    await trade(holder, "BUY", 100, "DU1")  # 100 at 101.02, commission 1, close 101.5
    holder.send(62, 1, 9, "DU1", "InitMarginReq,MaintMarginReq,AvailableFunds,BuyingPower,Leverage,Cushion")
    told = {f[4]: f[5] for f in rows(await holder.until("64"), "63")}
    assert (told["InitMarginReq"], told["MaintMarginReq"]) == ("5075.00", "2537.50")
    assert Decimal(told["AvailableFunds"]) == Decimal("100047.00") - 5075
    assert Decimal(told["BuyingPower"]) == 2 * Decimal(told["AvailableFunds"])
    assert told["Leverage"] == "0.10"
    holder.send(62, 1, 10, "DU2", "BuyingPower,SettledCash")
    assert {f[5] for f in rows(await holder.until("64"), "63")} == {"5000.00"}


async def test_values_follow_prices_every_three_minutes_where_time_flows(
    minute_bars: dict[str, BarSeries], sessions: ExchangeClock, placed: Placed
) -> None:
    config = GatewayConfig(speed="1", paused=True)
    async with simulated_gateway(minute_bars, sessions=sessions, config=config) as server:
        client = await WireClient.connect(server.port)
        await client.until("4", "2", "-1", "2158")
        client.send(*placed(STOCK, ibi.MarketOrder("BUY", 10)))
        await client.until("3")
        server.service.step()  # the first minute
        await client.until("59")
        client.send(6, 2, 1, "")
        client.send(62, 1, 9, "All", "NetLiquidation")
        client.send(92, 5, "DU0000001", "")
        assert (await client.until("94"))[-1][1] == "5"
        server.service.step()  # the second: the price has moved, and profit with it
        assert [f[0] for f in await client.until("94")] == ["94"]
        server.service.step()  # the third
        followed = await client.until("94")
        assert {f[0] for f in followed} == {"6", "7", "8", "63", "94"}
        assert [(f[2], f[4]) for f in rows(followed, "6") if f[2] == "NetLiquidation"] == [
            ("NetLiquidation", "USD")
        ]
        assert rows(followed, "8") == [["8", "1", "09:33"]]
        await client.close()


async def test_the_day_before_the_first_close_counts_from_the_opening_balance(
    minute_bars: dict[str, BarSeries],
    sessions: ExchangeClock,
    step: Step,
    trade: Callable[..., Awaitable[Messages]],
) -> None:
    async with simulated_gateway(minute_bars, sessions=sessions) as server:
        client = await WireClient.connect(server.port)
        await client.until("4", "2", "-1", "2158")
        await step(client)
        client.send(92, 5, "DU0000001", "")
        assert await client.receive() == ["94", "5", "0", "0", "0"]
        bought = await trade(client, "BUY")  # ten at 100.01, commission 1, close 100.25
        assert rows(bought, "94") == [["94", "5", "1.4", "2.4", "0"]]
        for _ in range(4):
            last_of_day = await step(client)  # up to 104.25
        assert rows(last_of_day, "94") == [["94", "5", "41.4", "42.4", "0"]]
        next_day = await step(client)  # 105.25: a day of one more point
        assert rows(next_day, "94") == [["94", "5", "10", "52.4", "0"]]
        await client.close()


async def test_an_order_for_what_has_no_price_yet_does_not_stop_accounts_being_told(
    bars: dict[str, BarSeries], sessions: ExchangeClock, placed: Placed
) -> None:
    later = {"AAA": bars["AAA"], "BBB": bars["BBB"].slice(5, 10)}
    async with simulated_gateway(later, sessions=sessions) as server:
        client = await WireClient.connect(server.port)
        await client.until("4", "2", "-1", "2158")
        client.send(*placed(STOCK_LATER, ibi.MarketOrder("BUY", 10, tif="GTC"), order_id=1))
        await client.until("3")
        client.send(62, 1, 4, "All", "NetLiquidation,AvailableFunds")
        told = rows(await client.until("64"), "63")
        assert [fields[-2] for fields in told] == ["1000000.00", "1000000.00"]
        server.service.step(8)
        assert (await client.until("59"))[-1][0] == "59"
        await client.close()


async def test_a_stock_whose_exchange_is_not_known_is_told_as_of_nasdaq(
    holder: WireClient, trade: Callable[..., Awaitable[Messages]]
) -> None:
    messages = await trade(holder, "BUY", 10, "DU1")
    assert [fields[10] for fields in rows(messages, "61")] == []
    holder.send(61, 1)
    assert [fields[10] for fields in rows(await holder.until("62"), "61")] == ["NASDAQ"]
