"""A login with several accounts: each order names one of them, and nothing is guessed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from backtesting.gateway.config import AccountConfig, GatewayConfig
from execution.errors import InvalidOrderError
from execution.models import OrderStatus

from .test_executor import buy

if TYPE_CHECKING:
    from .conftest import MakeFloor

TWO = GatewayConfig(accounts=(AccountConfig("DU1"), AccountConfig("DU2")))


async def test_an_account_is_required_where_there_are_several(floor: MakeFloor) -> None:
    async with floor(config=TWO, account="DU2", ready=True) as f:
        order = await f.executor.submit_order(buy("o-1"))
        assert order.account == "DU2"
        order = await f.executor.submit_order(buy("o-2", account="DU1"))
        assert order.account == "DU1"
        assert [ticket.account for ticket in f.book.open_tickets()] == ["DU2", "DU1"]


async def test_none_of_several_is_refused_and_so_is_one_of_another_login(floor: MakeFloor) -> None:
    async with floor(config=TWO) as f:
        with pytest.raises(InvalidOrderError, match="name one"):
            await f.executor.submit_order(buy("o-1"))
        with pytest.raises(InvalidOrderError, match="DU9"):
            await f.executor.submit_order(buy("o-2", account="DU9"))
        assert f.executor.orders() == []


async def test_an_account_may_be_left_out_where_there_is_one(floor: MakeFloor) -> None:
    async with floor() as f:
        assert (await f.executor.submit_order(buy("o-1"))).status is OrderStatus.SUBMITTED


async def test_the_summary_is_of_one_account(floor: MakeFloor) -> None:
    async with floor(config=TWO) as f:
        assert (await f.executor.get_account_summary("DU2"))["TotalCashValue"] == 1_000_000
        with pytest.raises(InvalidOrderError, match="name one"):
            await f.executor.get_account_summary()
        with pytest.raises(InvalidOrderError, match="DU9"):
            await f.executor.get_account_summary("DU9")
