"""An order that ended keeps its reservation until all that the broker reported as executed was seen."""

from __future__ import annotations

from decimal import Decimal

import pytest

from execution.models import OrderRequest, OrderStatus, OrderType, Side
from execution.orders.blotter import Blotter
from execution.orders.entry import Entry
from execution.orders.evidence import CompletedOrderSeen, ExecutionSeen, OpenOrderSeen, OrderStatusSeen


@pytest.fixture
def blotter() -> Blotter:
    """An order for 200, cancelled by the broker with 100 executed, of which nothing was seen yet."""
    made = Blotter(client_id=1)
    request = OrderRequest("AAA", Decimal(200), OrderType.MARKET, Side.BUY, client_order_id="o-1")
    made.submitted(Entry(request, 3, 0))
    made.apply(OpenOrderSeen(3, 1, 1003, "o-1", "DU1", "AAA", "BUY", Decimal(200)))
    made.apply(OrderStatusSeen(3, 1, 1003, "Cancelled", Decimal(100), Decimal(0)))
    return made


def execution(exec_id: str, size: int) -> ExecutionSeen:
    return ExecutionSeen(
        exec_id, 3, 1, 1003, "o-1", "DU1", "AAA", "BUY", Decimal(size), Decimal(100), 1514903400
    )


def test_a_correction_of_what_was_never_seen_does_not_give_up_the_others(blotter: Blotter) -> None:
    entry = blotter.entries["o-1"]
    blotter.apply(execution("x.02", 60))
    assert blotter.open_entries() == [entry]  # 40 more were reported
    blotter.apply(execution("y.01", 40))
    assert blotter.open_entries() == []
    assert (entry.filled, entry.status) == (Decimal(100), OrderStatus.CANCELLED)


def test_the_brokers_next_report_says_what_a_correction_left(blotter: Blotter) -> None:
    entry = blotter.entries["o-1"]
    blotter.apply(execution("x.02", 60))  # of the hundred: nothing else is to come
    blotter.apply(CompletedOrderSeen(1003, "o-1", "Cancelled", Decimal(60)))
    assert (entry.filled, entry.can_trade) == (Decimal(60), False)
    assert blotter.open_entries() == []


def test_a_report_is_lowered_by_no_older_one(blotter: Blotter) -> None:
    entry = blotter.entries["o-1"]
    blotter.apply(execution("x.01", 60))
    blotter.apply(OrderStatusSeen(3, 1, 1003, "Submitted", Decimal(60), Decimal(140)))
    assert entry.can_trade
