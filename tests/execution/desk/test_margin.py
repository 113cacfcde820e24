"""What-if margins: the simulated gateway's figures, one question at a time, and answers in parts."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from backtesting.gateway.config import AccountConfig, GatewayConfig
from backtesting.gateway.wire import replies
from execution.errors import BrokerUnavailableError, InvalidOrderError
from execution.models import OrderRequest, OrderStatus, OrderType, Side

from ..test_executor import buy
from .test_modification import limit

if TYPE_CHECKING:
    from ..conftest import MakeFloor


async def test_margins_are_told_and_nothing_is_placed(floor: MakeFloor) -> None:
    config = GatewayConfig(accounts=(AccountConfig("DU1", kind="margin"),))
    async with floor(config=config) as f:
        await f.step()
        impact = await f.executor.what_if(buy("o-1"))
        assert impact.initial_change is not None
        assert impact.initial_change > 0
        assert impact.initial_after == (impact.initial_before or 0) + impact.initial_change
        assert impact.commission == Decimal(1)
        assert (f.executor.orders(), f.book.open_tickets()) == ([], [])
        assert (await f.executor.reconcile()).agrees
        order = await f.executor.submit_order(buy("o-1"))  # the id of the order is still free
        assert order.status is OrderStatus.SUBMITTED


async def test_questions_take_turns(floor: MakeFloor) -> None:
    config = GatewayConfig(accounts=(AccountConfig("DU1", kind="margin"),))
    async with floor(config=config) as f:
        await f.step()
        sizes = ("10", "20", "30")
        impacts = await asyncio.gather(*(f.executor.what_if(buy(None, size)) for size in sizes))
        changes = [impact.initial_change or 0 for impact in impacts]
        assert changes == [changes[0], 2 * changes[0], 3 * changes[0]]


async def test_a_first_answer_without_figures_is_passed_over(
    floor: MakeFloor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TWS may send the answer twice, the first time with every margin unset."""
    original = replies.what_if_order

    def twice(*args: Any, **more: Any) -> bytes:
        with monkeypatch.context() as patch:
            patch.setattr(
                replies.Margins, "texts", lambda _: ("\0".join(["1.7976931348623157E308"] * 9), "\0" * 4)
            )
            unset = original(*args, **more)
        return unset + original(*args, **more)

    monkeypatch.setattr(replies, "what_if_order", twice)
    async with floor(config=GatewayConfig(accounts=(AccountConfig("DU1", kind="margin"),))) as f:
        await f.step()
        impact = await f.executor.what_if(buy("o-1"))
        assert impact.initial_change is not None


async def test_a_refused_question_says_why(floor: MakeFloor) -> None:
    async with floor() as f:
        with pytest.raises(BrokerUnavailableError, match="200"):
            await f.executor.what_if(OrderRequest("NONE", Decimal(1), OrderType.MARKET, Side.BUY))
        assert (await f.executor.submit_order(buy("o-1"))).status is OrderStatus.SUBMITTED


async def test_silence_ends_in_time(floor: MakeFloor, monkeypatch: pytest.MonkeyPatch) -> None:
    async with floor() as f:
        monkeypatch.setattr(replies, "what_if_order", lambda *_, **_more: b"")
        f.executor.manager.session.timeout = 0.2
        with pytest.raises(BrokerUnavailableError, match="no complete answer"):
            await f.executor.what_if(buy("o-1"))


async def test_a_malformed_question_is_not_sent(floor: MakeFloor) -> None:
    async with floor() as f:
        with pytest.raises(InvalidOrderError, match="tick"):
            await f.executor.what_if(limit("90.123"))
        with pytest.raises(InvalidOrderError, match="DU9"):
            await f.executor.what_if(buy("o-1", account="DU9"))
