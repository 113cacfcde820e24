"""A journal that nobody restored is restored before it is used: nothing in it is sent a second time."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from execution.errors import DuplicateOrderError
from execution.executor import IBKROrderExecutor
from execution.models import OrderRequest, OrderStatus, OrderType, Side
from execution.orders.recovery import Recovered

if TYPE_CHECKING:
    from .conftest import MakeRig, ScriptedBroker


def buy(quantity: str = "10") -> OrderRequest:
    return OrderRequest("AAA", Decimal(quantity), OrderType.MARKET, Side.BUY, client_order_id="o-1")


@pytest.fixture
def forgotten(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Let the programs of this test forget to restore."""
    monkeypatch.setattr(IBKROrderExecutor, "restore", lambda _: Recovered())
    return monkeypatch


async def filled(rig: MakeRig, broker: ScriptedBroker) -> None:
    r = rig()
    await r.executor.submit_order(buy())
    order_id = int(broker.placed[0][1])
    broker.say(broker.execution(order_id, "e.01"), broker.status(order_id, "Filled", "10"))
    await broker.until(lambda: "fill" in r.handler.names())
    broker.positions = [("AAA", "10", "100.5")]
    await r.shut()


async def test_an_order_of_before_is_known_and_not_sent_again(
    rig: MakeRig, broker: ScriptedBroker, forgotten: pytest.MonkeyPatch
) -> None:
    await filled(rig, broker)
    r = rig()
    assert (await r.executor.submit_order(buy())).status is OrderStatus.FILLED
    with pytest.raises(DuplicateOrderError):
        await r.executor.submit_order(buy("11"))
    assert len(broker.placed) == 1
    assert r.executor.booked_positions() == {"AAA": Decimal(10)}
