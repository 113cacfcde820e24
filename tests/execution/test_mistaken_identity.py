"""Orders are not taken for one another: by name, by number, or by another client's reference."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from execution.errors import AcknowledgementTimeoutError, UnknownOrderError
from execution.models import OrderRequest, OrderType, Side

if TYPE_CHECKING:
    from .conftest import MakeRig, ScriptedBroker


def limit(name: str = "o-1", quantity: str = "10", price: str = "100") -> OrderRequest:
    return OrderRequest(
        "AAA", Decimal(quantity), OrderType.LIMIT, Side.BUY, limit_price=Decimal(price), client_order_id=name
    )


async def test_an_id_that_could_mean_two_orders_cancels_neither(rig: MakeRig, broker: ScriptedBroker) -> None:
    broker.on_place = lambda order_id, _ref: [
        broker.open_order(order_id, "" if len(broker.placed) > 1 else "o-a"),
        broker.status(order_id, "Submitted"),
    ]
    r = rig()
    first = await r.executor.submit_order(limit("o-a"))
    await r.executor.submit_order(limit(first.order_id))  # its own name is the number of the other
    with pytest.raises(UnknownOrderError, match="two orders"):
        await r.executor.cancel_order(first.order_id)
    assert broker.cancelled == []
    await r.executor.cancel_order("o-a")


async def test_an_order_of_another_client_under_our_reference_is_not_ours(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    broker.on_place = lambda order_id, ref: [broker.open_order(77, ref, client=7, perm=9999)]
    r = rig(acknowledgement_timeout=0.2)
    with pytest.raises(AcknowledgementTimeoutError):
        await r.executor.submit_order(limit())
    entry = r.executor.blotter.entries["o-1"]
    assert (entry.perm_id, entry.acknowledged) == (0, False)
    order_id = int(broker.placed[0][1])
    broker.open_orders = [
        broker.open_order(order_id, "o-1"),
        broker.open_order(77, "o-1", client=7, perm=9999),
    ]
    result = await r.executor.reconcile()
    assert entry.perm_id == 1000 + order_id
    assert result.twins
    assert not r.executor.is_ready
