"""Cancelling everything and flattening: what the broker confirms, and what it does not."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from backtesting.gateway.config import AccountConfig, GatewayConfig
from execution.errors import NotReadyError, RiskCheckError
from execution.models import OrderRequest, OrderStatus, OrderType, Side

from ..test_executor import Ledger, buy
from .test_modification import limit

if TYPE_CHECKING:
    from ..conftest import MakeFloor, MakeRig, ScriptedBroker


async def test_all_orders_are_cancelled_and_their_ends_confirmed(floor: MakeFloor) -> None:
    async with floor() as f:
        for number in range(3):
            await f.executor.submit_order(limit(name=f"o-{number}"))
        assert await f.executor.cancel_all() == {}
        assert {order.status for order in f.executor.orders()} == {OrderStatus.CANCELLED}
        assert await f.executor.cancel_all() == {}


async def test_an_end_that_is_not_confirmed_is_said(rig: MakeRig, broker: ScriptedBroker) -> None:
    r = rig(acknowledgement_timeout=0.3)
    await r.executor.submit_order(buy("o-1"))
    await r.executor.submit_order(buy("o-2"))
    cancelling = asyncio.create_task(r.executor.cancel_all())
    await broker.until(lambda: len(broker.cancelled) == 2)
    broker.say(broker.status(int(broker.placed[0][1]), "Cancelled"))
    assert list(await cancelling) == ["o-2"]


async def test_cancels_wait_for_room_and_are_all_sent(rig: MakeRig, broker: ScriptedBroker) -> None:
    r = rig()
    await r.executor.submit_order(buy("o-1"))
    client: Any = r.manager.session._ib.client
    client.MaxRequests, client.RequestsInterval = 1, 0.2
    cancelling = asyncio.create_task(r.executor.cancel_all())
    await broker.until(lambda: len(broker.cancelled) == 1)
    broker.say(broker.status(int(broker.placed[0][1]), "Cancelled"))
    assert await cancelling == {}


async def test_flatten_cancels_first_and_then_closes_long_and_short(floor: MakeFloor) -> None:
    async with floor() as f:
        await f.step()
        await f.executor.submit_order(buy("o-1"))
        await f.executor.submit_order(OrderRequest("BBB", Decimal(7), OrderType.MARKET, Side.SELL))
        await f.executor.submit_order(limit(name="o-3"))
        await f.step()
        done = await f.executor.flatten()
        assert (done.is_complete, done.cancelled) == (True, ["o-3"])
        closing = {order.symbol: (order.side, order.quantity) for order in done.closing}
        assert closing == {"AAA": (Side.SELL, Decimal(10)), "BBB": (Side.BUY, Decimal(7))}
        await f.step(2)
        assert await f.executor.get_positions() == []
        assert (await f.executor.flatten()).closing == []


async def test_flatten_says_what_risk_would_not_close(floor: MakeFloor) -> None:
    validator = Ledger(limit=20)
    async with floor(validator=validator) as f:
        await f.step()
        await f.executor.submit_order(buy("o-1"))
        await f.step()
        validator.limit = Decimal(1)
        done = await f.executor.flatten()
        assert (done.is_complete, done.left) == (False, {"AAA": "too much"})


async def test_a_symbol_with_an_order_in_the_air_is_not_closed(rig: MakeRig, broker: ScriptedBroker) -> None:
    r = rig(acknowledgement_timeout=0.3)
    await r.executor.submit_order(buy("o-1"))
    broker.positions = [("AAA", "4", "100"), ("BBB", "3", "100")]
    done = await r.executor.flatten()
    assert set(done.left) == {"o-1", "AAA"}
    assert [order.symbol for order in done.closing] == ["BBB"]


async def test_a_position_without_an_instrument_is_said(rig: MakeRig, broker: ScriptedBroker) -> None:
    r = rig()
    await r.executor.ensure_ready()
    told = broker._position

    def option(row: tuple[str, str, str]) -> bytes:
        return told(row).replace(b"STK", b"OPT")

    broker._position = option  # type: ignore[method-assign]
    broker.positions = [("AAA", "4", "100")]
    done = await r.executor.flatten()
    assert done.left == {"AAA OPT": "no instrument was given for it"}
    assert broker.placed == []


async def test_each_account_is_flattened_by_orders_of_its_own(floor: MakeFloor) -> None:
    config = GatewayConfig(accounts=(AccountConfig("DU1"), AccountConfig("DU2")))
    async with floor(config=config) as f:
        await f.step()
        for account, quantity in (("DU1", "3"), ("DU2", "4")):
            await f.executor.submit_order(buy(f"o-{account}", quantity, account=account))
        await f.step()
        only = await f.executor.flatten("DU2")
        assert [(order.account, order.quantity) for order in only.closing] == [("DU2", Decimal(4))]
        await f.step(2)
        done = await f.executor.flatten()
        assert [(order.account, order.quantity) for order in done.closing] == [("DU1", Decimal(3))]


async def test_nothing_is_flattened_while_tws_has_lost_the_broker_or_may_only_read(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    r = rig()
    await r.executor.submit_order(buy("o-1"))
    broker.say(broker.error(-1, 1100))
    await broker.until(lambda: r.executor.is_frozen)
    with pytest.raises(NotReadyError):
        await r.executor.flatten()
    with pytest.raises(NotReadyError):
        await r.executor.cancel_all()
    r.manager.readonly = True
    for ending in (r.executor.flatten, r.executor.cancel_all):
        with pytest.raises(RiskCheckError, match="read-only"):
            await ending()
    assert broker.cancelled == []
