"""A caller whose task is cancelled at any await leaves orders, reservations and the way as they truly are."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from backtesting.gateway.wire.codec import message, split
from execution.errors import ExecutionError, OrderInDoubtError
from execution.models import OrderRequest, OrderStatus, OrderType, Side

if TYPE_CHECKING:
    from .conftest import MakeRig, ScriptedBroker


def limit(name: str = "o-1", price: str = "100") -> OrderRequest:
    return OrderRequest(
        "AAA", Decimal(10), OrderType.LIMIT, Side.BUY, limit_price=Decimal(price), client_order_id=name
    )


async def cut(work: Any, turns: int) -> None:
    """Run a coroutine and cancel it after so many turns of the loop."""
    task = asyncio.ensure_future(work)
    for _ in range(turns):
        await asyncio.sleep(0)
        if task.done():
            break
    task.cancel()
    with suppress(asyncio.CancelledError, ExecutionError):
        await task


@pytest.mark.parametrize("turns", [*range(0, 60, 3), 80, 120])
async def test_an_order_whose_submitter_is_cancelled_anywhere_is_sent_at_most_once(
    rig: MakeRig, broker: ScriptedBroker, turns: int
) -> None:
    r = rig()
    await cut(r.executor.submit_order(limit()), turns)
    order = await r.executor.submit_order(limit())
    assert order.status is OrderStatus.SUBMITTED
    assert len(broker.placed) == 1
    assert r.executor.is_ready


async def test_an_order_whose_submitter_was_cancelled_while_it_waited_is_not_forgotten(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    broker.on_place = lambda _id, _ref: []
    r = rig(acknowledgement_timeout=0.1)
    await r.executor.ensure_ready()
    task = asyncio.create_task(r.executor.submit_order(limit()))
    await broker.until(lambda: len(broker.placed) == 1)
    task.cancel()
    await broker.until(lambda: not r.executor.is_ready)
    with pytest.raises(OrderInDoubtError):
        await r.executor.ensure_ready()
    assert (await r.executor.get_order_status("o-1")).status is OrderStatus.UNKNOWN


@pytest.mark.parametrize("turns", range(0, 24, 2))
async def test_a_change_whose_asker_is_cancelled_anywhere_is_made_or_not_and_known(
    rig: MakeRig, broker: ScriptedBroker, turns: int
) -> None:
    def shown(order_id: int, ref: str) -> list[bytes]:
        fields = split(broker.open_order(order_id, ref)[4:])
        fields[15], fields[16] = "LMT", broker.placed[-1][19]
        return [message(*fields), broker.status(order_id, "Submitted")]

    broker.on_place = shown
    r = rig()
    await r.executor.submit_order(limit())
    await cut(r.executor.modify_order("o-1", limit_price=Decimal(101)), turns)
    await broker.until(lambda: r.executor.blotter.entries["o-1"].modification is None)
    order = await r.executor.modify_order("o-1", limit_price=Decimal(101))
    assert (order.limit_price, order.status) == (Decimal(101), OrderStatus.SUBMITTED)
    assert len(broker.placed) == 2


@pytest.mark.parametrize("turns", range(0, 40, 2))
async def test_a_reconciliation_cut_off_anywhere_opens_no_way_and_the_next_one_does(
    rig: MakeRig, broker: ScriptedBroker, turns: int
) -> None:
    r = rig()
    await cut(r.executor.ensure_ready(), turns)
    await r.executor.ensure_ready()
    assert r.executor.is_ready
    assert r.executor.opening is not None
    assert r.kinds().count("opening") == 1
