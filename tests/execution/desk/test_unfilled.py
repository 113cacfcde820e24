"""The policy for limit orders that do not fill, in trading time, on the simulated gateway."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from execution.desk.unfilled_policy import UnfilledAction, UnfilledPolicy
from execution.models import OrderStatus, OrderType

from ..test_bracket import bracket
from ..test_executor import Ledger
from .test_modification import limit, open_order

if TYPE_CHECKING:
    from ..conftest import MakeFloor, MakeRig, ScriptedBroker

CANCEL = UnfilledPolicy(60)
MARKET = UnfilledPolicy(60, UnfilledAction.MARKET)


async def test_a_limit_order_is_cancelled_when_its_time_is_up(floor: MakeFloor) -> None:
    async with floor(unfilled=CANCEL) as f:
        await f.step()
        await f.executor.submit_order(limit())
        assert f.executor.enforce_unfilled() == []
        await f.step(2)
        assert f.executor.enforce_unfilled() == ["o-1"]
        assert f.executor.enforce_unfilled() == []
        await f.step()
        assert (await f.executor.get_order_status("o-1")).status is OrderStatus.CANCELLED
        reasons = [e.body["reason"] for e in f.journal.events() if e.kind == "order_cancelled"]
        assert reasons == ["unfilled for 60 s"]


async def test_a_limit_order_becomes_a_market_order_when_its_time_is_up(floor: MakeFloor) -> None:
    async with floor(unfilled=MARKET, grouped=True) as f:
        await f.step()
        f.executor.submit(limit())
        for _ in range(4):
            await f.step()
            f.executor.close_inbox()
        order = await f.executor.get_order_status("o-1")
        assert (order.order_type, order.status) == (OrderType.MARKET, OrderStatus.FILLED)


@pytest.mark.parametrize("answer", ["broker", "risk"])
async def test_a_conversion_that_is_refused_ends_in_a_cancel(
    rig: MakeRig, broker: ScriptedBroker, answer: str
) -> None:
    validator = Ledger()
    r = rig(unfilled=MARKET, validator=validator)
    await r.executor.submit_order(limit())
    r.clock.advance_to(r.clock.now_ns() + 61_000_000_000)
    broker.on_place = lambda number, _ref: [broker.error(number, 201, "no")]
    if answer == "risk":
        validator.limit = Decimal(1)
    assert r.executor.enforce_unfilled() == ["o-1"]
    if answer == "broker":
        await broker.until(lambda: r.executor.blotter.entries["o-1"].modification is None)
        assert r.executor.enforce_unfilled() == ["o-1"]
    await broker.until(lambda: len(broker.cancelled) == 1)
    assert r.executor.enforce_unfilled() == []


async def test_nothing_is_done_while_the_way_is_closed_and_it_is_made_up_for(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    r = rig(unfilled=CANCEL)
    await r.executor.submit_order(limit())
    order_id = int(broker.placed[0][1])
    r.clock.advance_to(r.clock.now_ns() + 61_000_000_000)
    broker.say(broker.error(-1, 1100))
    await broker.until(lambda: r.executor.is_frozen)
    assert r.executor.enforce_unfilled() == []
    broker.say(broker.error(-1, 1102))
    await broker.until(lambda: not r.executor.is_frozen)
    broker.open_orders = [open_order(broker, order_id, "10", "90")]
    await r.executor.ensure_ready()
    assert r.executor.enforce_unfilled() == ["o-1"]


async def test_exits_of_a_bracket_wait_for_their_price(floor: MakeFloor) -> None:
    async with floor(unfilled=CANCEL) as f:
        await f.step()
        await f.executor.submit_bracket(*bracket(200, 50))
        await f.step(3)
        assert f.executor.enforce_unfilled() == []
        await asyncio.sleep(0)


async def test_without_a_policy_orders_rest(floor: MakeFloor) -> None:
    async with floor() as f:
        await f.executor.submit_order(limit())
        await f.step(3)
        assert f.executor.enforce_unfilled() == []
