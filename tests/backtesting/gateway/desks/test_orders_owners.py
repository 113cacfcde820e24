"""Whose an order is: several clients, the master, client 0 and orders entered by hand, several accounts."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import ib_insync as ibi
import pytest

from backtesting.gateway.config import AccountConfig, GatewayConfig
from backtesting.gateway.errors import GatewayError
from backtesting.gateway.statement import statement
from backtesting.gateway.wire.requests import PlaceOrder, decode

STOCK = ibi.Stock("AAA", "SMART", "USD")


@pytest.fixture
def by_hand(placed: Callable[..., list[str]]) -> Callable[[ibi.Order], PlaceOrder]:
    """An order as somebody enters it in TWS."""

    def entered(order: ibi.Order) -> PlaceOrder:
        wish = decode(placed(STOCK, order), 176)
        assert isinstance(wish, PlaceOrder)
        return wish

    return entered


async def test_ids_of_clients_are_their_own_and_only_the_owner_changes_an_order(
    floor: Any, placed: Any, told: Any, kinds: Any
) -> None:
    async with floor() as open_floor:
        first, second = await open_floor.client(1), await open_floor.client(2)
        for client in (first, second):
            client.send(*placed(STOCK, ibi.LimitOrder("BUY", 1, 90), order_id=5))
            assert kinds(await told(client)) == ["5 5 Submitted", "3 5 Submitted"]
        second.send(4, 1, 5, "")
        assert "3 5 Cancelled" in kinds(await told(second))
        second.send(4, 1, 6, "")
        assert kinds(await told(second)) == ["4 6 10147"]
        assert await told(first) == []
        first.send(5, 1)
        assert kinds(await first.until("53")) == ["5 5 Submitted", "3 5 Submitted", "53"]


async def test_among_all_orders_those_of_other_clients_come_under_their_own_ids(
    floor: Any, placed: Any, told: Any
) -> None:
    async with floor() as open_floor:
        first, second = await open_floor.client(1), await open_floor.client(2)
        first.send(*placed(STOCK, ibi.LimitOrder("BUY", 1, 90), order_id=5))
        (_, status) = await told(first)
        second.send(*placed(STOCK, ibi.LimitOrder("BUY", 1, 90), order_id=9))
        await told(second)
        second.send(16, 1)
        theirs, own = [fields for fields in await second.until("53") if fields[0] == "3"]
        assert (theirs[1], theirs[6], theirs[9]) == ("5", status[6], "1")
        assert (own[1], own[9]) == ("9", "2")


async def test_the_master_is_told_of_every_order_and_can_touch_none(
    floor: Any, placed: Any, step: Any, told: Any, kinds: Any
) -> None:
    async with floor(GatewayConfig(master_client_id=9)) as open_floor:
        master, client = await open_floor.client(9), await open_floor.client(1)
        await step(master)
        client.send(*placed(STOCK, ibi.MarketOrder("BUY", 1), order_id=5))
        assert kinds(await told(client)) == ["5 5 Submitted", "3 5 Submitted"]
        heard = await told(master)
        assert kinds(heard) == ["5 5 Submitted", "3 5 Submitted"]
        assert heard[1][9] == "1"
        master.send(4, 1, 5, "")
        assert kinds(await told(master)) == ["4 5 10147"]
        client.send(*placed(STOCK, ibi.LimitOrder("BUY", 1, 50), order_id=6))
        client.send(4, 1, 6, "")
        await told(client)
        assert kinds(await told(master))[-2:] == ["3 6 PendingCancel", "3 6 Cancelled"]
        client.send(49, 1)  # the first request tells the time, the second waits for the master
        client.send(49, 1)
        fill = ["11", "5 5 Filled", "3 5 Filled", "5 5 Filled", "3 5 Filled", "59"]
        assert kinds(await step(master)) == fill
        await client.until("49")
        assert kinds((await client.until("49"))[:-1]) == fill


async def test_client_0_is_given_orders_entered_by_hand_when_it_asks(
    floor: Any, placed: Any, by_hand: Any, told: Any, kinds: Any
) -> None:
    async with floor() as open_floor:
        zero, other = await open_floor.client(0), await open_floor.client(1)
        ticket = open_floor.book.manual_place(by_hand(ibi.LimitOrder("BUY", 3, 90)))
        assert await told(zero) == []
        zero.send(16, 1)
        everything = await zero.until("53")
        assert kinds(everything) == ["5 0 Submitted", "3 0 Submitted", "53"]
        other.send(5, 1)
        assert kinds(await other.until("53")) == ["53"]
        zero.send(4, 1, 0, "")
        assert kinds(await told(zero)) == ["4 0 10147"]
        zero.send(5, 1)
        bound = await zero.until("53")
        assert bound[0] == ["100", str(ticket.perm_id), "0", "-1"]
        assert kinds(bound[1:]) == ["5 -1 Submitted", "3 -1 Submitted", "53"]
        zero.send(*placed(STOCK, ibi.LimitOrder("BUY", 4, 91), order_id=-1))
        assert kinds(await told(zero)) == ["5 -1 Submitted", "3 -1 Submitted"]
        assert ticket.modifications == 1
        zero.send(4, 1, -1, "")
        assert kinds(await told(zero))[-1] == "4 -1 202"


async def test_client_0_can_be_told_of_orders_entered_by_hand_as_they_come(
    floor: Any, by_hand: Any, step: Any, told: Any, kinds: Any
) -> None:
    async with floor() as open_floor:
        zero, other = await open_floor.client(0), await open_floor.client(1)
        await step(other)
        other.send(15, 1, 1)
        assert kinds(await told(other)) == ["4 -1 327"]
        zero.send(15, 1, 1)
        assert kinds(await zero.until("53")) == ["53"]
        open_floor.book.manual_place(by_hand(ibi.MarketOrder("BUY", 3)))
        assert kinds(await told(zero)) == ["100", "5 -1 Submitted", "3 -1 Submitted"]
        zero.send(49, 1)
        zero.send(49, 1)
        assert kinds(await step(other)) == []
        await zero.until("49")
        assert kinds(await zero.until("49"))[:3] == ["11", "5 -1 Filled", "3 -1 Filled"]
        zero.send(15, 1, 0)
        await zero.until("53")
        open_floor.book.manual_place(by_hand(ibi.LimitOrder("BUY", 3, 50)))
        assert await told(zero) == []
        zero.send(99, 1)
        assert kinds(await zero.until("102")) == ["102"]  # of the API only
        zero.send(99, 0)
        assert kinds(await zero.until("102")) == ["101", "102"]


async def test_an_order_changed_or_cancelled_by_hand_is_told_to_its_owner(
    floor: Any, placed: Any, told: Any, kinds: Any
) -> None:
    async with floor() as open_floor:
        client, book = await open_floor.client(1), open_floor.book
        client.send(*placed(STOCK, ibi.LimitOrder("BUY", 3, 90), order_id=5))
        perm_id = int((await told(client))[1][6])
        book.manual_modify(perm_id, limit_price=Decimal(91), quantity=Decimal(4))
        heard = await told(client)
        assert kinds(heard) == ["5 5 Submitted", "3 5 Submitted"]
        assert heard[0][14:17] == ["4", "LMT", "91.0"]
        book.manual_cancel(perm_id)
        assert kinds(await told(client)) == ["3 5 PendingCancel", "3 5 Cancelled", "4 5 202"]
        with pytest.raises(GatewayError, match="no live order"):
            book.manual_cancel(perm_id)


async def test_with_several_accounts_an_order_names_its_own(
    floor: Any, placed: Any, step: Any, told: Any, kinds: Any
) -> None:
    accounts = (AccountConfig("DU1"), AccountConfig("DU2", Decimal(5_000), "margin"))
    async with floor(GatewayConfig(accounts=accounts)) as open_floor:
        client = await open_floor.client(1)
        await step(client)
        await step(client)
        for account, code in (("", "435"), ("DU3", "321")):
            client.send(*placed(STOCK, ibi.MarketOrder("BUY", 3, account=account), order_id=5))
            assert kinds(await told(client)) == [f"4 5 {code}"]
        client.send(*placed(STOCK, ibi.MarketOrder("BUY", 3, account="DU2"), order_id=5))
        assert "DU2" in (await told(client))[0]
        filled = await step(client)
        assert "DU2" in filled[0]
        ledgers = open_floor.book.broker.ledgers
        assert [ledgers[name].position("AAA") for name in ("DU1", "DU2")] == [0, 3]
        client.send(7, 3, 1, 0, "DU1", "", "", "", "", "")
        assert kinds(await client.until("55")) == ["55"]
        client.send(7, 3, 1, 0, "DU2", "", "AAA", "STK", "SMART", "BUY")
        assert kinds(await client.until("55")) == ["11", "59", "55"]
        written = statement(open_floor.book, 0)["accounts"]
        assert [written[name]["positions"] for name in ("DU1", "DU2")] == [{}, {"AAA": "3"}]


async def test_an_order_that_margin_refuses_is_inactive_and_its_id_is_free(
    floor: Any, placed: Any, step: Any, told: Any, kinds: Any
) -> None:
    config = GatewayConfig(accounts=(AccountConfig("DU1", Decimal(5_000), "margin"),))
    async with floor(config) as open_floor:
        client = await open_floor.client(1)
        await step(client)
        await step(client)
        client.send(*placed(STOCK, ibi.MarketOrder("BUY", 1000), order_id=5))
        heard = await told(client)
        assert kinds(heard) == ["4 5 201", "5 5 Inactive", "3 5 Inactive"]
        assert heard[0][4].startswith("Order rejected - reason:YOUR ORDER IS NOT ACCEPTED.")
        client.send(16, 1)
        assert kinds(await client.until("53")) == ["53"]
        client.send(99, 1)
        ended = await client.until("102")
        assert "Cancelled" in ended[0]
        client.send(4, 1, 5, "")
        assert kinds(await told(client)) == ["4 5 10148"]
        client.send(*placed(STOCK, ibi.MarketOrder("BUY", 1), order_id=5))
        assert kinds(await told(client)) == ["5 5 Submitted", "3 5 Submitted"]


async def test_what_the_exchange_refuses_at_once_is_an_error_alone(
    floor: Any, bars: Any, placed: Any, step: Any, told: Any, kinds: Any
) -> None:
    async with floor(bars=bars) as open_floor:
        client = await open_floor.client(1)
        await step(client)
        await step(client)  # after the close
        client.send(*placed(STOCK, ibi.MarketOrder("BUY", 1, tif="IOC"), order_id=5))
        refused = await told(client)
        assert kinds(refused) == ["4 5 201"]
        assert refused[0][4] == "Order rejected - reason:Exchange is closed."


async def test_a_read_only_gateway_refuses_orders_and_says_so(
    floor: Any, placed: Any, told: Any, kinds: Any
) -> None:
    async with floor(GatewayConfig(read_only=True)) as open_floor:
        client = await open_floor.client(1)
        client.send(*placed(STOCK, ibi.MarketOrder("BUY", 1), order_id=5))
        client.send(4, 1, 5, "")
        client.send(58, 1)
        client.send(5, 1)
        client.send(99, 1)
        heard = await told(client)
        assert kinds(heard) == ["4 5 321", "4 5 321", "4 -1 321", "4 -1 321", "4 -1 321"]
        assert {fields[4] for fields in heard} == {
            "Error validating request.-'bC' : cause - The API interface is currently in Read-Only mode."
        }
        client.send(7, 3, 1, 0, "", "", "", "", "", "")
        assert kinds(await client.until("55")) == ["55"]
