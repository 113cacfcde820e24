"""What a gateway may send that no sound one does: none of it costs a message that stands beside it."""

from __future__ import annotations

import asyncio
import struct
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from backtesting.gateway.wire.codec import message, split
from execution.models import OrderRequest, OrderStatus, OrderType, Side

if TYPE_CHECKING:
    from .conftest import MakeRig, ScriptedBroker

NO_TERMINATOR = struct.pack(">I", 7) + b"garbage"
EMPTY = struct.pack(">I", 0)
NO_NUMBER = message("no number", "at all")


def buy(name: str = "o-1", quantity: str = "10") -> OrderRequest:
    return OrderRequest("AAA", Decimal(quantity), OrderType.MARKET, Side.BUY, client_order_id=name)


@pytest.mark.parametrize(
    "bad", [NO_TERMINATOR, EMPTY, message(""), NO_NUMBER, message("5"), message("11", "x")]
)
async def test_an_execution_behind_a_frame_that_is_no_message_is_not_lost(
    rig: MakeRig, broker: ScriptedBroker, bad: bytes
) -> None:
    r = rig()
    order = await r.executor.submit_order(buy())
    order_id = int(broker.placed[0][1])
    broker.say(bad, broker.execution(order_id, "e.01"), broker.status(order_id, "Filled", "10"))
    await broker.until(lambda: "fill" in r.handler.names())
    assert (await r.executor.get_order_status(order.order_id)).status is OrderStatus.FILLED
    assert not r.executor.is_ready  # what could not be read may have been a fill


@pytest.mark.parametrize("zone", ["US", "America", "../../etc/passwd", "A" * 5000, "Nowhere"])
async def test_an_execution_at_a_time_of_nowhere_costs_none_of_those_behind_it(
    rig: MakeRig, broker: ScriptedBroker, zone: str
) -> None:
    r = rig()
    await r.executor.submit_order(buy())
    order_id = int(broker.placed[0][1])
    fields = split(broker.execution(order_id, "e1.01", "4")[4:])
    fields[15] = f"20180102 09:31:00 {zone}"
    broker.say(message(*fields), broker.execution(order_id, "e2.01", "6"))
    await broker.until(lambda: "fill" in r.handler.names())
    assert r.manager.session.undecodable == 1
    assert (await r.executor.get_order_status("o-1")).filled_quantity == 6
    assert not r.executor.is_ready


async def test_executions_behind_a_bad_frame_in_a_long_packet_are_not_lost(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    r = rig()
    await r.executor.submit_order(buy(quantity="400"))
    order_id = int(broker.placed[0][1])
    parts = [broker.execution(order_id, f"e{n}.01", "1") for n in range(400)]
    broker.say(*parts[:5], NO_TERMINATOR, *parts[5:])
    await broker.until(lambda: r.handler.names().count("fill") == 400)


async def test_a_completed_order_that_cannot_be_read_is_on_record_and_not_skipped_in_silence(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    r = rig()
    await r.executor.ensure_ready()
    broker.mute.add("99")
    reconciling = asyncio.create_task(r.executor.reconcile())
    await broker.until(lambda: broker.requests.count("99") == 2)
    broker.say(message(101, "0", "AAA", "no sense at all"), message(102))
    await reconciling
    assert r.manager.session.messages_unreadable == 1
    unreadable = [event.body for event in r.journal.events() if event.kind == "api_unreadable"]
    assert "no sense at all" in unreadable[0]["raw"]


async def test_a_bad_frame_before_the_login_is_answered_costs_no_session(
    rig: MakeRig, broker: ScriptedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = broker._answer
    monkeypatch.setattr(
        broker, "_answer", lambda fields: [*([NO_TERMINATOR] if fields[0] == "71" else []), *answer(fields)]
    )
    r = rig()
    order = await r.executor.submit_order(buy())
    assert order.status is OrderStatus.SUBMITTED
