"""What the broker's desk does afterwards, and what memory lets go of when the day ends."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import ib_insync as ibi
import pytest

from backtesting.gateway.config import GatewayConfig
from backtesting.gateway.errors import GatewayError
from backtesting.gateway.market.corporate_action_file import CorporateAction

STOCK = ibi.Stock("AAA", "SMART", "USD")
ALL = (7, 3, 50, 0, "", "", "", "", "", "")


async def bought(open_floor: Any, placed: Any, step: Any, quantity: float = 10) -> tuple[Any, str]:
    """Return a client that has just bought, and the id of the execution."""
    client = await open_floor.client()
    await step(client)
    client.send(*placed(STOCK, ibi.MarketOrder("BUY", quantity), order_id=5))
    return client, (await step(client))[2][14]


async def test_a_correction_comes_under_the_next_id_and_is_booked(
    floor: Any, placed: Any, step: Any, told: Any, kinds: Any
) -> None:
    async with floor() as open_floor:
        client, exec_id = await bought(open_floor, placed, step)
        client.send(61, 1)
        await client.until("62")
        book = open_floor.book
        assert exec_id.endswith(".01")
        new = book.correct(exec_id, quantity=Decimal(8), price=Decimal(99))
        heard = await told(client)
        assert kinds(heard) == ["11", "59"]
        assert (heard[0][14], heard[1][2]) == (new.exec_id, new.exec_id)
        assert new.exec_id == exec_id[:-1] + "2"
        assert heard[0][19:21] == ["8", "99.00"]
        assert book.broker.ledger.position("AAA") == 8
        client.send(*ALL)
        assert [fields[14] for fields in await client.until("55") if fields[0] == "11"] == [new.exec_id]
        assert [fields[14] for fields in await step(client) if fields[0] == "61"] == ["8"]
        with pytest.raises(GatewayError, match="is not one of today's 1"):
            book.correct(exec_id, price=Decimal(98))


async def test_a_bust_is_a_correction_to_nothing(
    floor: Any, placed: Any, step: Any, told: Any, kinds: Any
) -> None:
    async with floor() as open_floor:
        client, exec_id = await bought(open_floor, placed, step)
        book = open_floor.book
        cash = book.broker.ledger.cash
        book.bust(exec_id)
        heard = await told(client)
        assert kinds(heard) == ["11", "59"]
        assert (heard[0][14][-2:], heard[0][19], heard[1][3]) == ("02", "0", "0.0")
        assert book.broker.ledger.position("AAA") == 0
        assert book.broker.ledger.cash > cash


async def test_executions_can_be_forgotten_as_at_midnight(
    floor: Any, placed: Any, step: Any, kinds: Any, tmp_path: Path
) -> None:
    async with floor(GatewayConfig(state_dir=tmp_path)) as open_floor:
        client, exec_id = await bought(open_floor, placed, step)
        open_floor.book.forget_executions()
        client.send(*ALL)
        assert kinds(await client.until("55")) == ["55"]
    kept = json.loads((tmp_path / "statement.json").read_text())
    assert [row["exec_id"] for row in kept["executions"]] == [exec_id]


async def test_orders_lost_in_a_restart_never_were_and_their_numbers_come_again(
    floor: Any, placed: Any, step: Any, told: Any, kinds: Any
) -> None:
    async with floor() as open_floor:
        client, _ = await bought(open_floor, placed, step)
        book = open_floor.book
        client.send(*placed(STOCK, ibi.LimitOrder("BUY", 1, 50), order_id=6))
        await told(client)
        lost = book.lose_orders_since(book.now_ns)
        assert [ticket.order_id for ticket in lost] == [6]
        assert await told(client) == []
        assert book.roll_back_ids(1, 1) == 6
        client.send(8, 1, 1)
        assert await client.receive() == ["9", "1", "6"]
        client.send(4, 1, 6, "")
        assert kinds(await told(client)) == ["4 6 10147"]
        client.send(*placed(STOCK, ibi.LimitOrder("BUY", 1, 51), order_id=6))
        assert kinds(await told(client)) == ["5 6 Submitted", "3 6 Submitted"]
        assert [ticket.order_id for ticket in book.tickets.values()] == [5, 6]


async def test_an_order_lost_in_a_restart_leaves_its_group_at_work(
    floor: Any, placed: Any, step: Any, told: Any
) -> None:
    async with floor() as open_floor:
        client, _ = await bought(open_floor, placed, step)
        book = open_floor.book
        terms = {"tif": "GTC", "ocaGroup": "pair", "ocaType": 1}
        client.send(*placed(STOCK, ibi.LimitOrder("BUY", 1, 50, **terms), order_id=6))
        await step(client)
        client.send(*placed(STOCK, ibi.LimitOrder("BUY", 1, 51, **terms), order_id=7))
        await told(client)
        assert [ticket.order_id for ticket in book.lose_orders_since(book.now_ns)] == [7]
        assert await told(client) == []
        assert [ticket.order_id for ticket in book.open_tickets()] == [6]
        client.send(4, 1, 6, "")
        assert ["3", "6", "Cancelled"] in [fields[:3] for fields in await told(client)]


@pytest.mark.parametrize("kept", [True, False])
async def test_after_midnight_memory_holds_live_orders_only_and_the_statement_still_lists_all(
    floor: Any, placed: Any, step: Any, told: Any, kinds: Any, tmp_path: Path, kept: bool
) -> None:
    (tmp_path / "orders.jsonl").write_text("left by an earlier gateway\n")
    async with floor(GatewayConfig(state_dir=tmp_path if kept else None)) as open_floor:
        client, exec_id = await bought(open_floor, placed, step)
        client.send(*placed(STOCK, ibi.LimitOrder("BUY", 1, 50, tif="GTC"), order_id=6))
        client.send(*placed(STOCK, ibi.LimitOrder("BUY", 1, 50), order_id=7))
        client.send(4, 1, 7, "")
        late = ibi.LimitOrder("BUY", 1, 50, tif="GTD", goodTillDate="20180101 12:00:00")
        client.send(*placed(STOCK, late, order_id=8))
        await told(client)
        book = open_floor.book
        assert (len(book.tickets), len(book.executions), len(book.inactive)) == (3, 1, 1)
        for _ in range(6):
            await step(client)
        assert [ticket.order_id for ticket in book.tickets.values()] == [6]
        assert (len(book.executions), len(book.inactive), len(book.by_client)) == (0, 0, 1)
        assert list(book.broker.orders) == [2]
        assert (book.archive.orders, book.archive.executions) == (2, 1)
        client.send(*placed(STOCK, ibi.MarketOrder("BUY", 1), order_id=5))
        assert kinds(await told(client)) == ["4 5 103"]
        client.send(*placed(STOCK, ibi.MarketOrder("BUY", 1), order_id=9))
        await step(client)
    if kept:
        statement = json.loads((tmp_path / "statement.json").read_text())
        assert [row["order_id"] for row in statement["orders"]] == [5, 6, 7, 9]
        statuses = [row["status"] for row in statement["orders"]]
        assert statuses == ["Filled", "Submitted", "Cancelled", "Filled"]
        assert statement["executions"][0]["exec_id"] == exec_id
        assert len(statement["executions"]) == 2
    else:
        assert not (tmp_path / "statement.json").exists()


async def test_what_waited_for_the_open_is_told_of_when_it_is_there(
    floor: Any, placed: Any, step: Any, told: Any, kinds: Any
) -> None:
    async with floor() as open_floor:
        client = await open_floor.client()
        service = open_floor.server.service
        for _ in range(6):
            await step(client)
        book = open_floor.book
        night = book.now_ns + 10 * 3600 * 10**9
        service.clock.advance_to(night)
        client.send(*placed(STOCK, ibi.LimitOrder("BUY", 1, 50, tif="GTC"), order_id=6))
        client.send(*placed(STOCK, ibi.MarketOrder("BUY", 1), order_id=7))
        assert kinds(await told(client)) == [
            "5 6 PreSubmitted",
            "3 6 PreSubmitted",
            "4 6 399",
            "4 7 399",
            "5 7 PreSubmitted",
            "3 7 PreSubmitted",
        ]
        opened = kinds(await step(client))
        assert opened[:4] == ["5 6 Submitted", "3 6 Submitted", "5 7 Submitted", "3 7 Submitted"]
        assert opened[4:6] == ["11", "5 7 Filled"]


async def test_outside_regular_hours_an_order_that_may_is_at_work(
    floor: Any, placed: Any, step: Any, told: Any, kinds: Any
) -> None:
    async with floor() as open_floor:
        client = await open_floor.client()
        service = open_floor.server.service
        await step(client)
        service.clock.advance_to(service.clock.now_ns() + 8 * 3600 * 10**9)  # 17:30
        client.send(*placed(STOCK, ibi.LimitOrder("BUY", 1, 50, outsideRth=True), order_id=6))
        assert kinds(await told(client)) == ["5 6 Submitted", "3 6 Submitted"]
        service.clock.advance_to(service.clock.now_ns() + 4 * 3600 * 10**9)  # 21:30
        client.send(*placed(STOCK, ibi.LimitOrder("BUY", 1, 50, outsideRth=True), order_id=7))
        assert kinds(await told(client))[:2] == ["5 7 PreSubmitted", "3 7 PreSubmitted"]


async def test_a_split_ends_open_orders_and_changes_positions(
    floor: Any, placed: Any, step: Any, told: Any, kinds: Any
) -> None:
    async with floor() as open_floor:
        client, _ = await bought(open_floor, placed, step)
        client.send(61, 1)
        await client.until("62")
        client.send(*placed(STOCK, ibi.LimitOrder("BUY", 1, 50, tif="GTC"), order_id=6))
        await told(client)
        open_floor.book.apply(CorporateAction(dt.date(2018, 1, 2), "AAA", "split", Decimal(2)))
        heard = kinds(await told(client))
        assert heard[-2:] == ["3 6 Cancelled", "4 6 202"]
        assert [fields[14] for fields in await step(client) if fields[0] == "61"] == ["20"]
        cash = open_floor.book.broker.ledger.cash
        open_floor.book.apply(CorporateAction(dt.date(2018, 1, 2), "AAA", "dividend", Decimal("0.5")))
        assert open_floor.book.broker.ledger.cash == cash + 10
