"""A handler may send orders from within what it is told: nothing is told twice, and nothing is lost."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from execution.models import Fill, Order, OrderRequest, OrderType, Side

if TYPE_CHECKING:
    from execution.executor import IBKROrderExecutor

    from .conftest import MakeRig, ScriptedBroker


def limit(name: str) -> OrderRequest:
    return OrderRequest(
        "AAA", Decimal(10), OrderType.LIMIT, Side.BUY, limit_price=Decimal(100), client_order_id=name
    )


class Chaser:
    """Sends another order for each of the first two executions, and closes the inbox from within."""

    def __init__(self) -> None:
        self.executor: IBKROrderExecutor | None = None
        self.told: list[str] = []

    def on_fill(self, fill: Fill) -> None:
        assert self.executor is not None
        self.told.append(fill.fill_id)
        if len(self.told) <= 2:
            self.executor.submit(limit(f"o-after-{len(self.told)}"))
        self.executor.close_inbox()

    def on_order_status(self, order: Order) -> None:
        pass

    def on_order_rejected(self, order: Order, reason: str) -> None:
        pass


async def test_orders_sent_while_executions_are_told_go_out_once(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    chaser = Chaser()
    r = rig()
    chaser.executor = r.executor
    r.executor.inbox.add_handler(chaser)
    await r.executor.submit_order(limit("o-1"))
    order_id = int(broker.placed[0][1])
    broker.say(
        broker.execution(order_id, "e1.01", "5"),
        broker.execution(order_id, "e2.01", "5"),
        broker.status(order_id, "Filled", "10"),
    )
    await broker.until(lambda: r.handler.names().count("fill") == 2 and len(broker.placed) == 3)
    assert chaser.told == ["o-1-1", "o-1-2"]
    assert r.executor.inbox.net == {"AAA": Decimal(10)}
    assert r.kinds().count("order_submitted") == 3
    assert r.executor.inbox.failures == 0
