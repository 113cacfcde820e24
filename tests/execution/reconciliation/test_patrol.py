"""The look at the broker's books while orders go on."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from decimal import Decimal
from typing import TYPE_CHECKING

from execution.models import OrderRequest, OrderStatus, OrderType, Side
from execution.reconciliation.patrol import Patrol

if TYPE_CHECKING:
    from ..conftest import MakeRig, Rig, ScriptedBroker


def buy(name: str) -> OrderRequest:
    return OrderRequest("AAA", Decimal(10), OrderType.MARKET, Side.BUY, client_order_id=name)


class Ticks:
    """Sleeps that end at once, so many times; the next one ends the patrol."""

    def __init__(self, count: int) -> None:
        self.left = count
        self.asked: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.asked.append(seconds)
        if not self.left:
            raise asyncio.CancelledError
        self.left -= 1


async def patrol(r: Rig, count: int = 1) -> Ticks:
    ticks = Ticks(count)
    with suppress(asyncio.CancelledError):
        await Patrol(r.executor, 300.0, sleep=ticks).run()
    return ticks


async def test_a_look_finds_a_difference_and_closes_the_way(rig: MakeRig, broker: ScriptedBroker) -> None:
    r = rig()
    await r.executor.ensure_ready()
    assert (await patrol(r, 2)).asked == [300.0, 300.0, 300.0]
    assert r.executor.is_ready
    broker.positions = [("AAA", "7", "100")]
    await patrol(r)
    assert not r.executor.is_ready


async def test_nothing_is_asked_while_it_is_not_ready(rig: MakeRig, broker: ScriptedBroker) -> None:
    r = rig()
    await r.manager.connect()
    before = list(broker.requests)
    await patrol(r, 3)
    assert broker.requests == before


async def test_an_order_sent_while_the_broker_is_asked_is_not_judged_by_the_answer(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    """The list was made before the order came: that it is not in it says nothing."""
    r = rig()
    await r.executor.ensure_ready()
    session = r.manager.session
    asked = session.open_orders

    async def open_orders() -> None:
        await asked()
        r.executor.submit(buy("o-1"))

    session.open_orders = open_orders  # type: ignore[method-assign]
    result = await r.executor.check()
    assert result.agrees
    assert r.executor.is_ready
    assert (await r.executor.get_order_status("o-1")).status is not OrderStatus.UNKNOWN


async def test_a_look_that_fails_is_reported_and_the_next_one_tries_again(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    r = rig(timeout=0.2)
    await r.executor.ensure_ready()
    broker.mute.add("61")
    await Patrol(r.executor, 1.0).look()
    broker.mute.clear()
    await r.executor.ensure_ready()
    await patrol(r)
    assert r.executor.is_ready
