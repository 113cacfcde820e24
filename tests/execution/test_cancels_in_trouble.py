"""Nothing wrong elsewhere keeps an order at work that somebody wants ended; and nothing new goes out."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from backtesting.gateway.wire.codec import message
from execution.errors import (
    AcknowledgementTimeoutError,
    JournalError,
    NotConnectedError,
    OrderInDoubtError,
)
from execution.models import OrderRequest, OrderStatus, OrderType, Side
from strategies.closing import OpenOrders
from strategies.trader import Trader

if TYPE_CHECKING:
    from .conftest import MakeRig, Rig, ScriptedBroker


def limit(name: str) -> OrderRequest:
    return OrderRequest(
        "AAA", Decimal(10), OrderType.LIMIT, Side.BUY, limit_price=Decimal(100), client_order_id=name
    )


async def with_one_in_doubt(rig: MakeRig, broker: ScriptedBroker) -> Rig:
    r = rig(acknowledgement_timeout=0.2)
    await r.executor.submit_order(limit("o-live"))
    broker.open_orders = [broker.open_order(int(broker.placed[0][1]), "o-live")]
    broker.on_place = lambda _id, _ref: []
    with pytest.raises(AcknowledgementTimeoutError):
        await r.executor.submit_order(limit("o-lost"))
    with pytest.raises(OrderInDoubtError):
        await r.executor.ensure_ready()
    return r


async def test_an_order_is_cancelled_while_another_is_in_doubt(rig: MakeRig, broker: ScriptedBroker) -> None:
    r = await with_one_in_doubt(rig, broker)
    await r.executor.cancel_order("o-live")
    await broker.until(lambda: broker.cancelled == [broker.placed[0][1]])
    assert "order_cancelled" in r.kinds()
    with pytest.raises(OrderInDoubtError):
        await r.executor.submit_order(limit("o-new"))
    assert len(broker.placed) == 2


async def test_all_are_asked_for_while_one_is_in_doubt_and_what_is_not_confirmed_is_said(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    r = await with_one_in_doubt(rig, broker)
    left = await r.executor.cancel_all()
    assert sorted(left) == ["o-live", "o-lost"]
    assert sorted(broker.cancelled) == sorted(fields[1] for fields in broker.placed)


async def test_flatten_cancels_while_one_is_in_doubt_and_says_what_it_may_not_close(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    r = await with_one_in_doubt(rig, broker)
    broker.positions = [("BBB", "5", "10")]
    done = await r.executor.flatten()
    assert len(broker.cancelled) == 2
    assert set(done.left) == {"o-live", "o-lost", "BBB"}
    assert done.closing == []


async def test_orders_are_cancelled_while_positions_differ(rig: MakeRig, broker: ScriptedBroker) -> None:
    r = rig()
    await r.executor.submit_order(limit("o-1"))
    broker.open_orders = [broker.open_order(int(broker.placed[0][1]), "o-1")]
    broker.positions = [("BBB", "5", "10")]
    result = await r.executor.check()
    assert list(result.breaks) == ["BBB"]
    await r.executor.cancel_order("o-1")
    await broker.until(lambda: len(broker.cancelled) == 1)


async def test_orders_are_cancelled_while_the_journal_is_dead_and_the_record_follows(
    rig: MakeRig, broker: ScriptedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    r = rig(acknowledgement_timeout=0.2)
    await r.executor.submit_order(limit("o-1"))
    await r.executor.submit_order(limit("o-2"))

    def commit() -> None:
        raise JournalError("disk full")

    with monkeypatch.context() as broken:
        broken.setattr(r.journal, "commit", commit)
        left = await r.executor.cancel_all()
        assert sorted(left) == ["o-1", "o-2"]
        assert len(broker.cancelled) == 2
        assert not r.executor.is_ready
    r.journal.commit()
    assert r.kinds().count("order_cancelled") == 2


async def test_an_order_of_an_earlier_session_that_was_not_seen_in_this_one_is_not_cancelled_by_number(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    r = rig()
    await r.executor.submit_order(limit("o-1"))
    await broker.drop()
    with pytest.raises(NotConnectedError, match="not reconciled"):  # the broker no longer lists it
        await r.executor.cancel_order("o-1")
    assert broker.cancelled == []


async def test_an_order_that_was_sent_under_another_client_id_is_not_cancelled_under_this_one(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    r = rig()
    await r.executor.submit_order(limit("o-1"))
    order_id = int(broker.placed[0][1])
    await r.manager.disconnect()
    r.manager.client_id = r.executor.blotter.client_id = 2
    broker.open_orders = [broker.open_order(order_id, "o-1")]
    with pytest.raises(NotConnectedError, match="client id 1"):
        await r.executor.cancel_order("o-1")
    assert broker.cancelled == []
    assert (await r.executor.get_order_status("o-1")).status is OrderStatus.SUBMITTED


async def test_a_reconciliation_that_was_under_way_when_a_doubt_arose_opens_nothing(
    rig: MakeRig, broker: ScriptedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker.on_place = lambda _id, _ref: []
    r = rig(acknowledgement_timeout=0.1)
    await r.executor.ensure_ready()
    broker.mute.add("7")
    asked: list[str] = []
    answer = broker._answer

    def noted(fields: list[str]) -> list[bytes]:
        asked.extend(fields[2:3] * (fields[0] == "7"))
        return answer(fields)

    monkeypatch.setattr(broker, "_answer", noted)
    reconciling = asyncio.create_task(r.executor.reconcile())
    await broker.until(lambda: bool(asked))
    with pytest.raises(AcknowledgementTimeoutError):
        await r.executor.submit_order(limit("o-1"))
    broker.say(message(55, 1, asked[0]))
    assert (await reconciling).agrees  # of what stood when it began
    assert not r.executor.is_ready


async def test_a_trader_that_was_halted_cancels_although_one_is_in_doubt(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    r = await with_one_in_doubt(rig, broker)
    trader: Any = SimpleNamespace(
        executor=r.executor,
        orchestrator=SimpleNamespace(halted=True),
        options=SimpleNamespace(at_shutdown=OpenOrders.LEAVE, acknowledgement_timeout=0.2),
        clock=r.clock,
    )
    with pytest.raises(OrderInDoubtError):  # and no closing book is recorded
        await Trader.close_session(trader)
    assert broker.placed[0][1] in broker.cancelled
    assert "session_closed" not in r.kinds()
