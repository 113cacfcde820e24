"""Splits and dividends as a client hears of them: on their ex date, before anything trades, or by control."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ib_insync as ibi
import pytest

from backtesting.gateway.config import GatewayConfig
from backtesting.gateway.control import GatewayControl
from backtesting.gateway.errors import CorporateActionError
from backtesting.gateway.statement import statement

STOCK = ibi.Stock("AAA", "SMART", "USD")


@pytest.fixture
def with_actions(tmp_path: Path) -> Callable[..., GatewayConfig]:
    """Settings of a gateway with these corporate actions."""

    def config(*rows: str, **more: Any) -> GatewayConfig:
        path = tmp_path / "actions.csv"
        path.write_text("\n".join(("date,symbol,kind,value", *rows)), encoding="utf-8")
        return GatewayConfig(corporate_actions=path, **more)

    return config


async def test_a_split_comes_before_the_first_bar_of_its_ex_date(
    floor: Any, placed: Any, step: Any, told: Any, kinds: Any, with_actions: Any
) -> None:
    async with floor(with_actions("2018-01-03,AAA,split,2")) as open_floor:
        client = await open_floor.client()
        await step(client)
        client.send(*placed(STOCK, ibi.MarketOrder("BUY", 10), order_id=1))
        await step(client)  # at 100
        client.send(61, 1)
        await client.until("62")
        client.send(6, 2, 1, "")
        await client.until("54")
        client.send(*placed(STOCK, ibi.LimitOrder("BUY", 1, 80, tif="GTC"), order_id=2))
        client.send(*placed(STOCK, ibi.LimitOrder("SELL", 1, 500, tif="GTC"), order_id=3))
        await told(client)
        for _ in range(4):
            heard = await step(client)  # the rest of the day
        assert not [fields for fields in heard if fields[0] == "61"]
        heard = await step(client)  # the first minute of the ex date
        assert kinds(heard)[:4] == ["3 2 Cancelled", "4 2 202", "3 3 Cancelled", "4 3 202"]
        assert heard[1][4] == "Order Canceled - reason:the contract was split"
        (position,) = [fields for fields in heard if fields[0] == "61"]
        assert position[14] == "20"
        assert float(position[15]) == pytest.approx(50.005)  # a hundred and the commission, halved
        (row,) = [fields for fields in heard if fields[0] == "7"]
        assert row[13] == "20"


async def test_a_dividend_is_credited_on_its_ex_date_and_leaves_orders_alone(
    floor: Any, placed: Any, step: Any, told: Any, kinds: Any, with_actions: Any
) -> None:
    async with floor(with_actions("2018-01-03,AAA,dividend,0.5")) as open_floor:
        client = await open_floor.client()
        await step(client)
        client.send(*placed(STOCK, ibi.MarketOrder("BUY", 10), order_id=1))
        await step(client)
        client.send(*placed(STOCK, ibi.LimitOrder("BUY", 1, 50, tif="GTC"), order_id=2))
        await told(client)
        cash = open_floor.book.broker.ledger.cash
        client.send(62, 1, 9, "All", "TotalCashValue")
        await client.until("64")
        for _ in range(4):
            await step(client)
        assert open_floor.book.broker.ledger.cash == cash
        (value,) = [fields for fields in await step(client) if fields[0] == "63"]
        assert float(value[5]) == pytest.approx(float(cash) + 5)
        assert open_floor.book.broker.ledger.dividends == 5
        client.send(5, 1)
        assert kinds(await client.until("53")) == ["5 2 Submitted", "3 2 Submitted", "53"]


async def test_the_close_of_the_day_before_is_told_adjusted(floor: Any, with_actions: Any, step: Any) -> None:
    config = with_actions("2018-01-03,AAA,split,2", "2018-01-03,AAA,dividend,0.125")
    async with floor(config) as open_floor:
        client, market = await open_floor.client(), open_floor.server.service.market
        for _ in range(6):
            await step(client)
        assert market.quote("AAA").close is None
        await step(client)
        assert market.quote("AAA").close == 104.25 / 2 - 0.125


async def test_what_lies_before_the_start_is_history(floor: Any, with_actions: Any, sessions: Any) -> None:
    config = with_actions("2018-01-02,AAA,split,2", "2018-01-04,AAA,split,3")
    async with floor(config) as open_floor:
        assert [action.value for action in open_floor.book.ex_dates] == [3]


async def test_control_applies_actions_at_once_and_everybody_hears(
    floor: Any, placed: Any, step: Any, told: Any, kinds: Any
) -> None:
    async with floor() as open_floor:
        client, control = await open_floor.client(), GatewayControl(open_floor.server)
        await step(client)
        client.send(*placed(STOCK, ibi.MarketOrder("BUY", 30), order_id=1))
        await step(client)
        client.send(61, 1)
        await client.until("62")
        client.send(*placed(STOCK, ibi.LimitOrder("BUY", 1, 50, tif="GTC"), order_id=2))
        await told(client)
        answer = control.obey("split", symbol="AAA", ratio="1/15")
        assert answer["positions"] == {"DU0000001": "2"}
        heard = [await client.receive() for _ in range(3)]  # nobody asked
        assert kinds(heard[:2]) == ["3 2 Cancelled", "4 2 202"]
        assert (heard[2][0], heard[2][14]) == ("61", "2")
        cash = open_floor.book.broker.ledger.cash
        control.obey("dividend", symbol="AAA", per_share=0.25)
        assert open_floor.book.broker.ledger.cash - cash == pytest.approx(0.5)
        told_of = statement(open_floor.book, open_floor.server.service.clock.now_ns())["corporate_actions"]
        assert [(each["kind"], each["value"]) for each in told_of] == [
            ("split", "1/15"),
            ("dividend", "0.25"),
        ]
        for bad in ({"symbol": "ZZZ", "ratio": 2}, {"symbol": "AAA", "ratio": 1}):
            with pytest.raises(CorporateActionError):
                control.obey("split", **bad)
